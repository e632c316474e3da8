//! `POST .../clear`: run tasks of a run again. Without `dry_run: false` it only says what would be.

use super::body::Body;
use super::{Answer, runs, shapes};
use crate::app::Shared;
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use store::auth::Role;
use store::views::instances::{InstanceFilter, InstanceRow};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clear {
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    only_failed: bool,
    /// Ours: these tasks and what follows them.
    task_ids: Option<Vec<String>>,
    /// Airflow's: new tasks of a newer version. Runs are pinned to their version here, so only false is allowed.
    #[serde(default)]
    only_new: bool,
    /// Airflow's; runs always keep their version.
    #[serde(default)]
    run_on_latest_version: bool,
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
    if wish.only_new || wish.run_on_latest_version {
        let detail =
            "a run keeps the version that it began with: only_new and run_on_latest_version must be false";
        return Err(super::ApiError::Unprocessable(detail.into()));
    }
    let request = store::clear::ClearRequest {
        tasks: wish.task_ids,
        downstream: true,
        only_failed: wish.only_failed,
        dry_run: wish.dry_run,
        ..Default::default()
    };
    let cleared =
        app.store.clear(&dag_id, &run_id, &request, &caller.name, app.clock.now()).await?.instances;
    if !wish.dry_run {
        return Ok(Json(shapes::run(&runs::find(&app, &dag_id, &run_id).await?)));
    }
    let filter = InstanceFilter {
        dag_id: Some(dag_id),
        run_id: Some(run_id),
        limit: 10_000,
        ..InstanceFilter::default()
    };
    let (rows, _) = app.store.list_instances(&filter).await?;
    let dag = app.store.dag_version(run.version_id).await?;
    let is_meant = |row: &&InstanceRow| {
        cleared.iter().any(|(task, index)| *task == row.task_id && *index == row.map_index)
    };
    let shown: Vec<Value> =
        rows.iter().filter(is_meant).map(|row| shapes::instance(row, &dag, Some(&run))).collect();
    Ok(Json(json!({ "total_entries": shown.len(), "task_instances": shown })))
}
