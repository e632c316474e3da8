//! Answers that never come: what was asked is done, or half of it, and nobody learns which. Whoever asked asks again, and nothing happens
//! twice. Each call is cut off after its first answer, after its second, and so on until it comes through whole.

use super::wire::Wire;
use super::world::{TestNode, World, dag, task};
use crate::rounds::Round;
use model::RunState;
use serde_json::json;
use std::time::Duration;
use store::runs::{NewRun, Run, RunType};

/// More answers than any of the calls gets.
const ANSWERS_MAX: i64 = 24;

/// Lets so many answers of the call pass; then the connections die, and the call with them or by itself.
async fn unheard<T>(wire: &Wire, answers: i64, call: impl Future<Output = T>) {
    wire.swallow_answers_after(answers);
    tokio::pin!(call);
    tokio::select! {
        _ = &mut call => {}
        () = wire.swallowed() => {
            wire.cut();
            let _ = tokio::time::timeout(Duration::from_secs(20), call).await;
        }
    }
    wire.mend();
}

/// Turns until the run is final, whatever connections died before.
async fn to_the_end(world: &World, node: &mut TestNode, run: &Run) -> RunState {
    for _ in 0..2000 {
        let _ = node.lease.tick().await;
        let _ = node.driver.tick().await;
        let _ = node.worker.tick().await;
        let _ = node.sweep.tick().await;
        if let Ok(Some(found)) = world.store.run(&run.dag_id, &run.run_id).await
            && found.state.is_final()
        {
            return found.state;
        }
        world.advance(1);
        tokio::task::yield_now().await;
    }
    panic!("the run does not end; there was {:?}", world.fake.story())
}

#[tokio::test]
async fn a_lost_answer_to_a_claim_gives_the_work_back_and_runs_it_once() {
    let (world, wire) = World::behind_a_wire().await;
    let mut node = world.node("a").await;
    for answers in 0..ANSWERS_MAX {
        let name = format!("t{answers}");
        let run = world.trigger(&dag(&name, vec![task(&name, &[], json!({}))]), "r1").await;
        unheard(&wire, answers, node.driver.tick()).await;
        assert_eq!(to_the_end(&world, &mut node, &run).await, RunState::Success);
        assert_eq!(world.fake.count("start", &name), 1, "{answers}: {:?}", world.fake.story());
    }
    world.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_to_an_end_is_reported_again_and_counts_once() {
    let (world, wire) = World::behind_a_wire().await;
    let mut node = world.node("a").await;
    for answers in 0..ANSWERS_MAX {
        let (name, after) = (format!("t{answers}"), format!("after{answers}"));
        let tasks = vec![task(&name, &[], json!({ "do": "gate" })), task(&after, &[0], json!({}))];
        let run = world.trigger(&dag(&name, tasks), "r1").await;
        to_start(&world, &mut node, &name).await;
        world.fake.open(&name);
        let started = async {
            while world.fake.count("start", &after) == 0 {
                tokio::task::yield_now().await;
            }
        };
        unheard(&wire, answers, tokio::time::timeout(Duration::from_secs(5), started)).await;
        assert_eq!(to_the_end(&world, &mut node, &run).await, RunState::Success);
        let starts = (world.fake.count("start", &name), world.fake.count("start", &after));
        assert_eq!(starts, (1, 1), "{answers}: {:?}", world.fake.story());
    }
    world.assert_sound().await;
}

async fn to_start(world: &World, node: &mut TestNode, name: &str) {
    node.lease_and_turn().await;
    world.fake.until("start", name, 1).await;
}

#[tokio::test]
async fn a_lost_answer_to_a_heartbeat_takes_nothing_away() {
    let (world, wire) = World::behind_a_wire().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![task("t", &[], json!({ "do": "gate" }))]), "r1").await;
    to_start(&world, &mut node, "t").await;
    for answers in 0..8 {
        world.advance(5);
        unheard(&wire, answers, node.lease.tick()).await;
        // Each connection that died is found out by one that fails.
        let mut beats = 0;
        while node.lease.tick().await.is_err() {
            beats += 1;
            assert!(beats < 20, "no heartbeat comes through");
        }
    }
    world.fake.open("t");
    assert_eq!(to_the_end(&world, &mut node, &run).await, RunState::Success);
    assert_eq!(world.fake.count("start", "t"), 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_trigger_leaves_one_run_whoever_asks_again() {
    let (world, wire) = World::behind_a_wire().await;
    let mut node = world.node("a").await;
    let made = world.trigger(&dag("d", vec![task("t", &[], json!({}))]), "first").await;
    for answers in 0..ANSWERS_MAX {
        let wanted = NewRun {
            dag_id: made.dag_id.clone(),
            run_id: format!("asked twice {answers}"),
            version_id: made.version_id,
            run_type: RunType::Manual,
            window: None,
            logical_date: None,
            run_after: world.now(),
            params: json!({}),
            requested_by: "test".to_owned(),
            note: None,
        };
        unheard(&wire, answers, world.store.trigger(wanted.clone(), world.now())).await;
        let name = wanted.run_id.clone();
        let again = world.store.trigger(wanted, world.now()).await;
        assert!(matches!(again, Ok(_) | Err(store::Error::Duplicate { .. })), "{again:?}");
        let run = world.store.run("d", &name).await.unwrap().expect("one of both made it");
        assert_eq!(to_the_end(&world, &mut node, &run).await, RunState::Success);
        // The run that was there before, and one for each asking.
        assert_eq!(to_the_end(&world, &mut node, &made).await, RunState::Success);
        assert_eq!(world.fake.count("start", "t") as i64, answers + 2);
    }
    world.assert_sound().await;
}
