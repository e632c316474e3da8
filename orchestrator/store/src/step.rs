//! One step of runs: what ended is written, `model::decide` says what follows, and that is written and claimed, all in the caller's
//! transaction and with a fixed number of statements, however many instances move.

use crate::attempts::Claim;
use crate::ends::{self, End};
use crate::runs::Advanced;
use crate::snapshot::{LockedRun, load_instances};
use crate::tx::ring;
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use model::{Command, RunState, TaskState, decide};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

pub(crate) struct Stepped {
    /// As the runs were given.
    pub runs: Vec<(i64, Advanced)>,
    /// Attempts whose end came with a lost lease.
    pub stale: Vec<i64>,
}

/// What the decisions about all runs of a step come to, column by column.
#[derive(Default)]
struct Writes {
    settled: Settled,
    queued: Queued,
    stops: Vec<(i64, String)>,
    finished: Vec<(i64, RunState)>,
}

#[derive(Default)]
struct Settled {
    runs: Vec<i64>,
    tasks: Vec<i32>,
    map_indexes: Vec<i32>,
    states: Vec<&'static str>,
    reasons: Vec<String>,
}

#[derive(Default)]
struct Queued {
    runs: Vec<i64>,
    tasks: Vec<i32>,
    map_indexes: Vec<i32>,
    try_numbers: Vec<i32>,
    /// Whether a new try begins; a poke goes on with the old one.
    fresh: Vec<bool>,
    queues: Vec<String>,
    routes: Vec<Option<String>>,
    priorities: Vec<i32>,
    services: Vec<bool>,
}

impl Store {
    /// `runs` are locked by this transaction, ascending by id.
    pub(crate) async fn step(
        &self,
        conn: &mut PgConnection,
        mut runs: Vec<LockedRun>,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Stepped> {
        load_instances(conn, &mut runs).await?;
        let stale = ends::apply(conn, &mut runs, ends, now).await?;
        let mut writes = Writes::default();
        let mut advanced = Vec::with_capacity(runs.len());
        for run in &mut runs {
            advanced.push((run.id, decide_until_still(conn, run, &mut writes, now).await?));
        }
        writes.settled.write(conn, now).await?;
        let queued = writes.queued.runs.len();
        writes.queued.write(conn, now).await?;
        stop_running(conn, &writes.stops, now).await?;
        finish_runs(conn, &writes.finished, now).await?;
        save_wake_times(conn, &runs, &advanced).await?;
        if queued > 0 {
            let claimed = self.claim_for(conn, &mut advanced, claim, now).await?;
            if claimed < queued {
                ring(conn, "work").await?;
            }
        }
        Ok(Stepped { runs: advanced, stale })
    }

    /// Claims after a step. What is claimed may be of another run, if that waited longer or is more urgent. Returns how many are of the
    /// runs of the step.
    async fn claim_for(
        &self,
        conn: &mut PgConnection,
        advanced: &mut [(i64, Advanced)],
        claim: Option<&Claim>,
        now: DateTime<Utc>,
    ) -> Result<usize> {
        let Some(claim) = claim else { return Ok(0) };
        let claimed = self.claim_on(conn, claim, now).await?;
        let positions: HashMap<i64, usize> =
            advanced.iter().enumerate().map(|(position, (run, _))| (*run, position)).collect();
        let mut own = 0;
        for attempt in claimed {
            let position = positions.get(&attempt.run).copied();
            own += usize::from(position.is_some());
            advanced[position.unwrap_or(0)].1.claimed.push(attempt);
        }
        Ok(own)
    }
}

/// Decides until nothing more follows. Commands are applied to the snapshot and noted in `writes`.
async fn decide_until_still(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    writes: &mut Writes,
    now: DateTime<Utc>,
) -> Result<Advanced> {
    let mut advanced = Advanced::default();
    if run.state != RunState::Running {
        return Ok(advanced);
    }
    // Each round moves an instance or is the last; an instance moves at most three times within one instant.
    for _ in 0..=3 * run.instances.len() + 1 {
        let commands = decide(&run.snapshot(), now);
        let mut moved = false;
        let mut unstarted = Vec::new();
        advanced.wake_at = None;
        for command in commands {
            match command {
                Command::WakeAt { at } => advanced.wake_at = Some(at),
                Command::FinishRun { state } => {
                    writes.finished.push((run.id, state));
                    run.state = state;
                    advanced.finished = Some(state);
                    return Ok(advanced);
                }
                Command::Queue { task, map_index } => {
                    writes.queued.add(run, task, map_index)?;
                    advanced.queued += 1;
                    moved = true;
                }
                Command::Settle { task, map_index, state, reason } => {
                    writes.settled.add(run, task, map_index, state, reason)?;
                    moved = true;
                }
                Command::Stop { task, map_index, reason } => {
                    moved = true;
                    unstarted.extend(writes.stop(run, task, map_index, reason)?);
                }
            }
        }
        end_unstarted(conn, run, writes, unstarted, now).await?;
        if !moved {
            return Ok(advanced);
        }
    }
    Err(inconsistent(run, "the decision about the run does not come to rest"))
}

fn inconsistent(run: &LockedRun, message: &str) -> Error {
    Error::Inconsistent {
        table: "runs",
        id: run.id.to_string(),
        column: "state",
        message: message.to_owned(),
    }
}

impl Writes {
    /// Notes that a running attempt should stop. An attempt that nobody has claimed is given back: it can end at once.
    fn stop(
        &mut self,
        run: &mut LockedRun,
        task: usize,
        map_index: i32,
        reason: String,
    ) -> Result<Option<(i64, String)>> {
        let id = run.id;
        let live = run.find(task, map_index).and_then(|instance| instance.live.as_mut());
        let Some(live) = live else {
            return Err(Error::Inconsistent {
                table: "attempts",
                id: format!("run {id} task {task} map index {map_index}"),
                column: "state",
                message: "there is no attempt to stop".to_owned(),
            });
        };
        live.stopping = true;
        if live.lease.is_none() {
            return Ok(Some((live.attempt_id, reason)));
        }
        self.stops.push((live.attempt_id, reason));
        Ok(None)
    }
}

/// Ends attempts that were queued when the snapshot was taken. One claimed since then is asked to stop instead.
async fn end_unstarted(
    conn: &mut PgConnection,
    run: &mut LockedRun,
    writes: &mut Writes,
    unstarted: Vec<(i64, String)>,
    now: DateTime<Utc>,
) -> Result<()> {
    if unstarted.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = unstarted.iter().map(|(id, _)| *id).collect();
    let reasons: Vec<&str> = unstarted.iter().map(|(_, reason)| reason.as_str()).collect();
    let ended = sqlx::query_scalar::<_, i64>(
        "with w as (
            select * from unnest($1::int8[], $2::text[]) as w(id, reason)
         ), ended as (
            delete from attempts a using w where a.id = w.id and a.state = 'queued' returning a.*, w.reason
         ), kept as (
            insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, stop_requested_at, ended_at, ending,
                next_state, message)
            select id, run, task, map_index, try_number, is_service, queued_at, $3, $3, 'cancelled', 'cancelled', reason from ended
         ), moved as (
            update task_instances i set state = 'cancelled', ended_at = $3, next_at = null, message = e.reason
            from ended e where i.run = e.run and i.task = e.task and i.map_index = e.map_index and task_may_become(i.state, 'cancelled')
         )
         select id from ended",
    )
    .bind(&ids)
    .bind(&reasons)
    .bind(now)
    .fetch_all(conn)
    .await?;
    let ended: HashSet<i64> = ended.into_iter().collect();
    for instance in &mut run.instances {
        if instance.live.as_ref().is_some_and(|live| ended.contains(&live.attempt_id)) {
            instance.state = TaskState::Cancelled;
            instance.live = None;
        }
    }
    writes.stops.extend(unstarted.into_iter().filter(|(id, _)| !ended.contains(id)));
    Ok(())
}

