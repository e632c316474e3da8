//! Each queued attempt is claimed exactly once, in order, by a node that fits.

use crate::support::{at, dag, now, service, task, wide, world};
use model::Ending;
use model::TriggerRule;
use model::dag::TaskDef;
use serde_json::json;
use std::collections::HashSet;
use store::attempts::Claim;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claimers_take_each_attempt_exactly_once() {
    let world = world().await;
    world.started(&wide("d", 500)).await;
    let claimers = (1..=8u128).map(|node| {
        let store = world.store.clone();
        let claim = Claim { node: Uuid::from_u128(node), ..world.slots(7) };
        async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim(&claim, now()).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|attempt| (attempt.attempt_id, attempt.lease)));
            }
        }
    });
    for node in 2..=8 {
        world.register(Uuid::from_u128(node)).await;
    }
    let tasks: Vec<_> = claimers.map(tokio::spawn).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    assert_eq!(all.len(), 500);
    assert_eq!(
        all.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(),
        500,
        "an attempt was claimed twice"
    );
    assert_eq!(
        all.iter().map(|(_, lease)| lease).collect::<HashSet<_>>().len(),
        500,
        "a lease was given twice"
    );
    assert_eq!(world.count("select count(*) from task_instances where state = 'running'").await, 500);
    world.assert_invariants().await;
}

#[tokio::test]
async fn the_more_urgent_comes_first_then_the_older() {
    let world = world().await;
    let urgent = TaskDef { priority: 5, ..task("urgent", &[]) };
    world.started(&dag("d", vec![task("a", &[]), task("b", &[]), urgent])).await;
    let order: Vec<String> =
        world.claim(3).await.iter().map(|attempt| attempt.dag.tasks[attempt.task].id.clone()).collect();
    assert_eq!(order, ["urgent", "a", "b"]);
}

#[tokio::test]
async fn a_node_gets_only_what_fits_its_queues_and_routes() {
    let world = world().await;
    let routed = TaskDef { route: Some("warehouse".into()), ..task("routed", &[]) };
    let heavy = TaskDef { queue: "heavy".into(), ..task("heavy", &[]) };
    world.started(&dag("d", vec![routed, heavy, task("plain", &[])])).await;
    let names = |claimed: Vec<store::attempts::Claimed>| -> Vec<String> {
        claimed.iter().map(|attempt| attempt.dag.tasks[attempt.task].id.clone()).collect()
    };
    assert_eq!(names(world.claim(9).await), ["plain"]);
    let owner = Claim { routes: vec!["warehouse".into()], ..world.slots(9) };
    assert_eq!(names(world.store.claim(&owner, now()).await.unwrap()), ["routed"]);
    let strong = Claim { queues: vec!["heavy".into()], ..world.slots(9) };
    assert_eq!(names(world.store.claim(&strong, now()).await.unwrap()), ["heavy"]);
}

