//! Marking: a person says how tasks or a run ended, and the rest goes on from there.
//!
//! A live attempt of what is marked loses its lease: its report changes nothing any more, and its node stops it at the next heartbeat, for
//! which the bell is rung.

use crate::clear;
use crate::runs::lock_named;
use crate::scope;
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, Utc};
use model::{Dag, RunState, TaskState};
use serde_json::json;
use sqlx::PgConnection;

/// Runs that one request may touch.
const RUNS_MAX: usize = 1_000;

#[derive(Debug, Clone)]
pub struct MarkRequest {
    /// Tasks or groups.
    pub tasks: Vec<String>,
    /// Of these tasks only this item; `None` for all.
    pub map_index: Option<i32>,
    /// success, failed or skipped.
    pub state: TaskState,
    pub upstream: bool,
    pub downstream: bool,
    /// Also in all earlier or later runs of the dag (by `run_after`) that have begun.
    pub past: bool,
    pub future: bool,
    /// Only say what would be marked.
    pub dry_run: bool,
    /// Why, for the audit log.
    pub reason: String,
}

/// An instance that was marked, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
}

/// Instances of one run: task, map index, task id.
type Found = Vec<clear::Found>;

impl Store {
    /// Sets instances to a state; what failed only because of them runs again, and a run that had ended goes on.
    pub async fn mark_tasks(
        &self,
        dag_id: &str,
        run_id: &str,
        request: &MarkRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Marked>> {
        if !matches!(request.state, TaskState::Success | TaskState::Failed | TaskState::Skipped) {
            let message = format!("a task can be marked success, failed or skipped, not {}", request.state);
            return Err(Error::Refused { message });
        }
        in_tx("mark tasks", || self.mark_tasks_once(dag_id, run_id, request, who, now)).await
    }

    async fn mark_tasks_once(
        &self,
        dag_id: &str,
        run_id: &str,
        request: &MarkRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Marked>> {
        let mut tx = self.begin().await?;
        let runs = lock_runs(&mut tx, dag_id, run_id, request).await?;
        let mut marked = Vec::new();
        for (run, name, version_id) in runs {
            let dag = self.version_on(&mut tx, version_id).await?;
            let found = match request.find(&mut tx, run, &dag).await {
                // Another version of the dag may lack the task; the run that was named must have it.
                Err(Error::Refused { .. }) if name != run_id => continue,
                found => found?,
            };
            if found.is_empty() {
                continue;
            }
            if !request.dry_run {
                set(&mut tx, run, &found, request.state, who, now).await?;
                self.resume(&mut tx, run, &dag, &found, request.state, now).await?;
            }
            marked.extend(found.into_iter().map(|(_, map_index, task_id)| Marked {
                run_id: name.clone(),
                task_id,
                map_index,
            }));
        }
        if request.dry_run || marked.is_empty() {
            return Ok(marked);
        }
        let details = json!({
            "state": request.state, "tasks": request.tasks, "map_index": request.map_index, "instances": marked.len(),
            "upstream": request.upstream, "downstream": request.downstream, "past": request.past, "future": request.future,
        });
        let subject = format!("{dag_id}/{run_id}");
        audit::record(&mut tx, who, "task.mark", &subject, &audit::because(details, &request.reason), now)
            .await?;
        ring(&mut tx, "runs").await?;
        ring(&mut tx, "stop").await?;
        tx.commit().await?;
        Ok(marked)
    }

    /// What came after and failed is cleared, unless the mark is itself a failure; the run goes on.
    async fn resume(
        &self,
        conn: &mut PgConnection,
        run: i64,
        dag: &Dag,
        marked: &Found,
        state: TaskState,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if state != TaskState::Failed {
            let mut after = vec![false; dag.tasks.len()];
            for (task, ..) in marked {
                if let Some(flag) = usize::try_from(*task).ok().and_then(|task| after.get_mut(task)) {
                    *flag = true;
                }
            }
            scope::add_downstream(dag, &mut after);
            let mut failed = clear::find(conn, run, &scope::positions(&after), true).await?;
            failed.retain(|instance| !marked.contains(instance));
            clear::reset(conn, run, &failed).await?;
        }
        clear::requeue(conn, &[run], now).await
    }

    /// Sets a run to success or failed, and with it what of it is open: tasks become successes, or what runs fails and what waits is
    /// skipped. Nothing of it runs afterwards.
    pub async fn mark_run(
        &self,
        dag_id: &str,
        run_id: &str,
        state: RunState,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if !matches!(state, RunState::Success | RunState::Failed) {
            let message = format!("a run can be marked success or failed, not {state}: cancel or clear it");
            return Err(Error::Refused { message });
        }
        in_tx("mark run", || self.mark_run_once(dag_id, run_id, state, who, reason, now)).await
    }

    async fn mark_run_once(
        &self,
        dag_id: &str,
        run_id: &str,
        state: RunState,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let (run, was) = lock_named(&mut tx, dag_id, run_id).await?;
        if was == state {
            return Err(Error::Refused {
                message: format!("run '{run_id}' of dag '{dag_id}' is {state} already"),
            });
        }
        let states = match state {
            RunState::Success => SUCCESS,
            _ => FAILED,
        };
        for (from, to) in states {
            let found = in_states(&mut tx, run, from).await?;
            set(&mut tx, run, &found, *to, who, now).await?;
        }
        end_run(&mut tx, run, was, state, now).await?;
        let details = audit::because(json!({ "state": state, "was": was }), reason);
        audit::record(&mut tx, who, "run.mark", &format!("{dag_id}/{run_id}"), &details, now).await?;
        ring(&mut tx, "runs").await?;
        ring(&mut tx, "stop").await?;
        tx.commit().await?;
        Ok(())
    }
}

const SUCCESS: &[(&[&str], TaskState)] = &[(
    &[
        "none",
        "queued",
        "running",
        "up_for_retry",
        "up_for_reschedule",
        "failed",
        "upstream_failed",
        "cancelled",
    ],
    TaskState::Success,
)];
const FAILED: &[(&[&str], TaskState)] = &[
    (&["queued", "running"], TaskState::Failed),
    (&["none", "up_for_retry", "up_for_reschedule"], TaskState::Skipped),
];

impl MarkRequest {
    /// What is not in the state yet.
    async fn find(&self, conn: &mut PgConnection, run: i64, dag: &Dag) -> Result<Found> {
        let named = scope::named(dag, Some(&self.tasks))?;
        let mut chosen = named.clone();
        if self.upstream {
            scope::add_upstream(dag, &mut chosen);
        }
        if self.downstream {
            let mut after = named.clone();
            scope::add_downstream(dag, &mut after);
            chosen.iter_mut().zip(after).for_each(|(chosen, after)| *chosen |= after);
        }
        let mut found: Found = sqlx::query_as(
            "select task, map_index, task_id from task_instances where run = $1 and task = any($2) and state <> $3
             order by task, map_index",
        )
        .bind(run)
        .bind(scope::positions(&chosen))
        .bind(self.state.as_str())
        .fetch_all(conn)
        .await?;
        if let Some(wanted) = self.map_index {
            let is_named = |task: i32| usize::try_from(task).is_ok_and(|task| named[task]);
            found.retain(|(task, map_index, _)| !is_named(*task) || *map_index == wanted);
        }
        Ok(found)
    }
}

/// The run that is named, and those before and after it if they are meant; ascending by id.
async fn lock_runs(
    conn: &mut PgConnection,
    dag_id: &str,
    run_id: &str,
    request: &MarkRequest,
) -> Result<Vec<(i64, String, i64)>> {
    let (id, run_after) = sqlx::query_as::<_, (i64, DateTime<Utc>)>(
        "select id, run_after from runs where dag_id = $1 and run_id = $2",
    )
    .bind(dag_id)
    .bind(run_id)
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| Error::NotFound { what: format!("run '{run_id}' of dag '{dag_id}'") })?;
    let rows = sqlx::query_as::<_, (i64, String, i64, String, bool)>(
        "select id, run_id, version_id, state, cancel_requested_at is not null from runs
         where id = $1 or (dag_id = $2 and ($4 and run_after < $3 or $5 and run_after > $3))
         order by id limit $6 for no key update",
    )
    .bind(id)
    .bind(dag_id)
    .bind(run_after)
    .bind(request.past)
    .bind(request.future)
    .bind(i64::try_from(RUNS_MAX).unwrap_or(i64::MAX) + 1)
    .fetch_all(conn)
    .await?;
    if rows.len() > RUNS_MAX {
        let message = format!("more than {RUNS_MAX} runs would be marked: mark fewer at a time");
        return Err(Error::Refused { message });
    }
    if let Some((_, name, ..)) = rows.iter().find(|(.., state, cancelling)| *cancelling && state == "running")
    {
        return Err(Error::Refused {
            message: format!("run '{name}' is being cancelled: wait until it has ended"),
        });
    }
    Ok(rows.into_iter().map(|(id, name, version, ..)| (id, name, version)).collect())
}

async fn in_states(conn: &mut PgConnection, run: i64, states: &[&str]) -> Result<Found> {
    let found = sqlx::query_as(
        "select task, map_index, task_id from task_instances where run = $1 and state = any($2) order by task, map_index",
    )
    .bind(run)
    .bind(states)
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// The instances take the state. Those that are live lose their attempts, which end as cancelled; those that are not pass through `none`.
async fn set(
    conn: &mut PgConnection,
    run: i64,
    found: &Found,
    state: TaskState,
    who: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let (tasks, map_indexes): (Vec<i32>, Vec<i32>) =
        found.iter().map(|(task, map_index, _)| (*task, *map_index)).unzip();
    let message = format!("marked {state} by {who}");
    let keys =
        |statement| sqlx::query(statement).bind(run).bind(&tasks).bind(&map_indexes).bind(state.as_str());
    keys(END_LIVE).bind(&message).bind(now).execute(&mut *conn).await?;
    keys(TO_NONE).execute(&mut *conn).await?;
    keys(TO_STATE).bind(&message).bind(now).execute(&mut *conn).await?;
    Ok(())
}

const END_LIVE: &str = "
with m as (select * from unnest($2::int4[], $3::int4[]) as m(task, map_index)),
ended as (
    delete from attempts a using m where a.run = $1 and a.task = m.task and a.map_index = m.map_index returning a.*
)
insert into attempt_history (id, run, task, map_index, try_number, is_service, node, node_name, lease, queued_at,
    started_at, ready_at, stop_requested_at, ended_at, ending, next_state, message)
select a.id, a.run, a.task, a.map_index, a.try_number, a.is_service, a.node, (select n.name from nodes n where n.id = a.node), a.lease,
    a.queued_at, a.started_at, a.ready_at, a.stop_requested_at, $6, 'cancelled', $4, $5
from ended a";

const TO_NONE: &str = "
update task_instances i set state = 'none', next_at = null, ended_at = null, outputs = null
from unnest($2::int4[], $3::int4[]) as m(task, map_index)
where i.run = $1 and i.task = m.task and i.map_index = m.map_index and i.state not in ('none', 'running', $4)
    and task_may_become(i.state, 'none')";

const TO_STATE: &str = "
update task_instances i set state = $4, ended_at = $6, next_at = null, message = $5
from unnest($2::int4[], $3::int4[]) as m(task, map_index)
where i.run = $1 and i.task = m.task and i.map_index = m.map_index and i.state in ('none', 'running')
    and task_may_become(i.state, $4)";

/// Passes through the states that lie between. A run that had not begun begins and ends at once.
async fn end_run(
    conn: &mut PgConnection,
    run: i64,
    was: RunState,
    state: RunState,
    now: DateTime<Utc>,
) -> Result<()> {
    let began = sqlx::query_scalar::<_, Option<DateTime<Utc>>>("select started_at from runs where id = $1")
        .bind(run)
        .fetch_one(&mut *conn)
        .await?;
    if was.is_final() {
        sqlx::query(
            "update runs set state = 'queued', started_at = null, ended_at = null, cancel_requested_at = null where id = $1",
        )
        .bind(run)
        .execute(&mut *conn)
        .await?;
    }
    if was != RunState::Running {
        sqlx::query("update runs set state = 'running', started_at = $2 where id = $1")
            .bind(run)
            .bind(began.unwrap_or(now))
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query(
        "update runs set state = $2, ended_at = $3, wake_at = null, revision = revision + 1 where id = $1",
    )
    .bind(run)
    .bind(state.as_str())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
