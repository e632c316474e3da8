//! Starting queued runs: one dag at a time under the lock of its row, so that any number of nodes together never exceed `max_active_runs`.
//!
//! * Oldest `run_after` first; backfills and other runs take turns, so that neither starves the other.
//! * A paused dag promotes only what a person started; an absent dag promotes nothing, until its file is back.
//! * Overlap concerns scheduled runs that were never cleared. `skip`: a due one that finds no place is cancelled and its tick becomes
//!   *skipped*. `cancel`: of the due ones only the newest stay, as many as there are places at all (the others are superseded: cancelled, their
//!   ticks skipped), and as many running scheduled runs are asked to end as those need places.

use crate::attempts::Claim;
use crate::runs::{Advanced, cancel_queued, request_cancels};
use crate::snapshot::LockedRun;
use crate::tx::{in_tx, ring};
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

#[derive(FromRow)]
struct DagRow {
    max_active_runs: i32,
    overlap: String,
    paused: bool,
    present: bool,
    last_was_backfill: bool,
    active: i64,
}

impl Store {
    /// Starts queued runs whose `run_after` has come, oldest first within a dag, as far as `max_active_runs` allows (never more, whatever the
    /// number of nodes), makes their task instances, and advances them. Overlap `skip` and `cancel` are applied here.
    pub async fn promote(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        let dags = self.dags_to_promote(now, limit).await?;
        // An equal share for each dag first, so that one with thousands of runs does not hold up the others.
        let share = limit.div_ceil(dags.len().max(1));
        let mut promoted = Vec::new();
        let mut room = claim.cloned();
        for dag_id in dags {
            let share = share.min(limit.saturating_sub(promoted.len()));
            if share == 0 {
                break;
            }
            let claim = room.as_ref();
            let started = match in_tx("promote", || self.promote_dag(&dag_id, share, now, claim)).await {
                Ok(started) => started,
                Err(error) if promoted.is_empty() => return Err(error),
                Err(error) => {
                    // What the dags before it brought is committed, and its claims are only known from this answer.
                    tracing::error!(dag_id, %error, "no run of this dag could be started now");
                    self.look_again().await;
                    break;
                }
            };
            if let Some(room) = &mut room {
                room.take(&started);
            }
            promoted.extend(started);
        }
        Ok(promoted)
    }

    /// Rings for what was left undone. That this fails too is left to the next call that fails.
    async fn look_again(&self) {
        if let Ok(mut conn) = self.pool.acquire().await {
            ring(&mut conn, "runs").await.ok();
        }
    }

    /// Dags with a due run and either a free place or an overlap rule to apply, the longest waiting first.
    async fn dags_to_promote(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<String>> {
        // The recursion steps from dag to dag over the index of queued runs, however many runs each has.
        let dags = sqlx::query_scalar(
            "with recursive waiting(dag_id) as (
                (select dag_id from runs where state = 'queued' order by dag_id limit 1)
                union all
                select (select r.dag_id from runs r where r.state = 'queued' and r.dag_id > w.dag_id order by r.dag_id limit 1)
                from waiting w where w.dag_id is not null
             )
             select d.dag_id
             from waiting w
             join dags d on d.dag_id = w.dag_id
             cross join lateral (
                select r.run_after from runs r
                where r.dag_id = d.dag_id and r.state = 'queued' and r.run_after <= $1 and (not d.paused or r.run_type = 'manual')
                order by r.run_after, r.id limit 1
             ) due
             where d.present and (d.overlap <> 'queue'
                or (select count(*) from runs r where r.dag_id = d.dag_id and r.state = 'running') < d.max_active_runs)
             order by due.run_after, d.dag_id
             limit $2",
        )
        .bind(now)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        Ok(dags)
    }

