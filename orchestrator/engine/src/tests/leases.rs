//! Who may act for an attempt, and what happens to those who no longer may.

use super::world::{World, dag, retried, task};
use crate::config::EngineConfig;
use crate::rounds::Round;
use chrono::TimeDelta;
use model::RunState;
use model::dag::TaskDef;
use serde_json::json;
use std::time::Duration;
use store::attempts::Claim;

#[tokio::test]
async fn a_late_report_with_a_lost_lease_changes_nothing() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    let gated = retried(task("long", &[], json!({ "do": "stubborn" })), 3, Duration::from_secs(1));
    let run = world.trigger(&dag("d", vec![gated]), "r1").await;
    a.turn().await;
    let first = world.fake.until("start", "long", 1).await;
    // a freezes, b lives on and takes over.
    world.advance(20);
    b.lease.tick().await.unwrap();
    world.advance(20);
    b.lease.tick().await.unwrap();
    b.reaper.tick().await.unwrap();
    b.turn().await;
    world.advance(1);
    b.turn().await;
    let second = world.fake.until("start", "long", 2).await;
    assert_ne!(first.attempt_id, second.attempt_id);
    // a thaws, ends its work, and reports it before it learns anything.
    world.fake.open("long");
    world.fake.until("end", "long", 1).await;
    a.forgotten(first.attempt_id).await;
    assert_eq!(a.core.stats.snapshot().stale_results, 1);
    assert_eq!(world.state(&run).await, RunState::Running);
    world.fake.open("long");
    assert_eq!(b.until_final(&world, &run).await, RunState::Success);
    let tries = world.store.attempts_of(run.id, 0, -1, 10).await.unwrap();
    let endings: Vec<&str> = tries.iter().map(|attempt| attempt.state.as_str()).collect();
    assert_eq!(endings, ["lost", "done"]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_node_without_the_right_to_act_does_not_look_for_work_again_and_again() {
    let world = World::new().await;
    let mut a = world.node("a").await;
    a.turn().await;
    world.advance(26);
    a.core.bells.worker.ring();
    a.core.bells.worker.rung().await;
    a.worker.tick().await.unwrap();
    let rung = tokio::time::timeout(Duration::ZERO, a.core.bells.worker.rung()).await;
    assert!(rung.is_err(), "its own look must not wake it");
}

#[tokio::test]
async fn a_lost_attempt_has_no_deadline_any_more() {
    let world = World::new().await;
    let mut a = world.node("a").await;
    let short =
        TaskDef { timeout: Some(Duration::from_secs(5)), ..task("long", &[], json!({ "do": "stubborn" })) };
    world.trigger(&dag("d", vec![short]), "r1").await;
    a.turn().await;
    let live = a.core.all_live().remove(0);
    assert_eq!(live.sweep(world.now()), Some(world.now() + TimeDelta::seconds(5)));
    live.lose("the test says so");
    world.advance(6);
    assert_eq!(live.sweep(world.now()), None, "or the sweep would turn without a pause until it has ended");
}

#[tokio::test]
async fn a_node_that_was_given_up_kills_what_it_runs_and_begins_anew() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    let run = world.trigger(&dag("d", vec![task("long", &[], json!({ "do": "stubborn" }))]), "r1").await;
    a.turn().await;
    world.fake.until("start", "long", 1).await;
    let identity = a.core.node.id();
    world.advance(31);
    b.lease.tick().await.unwrap();
    b.reaper.tick().await.unwrap();
    a.lease.tick().await.unwrap();
    world.fake.until("gone", "long", 1).await;
    assert_ne!(a.core.node.id(), identity);
    world.fake.open("long");
    assert_eq!(b.until_final(&world, &run).await, RunState::Success);
    assert_eq!(world.fake.count("start", "long"), 2);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_node_that_hears_nothing_stops_before_others_may_take_over() {
    let world = World::new().await;
    let mut a = world.node("a").await;
    world.trigger(&dag("d", vec![task("long", &[], json!({ "do": "stubborn" }))]), "r1").await;
    a.turn().await;
    world.fake.until("start", "long", 1).await;
    world.advance(24);
    a.sweep.tick().await.unwrap();
    assert_eq!(world.fake.count("gone", "long"), 0);
    world.advance(1);
    // No store is asked, and its lease has five seconds left there.
    a.sweep.tick().await.unwrap();
    world.fake.until("gone", "long", 1).await;
    let (nodes, attempts) = world.store.expire_nodes(world.now(), super::world::TTL).await.unwrap();
    assert_eq!((nodes, attempts), (0, 0));
    a.worker.tick().await.unwrap();
    assert_eq!(world.fake.count("start", "long"), 1, "and takes nothing new");
}

#[tokio::test]
async fn an_attempt_that_was_taken_away_is_killed_at_the_next_heartbeat() {
    let world = World::new().await;
    let mut a = world.node("a").await;
    world.trigger(&dag("d", vec![task("long", &[], json!({ "do": "stubborn" }))]), "r1").await;
    a.turn().await;
    let attempt = world.fake.until("start", "long", 1).await.attempt_id;
    let lease = a.core.find_live(attempt).unwrap().lease;
    let lost = model::Ending::Lost;
    world.store.finish(attempt, lease, lost, None, None, world.now(), None).await.unwrap();
    a.lease.tick().await.unwrap();
    world.fake.until("gone", "long", 1).await;
    assert_eq!(world.fake.count("end", "long"), 0);
}

#[tokio::test]
async fn what_was_claimed_but_never_arrived_is_given_back() {
    let world = World::new().await;
    let mut a = world.node("a").await;
    let run = world.trigger(&dag("d", vec![task("t", &[], json!({}))]), "r1").await;
    // The answer to this claim is lost on its way.
    let claim = Claim {
        node: a.core.node.id(),
        queues: vec!["default".into()],
        routes: Vec::new(),
        slots: 8,
        service_slots: 8,
    };
    let promoted = world.store.promote(world.now(), 10, Some(&claim)).await.unwrap();
    assert_eq!(promoted.iter().map(|(_, advanced)| advanced.claimed.len()).sum::<usize>(), 1);
    a.turn().await;
    assert!(world.fake.starts().is_empty());
    // While a call is open, its answer may still come.
    let open = a.core.slots.reserve(1);
    a.lease.tick().await.unwrap();
    a.lease.tick().await.unwrap();
    assert_eq!(a.core.stats.snapshot().orphans_returned, 0);
    drop(open);
    a.lease.tick().await.unwrap();
    assert_eq!(a.core.stats.snapshot().orphans_returned, 1);
    assert_eq!(a.until_final(&world, &run).await, RunState::Success);
    assert_eq!(world.fake.count("start", "t"), 1);
}

#[tokio::test]
async fn only_one_node_has_a_duty_and_the_next_gets_it_when_it_ends() {
    let world = World::new().await;
    let (a, mut b) = (world.node("a").await, world.node("b").await);
    let duty = |node: &super::world::TestNode| {
        crate::duty::Duty::new("planner", node.core.store.clone(), node.core.node.clone(), super::world::TTL)
    };
    let (mut of_a, mut of_b) = (duty(&a), duty(&b));
    assert_eq!(of_a.hold(world.now()).await.unwrap(), Some(1));
    assert_eq!(of_b.hold(world.now()).await.unwrap(), None);
    let half = TimeDelta::seconds(15);
    assert_eq!(of_a.hold(world.now() + half).await.unwrap(), Some(1), "renewed");
    assert_eq!(of_b.hold(world.now() + half * 2).await.unwrap(), None);
    b.lease.tick().await.unwrap();
    assert_eq!(of_b.hold(world.now() + half * 4).await.unwrap(), Some(2), "with a new term");
    assert_eq!(of_a.hold(world.now() + half * 4).await.unwrap(), None);
    of_b.release().await.unwrap();
    assert_eq!(of_a.hold(world.now() + half * 4).await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_task_for_what_only_some_nodes_own_goes_to_one_that_owns_it() {
    let world = World::new().await;
    let owner = EngineConfig {
        routes: std::sync::Arc::new(std::sync::RwLock::new(vec!["warehouse".into()])),
        http_url: Some("http://127.0.0.1:1".into()),
        ..world.config("owner")
    };
    let (mut other, mut owner) = (world.node("other").await, world.node_with(owner).await);
    let routed = model::dag::TaskDef { route: Some("warehouse".into()), ..task("t", &[], json!({})) };
    let run = world.trigger(&dag("d", vec![routed]), "r1").await;
    other.turn().await;
    assert!(world.fake.starts().is_empty());
    let mut keeper = crate::routes::RouteKeeper::new(owner.core.clone());
    keeper.tick().await.unwrap();
    let url = world.store.duty_url("route:warehouse", world.now()).await.unwrap();
    assert_eq!(url, Some((owner.core.node.id(), "http://127.0.0.1:1".to_owned())));
    assert_eq!(owner.until_final(&world, &run).await, RunState::Success);
    owner.core.config.routes.write().unwrap().clear();
    keeper.tick().await.unwrap();
    assert_eq!(world.store.duty_url("route:warehouse", world.now()).await.unwrap(), None);
}
