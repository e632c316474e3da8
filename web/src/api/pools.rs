//! `/pools`: limits over all dags.

use super::body::{Body, Query};
use super::paging::Paging;
use super::{Answer, ApiError};
use crate::app::{App, Shared};
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use store::auth::Role;
use store::views::pools::PoolRow;

#[derive(Deserialize)]
pub struct Wanted {
    pool_name_pattern: Option<String>,
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let pattern = wanted.pool_name_pattern.map(|pattern| pattern.replace('%', ""));
    let mut pools = app.store.list_pools().await?;
    pools.retain(|pool| {
        pool.slots.is_some() && pattern.as_ref().is_none_or(|pattern| pool.name.contains(pattern.as_str()))
    });
    let total = pools.len();
    let page = pools.iter().skip(paging.offset() as usize).take(paging.limit() as usize);
    Ok(Json(json!({ "pools": page.map(shape).collect::<Vec<_>>(), "total_entries": total })))
}

/// Our `queued` are attempts that wait; nothing waits before that, so `scheduled` is 0. Nothing is deferred while it holds a slot.
fn shape(pool: &PoolRow) -> Value {
    let slots = i64::from(pool.slots.unwrap_or(0));
    json!({
        "name": pool.name,
        "slots": slots,
        "description": pool.description,
        "include_deferred": false,
        "occupied_slots": pool.running,
        "running_slots": pool.running,
        "queued_slots": pool.queued,
        "scheduled_slots": 0,
        "open_slots": (slots - pool.running).max(0),
        "deferred_slots": 0,
    })
}

async fn find(app: &App, name: &str) -> Result<PoolRow, ApiError> {
    let pools = app.store.list_pools().await?;
    let found = pools.into_iter().find(|pool| pool.name == name && pool.slots.is_some());
    found.ok_or_else(|| ApiError::NotFound(format!("The Pool with name: `{name}` was not found")))
}

pub async fn one(State(app): State<Shared>, _caller: Caller, Path(name): Path<String>) -> Answer {
    Ok(Json(shape(&find(&app, &name).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    name: String,
    slots: u32,
    description: Option<String>,
    #[serde(default)]
    include_deferred: bool,
    #[serde(default)]
    reason: String,
}

pub async fn create(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    caller.check_write(Role::Admin)?;
    refuse_deferred(Some(new.include_deferred))?;
    if find(&app, &new.name).await.is_ok() {
        return Err(ApiError::Conflict(format!("the pool '{}' exists already: PATCH changes it", new.name)));
    }
    if new.name.trim().is_empty() {
        return Err(ApiError::Unprocessable("a pool needs a name".into()));
    }
    let description = new.description.unwrap_or_default();
    put(&app, &caller, &new.name, new.slots, &description, &new.reason).await?;
    Ok((StatusCode::CREATED, Json(shape(&find(&app, &new.name).await?))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Airflow's name of the pool in the body; a pool keeps its name.
    #[serde(alias = "name")]
    pool: Option<String>,
    slots: Option<u32>,
    description: Option<String>,
    include_deferred: Option<bool>,
    #[serde(default)]
    reason: String,
}

pub async fn patch(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Body(change): Body<Change>,
) -> Answer {
    caller.check_write(Role::Admin)?;
    refuse_deferred(change.include_deferred)?;
    let pool = find(&app, &name).await?;
    if change.pool.is_some_and(|other| other != name) {
        return Err(ApiError::Unprocessable(
            "a pool keeps its name: make another and delete this one".into(),
        ));
    }
    let slots = change.slots.unwrap_or_else(|| u32::try_from(pool.slots.unwrap_or(0)).unwrap_or(0));
    let description = change.description.unwrap_or(pool.description);
    put(&app, &caller, &name, slots, &description, &change.reason).await?;
    Ok(Json(shape(&find(&app, &name).await?)))
}

pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.check_write(Role::Admin)?;
    find(&app, &name).await?;
    app.store.delete_pool(&name, &caller.name, "", app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put(
    app: &App,
    caller: &Caller,
    name: &str,
    slots: u32,
    description: &str,
    reason: &str,
) -> Result<(), ApiError> {
    Ok(app.store.put_pool(name, slots, description, &caller.name, reason, app.clock.now()).await?)
}

fn refuse_deferred(include: Option<bool>) -> Result<(), ApiError> {
    if include == Some(true) {
        let detail = "include_deferred must be false: what waits to look again holds no slot";
        return Err(ApiError::Unprocessable(detail.into()));
    }
    Ok(())
}
