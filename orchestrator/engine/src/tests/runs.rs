//! What becomes of tasks.

use super::world::{World, dag, retried, task, until_later};
use crate::config::EngineConfig;
use crate::rounds::Round;
use model::RunState;
use model::dag::TaskDef;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_chain_runs_to_its_end_in_one_slot_without_a_look_in_between() {
    let world = World::new().await;
    let mut node = world.node_with(EngineConfig { task_slots: 1, ..world.config("a") }).await;
    let tasks = ["t0", "t1", "t2", "t3", "t4"];
    let chain = tasks.iter().enumerate().map(|(at, id)| {
        let needs: Vec<usize> = at.checked_sub(1).into_iter().collect();
        task(id, &needs, json!({}))
    });
    let run = world.trigger(&dag("chain", chain.collect()), "r1").await;
    // The ring of the registration.
    node.core.bells.driver.rung().await;
    until_later(&mut node.driver).await;
    // From here on nobody looks: each end brings its successor.
    node.core.bells.driver.rung().await;
    assert_eq!(world.state(&run).await, RunState::Success);
    assert_eq!(world.fake.starts(), tasks);
}

#[tokio::test]
async fn a_failed_try_is_tried_again_after_its_delay_and_not_before() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let flaky = retried(task("flaky", &[], json!({ "do": "fail_once" })), 2, Duration::from_secs(10));
    let run = world.trigger(&dag("d", vec![flaky]), "r1").await;
    node.turn().await;
    let first = world.fake.until("end", "flaky", 1).await;
    // No bell need ring: the driver may have seen the end in the same look that started it.
    node.forgotten(first.attempt_id).await;
    world.advance(4);
    node.turn().await;
    assert_eq!(world.fake.count("start", "flaky"), 1, "before the delay is over");
    world.advance(20);
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    let tries: Vec<i32> =
        world.fake.events().iter().filter(|e| e.what == "start").map(|e| e.try_number).collect();
    assert_eq!(tries, [1, 2]);
}

#[tokio::test]
async fn an_error_that_cannot_pass_is_not_tried_again() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let broken = retried(task("broken", &[], json!({ "do": "fail_for_good" })), 5, Duration::ZERO);
    let run = world.trigger(&dag("d", vec![broken, task("after", &[0], json!({}))]), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(world.fake.starts(), ["broken"]);
    let attempt = world.fake.events()[0].attempt_id;
    assert_eq!(world.log(attempt).await, ["failed for good: it will never work"]);
}

#[tokio::test]
async fn a_panic_fails_the_attempt_with_its_text_and_nothing_else() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let tasks = vec![task("broken", &[], json!({ "do": "panic" })), task("other", &[], json!({}))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    let attempt = world.fake.until("gone", "broken", 1).await.attempt_id;
    assert_eq!(world.log(attempt).await, ["failed for good: panicked: the kind is broken"]);
    assert_eq!(world.fake.count("end", "other"), 1);
}

#[tokio::test]
async fn a_timeout_asks_first_and_abandons_after_the_grace() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let timed = |id: &str, how: &str| TaskDef {
        timeout: Some(Duration::from_secs(5)),
        ..task(id, &[], json!({ "do": how }))
    };
    let run = world.trigger(&dag("d", vec![timed("polite", "gate"), timed("rude", "stubborn")]), "r1").await;
    node.turn().await;
    world.fake.until("start", "polite", 1).await;
    world.fake.until("start", "rude", 1).await;
    world.advance(4);
    node.turn().await;
    assert_eq!(world.fake.count("cancel", "polite"), 0, "before the timeout");
    world.advance(1);
    node.turn().await;
    world.fake.until("cancel", "polite", 1).await;
    assert_eq!(world.fake.count("gone", "rude"), 0, "within its grace");
    world.advance(10);
    node.turn().await;
    let rude = world.fake.until("gone", "rude", 1).await.attempt_id;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(
        world.log(rude).await,
        ["timed out: timed out after 5s and did not stop within 10s; abandoned"]
    );
    assert_eq!(node.core.stats.snapshot().endings["timed_out"], 2);
}

#[tokio::test]
async fn a_cancelled_run_stops_what_is_live_and_starts_nothing_more() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let tasks = vec![task("long", &[], json!({ "do": "gate" })), task("after", &[0], json!({}))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("start", "long", 1).await;
    world.store.request_cancel("d", "r1", "test", world.now()).await.unwrap();
    node.turn().await;
    node.lease.tick().await.unwrap();
    world.fake.until("cancel", "long", 1).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Cancelled);
    assert_eq!(world.fake.starts(), ["long"]);
    assert_eq!(node.core.stats.snapshot().endings["cancelled"], 1);
}

#[tokio::test]
async fn a_poked_wait_gives_its_slot_back_meanwhile() {
    let world = World::new().await;
    let mut node = world.node_with(EngineConfig { task_slots: 1, ..world.config("a") }).await;
    let tasks = vec![task("wait", &[], json!({ "do": "poke_once" })), task("other", &[], json!({}))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.until(&world, ("end", "other", 1), 0).await;
    assert_eq!(world.fake.count("start", "wait"), 1);
    world.advance(30);
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert_eq!(world.fake.count("start", "wait"), 2);
}

#[tokio::test]
async fn a_task_without_a_known_kind_or_with_a_bad_template_fails_with_the_reason() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let unknown = TaskDef { uses: "teleport".into(), ..task("unknown", &[], json!({})) };
    let run = world.trigger(&dag("kinds", vec![unknown]), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    let bad = task("bad", &[], json!({ "url": "{{ conn.chat.url }}" }));
    let run = world.trigger(&dag("templates", vec![bad]), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert!(world.fake.starts().is_empty());
    assert_eq!(node.core.stats.snapshot().endings["failed_for_good"], 2);
}

#[tokio::test]
async fn templates_see_outputs_and_secrets_and_logs_hide_the_secrets() {
    let world = World::new().await;
    let config = EngineConfig { secrets: [("key".into(), "s3cret".into())].into(), ..world.config("a") };
    let mut node = world.node_with(config).await;
    let tasks = vec![
        task("make", &[], json!({ "outputs": { "rows": 7 } })),
        task(
            "use",
            &[0],
            json!({ "rows": "{{ tasks.make.outputs.rows }}", "log": ["key={{ secret.key }}", "last"] }),
        ),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    let used = world.fake.until("start", "use", 1).await;
    assert_eq!(used.with["rows"], 7);
    assert_eq!(used.with["log"][0], "key=s3cret");
    assert_eq!(
        world.log(used.attempt_id).await,
        ["key=***", "last"],
        "all lines are there when the run is final"
    );
}

#[tokio::test]
async fn a_change_of_the_dag_does_not_touch_a_run_that_has_begun() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let before = dag("d", vec![task("first", &[], json!({ "do": "gate" })), task("old", &[0], json!({}))]);
    let run = world.trigger(&before, "r1").await;
    node.turn().await;
    world.fake.until("start", "first", 1).await;
    let after = dag("d", vec![task("first", &[], json!({})), task("new", &[0], json!({}))]);
    let second = world.trigger(&after, "r2").await;
    world.fake.open("first");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert_eq!(node.until_final(&world, &second).await, RunState::Success);
    assert_eq!((world.fake.count("start", "old"), world.fake.count("start", "new")), (1, 1));
}

#[tokio::test]
async fn checks_are_stored_before_the_end_is_reported() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![task("check", &[], json!({ "do": "check" }))]), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    let checks = world.store.checks_of_run(run.id).await.unwrap();
    assert_eq!(checks.len(), 1);
}
