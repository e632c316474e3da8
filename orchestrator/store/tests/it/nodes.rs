//! Nodes live by their heartbeat; what a dead one held moves on; duties have one owner.

use crate::support::{at, dag, now, service, task, wide, world};
use model::Ending;
use std::time::Duration;
use store::Error;
use uuid::Uuid;

const TTL: Duration = Duration::from_secs(30);

#[tokio::test]
async fn everything_a_dead_node_held_moves_on() {
    let world = world().await;
    let waits = task("waits", &[]);
    let run =
        world.started(&dag("d", vec![task("a", &[]), service("s", &[]), waits, task("after", &[0])])).await;
    let mut claimed = world.claim(9).await;
    let poked = claimed.pop().unwrap();
    world.end(&poked, Ending::Poke { again_in: Duration::from_secs(600) }, at(1)).await;
    world.store.heartbeat(world.node, at(10)).await.unwrap();
    assert_eq!(world.store.expire_nodes(at(40), TTL).await.unwrap(), (0, 0), "not dead yet");
    assert_eq!(world.store.expire_nodes(at(41), TTL).await.unwrap(), (1, 2));
    assert_eq!(world.store.expire_nodes(at(41), TTL).await.unwrap(), (0, 0), "once is enough");
    let (due, _) = world.store.due_runs(at(100), 10).await.unwrap();
    for run in due {
        world.store.advance(run, at(100), None).await.unwrap();
    }
    assert_eq!(
        world.states(run).await[..3],
        ["a=queued", "s=queued", "waits=up_for_reschedule"],
        "what was lost is tried again, what waited still waits"
    );
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_successor_of_the_same_name_need_not_wait_for_leases() {
    let world = world().await;
    let run = world.started(&wide("d", 2)).await;
    assert_eq!(world.claim(9).await.len(), 2);
    world.store.hold_duty("planner", world.node, at(1), TTL).await.unwrap();
    let name = world.store.health(at(1)).await.unwrap().nodes[0].name.clone();
    assert_eq!(world.store.succeed_nodes_named("somebody else", at(2)).await.unwrap(), 0);
    assert_eq!(world.store.succeed_nodes_named(&name, at(2)).await.unwrap(), 2);
    let successor = Uuid::from_u128(77);
    assert!(world.store.hold_duty("planner", successor, at(2), TTL).await.unwrap().is_some());
    world.store.advance(run, at(2), None).await.unwrap();
    assert!(
        world.states(run).await.iter().all(|state| state.ends_with("=queued")),
        "they are tried again at once"
    );
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_task_that_kills_every_node_fails_in_the_end() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let mut losses = 0;
    for round in 1..100i64 {
        let now = at(round * 1000);
        let node = Uuid::from_u128(1000 + round.unsigned_abs() as u128);
        world.register(node).await;
        world.store.heartbeat(node, now).await.unwrap();
        world.store.advance(run, now, None).await.unwrap();
        let claim = store::attempts::Claim { node, ..world.slots(1) };
        if world.store.claim(&claim, now).await.unwrap().is_empty() {
            break;
        }
        losses += 1;
        world.store.expire_nodes(at(round * 1000 + 500), TTL).await.unwrap();
    }
    assert_eq!(losses, model::ending::LOSSES_MAX);
    assert_eq!(world.states(run).await, ["t0=failed"]);
}

#[tokio::test]
async fn a_node_that_leaves_gives_up_what_it_holds_at_once() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    world.claim_one().await;
    world.store.hold_duty("planner", world.node, now(), TTL).await.unwrap();
    world.store.deregister_node(world.node, at(1)).await.unwrap();
    assert_ne!(world.states(run).await, ["t0=running"]);
    let next = Uuid::from_u128(2);
    assert_eq!(world.store.hold_duty("planner", next, at(1), TTL).await.unwrap(), Some(2));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_node_that_was_given_up_learns_it_from_its_heartbeat() {
    let world = world().await;
    world.started(&wide("d", 1)).await;
    let attempt = world.claim_one().await;
    let heartbeat = world.store.heartbeat(world.node, at(1)).await.unwrap();
    assert_eq!((heartbeat.given_up, heartbeat.held), (false, vec![(attempt.attempt_id, attempt.lease)]));
    world.store.expire_nodes(at(100), TTL).await.unwrap();
    let heartbeat = world.store.heartbeat(world.node, at(100)).await.unwrap();
    assert!(heartbeat.given_up && heartbeat.held.is_empty());
    assert!(world.store.heartbeat(Uuid::from_u128(77), at(1)).await.unwrap().given_up, "never registered");
    world.register(world.node).await;
    assert!(!world.store.heartbeat(world.node, at(101)).await.unwrap().given_up);
}

#[tokio::test]
async fn a_heartbeat_never_goes_back_in_time() {
    let world = world().await;
    world.store.heartbeat(world.node, at(50)).await.unwrap();
    world.store.heartbeat(world.node, at(20)).await.unwrap();
    assert_eq!(world.store.expire_nodes(at(70), TTL).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_duty_has_one_owner_and_its_term_grows_with_each_change() {
    let world = world().await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world.register(two).await;
    let hold = |node, seconds| world.store.hold_duty("planner", node, at(seconds), TTL);
    assert_eq!(hold(one, 0).await.unwrap(), Some(1));
    assert_eq!(hold(two, 1).await.unwrap(), None);
    assert_eq!(hold(one, 20).await.unwrap(), Some(1));
    assert_eq!(hold(two, 49).await.unwrap(), None);
    let url = world.store.duty_url("planner", at(49)).await.unwrap().unwrap();
    assert_eq!(url, (one, "http://localhost/1".to_owned()));
    assert_eq!(hold(two, 50).await.unwrap(), Some(2));
    assert_eq!(hold(one, 51).await.unwrap(), None);
    world.store.release_duty("planner", one).await.unwrap();
    assert_eq!(hold(one, 52).await.unwrap(), None, "only the owner can release");
    world.store.release_duty("planner", two).await.unwrap();
    assert_eq!(world.store.duty_url("planner", at(53)).await.unwrap(), None);
    assert_eq!(hold(one, 53).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_nodes_that_want_a_duty_one_gets_it() {
    let world = world().await;
    let wishes: Vec<_> = (1..=8u128)
        .map(|node| {
            let store = world.store.clone();
            tokio::spawn(async move {
                store.hold_duty("reaper", Uuid::from_u128(node), now(), TTL).await.unwrap()
            })
        })
        .collect();
    let mut owners = 0;
    for wish in wishes {
        owners += usize::from(wish.await.unwrap().is_some());
    }
    assert_eq!(owners, 1);
}

#[tokio::test]
async fn health_counts_slots_from_live_rows() {
    let world = world().await;
    world.started(&dag("d", vec![task("a", &[]), task("b", &[]), service("s", &[])])).await;
    world.store.hold_duty("planner", world.node, now(), TTL).await.unwrap();
    let claim = store::attempts::Claim { slots: 1, ..world.slots(1) };
    let claimed = world.store.claim(&claim, now()).await.unwrap();
    assert_eq!(claimed.len(), 2);
    let health = world.store.health(now()).await.unwrap();
    assert_eq!((health.nodes[0].used_slots, health.nodes[0].used_service_slots), (1, 1));
    assert_eq!((health.queue.queued_attempts, health.queue.running_attempts), (1, 2));
    assert_eq!(health.duties[0].node_name.as_deref(), Some("node-1"));
    assert!(health.tables.iter().any(|table| table.name == "attempts"));
    assert!(health.invariants.hold());
    sqlx::query("update nodes set ended_at = now(), ended_reason = 'test'")
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(world.store.invariants().await.unwrap().attempts_without_live_node, 2);
    let stale = world.store.finish(claimed[0].attempt_id, 0, Ending::Done, None, None, now(), None).await;
    assert!(matches!(stale, Err(Error::Stale { .. })));
}
