//! `wait.watermark`.

use crate::support::{Bench, noon};
use chrono::TimeDelta;
use lake::Watermark;
use model::{Outcome, TaskError};
use serde_json::json;

async fn complete(bench: &Bench, topic: &str, at: chrono::DateTime<chrono::Utc>) {
    bench.lake.put_watermark(topic, 0, Watermark { at, next_offset: 1, partitions: 1 }).await.unwrap();
}

#[tokio::test]
async fn the_slowest_topic_decides() {
    let bench = Bench::new();
    let with = json!({"assets": ["lake/a", "lake/b"], "at": noon()});
    complete(&bench, "a", noon()).await;
    assert!(
        matches!(bench.run("wait.watermark", with.clone()).await, Ok(Outcome::Poke { .. })),
        "b has no watermark"
    );
    complete(&bench, "b", noon() - TimeDelta::seconds(1)).await;
    assert!(
        matches!(bench.run("wait.watermark", with.clone()).await, Ok(Outcome::Poke { .. })),
        "b is a second behind"
    );
    complete(&bench, "b", noon()).await;
    assert!(matches!(bench.run("wait.watermark", with).await, Ok(Outcome::Done { .. })));
}

#[tokio::test]
async fn after_its_timeout_it_fails_and_names_the_topic() {
    let bench = Bench::new();
    let with = json!({"assets": ["lake/a"], "at": noon(), "timeout": 0});
    let Err(TaskError::Fail(message)) = bench.run("wait.watermark", with).await else {
        panic!("fails for good")
    };
    assert!(message.contains("lake/a has no watermark yet"), "{message}");
}
