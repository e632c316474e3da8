//! What all waits have in common, and those that look into our own house.

use crate::support::{Bench, noon};
use bytes::Bytes;
use chrono::TimeDelta;
use model::{Outcome, RunState, TaskError, Window};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn poke(seconds: u64) -> Result<Outcome, TaskError> {
    Ok(Outcome::Poke { again_in: Duration::from_secs(seconds) })
}

fn done(outputs: Value) -> Result<Outcome, TaskError> {
    Ok(Outcome::Done { outputs })
}

#[tokio::test]
async fn time_is_waited_for_with_one_poke_that_ends_exactly_then() {
    let bench = Bench::new();
    let until = json!({"until": noon() + TimeDelta::milliseconds(90_500)});
    assert_eq!(
        bench.run("wait.time", until.clone()).await,
        Ok(Outcome::Poke { again_in: Duration::from_millis(90_500) })
    );
    assert_eq!(bench.run("wait.time", json!({"for": "10m"})).await, poke(600));
    bench.clock.advance(TimeDelta::seconds(200));
    assert!(matches!(bench.run("wait.time", until).await, Ok(Outcome::Done { .. })));
    assert_eq!(bench.run("wait.time", json!({"for": "10m"})).await, poke(400), "counted from the beginning");
    assert_eq!(bench.run("wait.time", json!({"for": 0})).await, done(json!({"until": noon()})));
}

#[tokio::test]
async fn what_cannot_be_a_time_is_found_when_the_file_is_loaded() {
    let bench = Bench::new();
    assert_eq!(bench.problems("wait.time", json!({})), [": give either `until` or `for`"]);
    assert_eq!(bench.problems("wait.time", json!({"until": "{{ window.end }}"})), Vec::<String>::new());
    let found = bench.problems("wait.time", json!({"for": "5 parsecs"}));
    assert!(found[0].starts_with("for: ") && found[0].contains("5 parsecs"), "{found:?}");
    let found = bench.problems("wait.time", json!({"until": "tomorrow"}));
    assert!(found[0].starts_with("until: "), "{found:?}");
}

#[tokio::test]
async fn the_last_look_comes_at_the_timeout_and_then_the_wait_fails() {
    let bench = Bench::new();
    let with = json!({"url": "landing/a.csv", "poll": "1m", "timeout": "90s"});
    assert_eq!(bench.run("wait.object", with.clone()).await, poke(60));
    bench.clock.advance(TimeDelta::seconds(60));
    assert_eq!(bench.run("wait.object", with.clone()).await, poke(30));
    bench.clock.advance(TimeDelta::seconds(30));
    let Err(TaskError::Fail(message)) = bench.run("wait.object", with).await else {
        panic!("fails for good")
    };
    assert_eq!(message, "landing/a.csv: 0 of 1 objects are there, and its timeout of 90s is over");
}

#[tokio::test]
async fn the_log_tells_a_state_once_and_each_change_of_it() {
    let bench = Bench::new();
    let with = json!({"dag": "other", "run_id": "r9"});
    for state in [None, None, Some(RunState::Queued), Some(RunState::Running), Some(RunState::Running)] {
        state.inspect(|state| bench.platform.put("other", "r9", *state));
        assert_eq!(bench.run("wait.run", with.clone()).await, poke(5));
    }
    assert_eq!(
        bench.told.text(),
        [
            "there is no such run of other yet; waiting",
            "run 'r9' of other is queued; waiting",
            "run 'r9' of other is running; waiting"
        ]
    );
}

#[tokio::test]
async fn failed_looks_are_borne_until_there_are_too_many_in_a_row() {
    let bench = Bench::new();
    let look = || bench.run("wait.run", json!({"dag": "other", "run_id": "r9"}));
    bench.platform.is_down.store(true, Ordering::Relaxed);
    for _ in 0..19 {
        assert_eq!(look().await, poke(5));
    }
    bench.platform.is_down.store(false, Ordering::Relaxed);
    assert_eq!(look().await, poke(5), "a good look ends the row");
    bench.platform.is_down.store(true, Ordering::Relaxed);
    for _ in 0..19 {
        assert_eq!(look().await, poke(5));
    }
    let Err(TaskError::Retry(message)) = look().await else { panic!("20 in a row end the try") };
    assert_eq!(message, "20 looks in a row failed, the last: the store does not answer");
    assert_eq!(look().await, poke(5), "and the next try begins to count again");
}

