//! `/monitor/health` and `/version`.

use super::ApiError;
use crate::app::Shared;
use crate::health::{self, Part};
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Open to everybody, as Airflow's: load balancers ask it. 503 when the database does not answer.
pub async fn health(State(app): State<Shared>) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let found = match app.store.health(now).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "health: the database does not answer");
            let away = health::database_away(&error);
            let node = node_json(&(app.node_parts)());
            let body =
                json!({ "metadatabase": { "status": "unhealthy", "message": away.words }, "node": node });
            return Ok((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response());
        }
    };
    let parts = health::parts(&found, now);
    let named = |name: &str| parts.iter().find(|part| part.name == name);
    let status =
        |part: Option<&Part>| if part.is_some_and(|part| part.healthy) { "healthy" } else { "unhealthy" };
    let seen = |part: Option<&Part>| {
        part.and_then(|part| part.last_seen).map_or(Value::Null, |at| rfc3339(at).into())
    };
    let (scheduler, workers) = (named("scheduler"), named("workers"));
    let body = json!({
        "metadatabase": { "status": status(named("database")), "message": named("database").map(|part| &part.words) },
        "scheduler": { "status": status(scheduler), "latest_scheduler_heartbeat": seen(scheduler) },
        "triggerer": { "status": null, "latest_triggerer_heartbeat": null },
        "dag_processor": { "status": status(workers), "latest_dag_processor_heartbeat": seen(workers) },
        "workers": { "status": status(workers), "latest_worker_heartbeat": seen(workers) },
        "queue": { "status": status(named("queue")), "queued_attempts": found.queue.queued_attempts, "running_attempts": found.queue.running_attempts },
        "node": node_json(&(app.node_parts)()),
        "invariants": { "status": status(named("invariants")), "violations": found.invariants },
    });
    Ok(Json(body).into_response())
}

/// What this node says of its own machine.
fn node_json(parts: &[Part]) -> Value {
    let word = |part: &Part| if part.healthy { "healthy" } else { "unhealthy" };
    let named = |part: &Part| (part.name.to_string(), json!({ "status": word(part), "message": part.words }));
    Value::Object(parts.iter().map(named).collect())
}

pub async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "git_version": null }))
}
