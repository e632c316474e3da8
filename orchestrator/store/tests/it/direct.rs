//! What a node queues for itself and nobody waits before is its own at once: as if it had gone through the queue.

use crate::support::{World, at, dag, now, task, world};
use model::dag::TaskDef;
use model::{Dag, Ending};
use store::attempts::{Claim, Claimed};
use store::runs::Advanced;
use uuid::Uuid;

/// `a` before tasks of these priorities, `t0`, `t1`, ...
fn fan(priorities: &[i32]) -> Dag {
    let urgent =
        |(n, priority): (usize, &i32)| TaskDef { priority: *priority, ..task(&format!("t{n}"), &[0]) };
    let rest = priorities.iter().enumerate().map(urgent);
    dag("d", std::iter::once(task("a", &[])).chain(rest).collect())
}

async fn end_and_claim(world: &World, attempt: &Claimed, claim: &Claim) -> Advanced {
    let (id, lease) = (attempt.attempt_id, attempt.lease);
    world.store.finish(id, lease, Ending::Done, None, None, at(1), Some(claim)).await.expect("finishes")
}

fn names(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|attempt| attempt.dag.tasks[attempt.task].id.as_str()).collect()
}

#[tokio::test]
async fn the_most_urgent_are_begun_up_to_the_free_slots_and_the_rest_waits() {
    let world = world().await;
    let run = world.started(&fan(&[0, 5, 0, 9])).await;
    let first = world.claim_one().await;
    let advanced = end_and_claim(&world, &first, &world.slots(2)).await;
    assert_eq!(names(&advanced.claimed), ["t3", "t1"]);
    assert!(advanced.claimed.iter().all(|attempt| attempt.first_started_at == at(1)));
    assert_eq!(world.states(run).await, ["a=success", "t0=queued", "t1=running", "t2=queued", "t3=running"]);
    assert_eq!(names(&world.claim(9).await), ["t0", "t2"]);
    let leases = "select count(distinct lease) from attempts where state = 'running'";
    assert_eq!(world.count(leases).await, 4);
    for attempt in &advanced.claimed {
        world.end(attempt, Ending::Done, at(2)).await;
    }
    world.assert_invariants().await;
}

#[tokio::test]
async fn what_another_queue_serves_is_left_for_it() {
    let world = world().await;
    let mut dag = fan(&[0, 0]);
    dag.tasks[2].queue = "gpu".into();
    let run = world.started(&dag).await;
    let first = world.claim_one().await;
    let advanced = end_and_claim(&world, &first, &world.slots(9)).await;
    assert_eq!(names(&advanced.claimed), ["t0"]);
    assert_eq!(world.states(run).await, ["a=success", "t0=running", "t1=queued"]);
    let gpu = Claim { queues: vec!["gpu".into()], ..world.slots(1) };
    assert_eq!(names(&world.store.claim(&gpu, now()).await.expect("claims")), ["t1"]);
}

#[tokio::test]
async fn a_node_that_was_given_up_begins_nothing() {
    let world = world().await;
    let run = world.started(&fan(&[0])).await;
    let first = world.claim_one().await;
    let stranger = Claim { node: Uuid::from_u128(99), ..world.slots(9) };
    let advanced = end_and_claim(&world, &first, &stranger).await;
    assert!(advanced.claimed.is_empty());
    assert_eq!(world.states(run).await, ["a=success", "t0=queued"]);
}

#[tokio::test]
async fn a_later_try_keeps_the_instant_of_the_first_poke_and_a_fresh_one_does_not() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("a", &[])])).await;
    let first = world.claim_one().await;
    world.end(&first, Ending::Poke { again_in: std::time::Duration::from_secs(4) }, at(1)).await;
    let advanced = world.store.advance(run, at(5), Some(&world.slots(1))).await.expect("advances");
    assert_eq!(advanced.claimed[0].first_started_at, first.first_started_at, "a poke goes on with its try");
    assert_eq!(advanced.claimed[0].try_number, first.try_number);
}
