//! What a step of a run brings: branches, late maps, the past, retries of groups and runs, events and notices; and that copies of runs
//! are never trusted longer than they stand.

use crate::support::{World, at, dag, now, task, world};
use model::dag::{Group, TaskDef};
use model::for_each::{ForEach, Over};
use model::notify::{Event, Notify, Target};
use model::retry::RetryPolicy;
use model::{Dag, Ending, RunState};
use serde_json::{Value, json};
use std::time::Duration;
use store::Store;
use store::attempts::Claimed;
use store::runs::{NewRun, RunType};

fn policy(limit: u32) -> RetryPolicy {
    let delay = Duration::from_secs(10);
    RetryPolicy { limit, delay, backoff: 1.0, max_delay: delay }
}

fn once(id: &str, needs: &[usize]) -> TaskDef {
    TaskDef { retries: policy(0), ..task(id, needs) }
}

fn late(id: &str, needs: &[usize], expression: &str) -> TaskDef {
    let each = ForEach { over: Over::Expression(expression.to_owned()), max: 3, concurrency: None };
    TaskDef { for_each: Some(each), ..once(id, needs) }
}

async fn done(world: &World, attempt: &Claimed, outputs: Value) {
    done_at(world, attempt, outputs, 1).await;
}

async fn done_at(world: &World, attempt: &Claimed, outputs: Value, second: i64) {
    let (id, lease) = (attempt.attempt_id, attempt.lease);
    world
        .store
        .finish(id, lease, Ending::Done, Some(outputs), None, at(second), None)
        .await
        .expect("finishes");
}

#[tokio::test]
async fn what_a_branch_did_not_choose_is_skipped() {
    let world = world().await;
    let branch = TaskDef { branch: true, ..once("x", &[]) };
    let dag = dag("d", vec![branch, once("a", &[0]), once("b", &[0]), once("c", &[2])]);
    let run = world.started(&dag).await;
    let attempt = world.claim_one().await;
    done(&world, &attempt, json!({"chosen": ["a"]})).await;
    assert_eq!(world.states(run).await, ["x=success", "a=queued", "b=skipped", "c=skipped"]);
    // Another process, which has no copy, reads what was chosen.
    let other = Store::connect(world.database.url(), 2).await.unwrap();
    other.advance(run, at(2), None).await.unwrap();
    assert_eq!(world.states(run).await, ["x=success", "a=queued", "b=skipped", "c=skipped"]);
}

