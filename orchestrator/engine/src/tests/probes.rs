//! Probes of services: the dag says how to tell that one is ready, and that it still lives.

use super::world::{World, dag, service, task};
use model::RunState;
use model::dag::{Restart, Service, TaskDef};
use model::probe::{Ask, Liveness, Probe};
use serde_json::{Value, json};
use std::time::Duration;

const URL: &str = "http://127.0.0.1:9/ready";

fn probe(ask: Ask) -> Probe {
    Probe { ask, every: Duration::from_millis(2), timeout: Duration::from_secs(2) }
}

fn http(url: &str) -> Probe {
    probe(Ask::Http(url.to_owned()))
}

/// A service that listens until it is stopped, and says at once that it is ready.
fn listening(with: Value, ready: Option<Probe>, live: Option<Probe>, budget: u32) -> TaskDef {
    let base = service("svc", Restart::OnFailure, budget);
    let live = live.map(|probe| Liveness { probe, failures: 3 });
    let service = base.service.clone().map(|service| Service { ready, live, ..service });
    let mut with = with;
    with["do"] = json!("listen");
    TaskDef { service, with, ..base }
}

#[tokio::test]
async fn a_service_is_ready_when_its_probe_says_so_whatever_its_kind_says() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let url = "{{ var.base }}/ready".to_owned();
    let tasks = vec![
        listening(json!({ "ready": true }), Some(http(&url)), None, 0),
        task("user", &[0], json!({ "do": "gate" })),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.outside.asked(URL, 3).await;
    node.turn().await;
    assert_eq!(world.fake.count("start", "user"), 0, "its kind said that it is ready long ago");
    world.outside.answer(URL, Ok(()));
    world.fake.until("start", "user", 1).await;
    world.fake.open("user");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
}

#[tokio::test]
async fn a_service_that_does_not_become_ready_says_what_it_answered() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![listening(json!({}), Some(http(URL)), None, 0)]), "r1").await;
    world.outside.answer(URL, Err("it answers 503"));
    node.turn().await;
    let attempt = world.fake.until("start", "svc", 1).await.attempt_id;
    world.outside.asked(URL, 2).await;
    world.advance(61);
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(world.log(attempt).await, ["failed: not ready within 60s (the last answer: it answers 503)"]);
}

#[tokio::test]
async fn a_line_of_its_log_makes_a_service_ready() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let ready = probe(Ask::Log("listening on .*:[0-9]+".to_owned()));
    let with = json!({ "log": ["warming up", "now listening on 127.0.0.1:80"] });
    let tasks = vec![listening(with, Some(ready), None, 0), task("user", &[0], json!({}))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("start", "user", 1).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
}

#[tokio::test]
async fn a_service_is_ready_when_its_lag_is_small_enough() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let with = json!({ "statuses": [{ "lag": 500 }, { "lag": 11 }, { "lag": 10 }] });
    let tasks = vec![
        listening(with, Some(probe(Ask::Lag(10))), None, 0),
        task("user", &[0], json!({ "do": "gate" })),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("told", "svc", 1).await;
    world.fake.open("svc");
    world.fake.until("told", "svc", 2).await;
    node.turn().await;
    assert_eq!(world.fake.count("start", "user"), 0, "11 is more than 10");
    world.fake.open("svc");
    world.fake.until("start", "user", 1).await;
    world.fake.open("user");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_restarted_within_its_budget_and_then_fails() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    world.outside.answer(URL, Ok(()));
    let run = world
        .trigger(&dag("d", vec![listening(json!({ "ready": true }), None, Some(http(URL)), 1)]), "r1")
        .await;
    node.turn().await;
    let first = world.fake.until("start", "svc", 1).await.attempt_id;
    world.outside.asked(URL, 5).await;
    assert_eq!(world.fake.count("cancel", "svc"), 0, "it lives");
    world.outside.answer(URL, Err("timed out"));
    world.fake.until("cancel", "svc", 1).await;
    node.until(&world, ("start", "svc", 2), 10).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(world.fake.count("start", "svc"), 2, "one start and one restart");
    let log = world.log(first).await;
    assert_eq!(log.last().unwrap(), "failed: not alive: 3 bad answers in a row, the last: timed out");
    assert!(log.iter().any(|line| line == "does it live? bad answer 2 of 3: timed out"), "{log:?}");
    assert!(node.core.stats.snapshot().bad_answers >= 6);
}

#[tokio::test]
async fn one_bad_answer_is_forgiven_when_a_good_one_follows() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    world.outside.answer(URL, Ok(()));
    let lives = listening(json!({ "ready": true }), None, Some(http(URL)), 0);
    let run = world.trigger(&dag("d", vec![lives, task("user", &[0], json!({ "do": "gate" }))]), "r1").await;
    node.turn().await;
    world.fake.until("start", "user", 1).await;
    world.outside.alternate(URL);
    world.outside.asked(URL, 20).await;
    world.fake.open("user");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert!(node.core.stats.snapshot().bad_answers >= 5);
}

#[tokio::test]
async fn a_service_that_tells_no_figures_any_more_is_not_alive() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let live = Probe { every: Duration::from_millis(20), ..probe(Ask::Lag(10)) };
    let with = json!({ "ready": true, "statuses": [{ "lag": 1 }] });
    let run = world.trigger(&dag("d", vec![listening(with, None, Some(live), 0)]), "r1").await;
    node.turn().await;
    let attempt = world.fake.until("start", "svc", 1).await.attempt_id;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    let log = world.log(attempt).await;
    assert!(log.last().unwrap().ends_with("the last: it has told no lag since the last look"), "{log:?}");
}
