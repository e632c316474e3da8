//! `.../xcomEntries`: what tasks gave to later ones. Our outputs are named values; together they are also Airflow's `return_value`.

use super::body::Query;
use super::paging::Paging;
use super::{Answer, ApiError, instances, runs};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::views::instances::InstanceRow;
use store::views::runs::RunRow;

/// What a task returned as a whole.
const WHOLE: &str = "return_value";

#[derive(Deserialize)]
pub struct Wanted {
    map_index: Option<i32>,
}

type TaskPath = (String, String, String);

async fn find(
    app: &App,
    (dag, run, task): &TaskPath,
    map_index: Option<i32>,
) -> Result<(RunRow, InstanceRow), ApiError> {
    let found_run = runs::find(app, dag, run).await?;
    let instance = instances::find(app, dag, run, task, map_index.unwrap_or(-1)).await?;
    Ok((found_run, instance))
}

/// Named outputs, and the whole.
fn entries(instance: &InstanceRow) -> Map<String, Value> {
    let mut entries = Map::new();
    if let Some(outputs) = &instance.outputs {
        if let Value::Object(named) = outputs {
            entries.extend(named.clone());
        }
        entries.entry(WHOLE).or_insert_with(|| outputs.clone());
    }
    entries
}

fn shape(run: &RunRow, instance: &InstanceRow, key: &str) -> Value {
    json!({
        "key": key,
        "timestamp": rfc3339(instance.ended_at.unwrap_or(run.queued_at)),
        "logical_date": run.logical_date.map(rfc3339),
        "map_index": instance.map_index,
        "task_id": instance.task_id,
        "dag_id": instance.dag_id,
        "run_id": instance.run_id,
        "run_after": rfc3339(run.run_after),
        "dag_display_name": instance.dag_id,
        "task_display_name": instance.task_id,
    })
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Path(path): Path<TaskPath>,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let (run, instance) = find(&app, &path, wanted.map_index).await?;
    let entries = entries(&instance);
    let page = entries.keys().skip(paging.offset() as usize).take(paging.limit() as usize);
    let page: Vec<Value> = page.map(|key| shape(&run, &instance, key)).collect();
    Ok(Json(json!({ "xcom_entries": page, "total_entries": entries.len() })))
}

pub async fn one(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag, run, task, key)): Path<(String, String, String, String)>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let (run, instance) = find(&app, &(dag, run, task), wanted.map_index).await?;
    let value = entries(&instance).remove(&key);
    let value = value.ok_or_else(|| ApiError::NotFound(format!("XCom entry with key: `{key}` not found")))?;
    let mut told = shape(&run, &instance, &key);
    told["value"] = value;
    Ok(Json(told))
}
