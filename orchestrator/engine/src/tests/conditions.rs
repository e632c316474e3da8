//! `if:` expressions and promised outputs.

use super::world::{World, dag, retried, task};
use model::dag::TaskDef;
use model::{RunState, TriggerRule};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

fn only_if(expression: &str, task: TaskDef) -> TaskDef {
    TaskDef { condition: Some(expression.to_owned()), ..task }
}

async fn last_line(world: &World, run: i64, task: i32) -> (String, String) {
    let tries = world.store.attempts_of(run, task, -1, 10).await.unwrap();
    assert_eq!(tries.len(), 1, "a try too many: {tries:?}");
    let line = world.log(tries[0].id).await.pop().unwrap_or_default();
    (tries[0].state.clone(), line)
}

#[tokio::test]
async fn a_condition_is_judged_over_outputs_before_the_kind_runs() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let tasks = vec![
        task("probe", &[], json!({ "outputs": { "rows": 12 } })),
        only_if("tasks.probe.outputs.rows > 10", task("many", &[0], json!({}))),
        only_if("tasks.probe.outputs.rows > 100", task("masses", &[0], json!({}))),
        task("after", &[2], json!({})),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert_eq!(world.fake.starts(), ["probe", "many"]);
    let (ending, line) = last_line(&world, run.id, 2).await;
    assert_eq!(
        (ending.as_str(), line.as_str()),
        ("skipped", "skipped: if: tasks.probe.outputs.rows > 100 is false")
    );
    world.assert_sound().await;
}

#[tokio::test]
async fn each_item_is_judged_by_itself() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let items = model::for_each::ForEach::list((0..4).map(|item| json!(item)).collect());
    let mapped = TaskDef { for_each: Some(items), ..task("piece", &[], json!({ "item": "{{ item }}" })) };
    let run = world.trigger(&dag("d", vec![only_if("item is even", mapped)]), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    for (map_index, tries) in [(0, 1), (1, 0), (2, 1), (3, 0)] {
        let attempts = world.store.attempts_of(run.id, 0, map_index, 10).await.unwrap();
        assert_eq!(attempts.len(), tries, "item {map_index}");
    }
    let mut ran: Vec<i64> = world
        .fake
        .events()
        .iter()
        .filter(|e| e.what == "start")
        .map(|e| e.with["item"].as_i64().unwrap())
        .collect();
    ran.sort_unstable();
    assert_eq!(ran, [0, 2]);
}

#[tokio::test]
async fn items_are_judged_by_what_nodes_know_when_they_are_tried_and_by_what_failed_before() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let items = || Some(model::for_each::ForEach::list((0..3).map(|item| json!(item)).collect()));
    let of = |id: &str| TaskDef {
        for_each: items(),
        trigger_rule: TriggerRule::AllDone,
        ..task(id, &[0], json!({}))
    };
    let tasks = vec![
        task("work", &[], json!({ "do": "fail" })),
        only_if("var.base is defined and item == 1", of("by_var")),
        only_if("run.state == 'failed' and item == 2", of("by_state")),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.until_final(&world, &run).await;
    let mut starts = world.fake.starts();
    starts.sort_unstable();
    assert_eq!(starts, ["by_state", "by_var", "work"]);
    assert_eq!(world.store.attempts_of(run.id, 1, 0, 10).await.unwrap().len(), 1, "only a try can tell");
    assert_eq!(world.store.attempts_of(run.id, 2, 0, 10).await.unwrap().len(), 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_condition_that_cannot_be_judged_fails_the_task_and_is_not_retried() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let doubtful = retried(task("doubtful", &[0], json!({})), 3, Duration::ZERO);
    let tasks = vec![task("probe", &[], json!({})), only_if("tasks.probe.outputs.rows > 1", doubtful)];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    let (_, line) = last_line(&world, run.id, 1).await;
    assert!(line.starts_with("failed for good: if: ") && line.contains("not defined"), "{line}");
    assert_eq!(world.fake.starts(), ["probe"]);
}

#[tokio::test]
async fn a_report_at_the_end_knows_whether_its_run_has_failed() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    for (id, does, expected) in [("bad", "fail", "failed"), ("good", "done", "running")] {
        let report = TaskDef {
            trigger_rule: TriggerRule::AllDone,
            ..task("report", &[0], json!({ "state": "{{ run.state }}" }))
        };
        let run = world.trigger(&dag(id, vec![task("work", &[], json!({ "do": does })), report]), id).await;
        node.until_final(&world, &run).await;
        let reports: Vec<_> =
            world.fake.events().into_iter().filter(|e| e.what == "start" && e.task == "report").collect();
        assert_eq!(reports.last().unwrap().with["state"], expected);
    }
}

#[tokio::test]
async fn outputs_that_are_not_as_promised_fail_the_task() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let promised = BTreeMap::from([("rows".to_owned(), "integer".to_owned())]);
    let promises = |id: &str, outputs| TaskDef {
        outputs: promised.clone(),
        ..task(id, &[], json!({ "outputs": outputs }))
    };
    let tasks = vec![
        promises("kept", json!({ "rows": 7 })),
        promises("broken", json!({ "rows": "seven" })),
        promises("forgotten", json!(null)),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    assert_eq!(last_line(&world, run.id, 0).await.0, "done");
    let (_, broken) = last_line(&world, run.id, 1).await;
    assert!(broken.contains("output 'rows' must be of type integer, not string"), "{broken}");
    let (_, forgotten) = last_line(&world, run.id, 2).await;
    assert!(forgotten.contains("output 'rows' (integer) is missing"), "{forgotten}");
}
