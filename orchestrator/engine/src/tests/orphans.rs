//! What a heartbeat takes for lost on its way to this node, and what it must not.

use super::world::{World, dag, service, task};
use crate::lease::Lease;
use crate::rounds::Round;
use chrono::TimeDelta;
use model::RunState;
use model::dag::{Restart, TaskDef};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PIECES: i32 = 200;

#[tokio::test]
async fn a_claim_that_began_after_the_heartbeat_is_waited_for() {
    let world = World::new().await;
    let (mut a, connection) = world.node_on_one_connection("a").await;
    let core = a.core.clone();
    let run = world.trigger(&dag("d", vec![task("t", &[], json!({}))]), "r1").await;
    // The heartbeat has begun and waits for the connection; meanwhile a claim is made whose answer takes its time.
    let mut ahead = Box::pin(connection.invariants());
    let mut looks = 0;
    while tokio::time::timeout(Duration::ZERO, &mut ahead).await.is_ok() {
        // The answer was there before anybody looked.
        looks += 1;
        assert!(looks < 1_000, "it never has the connection");
        ahead = Box::pin(connection.invariants());
    }
    let reservation = {
        let mut beat = a.lease.tick();
        assert!(tokio::time::timeout(Duration::ZERO, &mut beat).await.is_err(), "it waits");
        let reservation = core.slots.reserve(1);
        let claim = core.claim(&reservation).unwrap();
        let mut promoted = world.store.promote(world.now(), 10, Some(&claim)).await.unwrap();
        let claimed = std::mem::take(&mut promoted[0].1.claimed);
        assert_eq!(claimed.len(), 1);
        ahead.await.unwrap();
        beat.await.unwrap();
        (claimed, reservation)
    };
    a.lease.tick().await.unwrap();
    assert_eq!(core.stats.snapshot().orphans_returned, 0);
    let (claimed, reservation) = reservation;
    core.start(claimed, reservation);
    assert_eq!(a.until_final(&world, &run).await, RunState::Success);
    assert_eq!(core.stats.snapshot().endings, BTreeMap::from([("done", 1)]));
    let tries = world.store.attempts_of(run.id, 0, -1, 10).await.unwrap();
    let endings: Vec<&str> = tries.iter().map(|attempt| attempt.state.as_str()).collect();
    assert_eq!(endings, ["done"]);
    world.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_at_any_moment_take_nothing_away_from_a_node_that_is_well() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let chain = (0..20usize).map(|at| {
        let needs = if at == 0 { vec![0, 1] } else { vec![at + 2] };
        task(&format!("t{at}"), &needs, json!({}))
    });
    let pieces = TaskDef {
        for_each: Some(model::for_each::ForEach::list((0..PIECES).map(|item| json!(item)).collect())),
        ..task("piece", &[], json!({ "do": "poke_twice" }))
    };
    let services = ["svc1", "svc2"].map(|name| service(name, Restart::Always, 3));
    let tasks: Vec<TaskDef> = services.into_iter().chain([pieces]).chain(chain).collect();
    world.fake.open("svc1");
    world.fake.open("svc2");
    let run = world.trigger(&dag("d", tasks), "r1").await;
    let ended = CancellationToken::new();
    let mut lease = std::mem::replace(&mut node.lease, Lease::new(node.core.clone()));
    let beating = tokio::spawn({
        let ended = ended.clone();
        async move {
            while !ended.is_cancelled() {
                lease.tick().await.expect("a heartbeat");
            }
        }
    });
    let turning = async {
        while !world.state(&run).await.is_final() {
            world.clock.advance(TimeDelta::milliseconds(20));
            node.turn().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), turning).await;
    ended.cancel();
    beating.await.unwrap();
    let stats = node.core.stats.snapshot();
    assert!(in_time.is_ok(), "{stats:?}");
    assert_eq!(world.state(&run).await, RunState::Success);
    assert_eq!((stats.orphans_returned, stats.stale_results), (0, 0), "{stats:?}");
    assert_eq!(stats.endings.get("lost"), None);
    assert_eq!(
        world.fake.count("start", "piece"),
        3 * PIECES as usize,
        "each was poked twice, none began anew"
    );
    world.assert_sound().await;
}
