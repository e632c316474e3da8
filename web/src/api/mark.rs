//! `PATCH .../taskInstances/{task_id}` and its `dry_run`: say how a task ended.

use super::body::{Body, Query};
use super::{Answer, ApiError, affected, instances, runs};
use crate::app::{App, Shared};
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, State};
use model::TaskState;
use serde::Deserialize;
use store::auth::Role;
use store::mark::MarkRequest;

/// Airflow's `PatchTaskInstanceBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    new_state: Option<TaskState>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
    note: Option<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
pub struct Wanted {
    map_index: Option<i32>,
}

type TaskPath = (String, String, String);
type MappedPath = (String, String, String, i32);

pub async fn patch(
    State(app): State<Shared>,
    caller: Caller,
    Path(path): Path<TaskPath>,
    Query(wanted): Query<Wanted>,
    Body(mark): Body<Mark>,
) -> Answer {
    set(&app, &caller, path, wanted.map_index, mark, false).await
}

pub async fn patch_mapped(
    State(app): State<Shared>,
    caller: Caller,
    Path((dag, run, task, map_index)): Path<MappedPath>,
    Body(mark): Body<Mark>,
) -> Answer {
    set(&app, &caller, (dag, run, task), Some(map_index), mark, false).await
}

pub async fn dry_run(
    State(app): State<Shared>,
    caller: Caller,
    Path(path): Path<TaskPath>,
    Query(wanted): Query<Wanted>,
    Body(mark): Body<Mark>,
) -> Answer {
    set(&app, &caller, path, wanted.map_index, mark, true).await
}

pub async fn dry_run_mapped(
    State(app): State<Shared>,
    caller: Caller,
    Path((dag, run, task, map_index)): Path<MappedPath>,
    Body(mark): Body<Mark>,
) -> Answer {
    set(&app, &caller, (dag, run, task), Some(map_index), mark, true).await
}

/// Without a map index all items of a mapped task are meant.
async fn set(
    app: &App,
    caller: &Caller,
    (dag_id, run_id, task_id): TaskPath,
    map_index: Option<i32>,
    mark: Mark,
    dry_run: bool,
) -> Answer {
    caller.check_write(Role::Operator)?;
    runs::find(app, &dag_id, &run_id).await?;
    if let Some(map_index) = map_index {
        instances::find(app, &dag_id, &run_id, &task_id, map_index).await?;
    }
    let state = match (mark.new_state, &mark.note) {
        (Some(state), _) => state,
        (None, Some(_)) => {
            let detail = "a note alone is not kept: give new_state, and why in reason";
            return Err(ApiError::Unprocessable(detail.into()));
        }
        (None, None) => {
            return Err(ApiError::Unprocessable("new_state is missing: success, failed or skipped".into()));
        }
    };
    if !matches!(state, TaskState::Success | TaskState::Failed | TaskState::Skipped) {
        let detail = format!("new_state '{state}' cannot be set: success, failed or skipped");
        return Err(ApiError::Unprocessable(detail));
    }
    let request = MarkRequest {
        tasks: vec![task_id],
        map_index,
        state,
        upstream: mark.include_upstream,
        downstream: mark.include_downstream,
        past: mark.include_past,
        future: mark.include_future,
        dry_run,
        reason: if mark.reason.is_empty() { mark.note.unwrap_or_default() } else { mark.reason },
    };
    let marked = app.store.mark_tasks(&dag_id, &run_id, &request, &caller.name, app.clock.now()).await?;
    let names = marked.into_iter().map(|one| (one.run_id, one.task_id, one.map_index)).collect();
    Ok(Json(affected::tell(app, &dag_id, names).await?))
}
