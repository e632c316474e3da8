//! `.../taskInstances`: the tasks of a run and their tries.

use super::body::Query;
use super::paging::{Paging, repeated, states};
use super::{Answer, ApiError, runs, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use model::TaskState;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use store::views::instances::{InstanceFilter, InstanceRow};
use store::views::runs::RunRow;

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(paging): Query<Paging>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let (dag_id, run_id) = (runs::named(&dag_id), runs::named(&run_id));
    if let (Some(dag_id), Some(run_id)) = (&dag_id, &run_id) {
        runs::find(&app, dag_id, run_id).await?;
    }
    let names = repeated(raw.as_deref(), "state");
    let filter = InstanceFilter {
        dag_id,
        run_id,
        task_id: repeated(raw.as_deref(), "task_id").pop(),
        states: wanted_states(&names)?,
        limit: paging.limit(),
        offset: paging.offset(),
        ..InstanceFilter::default()
    };
    let (rows, total) = app.store.list_instances(&filter).await?;
    let mut known: HashMap<i64, Option<RunRow>> = HashMap::new();
    let mut shown = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Entry::Vacant(vacant) = known.entry(row.run) {
            vacant.insert(app.store.run_row(&row.dag_id, &row.run_id).await?);
        }
        let dag = app.store.dag_version(row.version_id).await?;
        shown.push(shapes::instance(row, &dag, known.get(&row.run).and_then(Option::as_ref)));
    }
    Ok(Json(json!({ "task_instances": shown, "total_entries": total })))
}

/// Airflow's words for states: `no_status` and `none` are ours that wait; failed includes cancelled.
fn wanted_states(names: &[String]) -> Result<Vec<TaskState>, ApiError> {
    let names: Vec<String> =
        names.iter().map(|name| if name == "no_status" { "none".into() } else { name.clone() }).collect();
    let mut found: Vec<TaskState> = states(&names)?;
    if found.contains(&TaskState::Failed) {
        found.push(TaskState::Cancelled);
    }
    Ok(found)
}

pub async fn find(
    app: &App,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    map_index: i32,
) -> Result<InstanceRow, ApiError> {
    let found = app.store.instance(dag_id, run_id, task_id, map_index).await?;
    found.ok_or_else(|| {
        let what = format!(
            "dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` and map_index: `{map_index}`"
        );
        ApiError::NotFound(format!("The Task Instance with {what} was not found"))
    })
}

type TaskPath = (String, String, String);
type MappedPath = (String, String, String, i32);

pub async fn one(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task)): Path<TaskPath>,
) -> Answer {
    show(&app, &dag, &run, &task, -1).await
}

pub async fn one_mapped(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task, index)): Path<MappedPath>,
) -> Answer {
    show(&app, &dag, &run, &task, index).await
}

async fn show(app: &App, dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> Answer {
    let row = find(app, dag_id, run_id, task_id, map_index).await?;
    let run = runs::find(app, dag_id, run_id).await?;
    let dag = app.store.dag_version(row.version_id).await?;
    Ok(Json(shapes::instance(&row, &dag, Some(&run))))
}

pub async fn tries(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task)): Path<TaskPath>,
) -> Answer {
    all_tries(&app, &dag, &run, &task, -1).await
}

pub async fn tries_mapped(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task, index)): Path<MappedPath>,
) -> Answer {
    all_tries(&app, &dag, &run, &task, index).await
}

async fn all_tries(app: &App, dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> Answer {
    let row = find(app, dag_id, run_id, task_id, map_index).await?;
    let dag = app.store.dag_version(row.version_id).await?;
    let attempts = app.store.attempts_of(row.run, row.task, row.map_index, 1_000).await?;
    let shown: Vec<Value> = attempts.iter().map(|attempt| shapes::attempt(&row, &dag, attempt)).collect();
    Ok(Json(json!({ "total_entries": shown.len(), "task_instances": shown })))
}