async fn stop_running(conn: &mut PgConnection, stops: &[(i64, String)], now: DateTime<Utc>) -> Result<()> {
    if stops.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = stops.iter().map(|(id, _)| *id).collect();
    let reasons: Vec<&str> = stops.iter().map(|(_, reason)| reason.as_str()).collect();
    sqlx::query(
        "update attempts a set stop_requested_at = $3, stop_reason = w.reason
         from unnest($1::int8[], $2::text[]) as w(id, reason)
         where a.id = w.id and a.state = 'running' and a.stop_requested_at is null",
    )
    .bind(ids)
    .bind(reasons)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    ring(conn, "stop").await
}

impl Settled {
    fn add(
        &mut self,
        run: &mut LockedRun,
        task: usize,
        map_index: i32,
        state: TaskState,
        reason: String,
    ) -> Result<()> {
        let id = run.id;
        let instance = run.find(task, map_index).ok_or_else(|| no_instance(id, task, map_index))?;
        instance.state = state;
        instance.next_at = None;
        self.runs.push(id);
        self.tasks.push(instance.task);
        self.map_indexes.push(map_index);
        self.states.push(state.as_str());
        self.reasons.push(reason);
        Ok(())
    }

    async fn write(self, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let expected = self.runs.len() as u64;
        let done = sqlx::query(
            "update task_instances i set state = s.state, ended_at = $6, next_at = null, message = s.reason
             from unnest($1::int8[], $2::int4[], $3::int4[], $4::text[], $5::text[]) as s(run, task, map_index, state, reason)
             where i.run = s.run and i.task = s.task and i.map_index = s.map_index and task_may_become(i.state, s.state)",
        )
        .bind(self.runs)
        .bind(self.tasks)
        .bind(self.map_indexes)
        .bind(self.states)
        .bind(self.reasons)
        .bind(now)
        .execute(conn)
        .await?;
        all_moved(expected, done.rows_affected())
    }
}