#[tokio::test]
async fn a_late_map_has_an_instance_for_each_item_of_an_output() {
    let world = world().await;
    let last = TaskDef { with: json!("{{ tasks.m.outputs }}"), ..once("z", &[1]) };
    let run =
        world.started(&dag("d", vec![once("a", &[]), late("m", &[0], "tasks.a.outputs.files"), last])).await;
    assert_eq!(world.states(run).await, ["a=queued", "m=none", "z=none"]);
    let attempt = world.claim_one().await;
    done(&world, &attempt, json!({"files": ["x", {"zero": "\u{0}"}, null]})).await;
    let claimed = world.claim(9).await;
    let items: Vec<_> = claimed.iter().map(|attempt| attempt.item.clone().expect("an item")).collect();
    assert_eq!(items, [json!("x"), json!({"zero": "\u{0}"}), Value::Null]);
    for attempt in &claimed {
        let outputs = if attempt.map_index == 0 { json!({"rows": 1}) } else { Value::Null };
        done(&world, attempt, outputs).await;
    }
    let last = world.claim_one().await;
    assert_eq!(last.outputs["m"], json!([{"rows": 1}, null, null]), "as many as there are items");
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_late_map_over_nothing_is_skipped_and_one_that_cannot_be_told_fails_with_the_reason() {
    for (files, state) in [(json!([]), "skipped"), (json!([1, 2, 3, 4]), "failed"), (json!("x"), "failed")] {
        let world = world().await;
        let dag = dag("d", vec![once("a", &[]), late("m", &[0], "tasks.a.outputs.files")]);
        let run = world.started(&dag).await;
        let attempt = world.claim_one().await;
        done(&world, &attempt, json!({"files": files})).await;
        assert_eq!(world.states(run).await[1], format!("m={state}"), "{files}");
        let message: String = sqlx::query_scalar("select message from task_instances where task = 1")
            .fetch_one(&world.pool)
            .await
            .unwrap();
        assert!(message.contains("for_each"), "{message}");
        assert_eq!(world.run_state(run).await, if state == "skipped" { "success" } else { "failed" });
    }
}

#[tokio::test]
async fn a_failed_group_runs_again_as_a_whole_with_its_late_maps_after_its_delay() {
    let world = world().await;
    let member = |def: TaskDef| TaskDef { group: Some("g".into()), id: format!("g.{}", def.id), ..def };
    let tasks = vec![
        member(once("a", &[])),
        member(late("m", &[0], "range(tasks['g.a'].outputs.n)")),
        once("after", &[1]),
    ];
    let dag = Dag { groups: vec![Group { id: "g".into(), retries: policy(1) }], ..dag("d", tasks) };
    let run = world.started(&dag).await;
    let first = world.claim_one().await;
    done(&world, &first, json!({"n": 2})).await;
    for attempt in world.claim(9).await {
        let ending = if attempt.map_index == 0 { Ending::Done } else { Ending::FailedForGood };
        world.end(&attempt, ending, at(1)).await;
    }
    assert_eq!(world.states(run).await, ["g.a=none", "g.m=none", "after=none"]);
    let (due, next) = world.store.due_runs(at(2), 9).await.unwrap();
    assert!(due.is_empty() && next.is_some_and(|at_| at_ > at(2) && at_ <= at(11)), "{next:?}");
    world.store.advance(run, at(11), None).await.unwrap();
    let second = world.claim_one().await;
    assert_eq!((second.task, second.try_number), (0, 2));
    done_at(&world, &second, json!({"n": 1}), 12).await;
    let mapped = world.claim_one().await;
    assert_eq!((mapped.map_index, mapped.try_number), (0, 2), "tries go on counting");
    world.end(&mapped, Ending::FailedForGood, at(13)).await;
    assert_eq!(world.states(run).await, ["g.a=success", "g.m[0]=failed", "after=upstream_failed"]);
    assert_eq!(world.run_state(run).await, "failed");
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_run_that_would_fail_begins_again_where_it_failed() {
    let world = world().await;
    let dag = Dag { retries: policy(1), ..dag("d", vec![once("a", &[]), once("b", &[0]), once("c", &[1])]) };
    let run = world.started(&dag).await;
    let a = world.claim_one().await;
    done(&world, &a, Value::Null).await;
    let b = world.claim_one().await;
    assert_eq!(world.end(&b, Ending::FailedForGood, at(1)).await.finished, None);
    assert_eq!(world.states(run).await, ["a=success", "b=none", "c=none"]);
    world.store.advance(run, at(11), None).await.unwrap();
    let again = world.claim_one().await;
    assert_eq!((again.task, again.try_number), (1, 2));
    let advanced = world.end(&again, Ending::FailedForGood, at(12)).await;
    assert_eq!(advanced.finished, Some(RunState::Failed));
}

async fn ticked(world: &World, dag: &Dag, seconds: i64) -> i64 {
    let run = world.new_run(dag, &format!("r{seconds}")).await;
    let run = NewRun { run_type: RunType::Scheduled, run_after: at(seconds), ..run };
    world.store.trigger(run, now()).await.expect("triggers").id
}

#[tokio::test]
async fn an_instance_waits_for_its_past_and_goes_on_when_that_ends_well() {
    let world = world().await;
    let careful = TaskDef { depends_on_past: true, ..once("a", &[]) };
    let dag = dag("d", vec![careful, once("free", &[])]);
    let (first, second) = (ticked(&world, &dag, 1).await, ticked(&world, &dag, 2).await);
    world.store.promote(at(3), 10, None).await.unwrap();
    assert_eq!(world.states(first).await, ["a=queued", "free=queued"], "the first run has no past");
    assert_eq!(world.states(second).await, ["a=none", "free=queued"]);
    let claimed = world.claim(9).await;
    let end = async |run: i64, task: usize, ending| {
        let attempt = claimed.iter().find(|a| a.run == run && a.task == task).expect("claimed");
        world.end(attempt, ending, at(4)).await;
    };
    end(first, 0, Ending::FailedForGood).await;
    world.store.advance(second, at(4), None).await.unwrap();
    assert_eq!(world.states(second).await[0], "a=none", "its past has failed");
    world.store.clear("d", "r1", &Default::default(), "ann", at(5)).await.unwrap();
    world.store.advance(first, at(5), None).await.unwrap();
    let again = world.claim_one().await;
    world.end(&again, Ending::Done, at(6)).await;
    assert_eq!(world.store.due_runs(at(6), 9).await.unwrap().0, [second], "woken in the same commit");
    world.store.advance(second, at(6), None).await.unwrap();
    assert_eq!(world.states(second).await[0], "a=queued");
}

#[tokio::test]
async fn a_run_that_assets_started_is_woken_by_the_run_that_it_waited_for() {
    let world = world().await;
    let careful = TaskDef { depends_on_past: true, ..once("a", &[]) };
    let dag = dag("d", vec![careful]);
    ticked(&world, &dag, 1).await;
    let told = world.new_run(&dag, "told").await;
    let told = NewRun { run_type: RunType::AssetTriggered, run_after: at(2), ..told };
    let told = world.store.trigger(told, now()).await.unwrap().id;
    world.store.promote(at(3), 10, None).await.unwrap();
    assert_eq!(world.states(told).await, ["a=none"], "it waits");
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::Done, at(4)).await;
    assert_eq!(world.store.due_runs(at(4), 9).await.unwrap().0, [told]);
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_begins_again_wakes_what_waits_for_it() {
    let world = world().await;
    let careful = TaskDef { depends_on_past: true, ..once("a", &[]) };
    let dag = dag("d", vec![careful]);
    let (first, second) = (ticked(&world, &dag, 1).await, ticked(&world, &dag, 2).await);
    world.store.promote(at(3), 10, None).await.unwrap();
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::FailedForGood, at(4)).await;
    world.store.clear("d", "r1", &Default::default(), "ann", at(5)).await.unwrap();
    world.store.advance(second, at(5), None).await.unwrap();
    assert_eq!(world.store.due_runs(at(5), 9).await.unwrap().0, [0; 0]);
    world.store.request_cancel("d", "r1", "ann", at(6)).await.unwrap();
    assert_eq!(world.run_state(first).await, "cancelled");
    assert_eq!(world.store.due_runs(at(6), 9).await.unwrap().0, [second]);
}

#[tokio::test]
async fn a_success_is_an_event_of_each_asset_it_writes_and_a_failure_of_none() {
    let world = world().await;
    let writer = |id: &str| TaskDef { writes: vec!["lake/x".into(), format!("lake/{id}")], ..once(id, &[]) };
    world.started(&dag("d", vec![writer("a"), writer("b")])).await;
    let claimed = world.claim(9).await;
    world.end(&claimed[0], Ending::Done, at(1)).await;
    world.end(&claimed[1], Ending::FailedForGood, at(2)).await;
    let events: Vec<(String, String)> = sqlx::query_as("select asset, who from asset_events order by asset")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    let who = "d/r1/a".to_owned();
    assert_eq!(events, [("lake/a".to_owned(), who.clone()), ("lake/x".to_owned(), who)]);
}

#[tokio::test]
async fn the_end_of_a_run_is_told_with_it_and_a_success_after_a_failure_is_a_recovery() {
    let world = world().await;
    let to =
        Target::Http { url: "{{ secret.url }}\u{0}".into(), headers: Default::default(), json: Value::Null };
    let notify = |on: &[Event]| Notify { on: on.to_vec(), to: to.clone() };
    let dag = Dag {
        notify: vec![notify(&[Event::Failure]), notify(&[Event::Recovery, Event::Success])],
        ..dag("d", vec![once("a", &[])])
    };
    for (second, ending) in [(1, Ending::Done), (2, Ending::FailedForGood), (3, Ending::Done)] {
        ticked(&world, &dag, second).await;
        world.store.promote(at(second), 9, None).await.unwrap();
        let attempt = world.claim_one().await;
        world.end(&attempt, ending, at(second)).await;
    }
    let told: Vec<String> = sqlx::query_scalar(
        "select r.run_id || ' ' || event from notifications n join runs r on r.id = n.run order by n.id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(told, ["r1 success", "r2 failure", "r3 success", "r3 recovery"]);
    let sent = world.store.claim_notifications(at(4), 9, at(5)).await.unwrap();
    assert_eq!((sent.len(), &sent[0].notice.target), (4, &to));
}

#[tokio::test]
async fn a_copy_of_a_run_is_not_trusted_once_another_process_has_changed_it() {
    let world = world().await;
    let run = world.started(&dag("d", vec![once("a", &[]), once("b", &[]), once("c", &[0, 1])])).await;
    let other = Store::connect(world.database.url(), 2).await.unwrap();
    let claimed = world.claim(9).await;
    // Each process ends one: the second has a copy in which the first has not ended.
    world.store.advance(run, at(1), None).await.unwrap();
    let (id, lease) = (claimed[0].attempt_id, claimed[0].lease);
    other.finish(id, lease, Ending::Done, None, None, at(1), None).await.unwrap();
    let advanced = world.end(&claimed[1], Ending::Done, at(2)).await;
    assert_eq!(advanced.queued, 1);
    assert_eq!(world.states(run).await, ["a=success", "b=success", "c=queued"]);
    let last = other.claim(&world.slots(1), at(3)).await.unwrap().remove(0);
    other.finish(last.attempt_id, last.lease, Ending::Done, None, None, at(3), None).await.unwrap();
    let late = world.store.finish(last.attempt_id, last.lease, Ending::Done, None, None, at(4), None).await;
    assert!(matches!(late, Err(store::Error::Stale { .. })), "{late:?}");
    assert_eq!(world.run_state(run).await, "success");
    world.assert_invariants().await;
}

#[tokio::test]
async fn each_change_of_a_run_or_its_instances_gives_it_a_new_revision() {
    let world = world().await;
    let run = world.started(&dag("d", vec![once("a", &[]), once("b", &[0])])).await;
    let mut last = -1;
    let mut grew = async |what: &str| {
        let revision: i64 = sqlx::query_scalar("select revision from runs where id = $1")
            .bind(run)
            .fetch_one(&world.pool)
            .await
            .unwrap();
        assert!(revision > last, "{what}: {last} -> {revision}");
        last = revision;
    };
    grew("promoted").await;
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::FailedForGood, at(1)).await;
    grew("ended").await;
    world.store.clear("d", "r1", &Default::default(), "ann", at(2)).await.unwrap();
    grew("cleared").await;
    world.store.promote(at(3), 9, None).await.unwrap();
    grew("promoted again").await;
    world.store.request_cancel("d", "r1", "ann", at(4)).await.unwrap();
    grew("asked to cancel").await;
    world.store.advance(run, at(5), None).await.unwrap();
    grew("cancelled").await;
}
