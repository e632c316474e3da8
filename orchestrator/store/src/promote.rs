//! Starting queued runs: one dag at a time under the lock of its row, so that any number of nodes together never exceed `max_active_runs`.
//!
//! * Oldest `run_after` first. Runs of a backfill have its budget, not the dag's: neither sort waits for the other.
//! * A paused dag promotes only what a person started; an absent dag promotes nothing, until its file is back.
//! * Overlap concerns scheduled runs that were never cleared. `skip`: a due one that finds no place is cancelled and its tick becomes
//!   *skipped*. `cancel`: of the due ones only the newest stay, as many as there are places at all (the others are superseded: cancelled, their
//!   ticks skipped), and as many running scheduled runs are asked to end as those need places.

use crate::attempts::Claim;
use crate::copies::Lent;
use crate::runs::{Advanced, cancel_queued, request_cancels};
use crate::snapshot::LockedRun;
use crate::tx::{in_tx, ring};
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

/// Ten years, in microseconds: no instant overflows.
const DEADLINE_MAX: i64 = 315_360_000_000_000;

#[derive(FromRow)]
struct DagRow {
    max_active_runs: i32,
    overlap: String,
    paused: bool,
    present: bool,
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
        let mut failed = None;
        let mut room = claim.cloned();
        for dag_id in dags {
            let share = share.min(limit.saturating_sub(promoted.len()));
            if share == 0 {
                break;
            }
            let claim = room.as_ref();
            let started = match in_tx("promote", || self.promote_dag(&dag_id, share, now, claim)).await {
                Ok(started) => started,
                Err(error) if error.is_of_the_rows() => {
                    tracing::error!(dag_id, %error, "no run of this dag can be started");
                    failed = failed.or(Some(error));
                    continue;
                }
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
        match failed {
            Some(error) if promoted.is_empty() => Err(error),
            _ => Ok(promoted),
        }
    }

    /// Rings for what was left undone. That this fails too is left to the next call that fails.
    async fn look_again(&self) {
        if let Ok(mut conn) = self.pool.acquire().await {
            ring(&mut conn, "runs").await.ok();
        }
    }

    /// Dags with a due run and either a free place or an overlap rule to apply, the longest waiting first.
    async fn dags_to_promote(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<String>> {
        // The recursion steps from dag to dag over the index of queued runs, however many runs each has; `offset 0` has each dag looked up,
        // for the planner would rather read all dags that there are.
        let dags = sqlx::query_scalar(
            "with recursive waiting(dag_id) as (
                (select dag_id from runs where state = 'queued' and backfill is null order by dag_id limit 1)
                union all
                select (select r.dag_id from runs r where r.state = 'queued' and r.backfill is null and r.dag_id > w.dag_id
                    order by r.dag_id limit 1)
                from waiting w where w.dag_id is not null
             ), plain as (
                select d.dag_id, due.run_after
                from waiting w
                cross join lateral (select * from dags d where d.dag_id = w.dag_id offset 0) d
                cross join lateral (
                    select r.run_after from runs r
                    where r.dag_id = d.dag_id and r.state = 'queued' and r.backfill is null and r.run_after <= $1
                        and (not d.paused or r.run_type = 'manual')
                    order by r.run_after, r.id limit 1
                ) due
                where d.present and (d.overlap <> 'queue'
                    or (select count(*) from runs r where r.dag_id = d.dag_id and r.state = 'running' and r.backfill is null)
                        < d.max_active_runs)
             ), back as (
                select b.dag_id, due.run_after
                from backfills b
                cross join lateral (select * from dags d where d.dag_id = b.dag_id and d.present and not d.paused offset 0) d
                cross join lateral (
                    select r.run_after from runs r where r.backfill = b.id and r.state = 'queued' and r.run_after <= $1
                    order by r.run_after, r.id limit 1
                ) due
                where b.state = 'running'
                    and (select count(*) from runs r where r.backfill = b.id and r.state = 'running') < b.max_active_runs
             )
             select dag_id from (select * from plain union all select * from back) due
             group by dag_id order by min(run_after), dag_id limit $2",
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
        let picked = pick(&mut tx, dag_id, &dag, limit, now).await?;
        let plain = picked.iter().filter(|(_, of_backfill)| !of_backfill).count() as i64;
        let started = start(&mut tx, picked.into_iter().map(|(id, _)| id).collect(), now).await?;
        match overlap {
            // Only when all places are taken is what is left really too late.
            "skip" if dag.active + plain >= i64::from(dag.max_active_runs) => {
                let due = due_scheduled(&mut tx, dag_id, now).await?;
                drop_runs(&mut tx, &due, "skipped: max_active_runs others were running (overlap: skip)", now)
                    .await?;
            }
            "cancel" => make_room(&mut tx, dag_id, &dag, now).await?,
            _ => {}
        }
        if !started.is_empty() {
            let runs = self.lock_runs(&mut tx, &started).await?;
            make_instances(&mut tx, &runs).await?;
            make_deadlines(&mut tx, &runs).await?;
            let stepped = self.step(&mut tx, runs, Vec::new(), (now, claim), &Lent::default()).await?;
            tx.commit().await?;
            self.copies.keep(&Lent::default(), stepped.copies);
            return Ok(stepped.runs);
        }
        tx.commit().await?;
        Ok(Vec::new())
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
        "select max_active_runs, overlap, paused, present,
            (select count(*) from runs r where r.dag_id = d.dag_id and r.state = 'running' and r.backfill is null) as active
         from dags d where dag_id = $1",
    )
    .bind(dag_id)
    .fetch_optional(conn)
    .await?;
    Ok(dag.filter(|dag| dag.present))
}

/// The due runs that get free places, and whether each has its place from a backfill. The dag and each backfill take turns.
async fn pick(
    conn: &mut PgConnection,
    dag_id: &str,
    dag: &DagRow,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<(i64, bool)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let picked = sqlx::query_as(
        "with plain as (
            select id, row_number() over (order by run_after, id) as turn, 0::int8 as source from (
                select id, run_after from runs
                where dag_id = $1 and state = 'queued' and backfill is null and run_after <= $2 and (not $3 or run_type = 'manual')
                order by run_after, id limit $4) due
         ), open as (
            select b.id, b.run_backwards,
                b.max_active_runs - (select count(*) from runs r where r.backfill = b.id and r.state = 'running') as room
            from backfills b where b.dag_id = $1 and b.state = 'running' and b.ended_at is null and not $3
         ), forwards as (
            select r.id, r.turn, b.id as source from open b cross join lateral (
                select id, row_number() over (order by run_after, id) as turn from (
                    select id, run_after from runs where backfill = b.id and state = 'queued' and run_after <= $2
                    order by run_after, id limit greatest(0, b.room)) due
            ) r where not b.run_backwards
         ), backwards as (
            select r.id, r.turn, b.id as source from open b cross join lateral (
                select id, row_number() over (order by run_after desc, id desc) as turn from (
                    select id, run_after from runs where backfill = b.id and state = 'queued' and run_after <= $2
                    order by run_after desc, id desc limit greatest(0, b.room)) due
            ) r where b.run_backwards
         )
         select id, source > 0 from (select * from plain union all select * from forwards union all select * from backwards) due
         order by turn, (source > 0) <> $6, source, id limit $5",
    )
    .bind(dag_id)
    .bind(now)
    .bind(dag.paused)
    .bind((i64::from(dag.max_active_runs) - dag.active).clamp(0, limit))
    .bind(limit)
    // Of shares of one the dag's own runs would take all: then chance says who is first.
    .bind(limit == 1 && now.timestamp_micros() % 2 == 1)
    .fetch_all(conn)
    .await?;
    Ok(picked)
}

/// queued -> running. Returns the ids, ascending.
async fn start(conn: &mut PgConnection, picked: Vec<i64>, now: DateTime<Utc>) -> Result<Vec<i64>> {
    if picked.is_empty() {
        return Ok(picked);
    }
    let mut started = sqlx::query_scalar::<_, i64>(
        "update runs set state = 'running', started_at = $2, revision = revision + 1
         where id = any($1) and state = 'queued' returning id",
    )
    .bind(&picked)
    .bind(now)
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

/// When each run, and each of its tasks that has a deadline, should have ended. One that was missed before a clear stays missed.
/// Those of a backfill count from when it was asked for: its ticks are long past.
async fn make_deadlines(conn: &mut PgConnection, runs: &[LockedRun]) -> Result<()> {
    let (mut ids, mut tasks, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for run in runs {
        let of_tasks = (0i32..).zip(&run.dag.tasks).map(|(position, task)| (position, task.deadline));
        for (task, length) in [(-1, run.dag.deadline)].into_iter().chain(of_tasks) {
            let Some(length) = length else { continue };
            ids.push(run.id);
            tasks.push(task);
            lengths.push(i64::try_from(length.as_micros()).unwrap_or(DEADLINE_MAX).min(DEADLINE_MAX));
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into deadlines (run, task, due_at)
         select r.id, d.task, case when r.backfill is null then r.run_after else r.queued_at end + d.length * interval '1 microsecond'
         from unnest($1::int8[], $2::int4[], $3::int8[]) as d(run, task, length) join runs r on r.id = d.run
         on conflict do nothing",
    )
    .bind(ids)
    .bind(tasks)
    .bind(lengths)
    .execute(&mut *conn)
    .await?;
    // One of them may come before all that are waited for.
    ring(conn, "deadlines").await
}

/// Due scheduled runs that were never cleared, the newest first.
async fn due_scheduled(conn: &mut PgConnection, dag_id: &str, now: DateTime<Utc>) -> Result<Vec<i64>> {
    let due = sqlx::query_scalar(
        "select id from runs
         where dag_id = $1 and state = 'queued' and backfill is null and run_after <= $2 and run_type = 'scheduled' and clears = 0
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
         where dag_id = $1 and state = 'running' and backfill is null order by started_at, id",
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
