//! What tasks ask of the platform.

use super::world::{World, dag, task};
use crate::platform::StorePlatform;
use model::RunState;
use model::platform::Platform;
use serde_json::json;
use std::sync::Arc;
use store::approvals::ApprovalName;

#[tokio::test]
async fn a_question_to_people_holds_no_slot_and_its_answer_wakes_the_task_at_once() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let by = "{{ tasks.ask.outputs.by }}";
    let tasks = vec![task("ask", &[], json!({ "do": "approve" })), task("after", &[0], json!({ "by": by }))];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    let asked = world.fake.until("end", "ask", 1).await;
    node.forgotten(asked.attempt_id).await;
    let name = ApprovalName { dag_id: "d", run_id: "r1", task_id: "ask", map_index: -1 };
    world.store.decide_approval(name, true, "ada", "looks good", world.now()).await.unwrap();
    // No time goes by.
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert_eq!(world.fake.until("start", "after", 1).await.with["by"], "ada");
    assert_eq!(world.fake.count("start", "ask"), 2);
}

#[tokio::test]
async fn a_rejection_fails_the_task() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&dag("d", vec![task("ask", &[], json!({ "do": "approve" }))]), "r1").await;
    node.turn().await;
    let asked = world.fake.until("end", "ask", 1).await;
    node.forgotten(asked.attempt_id).await;
    let name = ApprovalName { dag_id: "d", run_id: "r1", task_id: "ask", map_index: -1 };
    world.store.decide_approval(name, false, "ada", "", world.now()).await.unwrap();
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
}

#[tokio::test]
async fn a_run_is_found_by_its_logical_date() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let platform = StorePlatform::new(Arc::new(world.store.clone()), node.core.clock.clone());
    let run = world.trigger_at(&dag("d", vec![task("t", &[], json!({}))]), "r1", world.now()).await;
    let when = run.logical_date;
    assert_eq!(platform.run_for("d", None, when).await, Ok(Some(("r1".to_owned(), RunState::Queued))));
    assert_eq!(platform.run_for("other", None, when).await, Ok(None));
    node.until_final(&world, &run).await;
    assert_eq!(platform.run_for("d", None, when).await, Ok(Some(("r1".to_owned(), RunState::Success))));
}
