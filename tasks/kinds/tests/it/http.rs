//! `http` against a real server.

use crate::support::{Bench, TRACEPARENT};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use model::{Outcome, TaskContext, TaskError};
use serde_json::json;

async fn server() -> String {
    let router = Router::new()
        .route("/echo", post(|body: String| async move { body }))
        .route("/traceparent", get(|headers: HeaderMap| async move { seen(&headers) }))
        .route("/missing", get(|| async { (StatusCode::NOT_FOUND, "no such thing") }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn seen(headers: &HeaderMap) -> String {
    headers
        .get_all("traceparent")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(";")
}

#[tokio::test]
async fn the_called_one_learns_whose_trace_it_is_in_unless_the_task_says_another() {
    let (bench, url) = (Bench::new(), format!("{}/traceparent", server().await));
    let body = |outcome| match outcome {
        Ok(Outcome::Done { outputs }) => outputs["body"].as_str().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!(body(bench.run("http", json!({"url": url})).await).as_deref(), Some(TRACEPARENT));
    let own = json!({"url": url, "headers": {"Traceparent": "own"}});
    assert_eq!(body(bench.run("http", own).await).as_deref(), Some("own"));
    let untraced = TaskContext { traceparent: None, ..bench.context(json!({"url": url})) };
    assert_eq!(body(bench.run_as("http", untraced).await).as_deref(), Some(""));
}

#[tokio::test]
async fn json_is_sent_and_the_answer_becomes_the_outputs() {
    let (bench, server) = (Bench::new(), server().await);
    let outcome = bench.run("http", json!({"url": format!("{server}/echo"), "json": {"a": 1}})).await;
    assert_eq!(outcome, Ok(Outcome::Done { outputs: json!({"status": 200, "body": {"a": 1}}) }));
}

#[tokio::test]
async fn a_client_error_fails_and_a_busy_server_is_retried() {
    let (bench, server) = (Bench::new(), server().await);
    let missing =
        bench.run("http", json!({"url": format!("{server}/missing?token=hush")})).await.unwrap_err();
    assert!(
        matches!(&missing, TaskError::Fail(message) if message.contains("404") && !message.contains("hush")),
        "{missing:?}"
    );
    let busy = bench.run("http", json!({"url": format!("{server}/busy")})).await.unwrap_err();
    assert!(matches!(busy, TaskError::Retry(_)), "{busy:?}");
    let expected =
        bench.run("http", json!({"url": format!("{server}/missing"), "expect_status": [404]})).await;
    assert!(matches!(expected, Ok(Outcome::Done { .. })), "{expected:?}");
}

#[tokio::test]
async fn an_unreachable_server_is_retried_without_telling_the_query() {
    let bench = Bench::new();
    let error = bench.run("http", json!({"url": "http://127.0.0.1:1/x?token=hush"})).await.unwrap_err();
    assert!(matches!(&error, TaskError::Retry(message) if !message.contains("hush")), "{error:?}");
}
