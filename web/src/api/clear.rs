//! `POST .../clear` and `POST .../clearTaskInstances`: run tasks again. Without `dry_run: false` it only says what would be.

use super::affected::{self, Name};
use super::body::Body;
use super::{Answer, ApiError, dags, runs, shapes};
use crate::app::Shared;
use crate::auth::Caller;
use crate::clearing::{self, InRun, Runs};
use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use store::auth::Role;
use store::clear::ClearRequest;

/// A run's own clear.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clear {
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    only_failed: bool,
    /// Airflow's: only tasks that a newer version brought.
    #[serde(default)]
    only_new: bool,
    #[serde(default)]
    run_on_latest_version: bool,
    /// Ours: these tasks and what follows them.
    task_ids: Option<Vec<String>>,
    /// Ours: parameters that change.
    conf: Option<Value>,
    #[serde(default)]
    reason: String,
}

fn yes() -> bool {
    true
}

pub async fn clear(
    State(app): State<Shared>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Body(wish): Body<Clear>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    let run = runs::find(&app, &dag_id, &run_id).await?;
    if wish.only_new {
        let detail =
            "only_new is not supported: run_on_latest_version clears what failed and adds what is new";
        return Err(ApiError::Unprocessable(detail.into()));
    }
    let request = ClearRequest {
        tasks: wish.task_ids,
        downstream: true,
        only_failed: wish.only_failed,
        dry_run: wish.dry_run,
        newest_version: wish.run_on_latest_version,
        params: wish.conf,
        reason: wish.reason,
        ..ClearRequest::default()
    };
    let done = clearing::clear(&app, vec![run], &request, None, &caller.name).await?;
    if !wish.dry_run {
        return Ok(Json(shapes::run(&runs::find(&app, &dag_id, &run_id).await?)));
    }
    Ok(Json(affected::tell(&app, &dag_id, names(done)).await?))
}

/// Airflow's `ClearTaskInstancesBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearTasks {
    #[serde(default = "yes")]
    dry_run: bool,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    #[serde(default = "yes")]
    only_failed: bool,
    #[serde(default)]
    only_running: bool,
    #[serde(default = "yes")]
    reset_dag_runs: bool,
    task_ids: Option<Vec<TaskName>>,
    dag_run_id: Option<String>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
    #[serde(default)]
    run_on_latest_version: bool,
    /// Airflow's: an error if a task is running. Here a running task is always left alone.
    #[serde(default)]
    #[expect(dead_code, reason = "accepted; what it asks for is always so")]
    prevent_running_task: bool,
    #[serde(default)]
    reason: String,
}

/// `"load"`, or `["load", 2]` for an item of a mapped task.
#[derive(Deserialize)]
#[serde(untagged)]
enum TaskName {
    Task(String),
    Item(String, i32),
}

pub async fn clear_tasks(
    State(app): State<Shared>,
    caller: Caller,
    Path(dag_id): Path<String>,
    Body(wish): Body<ClearTasks>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    dags::find(&app, &dag_id).await?;
    wish.check()?;
    let (runs, named) = match &wish.dag_run_id {
        Some(run_id) => {
            let run = runs::find(&app, &dag_id, run_id).await?;
            (clearing::around(&app, &run, wish.include_past, wish.include_future).await?, Some(run.id))
        }
        None => {
            let range = Runs { from: wish.start_date, to: wish.end_date };
            (clearing::between(&app, &dag_id, &range).await?, Some(0))
        }
    };
    let mut found: Vec<Name> = Vec::new();
    for request in wish.requests() {
        found.extend(names(clearing::clear(&app, runs.clone(), &request, named, &caller.name).await?));
    }
    found.sort_unstable();
    found.dedup();
    Ok(Json(affected::tell(&app, &dag_id, found).await?))
}

impl ClearTasks {
    fn check(&self) -> Result<(), ApiError> {
        let wrong = if self.only_running {
            "only_running is not supported: running tasks are left alone; cancel the run first"
        } else if !self.reset_dag_runs {
            "reset_dag_runs must be true: a cleared task runs as part of its run"
        } else if self.dag_run_id.is_none() && (self.include_future || self.include_past) {
            "include_future and include_past need a dag_run_id to count from"
        } else {
            return Ok(());
        };
        Err(ApiError::Unprocessable(wrong.into()))
    }

    /// One for the tasks that are named whole, and one for each task of which single items are.
    fn requests(&self) -> Vec<ClearRequest> {
        let base = ClearRequest {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            only_failed: self.only_failed,
            dry_run: self.dry_run,
            newest_version: self.run_on_latest_version,
            reason: self.reason.clone(),
            ..ClearRequest::default()
        };
        let Some(names) = self.task_ids.as_ref().filter(|names| !names.is_empty()) else { return vec![base] };
        let mut whole = Vec::new();
        let mut requests: Vec<ClearRequest> = Vec::new();
        for name in names {
            match name {
                TaskName::Task(task) | TaskName::Item(task, ..=-1) => whole.push(task.clone()),
                TaskName::Item(task, item) => {
                    let of_task = Some(vec![task.clone()]);
                    match requests.iter_mut().find(|request| request.tasks == of_task) {
                        Some(request) => request.map_indexes.push(*item),
                        None => requests.push(ClearRequest {
                            tasks: of_task,
                            map_indexes: vec![*item],
                            ..base.clone()
                        }),
                    }
                }
            }
        }
        if !whole.is_empty() {
            requests.push(ClearRequest { tasks: Some(whole), ..base });
        }
        requests
    }
}

fn names(done: Vec<InRun>) -> Vec<Name> {
    let of_run = |in_run: InRun| {
        let run_id = in_run.run.run_id;
        in_run.cleared.instances.into_iter().map(move |(task, item)| (run_id.clone(), task, item))
    };
    done.into_iter().flat_map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_of_one_task_are_one_request_and_whole_tasks_another() {
        let body = json!({ "task_ids": ["a", ["m", 1], ["m", 3], ["b", -1]], "include_downstream": true });
        let wish: ClearTasks = serde_json::from_value(body).unwrap();
        let requests = wish.requests();
        let told: Vec<_> =
            requests.iter().map(|r| (r.tasks.clone().unwrap(), r.map_indexes.clone())).collect();
        assert_eq!(told, [(vec!["m".into()], vec![1, 3]), (vec!["a".into(), "b".into()], vec![])]);
        assert!(requests.iter().all(|r| r.dry_run && r.only_failed && r.downstream));
    }
}
