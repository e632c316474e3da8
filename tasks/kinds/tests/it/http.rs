//! `http` against a real server.

use crate::support::Bench;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use model::{Outcome, TaskError};
use serde_json::json;

async fn server() -> String {
    let router = Router::new()
        .route("/echo", post(|body: String| async move { body }))
        .route("/missing", get(|| async { (StatusCode::NOT_FOUND, "no such thing") }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
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
