//! `trigger`: one run for a task, whatever becomes of its tries.

use crate::support::{Bench, noon};
use chrono::TimeDelta;
use model::{Outcome, RunState, TaskError, Window};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn ids(bench: &Bench) -> Vec<String> {
    bench.platform.triggered.lock().unwrap().iter().map(|request| request.run_id.clone()).collect()
}

async fn try_number(bench: &Bench, number: i32, with: Value) -> Result<Outcome, TaskError> {
    let mut context = bench.context(with);
    context.try_number = number;
    bench.run_as("trigger", context).await
}

fn waiting() -> Value {
    json!({"dag": "other", "wait": true})
}

#[tokio::test]
async fn a_run_is_started_with_params_and_this_runs_window() {
    let bench = Bench::new();
    let window = Window { start: noon() - TimeDelta::hours(1), end: noon() };
    let mut context = bench.context(json!({"dag": "other", "params": {"n": 3}}));
    context.window = Some(window);
    context.map_index = 4;
    let outcome = bench.run_as("trigger", context.clone()).await;
    let outputs = json!({"dag_id": "other", "run_id": "d__r__t__4", "state": "queued"});
    assert_eq!(outcome, Ok(Outcome::Done { outputs }));
    let request = bench.platform.triggered.lock().unwrap().pop().unwrap();
    assert_eq!((request.params, request.window), (json!({"n": 3}), Some(window)));
    assert_eq!(request.requested_by, "d/r/t");
    context.with = json!({"dag": "other", "run_id": "mine", "window": "none"});
    bench.run_as("trigger", context).await.unwrap();
    let request = bench.platform.triggered.lock().unwrap().pop().unwrap();
    assert_eq!((request.run_id.as_str(), request.window), ("mine", None));
}

#[tokio::test]
async fn waiting_goes_on_until_the_run_has_ended() {
    let bench = Bench::new();
    assert!(matches!(bench.run("trigger", waiting()).await, Ok(Outcome::Poke { .. })));
    bench.platform.put("other", "d__r__t", RunState::Running);
    assert!(matches!(bench.run("trigger", waiting()).await, Ok(Outcome::Poke { .. })));
    bench.platform.put("other", "d__r__t", RunState::Success);
    let outputs = json!({"dag_id": "other", "run_id": "d__r__t", "state": "success"});
    assert_eq!(bench.run("trigger", waiting()).await, Ok(Outcome::Done { outputs }));
    assert_eq!(ids(&bench), ["d__r__t"], "looking again starts nothing");
}

#[tokio::test]
async fn a_later_try_starts_another_run_only_where_the_one_before_did_not_end_well() {
    let bench = Bench::new();
    try_number(&bench, 1, waiting()).await.unwrap();
    // The first try was lost; its run goes on and the second try finds it.
    assert!(matches!(try_number(&bench, 2, waiting()).await, Ok(Outcome::Poke { .. })));
    assert_eq!(ids(&bench), ["d__r__t"]);
    bench.platform.put("other", "d__r__t", RunState::Failed);
    assert!(matches!(try_number(&bench, 3, waiting()).await, Ok(Outcome::Poke { .. })));
    assert_eq!(ids(&bench), ["d__r__t", "d__r__t__try3"]);
    bench.platform.put("other", "d__r__t__try3", RunState::Success);
    let Ok(Outcome::Done { outputs }) = try_number(&bench, 3, waiting()).await else {
        panic!("it ended well")
    };
    assert_eq!(outputs["run_id"], "d__r__t__try3");
}

#[tokio::test]
async fn a_failed_run_fails_the_try_and_a_cancelled_one_the_task() {
    let bench = Bench::new();
    bench.run("trigger", waiting()).await.unwrap();
    bench.platform.put("other", "d__r__t", RunState::Failed);
    let failed = Err(TaskError::Retry("run 'd__r__t' of other is failed".to_string()));
    assert_eq!(bench.run("trigger", waiting()).await, failed);
    bench.platform.put("other", "d__r__t", RunState::Cancelled);
    assert!(matches!(bench.run("trigger", waiting()).await, Err(TaskError::Fail(_))));
    assert_eq!(ids(&bench).len(), 1, "the same try starts no second run");
}

#[tokio::test]
async fn a_refusal_fails_and_a_store_that_does_not_answer_is_asked_again() {
    let bench = Bench::new();
    let refused = bench.run("trigger", json!({"dag": "nowhere"})).await;
    assert_eq!(refused, Err(TaskError::Fail("there is no dag 'nowhere'".to_string())));
    bench.platform.is_down.store(true, Ordering::Relaxed);
    assert!(matches!(bench.run("trigger", json!({"dag": "other"})).await, Ok(Outcome::Poke { .. })));
    bench.platform.is_down.store(false, Ordering::Relaxed);
    assert!(matches!(bench.run("trigger", json!({"dag": "other"})).await, Ok(Outcome::Done { .. })));
}

#[test]
fn keys_of_waiting_without_waiting_are_found_when_the_file_is_loaded() {
    let found = Bench::new().problems("trigger", json!({"dag": "other", "timeout": "1h"}));
    assert_eq!(found, ["timeout: `timeout` is for `wait: true`"]);
}
