//! Services: ready, restarted, drained.

use super::world::{World, dag, service, task};
use crate::config::EngineConfig;
use model::RunState;
use model::dag::{Restart, TaskDef};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn what_needs_a_service_waits_until_it_is_ready_and_then_starts_at_once() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let tasks = vec![service("svc", Restart::OnFailure, 2), task("user", &[0], json!({ "do": "gate" }))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("start", "svc", 1).await;
    node.turn().await;
    assert_eq!(world.fake.count("start", "user"), 0, "before it is ready");
    world.fake.open("svc");
    world.fake.until("start", "user", 1).await;
    world.fake.open("user");
    // Nothing needs it any more: it is drained, and that is its success.
    let user = world.fake.until("end", "user", 1).await;
    node.forgotten(user.attempt_id).await;
    node.lease_and_turn().await;
    world.fake.until("cancel", "svc", 1).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_kind_that_knows_nothing_of_services_is_ready_once_it_was_started() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let plain = TaskDef { uses: "fake".into(), ..service("svc", Restart::OnFailure, 2) };
    let plain = TaskDef { with: json!({ "do": "gate" }), ..plain };
    let run = world.trigger(&dag("d", vec![plain, task("user", &[0], json!({}))]), "r1").await;
    node.turn().await;
    world.fake.until("end", "user", 1).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
}

#[tokio::test]
async fn a_service_is_restarted_within_its_budget_and_then_fails() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![service("svc", Restart::OnFailure, 2)]), "r1").await;
    for start in 1..=3 {
        node.until(&world, ("start", "svc", start), 10).await;
        world.fake.open("svc");
        world.fake.open("svc");
        world.fake.until("end", "svc", start).await;
    }
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(world.fake.count("start", "svc"), 3, "one start and two restarts");
}

#[tokio::test]
async fn a_service_that_is_not_ready_in_time_has_failed() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![service("svc", Restart::Never, 0)]), "r1").await;
    node.turn().await;
    let attempt = world.fake.until("start", "svc", 1).await.attempt_id;
    for _ in 0..3 {
        world.advance(20);
        node.lease_and_turn().await;
    }
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(world.log(attempt).await, ["failed: not ready within 60s"]);
}

#[tokio::test]
async fn the_figures_of_a_service_are_stored() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![service("svc", Restart::Never, 0)]), "r1").await;
    node.turn().await;
    let attempt = world.fake.until("start", "svc", 1).await.attempt_id;
    world.fake.open("svc");
    let lag = async {
        loop {
            if let Some((status, _)) = world.store.service_status(attempt).await.unwrap() {
                return status["lag"].clone();
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), lag).await.expect("its figures"), 0);
    world.fake.open("svc");
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
}

#[tokio::test]
async fn services_and_tasks_do_not_take_each_others_slots() {
    let world = World::new().await;
    let config = EngineConfig { task_slots: 1, service_slots: 1, ..world.config("a") };
    let mut node = world.node_with(config).await;
    let tasks = vec![
        service("svc", Restart::Always, 1),
        task("one", &[], json!({ "do": "gate" })),
        task("two", &[], json!({ "do": "gate" })),
    ];
    world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("start", "svc", 1).await;
    world.fake.until("start", "one", 1).await;
    assert_eq!(world.fake.count("start", "two"), 0, "there is one slot for tasks");
    world.fake.open("one");
    world.fake.until("end", "one", 1).await;
    node.until(&world, ("start", "two", 1), 0).await;
}
