//! Clearing, marking and running again, beyond what `runs` tests.

use crate::support::{World, at, dag, now, task, world};
use model::dag::{Param, Role, TaskDef};
use model::for_each::{ForEach, Over};
use model::{Dag, Ending, RunState, TaskState};
use serde_json::json;
use store::Error;
use store::clear::ClearRequest;
use store::mark::MarkRequest;
use store::rerun::RerunRequest;

fn only(names: &[&str]) -> ClearRequest {
    ClearRequest { tasks: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..Default::default() }
}

fn mark(names: &[&str], state: TaskState) -> MarkRequest {
    MarkRequest {
        tasks: names.iter().map(|name| (*name).to_owned()).collect(),
        map_index: None,
        state,
        upstream: false,
        downstream: false,
        past: false,
        future: false,
        dry_run: false,
        reason: "because".to_owned(),
    }
}

/// Runs everything; the tasks at `failing` fail.
async fn run_all(world: &World, failing: &[usize], second: i64) {
    loop {
        let claimed = world.claim(99).await;
        if claimed.is_empty() {
            return;
        }
        for attempt in claimed {
            let failed = failing.contains(&attempt.task);
            world.end(&attempt, if failed { Ending::FailedForGood } else { Ending::Done }, at(second)).await;
        }
    }
}

fn chain() -> Dag {
    dag("d", vec![task("a", &[]), task("b", &[0]), task("c", &[1])])
}

#[tokio::test]
async fn clearing_may_go_up_or_down_or_stay_and_take_single_items() {
    let world = world().await;
    let items = ForEach::list(vec![json!(1), json!(2)]);
    let mapped = TaskDef { for_each: Some(items), ..task("m", &[0]) };
    world.started(&dag("d", vec![task("a", &[]), mapped, task("c", &[1])])).await;
    run_all(&world, &[], 1).await;
    let dry = async |request: ClearRequest| {
        let request = ClearRequest { dry_run: true, ..request };
        let cleared = world.store.clear("d", "r1", &request, "ann", at(2)).await.unwrap();
        cleared
            .instances
            .into_iter()
            .map(|(task, index)| format!("{task}{index}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(dry(only(&["m"])).await, "m0 m1");
    assert_eq!(dry(ClearRequest { upstream: true, ..only(&["m"]) }).await, "a-1 m0 m1");
    assert_eq!(dry(ClearRequest { downstream: true, map_indexes: vec![1], ..only(&["m"]) }).await, "m1 c-1");
    assert_eq!(dry(ClearRequest { upstream: true, downstream: true, ..only(&["m"]) }).await, "a-1 m0 m1 c-1");
    assert_eq!(dry(ClearRequest { only_failed: true, ..ClearRequest::default() }).await, "");
}

#[tokio::test]
async fn setups_are_cleared_with_what_needs_them_even_if_only_failures_are() {
    let world = world().await;
    let setup = TaskDef { role: Role::Setup, ..task("setup", &[]) };
    world.started(&dag("d", vec![setup, task("work", &[0]), task("other", &[])])).await;
    run_all(&world, &[1], 1).await;
    let request = ClearRequest { only_failed: true, ..ClearRequest::default() };
    let cleared = world.store.clear("d", "r1", &request, "ann", at(2)).await.unwrap();
    assert_eq!(cleared.instances, [("setup".to_owned(), -1), ("work".to_owned(), -1)]);
}

#[tokio::test]
async fn a_run_moves_to_the_newest_version_with_all_that_is_known_of_its_tasks() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("gone", &[]), task("a", &[]), task("b", &[1])])).await;
    run_all(&world, &[2], 1).await;
    assert_eq!(world.run_state(run).await, "failed");
    // a and b change places with others, gone is no more, new needs b.
    let newest = dag("d", vec![task("a", &[]), task("first", &[]), task("b", &[0]), task("new", &[2])]);
    world.store.register_dag("d.yaml", &newest, "", at(2)).await.unwrap();
    let request = ClearRequest { newest_version: true, only_failed: true, ..ClearRequest::default() };
    let dry = ClearRequest { dry_run: true, ..request.clone() };
    let would = world.store.clear("d", "r1", &dry, "ann", at(3)).await.unwrap();
    assert_eq!(
        world.states(run).await,
        ["gone=success", "a=success", "b=failed"],
        "a dry run changes nothing"
    );
    let cleared = world.store.clear("d", "r1", &request, "ann", at(3)).await.unwrap();
    assert_eq!(cleared, would);
    assert_eq!(cleared.instances, [("b".to_owned(), -1)]);
    assert_eq!(
        (cleared.removed, cleared.added),
        (vec!["gone".to_owned()], vec!["first".to_owned(), "new".to_owned()])
    );
    assert_eq!(world.states(run).await, ["a=success", "first=none", "b=none", "new=none"]);
    assert_eq!(world.store.promote(at(4), 10, None).await.unwrap().len(), 1);
    run_all(&world, &[], 5).await;
    assert_eq!(world.run_state(run).await, "success");
    let tries = world.store.instance("d", "r1", "b", -1).await.unwrap().unwrap();
    let attempts = world.store.attempts_of(run, tries.task, -1, 9).await.unwrap();
    assert_eq!(
        attempts.iter().map(|attempt| attempt.try_number).collect::<Vec<_>>(),
        [1, 2],
        "tries come along"
    );
    assert_eq!(
        world.count("select count(*) from attempt_history where task < 0").await,
        1,
        "and those of no task"
    );
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_run_with_live_tasks_does_not_change_its_version() {
    let world = world().await;
    let run = world.started(&chain()).await;
    world.claim_one().await;
    world.store.register_dag("d.yaml", &dag("d", vec![task("z", &[])]), "", at(1)).await.unwrap();
    let request = ClearRequest { newest_version: true, ..ClearRequest::default() };
    let refused = world.store.clear("d", "r1", &request, "ann", at(2)).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { message } if message.contains("queued or running")),
        "{refused}"
    );
    assert_eq!(world.states(run).await, ["a=running", "b=none", "c=none"]);
}

