//! Runs whose rows a transaction holds (or whose copy is still good), and all that deciding about them needs.

use crate::rows::{parse, parse_json};
use crate::{Error, Result, Store, past};
use chrono::{DateTime, Utc};
use model::decide::{Progress, Retries, RunSnapshot, TaskSnapshot};
use model::{Command, Dag, RunState, TaskState};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use std::sync::Arc;

/// A run locked by this transaction, or a copy of it that stands while the row has this revision.
pub(crate) struct LockedRun {
    pub id: i64,
    /// The public id.
    pub run_id: String,
    pub dag: Arc<Dag>,
    pub state: RunState,
    pub cancel_requested: bool,
    pub wake_at: Option<DateTime<Utc>>,
    pub retries: Retries,
    pub revision: i64,
    /// Whether a task of its dag depends on its past.
    pub has_past: bool,
    tasks: Vec<TaskSnapshot>,
    /// As in `tasks`.
    pub counts: Vec<Counts>,
    progress: Progress,
}

/// What an instance has behind it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub failures: i32,
    pub losses: i32,
}

#[derive(FromRow)]
struct RunRow {
    id: i64,
    run_id: String,
    version_id: i64,
    state: String,
    cancel_requested: bool,
    wake_at: Option<DateTime<Utc>>,
    retries: String,
    revision: i64,
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
    ready: Option<bool>,
    stopping: Option<bool>,
}

