//! Bodies and queries of the API, mutated: whatever a program sends, the answer is never a fault of ours.

use crate::world::{World, seeded};
use axum::body::Body;
use axum::http::{Method, Request, header};
use store::auth::Role;
use testkit::fuzz::Fuzz;

const BODIES: [&str; 11] = [
    r#"{"dag_run_id":"manual__1","logical_date":"2026-11-22T13:00:00Z","conf":{"full_refresh":true},"note":null}"#,
    r#"{"data_interval_start":"2026-11-22T12:00:00Z","data_interval_end":"2026-11-22T13:00:00Z","logical_date":null}"#,
    r#"{"state":"failed","note":"by hand"}"#,
    r#"{"dry_run":true,"only_failed":true,"task_ids":["load",["load",0]],"include_downstream":true,"dag_run_id":"manual__1"}"#,
    r#"{"dag_id":"hourly","from_date":"2026-11-20","to_date":"2026-11-21T00:00:00Z","max_active_runs":2,"reprocess_behavior":"failed"}"#,
    r#"{"name":"small","slots":4,"description":"d","include_deferred":false}"#,
    r#"{"asset_id":1,"extra":{"reason":"by hand"},"name":"lake/listen_events"}"#,
    r#"{"is_paused":true}"#,
    r#"{"username":"viewer","password":"x"}"#,
    r#"{"sql":"select 1","limit":5}"#,
    r#"{"new_state":"success","include_future":true,"map_index":0}"#,
];

/// (method, path); what they change is changed: that nothing breaks is the point.
const CALLS: [(Method, &str); 12] = [
    (Method::POST, "/api/v2/dags/hourly/dagRuns"),
    (Method::POST, "/api/v2/dags/hourly/clearTaskInstances"),
    (Method::PATCH, "/api/v2/dags/hourly"),
    (Method::POST, "/api/v2/backfills"),
    (Method::POST, "/api/v2/backfills/dry_run"),
    (Method::POST, "/api/v2/pools"),
    (Method::PATCH, "/api/v2/pools/small"),
    (Method::POST, "/api/v2/assets/events"),
    (Method::POST, "/auth/token"),
    (Method::POST, "/api/v2/warehouse/query"),
    (Method::PATCH, "/api/v2/dags/hourly/dagRuns/manual__1"),
    (Method::PATCH, "/api/v2/dags/hourly/dagRuns/manual__1/taskInstances/load"),
];

async fn status(world: &World, method: &Method, path: &str, token: &str, body: Vec<u8>) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json");
    let answer = world.send(request, Body::from(body)).await;
    (answer.status.as_u16(), answer.text)
}

#[tokio::test]
async fn fuzz_api_bodies() {
    let world = seeded(None).await;
    let token = world.token(Role::Admin).await;
    let mut fuzz = Fuzz::new("API bodies", BODIES.iter().map(|body| body.as_bytes().to_vec()).collect(), 300);
    let mut turn = 0;
    while let Some(body) = fuzz.next_input() {
        let (method, path) = &CALLS[turn % CALLS.len()];
        turn += 1;
        let (status, text) = status(&world, method, path, &token, body.clone()).await;
        // 501 and 503 are said on purpose; 500 is a fault.
        if status == 500 || (status >= 400 && text.is_empty()) {
            fuzz.fail(&body, &format!("{method} {path} gave {status}: {text}"));
        }
    }
}

#[tokio::test]
async fn fuzz_api_queries() {
    let world = seeded(None).await;
    let token = world.token(Role::Viewer).await;
    let corpus = [
        "/api/v2/dags?limit=5&offset=0&order_by=-dag_id&tags=streamify",
        "/api/v2/dags/hourly/dagRuns?limit=5&state=failed&order_by=-run_after&logical_date_gte=2026-11-22T10:00:00Z",
        "/api/v2/dags/hourly/dagRuns/x/taskInstances/load/1/tries",
        "/api/v2/eventLogs?limit=100&offset=1",
        "/dags/hourly?tab=grid&runs=30",
        "/runs?state=failed&dag=hourly&page=2",
        "/api/v2/dags/hourly/dagRuns/x/taskInstances/load/logs/1?map_index=0&token=abc",
    ];
    let mut fuzz =
        Fuzz::new("API queries", corpus.iter().map(|path| path.as_bytes().to_vec()).collect(), 250);
    while let Some(path) = fuzz.next_input() {
        // What the HTTP library itself refuses never arrives here.
        let text = String::from_utf8_lossy(&path).replace(char::is_whitespace, "+");
        if text.parse::<axum::http::Uri>().is_err() || !text.starts_with('/') {
            continue;
        }
        let (status, answer) = status(&world, &Method::GET, &text, &token, Vec::new()).await;
        if status == 500 {
            fuzz.fail(&path, &format!("gave {status}: {answer}"));
        }
    }
}