#[tokio::test]
async fn objects_count_when_there_are_enough_that_are_big_enough() {
    let bench = Bench::new();
    let with = json!({"url": "landing/*.csv", "count": 2, "min_bytes": 3});
    bench.lake.put_file("landing/a.csv", Bytes::from_static(b"1234")).await.unwrap();
    bench.lake.put_file("landing/b.csv", Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(bench.run("wait.object", with.clone()).await, poke(10));
    assert!(bench.told.text()[0].contains("1 of 2 objects are there and 1 that are too small"));
    bench.lake.put_file("landing/b.csv", Bytes::from_static(b"12345")).await.unwrap();
    let objects = json!(["memory:///landing/a.csv", "memory:///landing/b.csv"]);
    assert_eq!(
        bench.run("wait.object", with).await,
        done(json!({"count": 2, "bytes": 9, "objects": objects}))
    );
    let wrong = bench.run("wait.object", json!({"url": "ftp://host/a"})).await;
    assert!(matches!(wrong, Err(TaskError::Fail(_))), "waiting does not help: {wrong:?}");
}

#[tokio::test]
async fn a_query_is_waited_for_by_rows_truth_or_value() {
    let bench = Bench::new();
    let look = async |with: Value| bench.run("wait.sql", with).await;
    let query = |more: Value| {
        let mut with = json!({"query": "select n from (values (0), (7)) as v(n) where n >= $1 order by n"});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    };
    assert_eq!(look(query(json!({"params": [8]}))).await, poke(10), "no rows");
    assert_eq!(look(query(json!({"params": [0]}))).await, done(json!({"rows": 2, "value": 0})));
    assert_eq!(look(query(json!({"params": [0], "until": "truthy"}))).await, poke(10), "0 is not true");
    assert_eq!(
        look(query(json!({"params": [1], "until": "truthy"}))).await,
        done(json!({"rows": 1, "value": 7}))
    );
    assert_eq!(look(query(json!({"params": [0], "value": 7}))).await, poke(10));
    assert_eq!(
        look(query(json!({"params": [1], "value": "7"}))).await,
        done(json!({"rows": 1, "value": 7})),
        "a rendered text is as good as a number"
    );
    let wrong = look(json!({"query": "selct 1"})).await;
    assert!(matches!(wrong, Err(TaskError::Fail(_))), "waiting does not help: {wrong:?}");
}

#[tokio::test]
async fn a_group_is_waited_for_until_few_enough_records_are_left() {
    let bench = Bench::new();
    let with = json!({"group": "g", "topics": ["a", "b"], "at_most": 1});
    let tell = |lags: &[(&str, u64)]| {
        let lags = lags.iter().map(|(topic, lag)| (topic.to_string(), *lag)).collect::<BTreeMap<_, _>>();
        *bench.lags.lock().unwrap() = Ok(lags);
    };
    tell(&[("a", 0)]);
    assert_eq!(bench.run("wait.kafka-lag", with.clone()).await, poke(5), "b is not there");
    tell(&[("a", 1), ("b", 1)]);
    assert_eq!(bench.run("wait.kafka-lag", with.clone()).await, poke(5), "the sum counts");
    *bench.lags.lock().unwrap() = Err("no broker".to_string());
    assert_eq!(bench.run("wait.kafka-lag", with.clone()).await, poke(5), "that may pass");
    tell(&[("a", 1), ("b", 0)]);
    let outputs = json!({"lag": 1, "topics": {"a": 1, "b": 0}});
    assert_eq!(bench.run("wait.kafka-lag", with).await, done(outputs));
}

#[tokio::test]
async fn a_run_is_found_by_id_window_or_date_and_one_that_ended_otherwise_fails_the_wait() {
    let bench = Bench::new();
    let window = Window { start: noon() - TimeDelta::hours(1), end: noon() };
    bench.platform.put("other", &format!("of {}", window.start), RunState::Success);
    bench.platform.put("other", &format!("at {}", noon()), RunState::Running);
    let mut context = bench.context(json!({"dag": "other", "window": "same"}));
    context.window = Some(window);
    let found = bench.run_as("wait.run", context).await;
    let run_id = format!("of {}", window.start);
    assert_eq!(found, done(json!({"dag_id": "other", "run_id": run_id, "state": "success"})));
    let without = bench.run("wait.run", json!({"dag": "other", "window": "same"})).await;
    assert!(matches!(without, Err(TaskError::Fail(_))), "this run has no window: {without:?}");
    let by_date = json!({"dag": "other", "logical_date": noon()});
    assert_eq!(bench.run("wait.run", by_date.clone()).await, poke(5));
    bench.platform.put("other", &format!("at {}", noon()), RunState::Failed);
    assert!(matches!(bench.run("wait.run", by_date).await, Err(TaskError::Fail(_))));
    let wished = json!({"dag": "other", "logical_date": noon(), "states": ["success", "failed"]});
    assert!(matches!(bench.run("wait.run", wished).await, Ok(Outcome::Done { .. })));
}

#[tokio::test]
async fn a_wait_for_a_run_names_it_in_one_way_and_knows_its_states() {
    let bench = Bench::new();
    let problems = |with: Value| bench.problems("wait.run", with);
    assert_eq!(problems(json!({"dag": "a"})), [": give one of `run_id`, `window` and `logical_date`"]);
    let unknown = problems(json!({"dag": "a", "run_id": "r", "states": ["succes"]}));
    assert!(unknown[0].starts_with("states[0]: unknown variant `succes`"), "{unknown:?}");
    let empty = problems(json!({"dag": "a", "window": {"start": noon(), "end": noon()}}));
    assert!(empty[0].starts_with("window: ") && empty[0].contains("is empty"), "{empty:?}");
}