#[tokio::test]
async fn services_and_tasks_have_slots_of_their_own() {
    let world = world().await;
    world
        .started(&dag("d", vec![service("s1", &[]), service("s2", &[]), task("a", &[]), task("b", &[])]))
        .await;
    let claim = Claim { slots: 0, service_slots: 1, ..world.slots(0) };
    let claimed = world.store.claim(&claim, now()).await.unwrap();
    assert_eq!(claimed.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [0]);
    let claim = Claim { slots: 2, service_slots: 0, ..world.slots(0) };
    let claimed = world.store.claim(&claim, now()).await.unwrap();
    assert_eq!(claimed.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_node_that_is_unknown_or_given_up_gets_nothing() {
    let world = world().await;
    world.started(&wide("d", 1)).await;
    let stranger = Claim { node: Uuid::from_u128(99), ..world.slots(1) };
    assert!(world.store.claim(&stranger, now()).await.unwrap().is_empty());
    world.store.deregister_node(world.node, now()).await.unwrap();
    assert!(world.claim(1).await.is_empty());
}

#[tokio::test]
async fn templates_see_empty_outputs_of_tasks_that_gave_nothing() {
    let world = world().await;
    let items = |items| Some(model::for_each::ForEach::list(items));
    let none = TaskDef { for_each: items(vec![]), ..task("none", &[]) };
    let two = TaskDef { for_each: items(vec![json!(1), json!(2)]), ..task("two", &[]) };
    let last = TaskDef {
        with: json!({"rows": "{{ tasks.plain.outputs.rows | default(0) }}"}),
        trigger_rule: TriggerRule::AllDone,
        ..task("last", &[0, 1, 2])
    };
    world.started(&dag("d", vec![task("plain", &[]), none, two, last])).await;
    for attempt in world.claim(9).await {
        world.end(&attempt, Ending::Skipped, now()).await;
    }
    let last = world.claim_one().await;
    assert_eq!(last.outputs, json!({"plain": {}, "none": [], "two": [null, null]}));
}

#[tokio::test]
async fn a_claim_brings_the_outputs_of_all_tasks_before_it_and_of_no_other() {
    let world = world().await;
    let mapped = TaskDef {
        for_each: Some(model::for_each::ForEach::list(vec![json!("x"), json!("y"), json!("z")])),
        ..task("mapped", &[0])
    };
    let last = TaskDef { with: json!({"rows": "{{ tasks.a.outputs.rows }}"}), ..task("last", &[1]) };
    let dag = dag("d", vec![task("a", &[]), mapped, task("other", &[]), last]);
    world.started(&dag).await;
    let first = world.claim(9).await;
    assert_eq!(first.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(first[0].outputs, json!({}));
    assert_eq!(first[0].params, json!({"b": 1, "a": "x"}));
    assert_eq!(first[0].first_started_at, now());
    for attempt in &first {
        let outputs = Some(json!({"rows": attempt.task, "zero": "\u{0}"}));
        let (id, lease) = (attempt.attempt_id, attempt.lease);
        world.store.finish(id, lease, Ending::Done, outputs, None, now(), None).await.unwrap();
    }
    for attempt in world.claim(9).await {
        assert_eq!(attempt.outputs, json!({}), "its templates name none");
        assert_eq!(attempt.item, Some(json!(["x", "y", "z"][attempt.map_index as usize])));
        let outputs = (attempt.map_index != 1).then(|| json!({"item": attempt.map_index}));
        let (id, lease) = (attempt.attempt_id, attempt.lease);
        world.store.finish(id, lease, Ending::Done, outputs, None, now(), None).await.unwrap();
    }
    let last = world.claim_one().await;
    let expected = json!({"a": {"rows": 0, "zero": "\u{0}"}, "mapped": [{"item": 0}, null, {"item": 2}]});
    assert_eq!(last.outputs, expected);
}

#[tokio::test]
async fn the_end_of_a_task_starts_its_successor_on_the_same_node_in_one_commit() {
    let world = world().await;
    world.started(&dag("d", vec![task("a", &[]), task("b", &[0])])).await;
    let first = world.claim_one().await;
    let claim = world.slots(4);
    let advanced = world
        .store
        .finish(first.attempt_id, first.lease, Ending::Done, None, None, at(1), Some(&claim))
        .await
        .unwrap();
    assert_eq!(advanced.queued, 1);
    assert_eq!(advanced.claimed.len(), 1);
    assert_eq!((advanced.claimed[0].task, advanced.claimed[0].first_started_at), (1, at(1)));
    let last = &advanced.claimed[0];
    let advanced = world
        .store
        .finish(last.attempt_id, last.lease, Ending::Done, None, None, at(2), Some(&claim))
        .await
        .unwrap();
    assert_eq!(advanced.finished, Some(model::RunState::Success));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_free_slot_goes_to_what_waits_longest_not_to_the_same_run() {
    let world = world().await;
    world.started(&dag("d", vec![task("a", &[]), task("b", &[0])])).await;
    let first = world.claim_one().await;
    let waiting = world.trigger(&wide("other", 1), "r").await;
    world.store.promote(now(), 10, None).await.unwrap();
    let claim = world.slots(1);
    let advanced = world
        .store
        .finish(first.attempt_id, first.lease, Ending::Done, None, None, at(1), Some(&claim))
        .await
        .unwrap();
    assert_eq!(advanced.claimed.iter().map(|attempt| attempt.run).collect::<Vec<_>>(), [waiting]);
}

#[tokio::test]
async fn a_row_changed_by_hand_does_not_hold_up_the_queue() {
    let world = world().await;
    world.started(&wide("d", 2)).await;
    sqlx::query("update task_instances set state = 'failed', ended_at = now() where task = 0")
        .execute(&world.pool)
        .await
        .unwrap();
    let claimed = world.claim(9).await;
    assert_eq!(claimed.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [1]);
    let invariants = world.store.invariants().await.unwrap();
    assert_eq!(invariants.final_instances_with_attempt, 1, "and it is told");
}