impl LockedRun {
    #[cfg(test)]
    pub fn begun(id: i64, dag: Arc<Dag>) -> LockedRun {
        LockedRun {
            id,
            run_id: String::new(),
            dag,
            state: RunState::Running,
            cancel_requested: false,
            wake_at: None,
            retries: Retries::new(),
            revision: 0,
            has_past: false,
            tasks: Vec::new(),
            counts: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Ascending by task and map index; empty until `load_instances`. `queued` and `running` are not told apart.
    pub fn tasks(&self) -> &[TaskSnapshot] {
        &self.tasks
    }

    pub fn position(&self, task: usize, map_index: i32) -> Result<usize> {
        self.tasks
            .binary_search_by_key(&(task, map_index), |instance| (instance.task, instance.map_index))
            .map_err(|_| Error::NotFound {
                what: format!("instance {map_index} of task {task} of run {}", self.id),
            })
    }

    pub fn find(&mut self, task: usize, map_index: i32) -> Result<&mut TaskSnapshot> {
        let position = self.position(task, map_index)?;
        Ok(self.at(position).0)
    }

    /// The instance at a position, to be changed.
    pub fn at(&mut self, position: usize) -> (&mut TaskSnapshot, &mut Counts) {
        self.progress.touch(position);
        (&mut self.tasks[position], &mut self.counts[position])
    }

    /// Puts instances in the place of all that a task has.
    pub fn put(&mut self, task: usize, instances: Vec<TaskSnapshot>) {
        let start = self.tasks.partition_point(|instance| instance.task < task);
        let end = self.tasks.partition_point(|instance| instance.task <= task);
        let counts = vec![Counts::default(); instances.len()];
        self.tasks.splice(start..end, instances);
        self.counts.splice(start..end, counts);
        self.progress.forget();
    }

    /// Takes the instances of a copy that was made at this revision, and what was known of them.
    pub fn adopt(&mut self, copy: LockedRun) {
        (self.tasks, self.counts, self.progress) = (copy.tasks, copy.counts, copy.progress);
    }

    pub fn decide(&mut self, now: DateTime<Utc>) -> Vec<Command> {
        let snapshot = RunSnapshot {
            dag: &self.dag,
            seed: self.id.unsigned_abs(),
            state: self.state,
            cancel_requested: self.cancel_requested,
            // Lent, not copied: a run may have a hundred thousand.
            tasks: std::mem::take(&mut self.tasks),
            retries: std::mem::take(&mut self.retries),
        };
        let commands = self.progress.decide(&snapshot, now);
        (self.tasks, self.retries) = (snapshot.tasks, snapshot.retries);
        commands
    }
}

impl Store {
    /// Locks runs in the order of their ids. Checks and ticks may still point to them meanwhile.
    pub(crate) async fn lock_runs(&self, conn: &mut PgConnection, runs: &[i64]) -> Result<Vec<LockedRun>> {
        let rows = sqlx::query_as::<_, RunRow>(
            "select id, run_id, version_id, state, cancel_requested_at is not null as cancel_requested, wake_at, retries::text as retries,
                revision
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
            "select id, run_id, version_id, state, cancel_requested_at is not null as cancel_requested, wake_at, retries::text as retries,
                revision
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
            let dag = self.version_on(conn, row.version_id).await?;
            runs.push(LockedRun {
                id: row.id,
                run_id: row.run_id,
                has_past: past::has_past(&dag),
                dag,
                state: parse("runs", "state", row.id, &row.state)?,
                cancel_requested: row.cancel_requested,
                wake_at: row.wake_at,
                retries: parse_json("runs", "retries", row.id, &row.retries)?,
                revision: row.revision,
                tasks: Vec::new(),
                counts: Vec::new(),
                progress: Progress::default(),
            });
        }
        Ok(runs)
    }
}

/// Reads the instances of locked runs (ascending by id) and how the attempts that stand for them are. Runs that have theirs already, from a
/// copy that still stands, are left out.
pub(crate) async fn load_instances(conn: &mut PgConnection, runs: &mut [LockedRun]) -> Result<()> {
    let ids: Vec<i64> = runs.iter().filter(|run| run.tasks.is_empty()).map(|run| run.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_as::<_, InstanceRow>(
        "select i.run, i.task, i.map_index, i.state, i.try_number, i.failures, i.losses, i.next_at,
            a.ready_at is not null as ready, a.stop_requested_at is not null as stopping
         from task_instances i
         left join attempts a on a.run = any($1) and a.run = i.run and a.task = i.task and a.map_index = i.map_index
         where i.run = any($1)",
    )
    .bind(&ids)
    .fetch_all(&mut *conn)
    .await?;
    let mut read: Vec<Vec<(TaskSnapshot, Counts)>> = runs.iter().map(|_| Vec::new()).collect();
    for row in rows {
        let Ok(position) = runs.binary_search_by_key(&row.run, |run| run.id) else { continue };
        read[position].push(row.into_instance()?);
    }
    for (run, mut instances) in runs.iter_mut().zip(read).filter(|(_, instances)| !instances.is_empty()) {
        instances.sort_unstable_by_key(|(instance, _)| (instance.task, instance.map_index));
        (run.tasks, run.counts) = instances.into_iter().unzip();
        run.progress.forget();
    }
    load_choices(conn, runs, &ids).await
}

/// What the branches of these runs have chosen.
async fn load_choices(conn: &mut PgConnection, runs: &mut [LockedRun], ids: &[i64]) -> Result<()> {
    let (mut of_runs, mut tasks) = (Vec::new(), Vec::new());
    for run in runs.iter().filter(|run| ids.contains(&run.id)) {
        for (task, _) in (0i32..).zip(&run.dag.tasks).filter(|(_, def)| def.branch) {
            of_runs.push(run.id);
            tasks.push(task);
        }
    }
    if tasks.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_as::<_, (i64, i32, i32, String)>(
        "select i.run, i.task, i.map_index, i.outputs::text from unnest($1::int8[], $2::int4[]) as b(run, task)
         join task_instances i on i.run = b.run and i.task = b.task
         where i.state = 'success' and i.outputs is not null",
    )
    .bind(of_runs)
    .bind(tasks)
    .fetch_all(conn)
    .await?;
    for (run, task, map_index, outputs) in rows {
        let Ok(position) = runs.binary_search_by_key(&run, |run| run.id) else { continue };
        let outputs: Value = parse_json("task_instances", "outputs", run, &outputs)?;
        if let Ok(instance) = runs[position].find(task.unsigned_abs() as usize, map_index) {
            instance.chosen = chosen(&outputs);
        }
    }
    Ok(())
}

/// `None`: it chose nothing in particular, as when a person marks a branch a success. Then all goes on.
pub(crate) fn chosen(outputs: &Value) -> Option<Vec<String>> {
    match outputs.get("chosen")? {
        Value::String(id) => Some(vec![id.clone()]),
        Value::Array(ids) => Some(ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()),
        _ => None,
    }
}

impl InstanceRow {
    fn into_instance(self) -> Result<(TaskSnapshot, Counts)> {
        let state: TaskState = self.state.parse().map_err(|message| Error::Inconsistent {
            table: "task_instances",
            id: format!("run {} task {} map index {}", self.run, self.task, self.map_index),
            column: "state",
            message,
        })?;
        let snapshot = TaskSnapshot {
            state,
            try_number: self.try_number,
            next_at: self.next_at,
            ready: self.ready.unwrap_or(false),
            stopping: self.stopping.unwrap_or(false),
            ..TaskSnapshot::waiting(self.task.unsigned_abs() as usize, self.map_index)
        };
        Ok((snapshot, Counts { failures: self.failures, losses: self.losses }))
    }
}
