//! `POST .../rerun`: a new run with the window and the parameters of an old one. Airflow has no such thing; and `/notifications`.

use super::body::{Body, Query};
use super::paging::Paging;
use super::{Answer, runs, shapes};
use crate::app::Shared;
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use store::auth::Role;
use store::rerun::RerunRequest;
use store::views::notifications::NotificationFilter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rerun {
    dag_run_id: Option<String>,
    /// Parameters that change.
    conf: Option<Value>,
    #[serde(default)]
    same_version: bool,
    #[serde(default)]
    reason: String,
}

pub async fn rerun(
    State(app): State<Shared>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Body(wish): Body<Rerun>,
) -> Answer {
    caller.check_write(Role::Operator)?;
    runs::find(&app, &dag_id, &run_id).await?;
    if let Some(problem) = wish.dag_run_id.as_deref().and_then(crate::trigger::run_id_problem) {
        return Err(super::ApiError::Unprocessable(problem));
    }
    let request = RerunRequest {
        run_id: wish.dag_run_id,
        params: wish.conf,
        same_version: wish.same_version,
        reason: wish.reason,
    };
    let made = app.store.rerun(&dag_id, &run_id, &request, &caller.name, app.clock.now()).await?;
    Ok(Json(shapes::run(&runs::find(&app, &dag_id, &made.run_id).await?)))
}

#[derive(Deserialize)]
pub struct Wanted {
    dag_id: Option<String>,
    dag_run_id: Option<String>,
    state: Option<String>,
}

/// What people were told, or will be. Targets have their templates not rendered, so no secret is among them.
pub async fn notifications(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let filter = NotificationFilter {
        dag_id: wanted.dag_id,
        run_id: wanted.dag_run_id,
        state: wanted.state,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    let (rows, total) = app.store.list_notifications(&filter).await?;
    let told: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.id,
                "event": row.event,
                "dag_id": row.dag_id,
                "dag_run_id": row.run_id,
                "text": row.text,
                "target": row.target,
                "state": row.state,
                "tries": row.tries,
                "next_at": row.next_at.map(rfc3339),
                "error": row.error,
                "created_at": rfc3339(row.created_at),
                "sent_at": row.sent_at.map(rfc3339),
            })
        })
        .collect();
    Ok(Json(json!({ "notifications": told, "total_entries": total })))
}