fn with_param() -> Dag {
    let param = |default| Param {
        r#type: "integer".to_owned(),
        default: Some(default),
        description: String::new(),
        allowed: Vec::new(),
    };
    let params = [("n".to_owned(), param(json!(1))), ("m".to_owned(), param(json!(7)))].into();
    Dag { params, ..chain() }
}

#[tokio::test]
async fn edited_parameters_are_checked_and_the_others_stay() {
    let world = world().await;
    let run = world.new_run(&with_param(), "r1").await;
    let run = store::runs::NewRun { params: json!({"n": 1, "m": 8}), ..run };
    world.store.trigger(run, now()).await.unwrap();
    world.store.promote(now(), 10, None).await.unwrap();
    run_all(&world, &[], 1).await;
    let clear = async |params| {
        let request =
            ClearRequest { params: Some(params), reason: "wrong n".to_owned(), ..Default::default() };
        world.store.clear("d", "r1", &request, "ann", at(2)).await
    };
    let refused = clear(json!({"n": "two"})).await.unwrap_err().to_string();
    assert!(refused.contains("must be of type integer"), "{refused}");
    clear(json!({"n": 2})).await.unwrap();
    assert_eq!(world.store.run("d", "r1").await.unwrap().unwrap().params, json!({"m": 8, "n": 2}));
    let (audit, _) = world.store.list_audit(Some("d"), 1, 0).await.unwrap();
    assert_eq!(audit[0].details["params"], json!(["n"]), "names, never values");
    assert_eq!(audit[0].details["reason"], "wrong n");
    let request =
        RerunRequest { params: Some(json!({"m": 9})), run_id: Some("again".into()), ..Default::default() };
    let again = world.store.rerun("d", "r1", &request, "bob", at(3)).await.unwrap();
    assert_eq!((again.params, again.state), (json!({"m": 9, "n": 2}), RunState::Queued));
    assert_eq!(again.note.as_deref(), Some("again: r1"));
    let twice = world.store.rerun("d", "r1", &request, "bob", at(4)).await;
    assert!(matches!(twice, Err(Error::Duplicate { .. })), "{twice:?}");
}

#[tokio::test]
async fn a_task_mapped_over_an_output_forgets_its_items_with_what_gave_them() {
    let world = world().await;
    let over = ForEach { over: Over::Expression("tasks.a.outputs.x".into()), max: 9, concurrency: None };
    let late = TaskDef { for_each: Some(over), ..task("m", &[0]) };
    let run = world.started(&dag("d", vec![task("a", &[]), late])).await;
    // As after its expansion and a whole run.
    for statement in [
        "delete from attempts",
        "delete from task_instances where task = 1",
        "update task_instances set state = 'running', started_at = now() where task = 0",
        "update task_instances set state = 'success', ended_at = now() where task = 0",
        "insert into task_instances (run, task, map_index, task_id, state, ended_at, item)
         select id, 1, i, 'm', 'success', now(), '1' from runs, generate_series(0, 1) i",
        "update runs set state = 'success', ended_at = now(), wake_at = null",
    ] {
        sqlx::query(statement).execute(&world.pool).await.unwrap();
    }
    world.store.clear("d", "r1", &only(&["m"]), "ann", at(2)).await.unwrap();
    assert_eq!(world.states(run).await, ["a=success", "m[0]=none", "m[1]=none"], "the items are known");
    let request = ClearRequest { downstream: true, ..only(&["a"]) };
    sqlx::query("update task_instances set state = 'success', ended_at = now() where task = 1")
        .execute(&world.pool)
        .await
        .unwrap();
    world.store.clear("d", "r1", &request, "ann", at(3)).await.unwrap();
    assert_eq!(world.states(run).await, ["a=none", "m=none"], "they may be others now");
}

