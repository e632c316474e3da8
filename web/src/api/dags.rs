//! `/dags`, `/dagStats`, `/dagTags`.

use super::body::{Body, Query};
use super::paging::{Paging, order, repeated};
use super::{Answer, ApiError, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use model::RunState;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::audit::By;
use store::auth::Role;
use store::views::dags::{DagFilter, DagRow};

#[derive(Deserialize)]
pub struct Wanted {
    paused: Option<bool>,
    exclude_stale: Option<bool>,
    last_dag_run_state: Option<RunState>,
    dag_id_pattern: Option<String>,
    #[serde(default = "by_id")]
    order_by: String,
}

fn by_id() -> String {
    "dag_id".into()
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let ((), ascending) = order(&wanted.order_by, &[("dag_id", ()), ("dag_display_name", ())])?;
    let filter = DagFilter {
        search: wanted.dag_id_pattern.map(|pattern| pattern.replace('%', " ")),
        tags: repeated(raw.as_deref(), "tags"),
        paused: wanted.paused,
        last_state: wanted.last_dag_run_state,
        include_absent: wanted.exclude_stale == Some(false),
        descending: !ascending,
        limit: paging.limit(),
        offset: paging.offset(),
        ..DagFilter::default()
    };
    let (rows, total) = app.store.list_dags(&filter).await?;
    let now = app.clock.now();
    Ok(Json(
        json!({ "dags": rows.iter().map(|row| shapes::dag(row, now)).collect::<Vec<_>>(), "total_entries": total }),
    ))
}

pub async fn find(app: &App, dag_id: &str) -> Result<DagRow, ApiError> {
    app.store
        .dag_row(dag_id)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("The Dag with ID: `{dag_id}` was not found")))
}

pub async fn one(State(app): State<Shared>, _caller: Caller, Path(dag_id): Path<String>) -> Answer {
    Ok(Json(shapes::dag(&find(&app, &dag_id).await?, app.clock.now())))
}

pub async fn details(State(app): State<Shared>, _caller: Caller, Path(dag_id): Path<String>) -> Answer {
    Ok(Json(shapes::dag_details(&find(&app, &dag_id).await?, app.clock.now())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    is_paused: bool,
    /// Ours: why, for the audit log.
    #[serde(default)]
    reason: String,
}

pub async fn patch(
    State(app): State<Shared>,
    caller: Caller,
    Path(dag_id): Path<String>,
    Body(change): Body<Change>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    find(&app, &dag_id).await?;
    let by = By { who: &caller.name, reason: &change.reason };
    app.store.set_paused(&dag_id, change.is_paused, by, app.clock.now()).await?;
    Ok(Json(shapes::dag(&find(&app, &dag_id).await?, app.clock.now())))
}

pub async fn tasks(State(app): State<Shared>, _caller: Caller, Path(dag_id): Path<String>) -> Answer {
    let row = find(&app, &dag_id).await?;
    let tasks: Vec<Value> =
        row.dag.tasks.iter().enumerate().map(|(i, task)| shapes::task(&row.dag, i, task)).collect();
    Ok(Json(json!({ "total_entries": tasks.len(), "tasks": tasks })))
}

/// Runs by state, in Airflow's words: what was cancelled counts as failed.
pub async fn stats(State(app): State<Shared>, _caller: Caller, RawQuery(raw): RawQuery) -> Answer {
    let ids = repeated(raw.as_deref(), "dag_ids");
    let mut dags: BTreeMap<String, BTreeMap<&str, i64>> = BTreeMap::new();
    for (dag, state, count) in app.store.run_counts(&ids).await? {
        *dags.entry(dag).or_default().entry(shapes::run_state(state)).or_default() += count;
    }
    let stats: Vec<Value> = dags
        .into_iter()
        .map(|(dag, counts)| {
            let of =
                |state: &str| json!({ "state": state, "count": counts.get(state).copied().unwrap_or(0) });
            let all: Vec<Value> = ["queued", "running", "success", "failed"].into_iter().map(of).collect();
            json!({ "dag_id": dag, "dag_display_name": dag, "stats": all })
        })
        .collect();
    Ok(Json(json!({ "total_entries": stats.len(), "dags": stats })))
}

pub async fn tags(State(app): State<Shared>, _caller: Caller) -> Answer {
    let tags: Vec<String> = app.store.dag_tags().await?.into_iter().map(|(tag, _)| tag).collect();
    Ok(Json(json!({ "total_entries": tags.len(), "tags": tags })))
}
