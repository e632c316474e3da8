//! Logs while they grow, and whole.

use crate::seed::{self, Seed};
use crate::world::{now, seeded};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt;
use model::Ending;
use serde_json::json;
use std::time::Duration;
use store::auth::Role;
use store::logs::LogLine;
use tower::ServiceExt;

#[tokio::test]
async fn lines_of_a_running_attempt_arrive_and_the_stream_ends_with_it() {
    let world = seeded(Some(Role::Viewer)).await;
    let dag = seed::hourly();
    let attempt = world.attempt(&dag, 2, "load", 0).await;
    let run = world.runs[2].replace(':', "%3A").replace('+', "%2B");
    let path = format!("/dags/hourly/runs/{run}/tasks/load/log/stream?map_index=0&after=-1");
    let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let seed = Seed { store: world.store.clone() };
    seed.log(attempt, now(), &[("stdout", "first <i>".into())]).await;
    let mut next = async || {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.next())
            .await
            .expect("a line arrives in time");
        chunk.map(|bytes| String::from_utf8_lossy(&bytes.expect("no error")).into_owned())
    };
    let first = next().await.unwrap();
    assert!(
        first.contains("event: lines") && first.contains("id: 0") && first.contains("first &lt;i&gt;"),
        "{first}"
    );
    world
        .store
        .append_logs(&[LogLine {
            attempt_id: attempt,
            seq: 1,
            at: now(),
            stream: "stderr",
            line: "second".into(),
        }])
        .await
        .unwrap();
    let second = next().await.unwrap();
    assert!(second.contains("second") && !second.contains("first"), "{second}");
    let lease = lease(&world.store, attempt).await;
    world.store.finish(attempt, lease, Ending::Done, None, None, now(), None).await.unwrap();
    assert!(next().await.unwrap().contains("event: end"));
    assert_eq!(next().await, None);
}

/// The heartbeat tells a node which attempts, under which leases, it holds.
async fn lease(store: &store::Store, attempt: i64) -> i64 {
    let held = store.heartbeat(seed::NODE, now()).await.expect("beats").held;
    held.into_iter().find(|(id, _)| *id == attempt).expect("held").1
}

#[tokio::test]
async fn the_raw_log_is_a_text_file_of_all_lines() {
    let world = seeded(Some(Role::Viewer)).await;
    let run = world.runs[0].replace(':', "%3A").replace('+', "%2B");
    let answer = world.get(&format!("/dags/hourly/runs/{run}/tasks/watermark/log/raw")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with("Z system begins") && lines[1].contains("<script>"), "{lines:?}");
}

#[tokio::test]
async fn the_api_reads_a_try_as_json_and_as_ndjson() {
    let world = seeded(Some(Role::Viewer)).await;
    let run = world.runs[0].replace(':', "%3A").replace('+', "%2B");
    let path = format!("/api/v2/dags/hourly/dagRuns/{run}/taskInstances/load/logs/1?map_index=2");
    let whole = world.get(&path).await.json();
    assert_eq!(whole["content"][0]["event"], "begins");
    assert_eq!(whole["content"].as_array().unwrap().len(), 2);
    assert_eq!(whole["continuation_token"], json!(null));
    let request =
        Request::get(&path).header(header::HOST, "localhost").header(header::ACCEPT, "application/x-ndjson");
    let lines = world.send(request, Body::empty()).await;
    assert_eq!(lines.headers[header::CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(lines.text.lines().count(), 2);
    let running = world.runs[2].replace(':', "%3A").replace('+', "%2B");
    let path = format!("/api/v2/dags/hourly/dagRuns/{running}/taskInstances/load/logs/1?map_index=0");
    let first = world.get(&path).await.json();
    let token = first["continuation_token"].as_str().expect("it still runs");
    let attempt = world.attempt(&seed::hourly(), 2, "load", 0).await;
    Seed { store: world.store.clone() }.log(attempt, now(), &[("stdout", "new".into())]).await;
    let more = world.get(&format!("{path}&token={token}")).await.json();
    assert_eq!(more["content"][0]["event"], "new");
    assert_eq!(world.get(&format!("{path}&token=x")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.get(&path.replace("/logs/1", "/logs/9")).await.status, StatusCode::NOT_FOUND);
}
