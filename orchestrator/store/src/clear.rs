//! Clearing: instances go back to `none`, a final run goes back to `queued`, and both happen again: on the same version or on the newest,
//! with the same parameters or edited ones.
//!
//! Live instances are left alone: cancel the run first.

use crate::rows::parse_json;
use crate::runs::lock_named;
use crate::scope::{self, Chosen};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, Utc};
use model::{Dag, RunState};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

/// What to clear, as asked for.
#[derive(Debug, Clone, Default)]
pub struct ClearRequest {
    /// Tasks or groups; `None` for all tasks.
    pub tasks: Option<Vec<String>>,
    /// Of the named tasks only these items; empty for all.
    pub map_indexes: Vec<i32>,
    /// Also what comes before the named tasks.
    pub upstream: bool,
    /// Also what comes after them.
    pub downstream: bool,
    /// Of all these only what failed, or never ran because of that.
    pub only_failed: bool,
    /// Only say what would be cleared.
    pub dry_run: bool,
    /// The run goes on with the newest version of its dag: tasks that it lacks are removed, new ones are added.
    pub newest_version: bool,
    /// Parameters that change, an object; the others stay.
    pub params: Option<Value>,
    /// Why, for the audit log.
    pub reason: String,
}

/// What was cleared, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Task and map index, in the order of the dag.
    pub instances: Vec<(String, i32)>,
    /// Tasks that the newest version lacks, and those that it has more.
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

/// The run as it was locked.
struct Locked {
    id: i64,
    state: RunState,
    version_id: i64,
    params: Value,
}

pub(crate) type Found = (i32, i32, String);

