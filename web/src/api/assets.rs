//! `/assets`: named data that tasks read and write, and the events of their writing. Assets have only names here; the number that Airflow's
//! shapes want is made from the name, so it is the same on every node and for ever.

use super::body::{Body, Query};
use super::paging::Paging;
use super::{Answer, ApiError, runs, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::trigger::{Wish, trigger};
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use store::auth::Role;
use store::views::assets::{AssetEventRow, AssetRow};

/// 31 bits, so that it fits where clients keep an integer.
fn number(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    i64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 1)
}

fn shape(row: &AssetRow, now: DateTime<Utc>) -> Value {
    let at = rfc3339(now);
    let tasks = |pairs: &[(String, String)]| -> Vec<Value> {
        let told = |(dag, task): &(String, String)| json!({ "dag_id": dag, "task_id": task, "created_at": at, "updated_at": at });
        pairs.iter().map(told).collect()
    };
    let dags = row.triggers.iter().map(|dag| json!({ "dag_id": dag, "created_at": at, "updated_at": at }));
    let written = row.last.as_ref().map_or_else(|| at.clone(), |event| rfc3339(event.at));
    json!({
        "id": number(&row.name),
        "name": row.name,
        "uri": row.name,
        "group": "asset",
        "extra": {},
        "created_at": written,
        "updated_at": written,
        "scheduled_dags": dags.collect::<Vec<_>>(),
        "producing_tasks": tasks(&row.writers),
        "consuming_tasks": tasks(&row.readers),
        "aliases": [],
        "watchers": [],
        "last_asset_event": row.last.as_ref().map(|event| json!({ "id": event.id, "timestamp": rfc3339(event.at) })),
    })
}

#[derive(Deserialize)]
pub struct Wanted {
    name_pattern: Option<String>,
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let pattern = wanted.name_pattern.map(|pattern| pattern.replace('%', ""));
    let mut assets = app.store.list_assets().await?;
    assets.retain(|asset| pattern.as_ref().is_none_or(|pattern| asset.name.contains(pattern.as_str())));
    let now = app.clock.now();
    let page = assets.iter().skip(paging.offset() as usize).take(paging.limit() as usize);
    let page: Vec<Value> = page.map(|asset| shape(asset, now)).collect();
    Ok(Json(json!({ "assets": page, "total_entries": assets.len() })))
}

async fn find(app: &App, id: i64) -> Result<AssetRow, ApiError> {
    let found = app.store.list_assets().await?.into_iter().find(|asset| number(&asset.name) == id);
    found.ok_or_else(|| ApiError::NotFound(format!("The Asset with ID: `{id}` was not found")))
}

pub async fn one(State(app): State<Shared>, _caller: Caller, Path(id): Path<i64>) -> Answer {
    Ok(Json(shape(&find(&app, id).await?, app.clock.now())))
}

fn event(event: &AssetEventRow) -> Value {
    json!({
        "id": event.id,
        "asset_id": number(&event.asset),
        "uri": event.asset,
        "name": event.asset,
        "group": "asset",
        "extra": {},
        "source_task_id": event.task_id,
        "source_dag_id": event.dag_id,
        "source_run_id": event.run_id,
        "source_map_index": event.map_index.unwrap_or(-1),
        "created_dagruns": [],
        "timestamp": rfc3339(event.at),
        "partition_key": null,
        "who": event.who,
    })
}

#[derive(Deserialize)]
pub struct WantedEvents {
    asset_id: Option<i64>,
    /// Ours: its name, and events before this one, where the last answer ended.
    asset: Option<String>,
    before: Option<i64>,
}

pub async fn events(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<WantedEvents>,
) -> Answer {
    let name = match (wanted.asset, wanted.asset_id) {
        (Some(name), _) => Some(name),
        (None, Some(id)) => Some(find(&app, id).await?.name),
        (None, None) => None,
    };
    let events = app.store.asset_events(name.as_deref(), wanted.before, paging.limit()).await?;
    let events: Vec<Value> = events.iter().map(event).collect();
    Ok(Json(json!({ "total_entries": events.len(), "asset_events": events })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    asset_id: Option<i64>,
    /// Ours, instead of its number.
    asset: Option<String>,
    #[serde(default)]
    extra: Option<Value>,
    #[serde(default)]
    partition_key: Option<String>,
    #[serde(default)]
    reason: String,
}

/// Something outside wrote the asset.
pub async fn tell(State(app): State<Shared>, caller: Caller, Body(told): Body<Told>) -> Answer {
    caller.check_write(Role::Operator)?;
    let has_extra =
        told.extra.as_ref().is_some_and(|extra| extra.as_object().is_none_or(|map| !map.is_empty()));
    if has_extra || told.partition_key.is_some() {
        return Err(ApiError::Unprocessable("extra and partition_key are not kept: leave them out".into()));
    }
    let name = match (told.asset, told.asset_id) {
        (Some(name), _) => name,
        (None, Some(id)) => find(&app, id).await?.name,
        (None, None) => {
            return Err(ApiError::Unprocessable("asset_id (or asset, its name) is missing".into()));
        }
    };
    let now = app.clock.now();
    let id = app.store.tell_asset(&name, &caller.name, &told.reason, now).await?;
    let row = AssetEventRow {
        id,
        asset: name,
        dag_id: None,
        run_id: None,
        task_id: None,
        map_index: None,
        who: caller.name,
        at: now,
    };
    Ok(Json(event(&row)))
}

/// Runs the dag that writes the asset.
pub async fn materialize(State(app): State<Shared>, caller: Caller, Path(id): Path<i64>) -> Answer {
    caller.check_write(Role::Operator)?;
    let asset = find(&app, id).await?;
    let dags: BTreeSet<&String> = asset.writers.iter().map(|(dag, _)| dag).collect();
    let mut dags = dags.into_iter();
    let dag = match (dags.next(), dags.next()) {
        (Some(dag), None) => dag,
        (None, _) => return Err(ApiError::Conflict(format!("no dag writes the asset '{}'", asset.name))),
        (Some(one), Some(other)) => {
            let detail =
                format!("several dags write '{}' ({one}, {other}): trigger the one you mean", asset.name);
            return Err(ApiError::Conflict(detail));
        }
    };
    let wish =
        Wish { params: Value::Null, note: Some(format!("to write {}", asset.name)), ..Wish::default() };
    let run = trigger(&app, dag, wish, &caller.name).await?;
    Ok(Json(shapes::run(&runs::find(&app, dag, &run.run_id).await?)))
}