#[tokio::test]
async fn a_failure_marked_as_success_lets_the_rest_of_the_run_go_on() {
    let world = world().await;
    let run = world.started(&chain()).await;
    run_all(&world, &[0], 1).await;
    assert_eq!(world.states(run).await, ["a=failed", "b=upstream_failed", "c=upstream_failed"]);
    let dry = MarkRequest { dry_run: true, ..mark(&["a"], TaskState::Success) };
    assert_eq!(world.store.mark_tasks("d", "r1", &dry, "ann", at(2)).await.unwrap().len(), 1);
    assert_eq!(world.run_state(run).await, "failed");
    world.store.mark_tasks("d", "r1", &mark(&["a"], TaskState::Success), "ann", at(2)).await.unwrap();
    assert_eq!(world.states(run).await, ["a=success", "b=none", "c=none"]);
    world.store.promote(at(3), 10, None).await.unwrap();
    run_all(&world, &[], 4).await;
    assert_eq!(world.run_state(run).await, "success");
    let instance = world.store.instance("d", "r1", "a", -1).await.unwrap().unwrap();
    assert_eq!(instance.message.as_deref(), Some("marked success by ann"));
    let (audit, _) = world.store.list_audit(Some("d"), 9, 0).await.unwrap();
    assert_eq!((audit[0].action.as_str(), &audit[0].details["reason"]), ("task.mark", &json!("because")));
}

#[tokio::test]
async fn a_running_task_that_is_marked_loses_its_lease_and_what_needs_it_starts() {
    let world = world().await;
    let run = world.started(&chain()).await;
    let attempt = world.claim_one().await;
    world.store.mark_tasks("d", "r1", &mark(&["a"], TaskState::Skipped), "ann", at(1)).await.unwrap();
    let late =
        world.store.finish(attempt.attempt_id, attempt.lease, Ending::Done, None, None, at(2), None).await;
    assert!(matches!(late, Err(Error::Stale { .. })), "{late:?}");
    let heartbeat = world.store.heartbeat(world.node, at(2)).await.unwrap();
    assert!(heartbeat.held.is_empty(), "its node finds it gone");
    world.store.mark_tasks("d", "r1", &mark(&["a"], TaskState::Success), "ann", at(3)).await.unwrap();
    world.store.advance(run, at(3), None).await.unwrap();
    assert_eq!(world.states(run).await, ["a=success", "b=queued", "c=none"]);
    world.assert_invariants().await;
}

#[tokio::test]
async fn marking_may_reach_into_earlier_and_later_runs() {
    let world = world().await;
    for (name, hours) in [("r1", 1), ("r2", 2), ("r3", 3)] {
        let run = world.new_run(&chain(), name).await;
        let run = store::runs::NewRun { run_after: at(hours * 3600), ..run };
        world.store.trigger(run, now()).await.unwrap();
    }
    world.store.promote(at(4 * 3600), 10, None).await.unwrap();
    let request = MarkRequest { future: true, downstream: true, ..mark(&["b"], TaskState::Failed) };
    let marked = world.store.mark_tasks("d", "r2", &request, "ann", at(5)).await.unwrap();
    let names: Vec<String> =
        marked.iter().map(|marked| format!("{}/{}", marked.run_id, marked.task_id)).collect();
    assert_eq!(names, ["r2/b", "r2/c", "r3/b", "r3/c"]);
    let refused = world.store.mark_tasks("d", "r2", &mark(&["b"], TaskState::Queued), "ann", at(5)).await;
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

#[tokio::test]
async fn a_run_that_is_marked_ends_with_all_that_is_open_in_it() {
    let world = world().await;
    let run = world.started(&chain()).await;
    let attempt = world.claim_one().await;
    let mark = async |state, second| world.store.mark_run("d", "r1", state, "ann", "", at(second)).await;
    mark(RunState::Failed, 1).await.unwrap();
    assert_eq!(world.states(run).await, ["a=failed", "b=skipped", "c=skipped"]);
    let late =
        world.store.finish(attempt.attempt_id, attempt.lease, Ending::Done, None, None, at(2), None).await;
    assert!(matches!(late, Err(Error::Stale { .. })));
    mark(RunState::Success, 3).await.unwrap();
    assert_eq!(world.states(run).await, ["a=success", "b=skipped", "c=skipped"]);
    assert_eq!(world.run_state(run).await, "success");
    assert!(matches!(mark(RunState::Success, 4).await, Err(Error::Refused { .. })));
    world.trigger(&chain(), "r2").await;
    world.store.mark_run("d", "r2", RunState::Failed, "ann", "", at(5)).await.unwrap();
    assert!(world.store.promote(at(6), 10, None).await.unwrap().is_empty(), "nothing of it runs");
    world.assert_invariants().await;
}
