//! Runs whose rows a transaction holds, and all that deciding about them needs.

use crate::rows::parse;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::decide::{RunSnapshot, TaskSnapshot};
use model::{Dag, RunState, TaskState};
use sqlx::{FromRow, PgConnection};
use std::sync::Arc;

/// A run locked by this transaction.
pub(crate) struct LockedRun {
    pub id: i64,
    pub dag: Arc<Dag>,
    pub state: RunState,
    pub cancel_requested: bool,
    pub wake_at: Option<DateTime<Utc>>,
    /// Ascending by task and map index; empty until `load_instances`.
    pub instances: Vec<Instance>,
}

pub(crate) struct Instance {
    pub task: i32,
    pub map_index: i32,
    pub state: TaskState,
    pub try_number: i32,
    pub failures: i32,
    pub losses: i32,
    pub next_at: Option<DateTime<Utc>>,
    pub live: Option<Live>,
}

/// The attempt that stands for a queued or running instance.
pub(crate) struct Live {
    pub attempt_id: i64,
    /// `None` while queued.
    pub lease: Option<i64>,
    pub started_at: Option<DateTime<Utc>>,
    pub ready: bool,
    pub stopping: bool,
}

#[derive(FromRow)]
struct RunRow {
    id: i64,
    version_id: i64,
    state: String,
    cancel_requested: bool,
    wake_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct InstanceRow {
    run: i64,
    task: i32,
    map_index: i32,
    state: String,
    try_number: i32,
    failures: i32,
    losses: i32,
    next_at: Option<DateTime<Utc>>,
    attempt_id: Option<i64>,
    lease: Option<i64>,
    started_at: Option<DateTime<Utc>>,
    ready: Option<bool>,
    stopping: Option<bool>,
}

impl LockedRun {
    pub fn find(&mut self, task: usize, map_index: i32) -> Option<&mut Instance> {
        let key = (i32::try_from(task).ok()?, map_index);
        let position =
            self.instances.binary_search_by_key(&key, |instance| (instance.task, instance.map_index)).ok()?;
        Some(&mut self.instances[position])
    }

    pub fn snapshot(&self) -> RunSnapshot<'_> {
        let tasks = self.instances.iter().map(|instance| TaskSnapshot {
            task: instance.task as usize,
            map_index: instance.map_index,
            state: instance.state,
            try_number: instance.try_number,
            next_at: instance.next_at,
            ready: instance.live.as_ref().is_some_and(|live| live.ready),
            stopping: instance.live.as_ref().is_some_and(|live| live.stopping),
            chosen: None,
        });
        RunSnapshot {
            dag: &self.dag,
            state: self.state,
            cancel_requested: self.cancel_requested,
            tasks: tasks.collect(),
        }
    }
}

impl Store {
    /// Locks runs in the order of their ids. Checks and ticks may still point to them meanwhile.
    pub(crate) async fn lock_runs(&self, conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<LockedRun>> {
        let rows = sqlx::query_as::<_, RunRow>(
            "select id, version_id, state, cancel_requested_at is not null as cancel_requested, wake_at
             from runs where id = any($1) order by id for no key update",
        )
        .bind(runs)
        .fetch_all(&mut *conn)
        .await?;
        self.locked(conn, rows).await
    }

    /// Locks the runs of attempts. What the attempts are is to be read after this.
    pub(crate) async fn lock_runs_of(
        &self,
        conn: &mut PgConnection,
        attempts: &[i64],
    ) -> Result<Vec<LockedRun>> {
        let rows = sqlx::query_as::<_, RunRow>(
            "select id, version_id, state, cancel_requested_at is not null as cancel_requested, wake_at
             from runs where id in (select run from attempts where id = any($1)) order by id for no key update",
        )
        .bind(attempts)
        .fetch_all(&mut *conn)
        .await?;
        self.locked(conn, rows).await
    }

    async fn locked(&self, conn: &mut PgConnection, rows: Vec<RunRow>) -> Result<Vec<LockedRun>> {
        let versions: Vec<i64> = rows.iter().map(|row| row.version_id).collect();
        self.load_versions(conn, &versions).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(LockedRun {
                id: row.id,
                dag: self.version_on(conn, row.version_id).await?,
                state: parse("runs", "state", row.id, &row.state)?,
                cancel_requested: row.cancel_requested,
                wake_at: row.wake_at,
                instances: Vec::new(),
            });
        }
        Ok(runs)
    }
}

/// Reads the instances of locked runs (ascending by id) and the attempts that stand for them.
pub(crate) async fn load_instances(conn: &mut PgConnection, runs: &mut [LockedRun]) -> Result<()> {
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let rows = sqlx::query_as::<_, InstanceRow>(
        "select i.run, i.task, i.map_index, i.state, i.try_number, i.failures, i.losses, i.next_at,
            a.id as attempt_id, a.lease, a.started_at, a.ready_at is not null as ready,
            a.stop_requested_at is not null as stopping
         from task_instances i
         left join attempts a on a.run = any($1) and a.run = i.run and a.task = i.task and a.map_index = i.map_index
         where i.run = any($1)",
    )
    .bind(&ids)
    .fetch_all(conn)
    .await?;
    for row in rows {
        let Ok(position) = ids.binary_search(&row.run) else { continue };
        runs[position].instances.push(row.into_instance()?);
    }
    for run in runs {
        run.instances.sort_unstable_by_key(|instance| (instance.task, instance.map_index));
    }
    Ok(())
}

impl InstanceRow {
    fn into_instance(self) -> Result<Instance> {
        let id = || format!("run {} task {} map index {}", self.run, self.task, self.map_index);
        let state = self.state.parse().map_err(|message| crate::Error::Inconsistent {
            table: "task_instances",
            id: id(),
            column: "state",
            message,
        })?;
        let live = self.attempt_id.map(|attempt_id| Live {
            attempt_id,
            lease: self.lease,
            started_at: self.started_at,
            ready: self.ready.unwrap_or(false),
            stopping: self.stopping.unwrap_or(false),
        });
        Ok(Instance {
            task: self.task,
            map_index: self.map_index,
            state,
            try_number: self.try_number,
            failures: self.failures,
            losses: self.losses,
            next_at: self.next_at,
            live,
        })
    }
}
