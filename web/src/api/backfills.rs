//! `/backfills`: past ticks run by plan, in Airflow's shapes; what our plans say more (why a tick is left alone) stands beside it.

use super::body::{Body, Query};
use super::paging::Paging;
use super::{Answer, ApiError};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use store::auth::Role;
use store::backfills::{Action, BackfillRequest, PlannedTick, Reprocess};
use store::views::backfills::{BackfillFilter, BackfillRow};

/// Airflow counts the last date in; our ranges end before theirs.
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

#[derive(Deserialize)]
pub struct Wanted {
    dag_id: Option<String>,
    active: Option<bool>,
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let filter = BackfillFilter {
        dag_id: wanted.dag_id.filter(|dag| dag != "~"),
        open: wanted.active == Some(true),
        limit: paging.limit(),
        offset: paging.offset(),
        ..BackfillFilter::default()
    };
    let (rows, total) = app.store.list_backfills(&filter).await?;
    Ok(Json(json!({ "backfills": rows.iter().map(shape).collect::<Vec<_>>(), "total_entries": total })))
}

fn shape(row: &BackfillRow) -> Value {
    json!({
        "id": row.id,
        "dag_id": row.dag_id,
        "dag_display_name": row.dag_id,
        "from_date": rfc3339(row.from_at),
        "to_date": rfc3339(row.to_at - INSTANT),
        "dag_run_conf": row.params,
        "is_paused": row.state == "paused",
        "reprocess_behavior": row.reprocess,
        "max_active_runs": row.max_active_runs,
        "created_at": rfc3339(row.created_at),
        "completed_at": row.ended_at.map(rfc3339),
        "updated_at": rfc3339(row.ended_at.unwrap_or(row.created_at)),
        "state": row.state,
        "run_backwards": row.run_backwards,
        "requested_by": row.requested_by,
        "reason": row.reason,
        "runs": {
            "planned": row.runs_planned, "queued": row.queued, "running": row.running, "success": row.success,
            "failed": row.failed, "cancelled": row.cancelled, "taken_over": row.runs_taken,
        },
    })
}

async fn find(app: &App, id: i64) -> Result<BackfillRow, ApiError> {
    app.store
        .backfill(id)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("Backfill with id {id} not found")))
}

pub async fn one(State(app): State<Shared>, _caller: Caller, Path(id): Path<i64>) -> Answer {
    Ok(Json(shape(&find(&app, id).await?)))
}

/// Airflow's `BackfillPostBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    dag_id: String,
    from_date: DateTime<Utc>,
    to_date: DateTime<Utc>,
    #[serde(default)]
    run_backwards: bool,
    #[serde(default)]
    dag_run_conf: Option<Value>,
    #[serde(default)]
    reprocess_behavior: Reprocess,
    #[serde(default = "usual")]
    max_active_runs: u32,
    /// Airflow's: what is run again is always run on the newest version here.
    #[serde(default = "yes")]
    run_on_latest_version: bool,
    #[serde(default)]
    reason: String,
}

fn usual() -> u32 {
    10
}

fn yes() -> bool {
    true
}

impl New {
    fn request(self) -> Result<BackfillRequest, ApiError> {
        if !self.run_on_latest_version {
            let detail = "run_on_latest_version must be true: a backfill runs on the newest version";
            return Err(ApiError::Unprocessable(detail.into()));
        }
        Ok(BackfillRequest {
            dag_id: self.dag_id,
            from: self.from_date,
            to: self.to_date + INSTANT,
            reprocess: self.reprocess_behavior,
            run_backwards: self.run_backwards,
            max_active_runs: self.max_active_runs,
            params: self.dag_run_conf.unwrap_or(Value::Null),
            reason: self.reason,
        })
    }
}

pub async fn create(State(app): State<Shared>, caller: Caller, Body(new): Body<New>) -> Answer {
    caller.check_write(Role::Operator)?;
    let request = new.request()?;
    super::dags::find(&app, &request.dag_id).await?;
    let (id, _) = app.store.create_backfill(&request, &caller.name, app.clock.now()).await?;
    Ok(Json(shape(&find(&app, id).await?)))
}

/// The ticks that would be run, and those that would not with the reason.
pub async fn dry_run(State(app): State<Shared>, caller: Caller, Body(new): Body<New>) -> Answer {
    caller.check_write(Role::Operator)?;
    let request = new.request()?;
    super::dags::find(&app, &request.dag_id).await?;
    let plan = app.store.plan_backfill(&request, app.clock.now()).await?;
    let (skipped, meant): (Vec<_>, Vec<_>) = plan.iter().partition(|tick| tick.action == Action::Skip);
    let told = |ticks: Vec<&PlannedTick>| ticks.into_iter().map(tick).collect::<Vec<Value>>();
    Ok(Json(json!({ "total_entries": meant.len(), "backfills": told(meant), "skipped": told(skipped) })))
}

fn tick(tick: &PlannedTick) -> Value {
    json!({
        "logical_date": rfc3339(tick.window.map_or(tick.tick, |window| window.start)),
        "tick": rfc3339(tick.tick),
        "partition_key": null,
        "action": tick.action,
        "dag_run_id": tick.run_id,
        "reason": tick.reason,
    })
}

pub async fn pause(State(app): State<Shared>, caller: Caller, Path(id): Path<i64>) -> Answer {
    set_paused(&app, &caller, id, true).await
}

pub async fn unpause(State(app): State<Shared>, caller: Caller, Path(id): Path<i64>) -> Answer {
    set_paused(&app, &caller, id, false).await
}

async fn set_paused(app: &App, caller: &Caller, id: i64, paused: bool) -> Answer {
    caller.check_write(Role::Operator)?;
    app.store.pause_backfill(id, paused, &caller.name, "", app.clock.now()).await?;
    Ok(Json(shape(&find(app, id).await?)))
}

pub async fn cancel(State(app): State<Shared>, caller: Caller, Path(id): Path<i64>) -> Answer {
    caller.check_write(Role::Operator)?;
    app.store.cancel_backfill(id, &caller.name, "", app.clock.now()).await?;
    Ok(Json(shape(&find(&app, id).await?)))
}