impl Store {
    /// Clears what the request says and, if anything was, lets the run go on. With setups come what needs them, and the other way round.
    pub async fn clear(
        &self,
        dag_id: &str,
        run_id: &str,
        request: &ClearRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Cleared> {
        in_tx("clear", || self.clear_once(dag_id, run_id, request, who, now)).await
    }

    async fn clear_once(
        &self,
        dag_id: &str,
        run_id: &str,
        request: &ClearRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Cleared> {
        let mut tx = self.begin().await?;
        let mut run = lock(&mut tx, dag_id, run_id).await?;
        let mut cleared = Cleared::default();
        if request.newest_version {
            let moved = self.move_to_newest(&mut tx, dag_id, run.id, run.version_id).await?;
            (run.version_id, cleared.removed, cleared.added) = (moved.version_id, moved.removed, moved.added);
        }
        let dag = self.version_on(&mut tx, run.version_id).await?;
        let params = edited(&dag, &run.params, request)?;
        let found = request.find(&mut tx, run.id, &dag).await?;
        cleared.instances =
            found.iter().map(|(_, map_index, task_id)| (task_id.clone(), *map_index)).collect();
        // A dry run that moved the run to another version is undone with its transaction.
        if request.dry_run || (found.is_empty() && cleared.added.is_empty()) {
            return Ok(cleared);
        }
        reset(&mut tx, run.id, &found).await?;
        collapse(&mut tx, run.id, &dag, &found, params != run.params).await?;
        if params != run.params {
            set_params(&mut tx, run.id, &params).await?;
        }
        requeue(&mut tx, &[run.id], now).await?;
        let subject = format!("{dag_id}/{run_id}");
        let details = audit::because(request.details(&cleared, run.state), &request.reason);
        audit::record(&mut tx, who, "run.clear", &subject, &details, now).await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(cleared)
    }
}

impl ClearRequest {
    async fn find(&self, conn: &mut PgConnection, run: i64, dag: &Dag) -> Result<Vec<Found>> {
        let named = scope::named(dag, self.tasks.as_deref())?;
        let mut chosen = named.clone();
        if self.upstream {
            let mut before = named.clone();
            scope::add_upstream(dag, &mut before);
            chosen = before;
        }
        if self.downstream {
            scope::add_downstream(dag, &mut chosen);
        }
        let mut found = find(conn, run, &scope::positions(&chosen), self.only_failed).await?;
        if !self.map_indexes.is_empty() {
            let is_named = |task: i32| usize::try_from(task).is_ok_and(|task| named[task]);
            found.retain(|(task, map_index, _)| !is_named(*task) || self.map_indexes.contains(map_index));
        }
        let extra = setups_of(dag, &found);
        if !extra.is_empty() {
            found.extend(find(conn, run, &extra, false).await?);
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    }

    fn details(&self, cleared: &Cleared, was: RunState) -> Value {
        let params = self.params.as_ref().and_then(Value::as_object);
        json!({
            "was": was,
            "instances": cleared.instances.len(),
            "tasks": self.tasks,
            "map_indexes": self.map_indexes,
            "upstream": self.upstream,
            "downstream": self.downstream,
            "only_failed": self.only_failed,
            "newest_version": self.newest_version,
            "removed": cleared.removed,
            "added": cleared.added,
            // Values may be secrets.
            "params": params.map(|params| params.keys().collect::<Vec<_>>()),
        })
    }
}

fn chosen_of(dag: &Dag, found: &[Found]) -> Chosen {
    let mut chosen = vec![false; dag.tasks.len()];
    for (task, ..) in found {
        if let Some(chosen) = usize::try_from(*task).ok().and_then(|task| chosen.get_mut(task)) {
            *chosen = true;
        }
    }
    chosen
}

/// Setups (and their teardowns) of what was found, that were not.
fn setups_of(dag: &Dag, found: &[Found]) -> Vec<i32> {
    let chosen = chosen_of(dag, found);
    let with = scope::with_setups(dag, &chosen);
    scope::positions(&with.iter().zip(&chosen).map(|(with, without)| *with && !without).collect())
}

/// A run that is being cancelled is refused.
async fn lock(conn: &mut PgConnection, dag_id: &str, run_id: &str) -> Result<Locked> {
    let (id, state) = lock_named(conn, dag_id, run_id).await?;
    let (version_id, cancelling, params) = sqlx::query_as::<_, (i64, bool, String)>(
        "select version_id, cancel_requested_at is not null, params::text from runs where id = $1",
    )
    .bind(id)
    .fetch_one(conn)
    .await?;
    if state == RunState::Running && cancelling {
        let message = format!("run '{run_id}' is being cancelled: clear it when it has ended");
        return Err(Error::Refused { message });
    }
    Ok(Locked { id, state, version_id, params: parse_json("runs", "params", id, &params)? })
}

/// The parameters that the run has from now on. Those that the version does not declare (any more) are dropped.
pub(crate) fn edit_params(dag: &Dag, old: &Value, edits: &Value) -> Result<Value> {
    let known = |params: &Value| -> Map<String, Value> {
        let params = params.as_object().cloned().unwrap_or_default();
        params.into_iter().filter(|(name, _)| dag.params.contains_key(name)).collect()
    };
    let mut params = known(old);
    match edits {
        Value::Null => {}
        Value::Object(edits) => params.extend(edits.clone()),
        _ => return Err(Error::Refused { message: "params must be an object".to_owned() }),
    }
    model::params::check(&dag.params, &Value::Object(params))
        .map_err(|problems| Error::Refused { message: problems.join("; ") })
}

fn edited(dag: &Dag, old: &Value, request: &ClearRequest) -> Result<Value> {
    match &request.params {
        None if !request.newest_version => Ok(old.clone()),
        edits => edit_params(dag, old, edits.as_ref().unwrap_or(&Value::Null)),
    }
}

pub(crate) async fn set_params(conn: &mut PgConnection, run: i64, params: &Value) -> Result<()> {
    sqlx::query("update runs set params = $2::json where id = $1")
        .bind(run)
        .bind(params.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn find(
    conn: &mut PgConnection,
    run: i64,
    tasks: &[i32],
    only_failed: bool,
) -> Result<Vec<Found>> {
    let found = sqlx::query_as(
        "select task, map_index, task_id from task_instances
         where run = $1 and task = any($2) and case when $3 then state in ('failed', 'upstream_failed', 'cancelled')
            else state not in ('none', 'queued', 'running') end
         order by task, map_index",
    )
    .bind(run)
    .bind(tasks)
    .bind(only_failed)
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// Puts instances back to `none` and forgets what people were asked for them.
pub(crate) async fn reset(conn: &mut PgConnection, run: i64, found: &[Found]) -> Result<()> {
    let (tasks, map_indexes): (Vec<i32>, Vec<i32>) =
        found.iter().map(|(task, map_index, _)| (*task, *map_index)).unzip();
    sqlx::query(
        "with c as (select * from unnest($2::int4[], $3::int4[]) as c(task, map_index)),
         asked as (delete from approvals a using c where a.run = $1 and a.task = c.task and a.map_index = c.map_index)
         update task_instances i set
            state = 'none', failures = 0, losses = 0, next_at = null, started_at = null, ended_at = null, outputs = null, message = null
         from c
         where i.run = $1 and i.task = c.task and i.map_index = c.map_index and task_may_become(i.state, 'none')",
    )
    .bind(run)
    .bind(tasks)
    .bind(map_indexes)
    .execute(conn)
    .await?;
    Ok(())
}

/// The same for all instances of runs that have ended.
pub(crate) async fn reset_all(conn: &mut PgConnection, runs: &[i64]) -> Result<()> {
    sqlx::query(
        "with asked as (delete from approvals where run = any($1))
         update task_instances set
            state = 'none', failures = 0, losses = 0, next_at = null, started_at = null, ended_at = null, outputs = null, message = null
         where run = any($1) and task_may_become(state, 'none')",
    )
    .bind(runs)
    .execute(conn)
    .await?;
    Ok(())
}

/// Mapped tasks whose items may be others now wait for them anew: those cleared whole together with something that they need, or with
/// other parameters, or whose `if` says which items are wanted.
async fn collapse(
    conn: &mut PgConnection,
    run: i64,
    dag: &Dag,
    found: &[Found],
    other_params: bool,
) -> Result<()> {
    let chosen = chosen_of(dag, found);
    let may_differ = |at: &usize| {
        let task = &dag.tasks[*at];
        let differ = other_params || task.condition.is_some() || task.needs.iter().any(|need| chosen[*need]);
        chosen[*at] && task.expands_late() && differ
    };
    let differing: Chosen = (0..dag.tasks.len()).map(|at| may_differ(&at)).collect();
    let tasks = scope::positions(&differing);
    if !tasks.is_empty() {
        forget_items(conn, &[run], Some(&tasks)).await?;
    }
    Ok(())
}

/// Replaces the instances of tasks that were expanded late by the one that waits, unless one of them is not `none`.
pub(crate) async fn forget_items(conn: &mut PgConnection, runs: &[i64], tasks: Option<&[i32]>) -> Result<()> {
    sqlx::query(
        "with forgotten as (
            select distinct run, task from task_instances m
            where run = any($1) and item is not null and ($2::int4[] is null or task = any($2))
                and not exists (select 1 from task_instances i where i.run = m.run and i.task = m.task and i.state <> 'none')
         ), gone as (
            delete from task_instances i using forgotten f where i.run = f.run and i.task = f.task and i.map_index >= 0
            returning i.run, i.task, i.task_id
         )
         insert into task_instances (run, task, map_index, task_id) select distinct run, task, -1, task_id from gone
         on conflict do nothing",
    )
    .bind(runs)
    .bind(tasks)
    .execute(conn)
    .await?;
    Ok(())
}

/// Final runs wait for their turn again; running ones are looked at soon. A backfill that had ended is open again with its run.
pub(crate) async fn requeue(conn: &mut PgConnection, runs: &[i64], now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "with again as (
            update runs set state = 'queued', clears = clears + 1, queued_at = $2, started_at = null, ended_at = null,
                cancel_requested_at = null, wake_at = null, retries = '{}', revision = revision + 1
            where id = any($1) and run_may_become(state, 'queued') returning backfill
         )
         update backfills b set state = 'running', ended_at = null from again a where b.id = a.backfill and b.ended_at is not null",
    )
    .bind(runs)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "update runs set wake_at = $2, retries = '{}', revision = revision + 1 where id = any($1) and state = 'running'",
    )
    .bind(runs)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