impl Queued {
    fn add(&mut self, run: &mut LockedRun, task: usize, map_index: i32) -> Result<()> {
        let id = run.id;
        let dag = run.dag.clone();
        let instance = run.find(task, map_index).ok_or_else(|| no_instance(id, task, map_index))?;
        let def = &dag.tasks[task];
        let fresh = instance.state != TaskState::UpForReschedule;
        if fresh {
            instance.try_number += 1;
        }
        instance.state = TaskState::Queued;
        instance.next_at = None;
        self.runs.push(id);
        self.tasks.push(instance.task);
        self.map_indexes.push(map_index);
        self.try_numbers.push(instance.try_number);
        self.fresh.push(fresh);
        self.queues.push(def.queue.clone());
        self.routes.push(def.route.clone());
        self.priorities.push(def.priority);
        self.services.push(def.service.is_some());
        Ok(())
    }

    async fn write(self, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let expected = self.runs.len() as u64;
        let moved = sqlx::query_scalar::<_, i64>(
            "with q as (
                select * from unnest($1::int8[], $2::int4[], $3::int4[], $4::int4[], $5::bool[], $6::text[], $7::text[], $8::int4[],
                    $9::bool[]) with ordinality
                    as q(run, task, map_index, try_number, fresh, queue, route, priority, is_service, position)
             ), made as (
                insert into attempts (run, task, map_index, try_number, state, queue, route, priority, is_service, queued_at)
                select run, task, map_index, try_number, 'queued', queue, route, priority, is_service, $10 from q order by position
             ), moved as (
                update task_instances i set
                    state = 'queued', try_number = q.try_number, next_at = null, message = null,
                    started_at = case when q.fresh then null else i.started_at end
                from q where i.run = q.run and i.task = q.task and i.map_index = q.map_index and task_may_become(i.state, 'queued')
                returning 1
             )
             select count(*) from moved",
        )
        .bind(self.runs)
        .bind(self.tasks)
        .bind(self.map_indexes)
        .bind(self.try_numbers)
        .bind(self.fresh)
        .bind(self.queues)
        .bind(self.routes)
        .bind(self.priorities)
        .bind(self.services)
        .bind(now)
        .fetch_one(conn)
        .await?;
        all_moved(expected, moved.unsigned_abs())
    }
}

fn no_instance(run: i64, task: usize, map_index: i32) -> Error {
    Error::NotFound { what: format!("instance {map_index} of task {task} of run {run}") }
}

/// The run is locked, so its instances cannot have moved: a difference is a bug, and the transaction must not commit.
fn all_moved(expected: u64, moved: u64) -> Result<()> {
    if expected == moved {
        return Ok(());
    }
    Err(Error::Inconsistent {
        table: "task_instances",
        id: String::new(),
        column: "state",
        message: format!("{expected} instances were to move, {moved} did"),
    })
}

async fn finish_runs(
    conn: &mut PgConnection,
    finished: &[(i64, RunState)],
    now: DateTime<Utc>,
) -> Result<()> {
    if finished.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = finished.iter().map(|(id, _)| *id).collect();
    let states: Vec<&str> = finished.iter().map(|(_, state)| state.as_str()).collect();
    // A run that waited for the place of this one may start now.
    let ended = sqlx::query_as::<_, (i64, Option<String>)>(
        "with ended as (
            update runs r set state = f.state, ended_at = $3, wake_at = null
            from unnest($1::int8[], $2::text[]) as f(id, state)
            where r.id = f.id and r.state = 'running' and run_may_become(r.state, f.state)
            returning r.dag_id
         )
         select count(*), min(case when exists (select 1 from runs w where w.dag_id = e.dag_id and w.state = 'queued')
            then pg_notify('streamify', 'runs')::text end)
         from ended e",
    )
    .bind(&ids)
    .bind(states)
    .bind(now)
    .fetch_one(conn)
    .await?;
    all_moved(ids.len() as u64, ended.0.unsigned_abs())
}

async fn save_wake_times(
    conn: &mut PgConnection,
    runs: &[LockedRun],
    advanced: &[(i64, Advanced)],
) -> Result<()> {
    let changed = runs
        .iter()
        .zip(advanced)
        .filter(|(run, (_, advanced))| run.state == RunState::Running && run.wake_at != advanced.wake_at);
    let (ids, wake_ats): (Vec<i64>, Vec<Option<DateTime<Utc>>>) =
        changed.map(|(run, (_, advanced))| (run.id, advanced.wake_at)).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update runs r set wake_at = w.wake_at from unnest($1::int8[], $2::timestamptz[]) as w(id, wake_at)
         where r.id = w.id and r.state = 'running'",
    )
    .bind(ids)
    .bind(wake_ats)
    .execute(conn)
    .await?;
    Ok(())
}
