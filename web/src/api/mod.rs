//! The REST API: Airflow's public v2 paths, bodies and errors for what both have, and ours beside it. What is where is said by
//! `openapi.json`, which a test holds against the routes.

mod auth;
mod body;
mod checks;
mod clear;
mod dags;
mod error;
mod events;
mod instances;
mod logs;
mod monitor;
mod paging;
mod runs;
mod services;
mod shapes;
mod ticks;
mod warehouse;

pub use error::ApiError;

use crate::app::Shared;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, http::header};
use serde_json::Value;

type Answer = Result<Json<Value>, ApiError>;

const OPENAPI: &str = include_str!("../../openapi.json");

/// Every path under `/api/v2` and what answers there.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/dags", get(dags::list)),
        ("/dags/{dag_id}", get(dags::one).patch(dags::patch)),
        ("/dags/{dag_id}/details", get(dags::details)),
        ("/dags/{dag_id}/tasks", get(dags::tasks)),
        ("/dags/{dag_id}/ticks", get(ticks::list)),
        ("/dags/{dag_id}/dagRuns", get(runs::list).post(runs::trigger)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}", get(runs::one).patch(runs::patch)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/clear", post(clear::clear)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", get(instances::list)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", get(instances::one)),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
            get(instances::one_mapped),
        ),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries", get(instances::tries)),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries",
            get(instances::tries_mapped),
        ),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}", get(logs::read)),
        ("/dagStats", get(dags::stats)),
        ("/dagTags", get(dags::tags)),
        ("/importErrors", get(events::import_errors)),
        ("/eventLogs", get(events::list)),
        ("/services", get(services::list)),
        ("/checks", get(checks::list)),
        ("/warehouse/query", post(warehouse::query)),
        ("/monitor/health", get(monitor::health)),
        ("/version", get(monitor::version)),
        ("/openapi.json", get(openapi)),
    ]
}

pub fn router() -> Router<Shared> {
    routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// Where Airflow's clients get their token.
pub fn token_router() -> Router<Shared> {
    Router::new().route("/auth/token", post(auth::token))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_openapi_document_has_exactly_our_paths() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let written: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let mut served: BTreeSet<String> =
            routes().iter().map(|(path, _)| format!("/api/v2{path}")).collect();
        served.insert("/auth/token".into());
        assert_eq!(written, served);
    }
}