    async fn promote_dag(
        &self,
        dag_id: &str,
        limit: usize,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        let mut tx = self.begin().await?;
        let Some(dag) = lock_dag(&mut tx, dag_id).await? else { return Ok(Vec::new()) };
        let overlap = if dag.paused { "queue" } else { dag.overlap.as_str() };
        if overlap == "cancel" {
            supersede(&mut tx, dag_id, &dag, now).await?;
        }
        let room =
            (i64::from(dag.max_active_runs) - dag.active).clamp(0, i64::try_from(limit).unwrap_or(i64::MAX));
        let picked = pick(&mut tx, dag_id, &dag, room, now).await?;
        let started = start(&mut tx, dag_id, &picked, now).await?;
        match overlap {
            // Only when all places are taken is what is left really too late.
            "skip" if dag.active + started.len() as i64 >= i64::from(dag.max_active_runs) => {
                let due = due_scheduled(&mut tx, dag_id, now).await?;
                drop_runs(&mut tx, &due, "skipped: max_active_runs others were running (overlap: skip)", now)
                    .await?;
            }
            "cancel" => make_room(&mut tx, dag_id, &dag, now).await?,
            _ => {}
        }
        let stepped = if started.is_empty() {
            Vec::new()
        } else {
            let runs = self.lock_runs(&mut tx, &started).await?;
            make_instances(&mut tx, &runs).await?;
            self.step(&mut tx, runs, Vec::new(), now, claim).await?.runs
        };
        tx.commit().await?;
        Ok(stepped)
    }
}

impl Claim {
    /// Takes the places that claimed attempts use out of what is free.
    fn take(&mut self, advanced: &[(i64, Advanced)]) {
        for attempt in advanced.iter().flat_map(|(_, advanced)| &advanced.claimed) {
            let is_service = attempt.dag.tasks[attempt.task].service.is_some();
            let places = if is_service { &mut self.service_slots } else { &mut self.slots };
            *places = places.saturating_sub(1);
        }
    }
}

async fn lock_dag(conn: &mut PgConnection, dag_id: &str) -> Result<Option<DagRow>> {
    let locked =
        sqlx::query_scalar::<_, bool>("select present from dags where dag_id = $1 for no key update")
            .bind(dag_id)
            .fetch_optional(&mut *conn)
            .await?;
    if locked.is_none() {
        return Ok(None);
    }
    // A statement of its own: it sees what was promoted while the lock was waited for.
    let dag = sqlx::query_as::<_, DagRow>(
        "select max_active_runs, overlap, paused, present, last_was_backfill,
            (select count(*) from runs r where r.dag_id = d.dag_id and r.state = 'running') as active
         from dags d where dag_id = $1",
    )
    .bind(dag_id)
    .fetch_optional(conn)
    .await?;
    Ok(dag.filter(|dag| dag.present))
}

/// The due runs that get the free places.
async fn pick(
    conn: &mut PgConnection,
    dag_id: &str,
    dag: &DagRow,
    room: i64,
    now: DateTime<Utc>,
) -> Result<Vec<(i64, bool)>> {
    let picked = sqlx::query_as(
        "with plain as (
            select id, run_after, false as is_backfill from runs
            where dag_id = $1 and state = 'queued' and run_after <= $2 and run_type <> 'backfill' and (not $3 or run_type = 'manual')
            order by run_after, id limit $4
         ), backfill as (
            select id, run_after, true as is_backfill from runs
            where dag_id = $1 and state = 'queued' and run_after <= $2 and run_type = 'backfill' and not $3
            order by run_after, id limit $4
         ), turns as (
            select *, row_number() over (partition by is_backfill order by run_after, id) as turn
            from (select * from plain union all select * from backfill) q
         )
         select id, is_backfill from turns order by turn, is_backfill = $5, run_after, id limit $4",
    )
    .bind(dag_id)
    .bind(now)
    .bind(dag.paused)
    .bind(room)
    .bind(dag.last_was_backfill)
    .fetch_all(conn)
    .await?;
    Ok(picked)
}

