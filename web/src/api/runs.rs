//! `/dags/{dag_id}/dagRuns`: list, trigger, read, and end.

use super::body::{Body, Query};
use super::paging::{Paging, order, repeated, states};
use super::{Answer, ApiError, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::trigger::{Wish, trigger as start};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use chrono::{DateTime, Utc};
use model::{RunState, Window};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use store::audit::By;
use store::auth::Role;
use store::clear::ClearRequest;
use store::views::runs::{RunFilter, RunOrder, RunRow};

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default = "by_id")]
    order_by: String,
    run_after_gte: Option<DateTime<Utc>>,
    run_after_lte: Option<DateTime<Utc>>,
    logical_date_gte: Option<DateTime<Utc>>,
    logical_date_lte: Option<DateTime<Utc>>,
    /// Ours.
    backfill_id: Option<i64>,
}

fn by_id() -> String {
    "id".into()
}

const ORDERS: [(&str, RunOrder); 9] = [
    ("id", RunOrder::Id),
    ("run_after", RunOrder::RunAfter),
    ("logical_date", RunOrder::LogicalDate),
    ("start_date", RunOrder::StartedAt),
    ("end_date", RunOrder::EndedAt),
    ("state", RunOrder::State),
    ("dag_run_id", RunOrder::RunId),
    ("run_id", RunOrder::RunId),
    ("data_interval_start", RunOrder::LogicalDate),
];

/// `~` stands for all dags.
pub fn named(id: &str) -> Option<String> {
    (id != "~").then(|| id.to_string())
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Path(dag_id): Path<String>,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let dag_id = named(&dag_id);
    if let Some(dag_id) = &dag_id {
        super::dags::find(&app, dag_id).await?;
    }
    let (by, ascending) = order(&wanted.order_by, &ORDERS)?;
    let mut of_states: Vec<RunState> = states(&repeated(raw.as_deref(), "state"))?;
    // What Airflow calls failed is failed or cancelled here.
    if of_states.contains(&RunState::Failed) {
        of_states.push(RunState::Cancelled);
    }
    let filter = RunFilter {
        dag_id,
        states: of_states,
        run_type: repeated(raw.as_deref(), "run_type").pop(),
        backfill: wanted.backfill_id,
        run_after_from: wanted.run_after_gte,
        run_after_to: wanted.run_after_lte,
        logical_date_from: wanted.logical_date_gte,
        logical_date_to: wanted.logical_date_lte,
        order: by,
        ascending,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    let (rows, total) = app.store.list_runs(&filter).await?;
    Ok(Json(json!({ "dag_runs": rows.iter().map(shapes::run).collect::<Vec<_>>(), "total_entries": total })))
}

pub async fn find(app: &App, dag_id: &str, run_id: &str) -> Result<RunRow, ApiError> {
    match app.store.run_row(dag_id, run_id).await? {
        Some(run) => Ok(run),
        None => Err(ApiError::NotFound({
            let named = format!("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}`");
            match app.store.pruned_at(dag_id, run_id).await? {
                Some(at) => format!("{named} was pruned on {}", at.format("%Y-%m-%d")),
                None => format!("{named} was not found"),
            }
        })),
    }
}

pub async fn one(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Answer {
    Ok(Json(shapes::run(&find(&app, &dag_id, &run_id).await?)))
}

/// As Airflow's: unknown keys are errors, and `logical_date` must be there, if only as null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    #[serde(deserialize_with = "present")]
    logical_date: Option<DateTime<Utc>>,
    dag_run_id: Option<String>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    run_after: Option<DateTime<Utc>>,
    conf: Option<Value>,
    note: Option<String>,
    /// Ours: why, for the audit log.
    #[serde(default)]
    reason: String,
    /// Airflow's; taken only as null, since our dags are partitioned by their window.
    partition_key: Option<Value>,
}

/// `Option` alone would let the key be missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::deserialize(deserializer)
}

pub async fn trigger(
    State(app): State<Shared>,
    caller: Caller,
    Path(dag_id): Path<String>,
    Body(new): Body<NewRun>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    if new.partition_key.is_some_and(|key| !key.is_null()) {
        return Err(ApiError::Unprocessable(
            "partition_key is not supported; give data_interval_start and data_interval_end".into(),
        ));
    }
    let window = match (new.data_interval_start, new.data_interval_end) {
        (Some(start), Some(end)) => Some(Window { start, end }),
        (None, None) => None,
        _ => {
            return Err(ApiError::Unprocessable(
                "data_interval_start and data_interval_end are given together or not at all".into(),
            ));
        }
    };
    let wish = Wish {
        run_id: new.dag_run_id,
        logical_date: new.logical_date,
        window,
        run_after: new.run_after,
        params: new.conf.unwrap_or(Value::Null),
        note: new.note,
        reason: new.reason,
    };
    let run = start(&app, &dag_id, wish, &caller.name).await?;
    Ok(Json(shapes::run(&find(&app, &dag_id, &run.run_id).await?)))
}

/// Airflow's `DAGRunPatchBody`: `success` and `failed` say how the run ended, `queued` clears it; `cancelled` is ours and stops it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    state: String,
    #[serde(default)]
    reason: String,
}

pub async fn patch(
    State(app): State<Shared>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Body(change): Body<Change>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    find(&app, &dag_id, &run_id).await?;
    let (now, who) = (app.clock.now(), caller.name.as_str());
    match change.state.as_str() {
        "cancelled" => {
            let by = By { who, reason: &change.reason };
            app.store.request_cancel(&dag_id, &run_id, by, now).await?;
        }
        "success" => {
            app.store.mark_run(&dag_id, &run_id, RunState::Success, who, &change.reason, now).await?;
        }
        "failed" => app.store.mark_run(&dag_id, &run_id, RunState::Failed, who, &change.reason, now).await?,
        "queued" => {
            let all = ClearRequest { reason: change.reason, ..ClearRequest::default() };
            app.store.clear(&dag_id, &run_id, &all, who, now).await?;
        }
        other => {
            return Err(ApiError::Unprocessable(format!(
                "state '{other}' cannot be set; 'success' and 'failed' mark the run, 'queued' clears it, 'cancelled' stops it"
            )));
        }
    }
    Ok(Json(shapes::run(&find(&app, &dag_id, &run_id).await?)))
}
