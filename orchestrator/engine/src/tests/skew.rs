//! Nodes whose clocks are wrong by minutes: leases, ticks and waits go by the store's time.

use super::nodes::Running;
use super::world::{World, dag, retried, task, until_later, utc};
use crate::rounds::Round;
use chrono::TimeDelta;
use model::RunState;
use model::dag::{Catchup, Dag, Schedule};
use serde_json::json;
use std::time::Duration;

const WRONG: TimeDelta = TimeDelta::minutes(5);

#[tokio::test]
async fn nodes_whose_clocks_are_five_minutes_wrong_keep_their_leases_and_plan_each_tick_once() {
    let world = World::new().await;
    let mut ahead = world.node_with_skew("ahead", WRONG).await;
    let mut behind = world.node_with_skew("behind", -WRONG).await;
    let hourly = Dag {
        schedule: Schedule::Cron { expressions: vec!["5 * * * *".into()], timezone: "UTC".into() },
        ..dag("hourly", vec![task("t", &[], json!({}))])
    };
    world
        .store
        .register_dag("hourly.yaml", &Dag { catchup: Catchup::All, ..hourly }, "s", world.now())
        .await
        .unwrap();
    let long = |id: &str| dag(id, vec![retried(task(id, &[], json!({ "do": "gate" })), 3, Duration::ZERO)]);
    let first = world.trigger(&long("first"), "r1").await;
    ahead.turn().await;
    let second = world.trigger(&long("second"), "r1").await;
    behind.turn().await;
    for step in 0..36 {
        for node in [&mut ahead, &mut behind] {
            node.lease.tick().await.unwrap();
            node.reaper.tick().await.unwrap();
            until_later(&mut node.planner).await;
            until_later(&mut node.sweep).await;
        }
        let planned = world.store.ticks("hourly", None, 10).await.unwrap().len();
        assert_eq!(planned, usize::from(world.now() >= utc("2026-11-22T10:05:00Z")), "step {step}");
        world.advance(10);
    }
    for (node, run) in [(&mut ahead, &first), (&mut behind, &second)] {
        world.fake.open(&run.dag_id);
        assert_eq!(node.until_final(&world, run).await, RunState::Success);
        assert_eq!(world.fake.count("start", &run.dag_id), 1, "its lease was never in doubt");
    }
    let run = world.store.run("hourly", "scheduled__2026-11-22T10:05:00+00:00").await.unwrap().unwrap();
    assert_eq!(run.queued_at, utc("2026-11-22T10:05:00Z"));
    world.assert_sound().await;
}

#[tokio::test]
async fn nobody_is_given_up_because_the_clock_of_the_store_was_set() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    let ids = [a.core.node.id(), b.core.node.id()];
    for step in [600, -600] {
        world.set_store_clock(step);
        for _ in 0..10 {
            // One learns of it first, and its reaper comes before the other's heartbeat.
            for node in [&mut a, &mut b] {
                node.lease.tick().await.unwrap();
                node.reaper.tick().await.unwrap();
            }
            world.advance(5);
        }
    }
    assert_eq!([a.core.node.id(), b.core.node.id()], ids, "who is given up begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_nodes_whose_clocks_are_five_minutes_wrong_work_together() {
    let world = World::new().await;
    let quick = |config: &mut crate::EngineConfig| config.lease_ttl = Duration::from_millis(1_500);
    let nodes = [
        Running::start_skewed(&world, "ahead", WRONG, quick).await,
        Running::start_skewed(&world, "behind", -WRONG, quick).await,
    ];
    let tasks = (0..4usize).map(|at| task(&format!("t{at}"), &[], json!({ "do": "gate" }))).collect();
    let now = world.store.clock().await.unwrap();
    let run = world.trigger_at(&dag("d", tasks), "r1", now).await;
    for at in 0..4 {
        world.fake.until("start", &format!("t{at}"), 1).await;
    }
    // Long enough for either to be given up, if its time were not the others'.
    for node in &nodes {
        node.has_beaten(8).await;
    }
    for at in 0..4 {
        world.fake.open(&format!("t{at}"));
        world.fake.until("end", &format!("t{at}"), 1).await;
    }
    for node in nodes {
        let report = node.stop().await;
        assert_eq!(report.stats.endings.get("lost"), None);
        assert_eq!(report.stats.loops["lease"].errors, 0);
    }
    assert_eq!(world.state(&run).await, RunState::Success);
    assert_eq!(world.fake.starts().len(), 4, "each once");
}
