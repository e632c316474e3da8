//! The REST API: Airflow's public v2 paths, bodies and errors for what both have, and ours beside it. What is where is said by
//! `openapi.json`, which a test holds against the routes.

mod affected;
mod approvals;
mod assets;
mod auth;
mod backfills;
mod body;
mod checks;
mod clear;
mod dags;
mod error;
mod events;
mod instances;
mod logs;
mod mark;
mod monitor;
mod paging;
mod pools;
mod rerun;
mod runs;
mod services;
mod shapes;
mod ticks;
mod wait;
mod warehouse;
mod xcom;

pub use error::ApiError;

use crate::app::Shared;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, patch, post, put};
use axum::{Json, Router, http::header};
use serde_json::Value;

type Answer = Result<Json<Value>, ApiError>;

const OPENAPI: &str = include_str!("../../openapi.json");

/// Every path under `/api/v2` and what answers there.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    let mut routes = of_dags();
    routes.extend(of_runs());
    routes.extend(of_tasks());
    routes.extend(of_the_platform());
    routes
}

fn of_dags() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/dags", get(dags::list)),
        ("/dags/{dag_id}", get(dags::one).patch(dags::patch)),
        ("/dags/{dag_id}/details", get(dags::details)),
        ("/dags/{dag_id}/tasks", get(dags::tasks)),
        ("/dags/{dag_id}/ticks", get(ticks::list)),
        ("/dags/{dag_id}/clearTaskInstances", post(clear::clear_tasks)),
        ("/dagStats", get(dags::stats)),
        ("/dagTags", get(dags::tags)),
        ("/importErrors", get(events::import_errors)),
        ("/backfills", get(backfills::list).post(backfills::create)),
        ("/backfills/dry_run", post(backfills::dry_run)),
        ("/backfills/{backfill_id}", get(backfills::one)),
        ("/backfills/{backfill_id}/pause", put(backfills::pause)),
        ("/backfills/{backfill_id}/unpause", put(backfills::unpause)),
        ("/backfills/{backfill_id}/cancel", put(backfills::cancel)),
    ]
}

fn of_runs() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/dags/{dag_id}/dagRuns", get(runs::list).post(runs::trigger)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}", get(runs::one).patch(runs::patch)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/clear", post(clear::clear)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/rerun", post(rerun::rerun)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/wait", get(wait::wait)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/hitlDetails", get(approvals::hitl_list)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", get(instances::list)),
    ]
}

/// Under one task instance; those with a map index come second.
fn of_tasks() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}",
            get(instances::one).patch(mark::patch),
        ),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
            get(instances::one_mapped).patch(mark::patch_mapped),
        ),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run", patch(mark::dry_run)),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
            patch(mark::dry_run_mapped),
        ),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries", get(instances::tries)),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries",
            get(instances::tries_mapped),
        ),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}", get(logs::read)),
        ("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries", get(xcom::list)),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key}",
            get(xcom::one),
        ),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
            get(approvals::hitl).patch(approvals::hitl_respond),
        ),
        (
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/approval",
            post(approvals::decide),
        ),
    ]
}

fn of_the_platform() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/approvals", get(approvals::list)),
        ("/assets", get(assets::list)),
        ("/assets/events", get(assets::events).post(assets::tell)),
        ("/assets/{asset_id}", get(assets::one)),
        ("/assets/{asset_id}/materialize", post(assets::materialize)),
        ("/checks", get(checks::list)),
        ("/eventLogs", get(events::list)),
        ("/monitor/health", get(monitor::health)),
        ("/notifications", get(rerun::notifications)),
        ("/openapi.json", get(openapi)),
        ("/pools", get(pools::list).post(pools::create)),
        ("/pools/{pool_name}", get(pools::one).patch(pools::patch).delete(pools::delete)),
        ("/services", get(services::list)),
        ("/version", get(monitor::version)),
        ("/warehouse/query", post(warehouse::query)),
    ]
}

pub fn router() -> Router<Shared> {
    routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// What a node without pages answers.
pub fn monitor_router() -> Router<Shared> {
    Router::new().route("/monitor/health", get(monitor::health)).route("/version", get(monitor::version))
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
