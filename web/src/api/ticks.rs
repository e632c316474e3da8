//! `/dags/{dag_id}/ticks`: the ledger. Airflow has no such thing.

use super::body::Query;
use super::paging::Paging;
use super::{Answer, dags};
use crate::app::Shared;
use crate::auth::Caller;
use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub struct Wanted {
    /// Ticks before this one: where the last answer ended.
    before: Option<DateTime<Utc>>,
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Path(dag_id): Path<String>,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    dags::find(&app, &dag_id).await?;
    let ticks = app.store.ticks(&dag_id, wanted.before, paging.limit()).await?;
    Ok(Json(json!({ "ticks": ticks })))
}