/// queued -> running. Returns the ids, ascending.
async fn start(
    conn: &mut PgConnection,
    dag_id: &str,
    picked: &[(i64, bool)],
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    let Some((_, last_was_backfill)) = picked.last() else { return Ok(Vec::new()) };
    let ids: Vec<i64> = picked.iter().map(|(id, _)| *id).collect();
    let mut started = sqlx::query_scalar::<_, i64>(
        "with turn as (
            update dags set last_was_backfill = $4 where dag_id = $3 and last_was_backfill <> $4
         )
         update runs set state = 'running', started_at = $2 where id = any($1) and state = 'queued' returning id",
    )
    .bind(&ids)
    .bind(now)
    .bind(dag_id)
    .bind(last_was_backfill)
    .fetch_all(conn)
    .await?;
    started.sort_unstable();
    Ok(started)
}

/// One row for each task and item of each run; a cleared run has them already.
async fn make_instances(conn: &mut PgConnection, runs: &[LockedRun]) -> Result<()> {
    let (mut ids, mut tasks, mut map_indexes, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in runs {
        for (position, task) in (0..).zip(&run.dag.tasks) {
            for map_index in task.map_indexes() {
                ids.push(run.id);
                tasks.push(position);
                map_indexes.push(map_index);
                names.push(task.id.as_str());
            }
        }
    }
    let tasks: Vec<i32> = tasks;
    sqlx::query(
        "insert into task_instances (run, task, map_index, task_id)
         select * from unnest($1::int8[], $2::int4[], $3::int4[], $4::text[])
         on conflict do nothing",
    )
    .bind(ids)
    .bind(tasks)
    .bind(map_indexes)
    .bind(names)
    .execute(conn)
    .await?;
    Ok(())
}

/// Due scheduled runs that were never cleared, the newest first.
async fn due_scheduled(conn: &mut PgConnection, dag_id: &str, now: DateTime<Utc>) -> Result<Vec<i64>> {
    let due = sqlx::query_scalar(
        "select id from runs
         where dag_id = $1 and state = 'queued' and run_after <= $2 and run_type = 'scheduled' and clears = 0
         order by run_after desc, id desc for no key update",
    )
    .bind(dag_id)
    .bind(now)
    .fetch_all(conn)
    .await?;
    Ok(due)
}

/// Overlap `cancel`: of the due runs only the newest count, as many as there are places at all.
async fn supersede(conn: &mut PgConnection, dag_id: &str, dag: &DagRow, now: DateTime<Utc>) -> Result<()> {
    let due = due_scheduled(conn, dag_id, now).await?;
    let kept = due.len().min(usize::try_from(dag.max_active_runs).unwrap_or(0));
    drop_runs(conn, &due[kept..], "superseded by a later tick (overlap: cancel)", now).await
}

/// Overlap `cancel`: as many running scheduled runs are asked to end as the waiting ones still need places.
async fn make_room(conn: &mut PgConnection, dag_id: &str, dag: &DagRow, now: DateTime<Utc>) -> Result<()> {
    let waiting = due_scheduled(conn, dag_id, now).await?.len();
    if waiting == 0 {
        return Ok(());
    }
    let active = sqlx::query_as::<_, (i64, bool, bool)>(
        "select id, run_type = 'scheduled', cancel_requested_at is not null from runs
         where dag_id = $1 and state = 'running' order by started_at, id",
    )
    .bind(dag_id)
    .fetch_all(&mut *conn)
    .await?;
    let staying = active.iter().filter(|(_, _, ending)| !ending).count();
    let free = usize::try_from(dag.max_active_runs).unwrap_or(0).saturating_sub(staying);
    let may_end = active.iter().filter(|(_, scheduled, ending)| *scheduled && !ending);
    let cancelled: Vec<i64> = may_end.map(|(id, _, _)| *id).take(waiting.saturating_sub(free)).collect();
    if !cancelled.is_empty() {
        request_cancels(conn, &cancelled, now).await?;
        ring(conn, "runs").await?;
    }
    Ok(())
}

/// Cancels scheduled runs that will not start, and says so in the ledger.
async fn drop_runs(conn: &mut PgConnection, runs: &[i64], why: &str, now: DateTime<Utc>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    cancel_queued(conn, runs, Some(why), now).await?;
    sqlx::query(
        "update ticks set decision = 'skipped', reason = $2, decided_at = $3 where run = any($1) and decision = 'ran'",
    )
    .bind(runs)
    .bind(why)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
