//! Whole nodes: sharing work, starting, stopping.

use super::fake::registry;
use super::world::{World, dag, service, task};
use crate::config::EngineConfig;
use crate::{Engine, Report, Stats, StoreClock};
use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Restart, TaskDef};
use model::{Clock, RunState};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The clock of whole nodes, whose loops turn by themselves.
struct WallClock(TimeDelta);

impl Clock for WallClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0
    }
}

pub struct Running {
    stats: Arc<Stats>,
    cancel: CancellationToken,
    ended: tokio::task::JoinHandle<crate::Result<Report>>,
}

impl Running {
    pub async fn start(world: &World, name: &str, change: impl FnOnce(&mut EngineConfig)) -> Running {
        Running::start_skewed(world, name, TimeDelta::zero(), change).await
    }

    /// On a machine whose clock is wrong.
    pub async fn start_skewed(
        world: &World,
        name: &str,
        skew: TimeDelta,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Running {
        let mut config = world.config(name);
        config.scheduler = true;
        change(&mut config);
        let store = Arc::new(world.store.clone());
        let clock = StoreClock::start(Arc::new(WallClock(skew)), store).await.expect("the store's time");
        let outside = world.outside.clone();
        let engine = Engine::new(world.store.clone(), registry(&world.fake), clock, outside, config);
        let cancel = CancellationToken::new();
        Running { stats: engine.stats(), cancel: cancel.clone(), ended: tokio::spawn(engine.run(cancel)) }
    }

    /// Waits for so many heartbeats.
    pub async fn has_beaten(&self, times: u64) {
        let beats = || self.stats.snapshot().loops.get("lease").map_or(0, |figures| figures.ticks);
        let beaten = async {
            while beats() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), beaten).await.expect("heartbeats");
    }

    pub async fn stop(self) -> Report {
        self.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.ended).await;
        ended.expect("it stops").expect("without a panic").expect("in good order")
    }
}

#[tokio::test]
async fn two_nodes_share_the_work_and_do_each_piece_once() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    let pieces = TaskDef {
        for_each: Some(model::for_each::ForEach::list((0..200).map(|item| json!(item)).collect())),
        ..task("piece", &[], json!({ "item": "{{ item }}" }))
    };
    let run = world.trigger(&dag("d", vec![pieces, task("after", &[0], json!({}))]), "r1").await;
    // Each hears its own bells only, so the one that ends the run is the one that learns of it.
    let state = tokio::select! {
        state = a.until_final(&world, &run) => state,
        state = b.until_final(&world, &run) => state,
    };
    assert_eq!(state, RunState::Success);
    let starts: Vec<_> =
        world.fake.events().into_iter().filter(|e| e.what == "start" && e.task == "piece").collect();
    let items: HashSet<i64> = starts.iter().map(|event| event.with["item"].as_i64().unwrap()).collect();
    assert_eq!((starts.len(), items.len()), (200, 200));
    assert_eq!(world.fake.starts().last().unwrap(), "after");
    for node in [&a, &b] {
        assert!(node.core.stats.snapshot().attempts_started > 0, "both had a part");
    }
    world.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_is_heard_and_its_tasks_run_without_anybody_turning_the_loops() {
    let world = World::new().await;
    let node = Running::start(&world, "a", |_| {}).await;
    let chain = (0..20usize).map(|at| {
        let needs: Vec<usize> = at.checked_sub(1).into_iter().collect();
        task(&format!("t{at}"), &needs, json!({ "log": ["a line"] }))
    });
    world.trigger(&dag("chain", chain.collect()), "r1").await;
    let last = world.fake.until("end", "t19", 1).await;
    let report = node.stop().await;
    assert_eq!(report.abandoned, 0);
    assert_eq!(report.stats.endings["done"], 20);
    assert_eq!(report.stats.lines_shipped, 20);
    assert_eq!(world.log(last.attempt_id).await, ["a line"]);
    assert!(report.stats.loops.values().all(|figures| figures.restarts == 0), "{:?}", report.stats.loops);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_tasks_finish_stops_services_and_says_goodbye() {
    let world = World::new().await;
    let node = Running::start(&world, "a", |_| {}).await;
    let tasks = vec![
        service("svc", Restart::Always, 3),
        task("long", &[], json!({ "do": "gate" })),
        task("after", &[1], json!({})),
        task("user", &[0, 2], json!({})),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    world.fake.until("start", "svc", 1).await;
    world.fake.until("start", "long", 1).await;
    world.fake.open("svc");
    let stopping = tokio::spawn(node.stop());
    world.fake.until("cancel", "svc", 1).await;
    assert_eq!(world.fake.count("cancel", "long"), 0, "a task may finish");
    world.fake.open("long");
    let report = stopping.await.unwrap();
    assert_eq!(report.abandoned, 0);
    assert_eq!(world.fake.count("end", "long"), 1);
    assert_eq!(world.fake.count("start", "after"), 0, "nothing new is taken");
    assert_eq!(world.state(&run).await, RunState::Running);
    // The next node goes on without waiting for any lease to run out.
    let next = Running::start(&world, "b", |_| {}).await;
    world.fake.until("start", "after", 1).await;
    world.fake.until("start", "svc", 2).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_ever() {
    let world = World::new().await;
    let node = Running::start(&world, "a", |config| {
        config.drain_grace = Duration::from_millis(50);
        config.stop_grace = Duration::from_millis(50);
    })
    .await;
    let tasks =
        vec![task("polite", &[], json!({ "do": "gate" })), task("rude", &[], json!({ "do": "stubborn" }))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    world.fake.until("start", "polite", 1).await;
    world.fake.until("start", "rude", 1).await;
    let report = node.stop().await;
    world.fake.until("cancel", "polite", 1).await;
    world.fake.until("gone", "rude", 1).await;
    assert_eq!(report.stats.endings["lost"], 2, "not the tasks' fault: done again elsewhere");
    assert_eq!(world.state(&run).await, RunState::Running);
}
