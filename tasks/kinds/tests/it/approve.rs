//! `approve`: what a decision, or none in time, means for the task.

use crate::support::Bench;
use chrono::TimeDelta;
use model::platform::Approval;
use model::{Outcome, TaskError};
use serde_json::{Value, json};
use std::time::Duration;

fn poke(seconds: u64) -> Result<Outcome, TaskError> {
    Ok(Outcome::Poke { again_in: Duration::from_secs(seconds) })
}

fn ask(more: Value) -> Value {
    let mut with = json!({"prompt": "Publish?"});
    with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    with
}

#[tokio::test]
async fn a_decision_is_waited_for_without_polling_and_its_words_become_outputs() {
    let bench = Bench::new();
    assert_eq!(bench.run("approve", ask(json!({}))).await, poke(3600));
    assert_eq!(bench.run("approve", ask(json!({"timeout": "20m"}))).await, poke(1200));
    let (who, comment) = ("ann".to_string(), "looks right".to_string());
    *bench.platform.approval.lock().unwrap() = Some(Approval::Approved { who, comment });
    let outputs = json!({"who": "ann", "comment": "looks right"});
    assert_eq!(bench.run("approve", ask(json!({}))).await, Ok(Outcome::Done { outputs }));
}

#[tokio::test]
async fn a_rejection_fails_or_skips() {
    let bench = Bench::new();
    let (who, comment) = ("ann".to_string(), "wrong day".to_string());
    *bench.platform.approval.lock().unwrap() = Some(Approval::Rejected { who, comment });
    let reason = "rejected by ann: wrong day".to_string();
    assert_eq!(bench.run("approve", ask(json!({}))).await, Err(TaskError::Fail(reason.clone())));
    assert_eq!(
        bench.run("approve", ask(json!({"on_reject": "skip"}))).await,
        Ok(Outcome::Skipped { reason })
    );
}

#[tokio::test]
async fn when_the_time_is_over_the_file_says_what_counts() {
    let bench = Bench::new();
    bench.clock.advance(TimeDelta::minutes(20));
    let late = async |more: Value| {
        let mut with = ask(json!({"timeout": "20m"}));
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.run("approve", with).await
    };
    let comment = "nobody decided within 1200s";
    assert_eq!(late(json!({})).await, Err(TaskError::Fail(comment.to_string())));
    let outputs = json!({"who": "timeout", "comment": comment});
    assert_eq!(late(json!({"on_timeout": "approve"})).await, Ok(Outcome::Done { outputs }));
    let reason = format!("rejected by timeout: {comment}");
    assert_eq!(late(json!({"on_timeout": "reject"})).await, Err(TaskError::Fail(reason.clone())));
    let skipped = late(json!({"on_timeout": "reject", "on_reject": "skip"})).await;
    assert_eq!(skipped, Ok(Outcome::Skipped { reason }));
}

#[test]
fn words_that_it_does_not_know_are_found_when_the_file_is_loaded() {
    let bench = Bench::new();
    let found = bench.problems("approve", ask(json!({"on_reject": "ignore"})));
    assert!(found[0].starts_with("on_reject: unknown variant `ignore`"), "{found:?}");
    let found = bench.problems("approve", ask(json!({"on_timeout": "reject"})));
    assert_eq!(found, ["on_timeout: `timeout` is missing"]);
}
