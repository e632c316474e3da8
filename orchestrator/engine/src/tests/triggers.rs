//! Runs that no clock brings.

use super::world::{TestNode, World, dag, task, utc};
use crate::rounds::{Again, Round};
use crate::triggers::Triggers;
use model::RunState;
use model::dag::{Dag, Schedule};
use serde_json::json;
use store::runs::Run;

/// A look of its own each time, so that it does not wait for the distance between two looks.
async fn look(node: &TestNode) -> Again {
    Triggers::new(node.core.clone()).tick().await.expect("a look")
}

async fn register(world: &World, dag: &Dag) {
    world.store.register_dag(&format!("{}.yaml", dag.id), dag, "source", world.now()).await.unwrap();
}

/// The run of the newest tick in the ledger.
async fn newest(world: &World, dag: &str) -> Option<Run> {
    let ticks = world.store.ticks(dag, None, 1).await.unwrap();
    let run_id = ticks.first()?.run_id.clone()?;
    world.store.run(dag, &run_id).await.unwrap()
}

#[tokio::test]
async fn the_next_run_of_a_continuous_dag_starts_when_the_one_before_has_ended() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let endless = dag("endless", vec![task("t", &[], json!({ "do": "gate" }))]);
    register(&world, &Dag { schedule: Schedule::Continuous, ..endless }).await;
    look(&node).await;
    let first = newest(&world, "endless").await.expect("its first run");
    node.turn().await;
    world.fake.until("start", "t", 1).await;
    world.advance(20);
    look(&node).await;
    assert_eq!(world.fake.count("start", "t"), 1, "one at a time");
    world.fake.open("t");
    assert_eq!(node.until_final(&world, &first).await, RunState::Success);
    node.core.bells.triggers.rung().await;
    look(&node).await;
    let second = newest(&world, "endless").await.unwrap();
    assert_ne!(second.run_id, first.run_id);
    assert_eq!(second.logical_date, Some(utc("2026-11-22T10:00:20Z")));
    // A run of nothing does not fill the history.
    node.turn().await;
    world.fake.open("t");
    assert_eq!(node.until_final(&world, &second).await, RunState::Success);
    assert_eq!(look(&node).await, Again::At(utc("2026-11-22T10:00:21Z")));
    assert_eq!(newest(&world, "endless").await.unwrap().run_id, second.run_id);
}

#[tokio::test]
async fn a_dag_that_waits_for_assets_runs_when_all_of_them_were_written() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let waits = Schedule::Assets { assets: vec!["raw/songs".into(), "raw/plays".into()], all: true };
    register(&world, &Dag { schedule: waits, ..dag("report", vec![task("t", &[], json!({}))]) }).await;
    world.store.tell_asset("raw/songs", "test", "", world.now()).await.unwrap();
    look(&node).await;
    assert!(newest(&world, "report").await.is_none(), "one of the two");
    world.store.tell_asset("raw/plays", "test", "", world.now()).await.unwrap();
    look(&node).await;
    node.core.bells.driver.rung().await;
    let run = newest(&world, "report").await.expect("a run");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    look(&node).await;
    assert_eq!(newest(&world, "report").await.unwrap().run_id, run.run_id, "each event once");
}
