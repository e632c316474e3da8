//! `wait.http` against a real server.

use crate::support::Bench;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use model::{Outcome, TaskError};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

type Answer = Arc<Mutex<(u16, String)>>;

async fn server() -> (String, Answer) {
    let answer = Answer::default();
    let tell = async |State(answer): State<Answer>| {
        let (status, body) = answer.lock().unwrap().clone();
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let router = Router::new().route("/job", get(tell)).with_state(answer.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/job?token=hush"), answer)
}

fn is_poke(outcome: &Result<Outcome, TaskError>) -> bool {
    matches!(outcome, Ok(Outcome::Poke { .. }))
}

#[tokio::test]
async fn a_page_is_waited_for_until_status_and_body_are_as_wished() {
    let (bench, (url, answer)) = (Bench::new(), server().await);
    let look = async |status: u16, body: &str, until: &str| {
        *answer.lock().unwrap() = (status, body.to_string());
        bench.run("wait.http", json!({"url": url, "until": until})).await
    };
    let until = "body.state == 'done' and body.rows > 2";
    assert!(is_poke(&look(503, "", until).await));
    assert!(is_poke(&look(404, "", until).await));
    assert!(is_poke(&look(200, "not ready", until).await), "a text has no state");
    assert!(is_poke(&look(200, r#"{"state": "done", "rows": 2}"#, until).await));
    let Ok(Outcome::Done { outputs }) = look(200, r#"{"state": "done", "rows": 3}"#, until).await else {
        panic!("as wished")
    };
    assert_eq!(outputs, json!({"status": 200, "body": {"state": "done", "rows": 3}}));
    let sees_all = "status == 200 and 'text/plain' in headers['content-type'] and 'fine' in body";
    assert!(matches!(look(200, "all fine", sees_all).await, Ok(Outcome::Done { .. })));
    assert!(bench.told.text().iter().all(|line| !line.contains("hush")));
}

#[tokio::test]
async fn a_server_that_is_not_up_is_waited_for_and_one_that_refuses_us_is_not() {
    let (bench, (url, answer)) = (Bench::new(), server().await);
    assert!(is_poke(&bench.run("wait.http", json!({"url": "http://127.0.0.1:1/"})).await));
    *answer.lock().unwrap() = (403, String::new());
    let refused = bench.run("wait.http", json!({"url": url})).await;
    assert!(matches!(refused, Err(TaskError::Fail(_))), "{refused:?}");
    let wished = bench.run("wait.http", json!({"url": url, "status": [403]})).await;
    assert!(matches!(wished, Ok(Outcome::Done { .. })), "{wished:?}");
}

#[tokio::test]
async fn an_expression_that_cannot_be_read_is_found_when_the_file_is_loaded() {
    let bench = Bench::new();
    let problems = |until: &str| bench.problems("wait.http", json!({"url": "http://a/", "until": until}));
    assert_eq!(problems("body.state == 'done'"), Vec::<String>::new());
    assert!(problems("body.state ==")[0].starts_with("until: "));
    assert!(!problems("body }}").is_empty());
    let missing = bench.problems("wait.http", Value::Null);
    assert_eq!(missing, [": `url` is missing"]);
}
