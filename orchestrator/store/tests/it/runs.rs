//! Runs: made once, pinned to a version, cancelled, cleared, and final for good.

use crate::support::{at, dag, now, service, task, wide, world};
use model::{Ending, RunState, Window};
use serde_json::json;
use store::Error;
use store::clear::ClearRequest;
use store::runs::NewRun;
use store::views::runs::RunFilter;

#[tokio::test]
async fn the_same_run_id_twice_is_a_duplicate_and_harmless() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let run = NewRun { window: Some(Window { start: at(-3600), end: now() }), ..run };
    let first = world.store.trigger(run.clone(), now()).await.unwrap();
    let again = world.store.trigger(run, now()).await;
    assert!(matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
    let read = world.store.run("d", "r").await.unwrap().unwrap();
    assert_eq!((read.id, read.state), (first.id, RunState::Queued));
    assert_eq!(read.window, Some(Window { start: at(-3600), end: now() }));
    assert_eq!(read.params.to_string(), r#"{"b":1,"a":"x"}"#, "the order of keys is kept");
    assert_eq!(world.count("select count(*) from runs").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_equal_requests_at_the_same_time_one_makes_the_run() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let (store, run) = (world.store.clone(), run.clone());
            tokio::spawn(async move { store.trigger(run, now()).await.is_ok() })
        })
        .collect();
    let mut made = 0;
    for request in requests {
        made += usize::from(request.await.unwrap());
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_version_of_another_dag_is_refused() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let stray = NewRun { dag_id: "other".to_owned(), ..run };
    let refused = world.store.trigger(stray, now()).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_run_stays_on_the_version_that_it_began_with() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("old", &[]), task("old_next", &[0])])).await;
    world.store.register_dag("d.yaml", &dag("d", vec![task("new", &[])]), "", at(1)).await.unwrap();
    let first = world.claim_one().await;
    assert_eq!(first.dag.tasks[first.task].id, "old");
    world.end(&first, Ending::Done, at(2)).await;
    let second = world.claim_one().await;
    assert_eq!(second.dag.tasks[second.task].id, "old_next");
    world.end(&second, Ending::Done, at(3)).await;
    assert_eq!(world.states(run).await, ["old=success", "old_next=success"]);
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_a_final_one_refuses() {
    let world = world().await;
    let run = world.trigger(&wide("d", 1), "r").await;
    world.store.request_cancel("d", "r", "ann", at(1)).await.unwrap();
    assert_eq!(world.run_state(run).await, "cancelled");
    let again = world.store.request_cancel("d", "r", "ann", at(2)).await;
    assert!(matches!(again, Err(Error::Refused { .. })), "{again:?}");
    let unknown = world.store.request_cancel("d", "other", "ann", at(2)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
    assert_eq!(world.count("select count(*) from audit_log where action = 'run.cancel'").await, 1);
}

#[tokio::test]
async fn who_stops_a_run_or_pauses_a_dag_may_say_why() {
    let world = world().await;
    world.trigger(&wide("d", 1), "r").await;
    let by = store::audit::By { who: "ann", reason: "wrong feed" };
    world.store.request_cancel("d", "r", by, at(1)).await.unwrap();
    world.store.set_paused("d", true, by, at(2)).await.unwrap();
    let (rows, _) = world.store.list_audit(Some("d"), 9, 0).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.details["reason"].as_str())).collect();
    assert_eq!(told, [("dag.pause", Some("wrong feed")), ("run.cancel", Some("wrong feed"))]);
}

#[tokio::test]
async fn the_logical_date_of_a_run_is_the_start_of_its_window_or_else_its_tick() {
    let world = world().await;
    let new = world.new_run(&wide("d", 1), "with").await;
    let window = Some(Window { start: at(-60), end: now() });
    let with = NewRun { window, logical_date: Some(at(5)), ..new.clone() };
    let without = NewRun { run_id: "without".to_owned(), logical_date: Some(at(5)), ..new };
    for run in [with, without] {
        world.store.trigger(run, now()).await.unwrap();
    }
    let date = async |run: &str| world.store.run_row("d", run).await.unwrap().unwrap().logical_date;
    assert_eq!((date("with").await, date("without").await), (Some(at(-60)), Some(at(5))));
    let named = async |when| world.store.run_for("d", None, Some(when)).await.unwrap().map(|(run, _)| run);
    assert_eq!(named(at(-60)).await.as_deref(), Some("with"));
    assert_eq!(
        named(at(5)).await.as_deref(),
        Some("without"),
        "the tick of a run with a window is not its date"
    );
    let filter = RunFilter { logical_date_from: Some(at(0)), limit: 9, ..RunFilter::default() };
    assert_eq!(world.store.list_runs(&filter).await.unwrap().1, 1);
}

#[tokio::test]
async fn a_service_that_waits_for_its_restart_is_not_ready() {
    let world = world().await;
    world.started(&dag("d", vec![service("s", &[])])).await;
    let attempt = world.claim_one().await;
    world.store.mark_ready(attempt.attempt_id, attempt.lease, at(1), None).await.unwrap();
    let ready = async || world.store.services().await.unwrap()[0].ready_at();
    assert_eq!(ready().await, Some(at(1)));
    world.end(&attempt, Ending::Failed, at(2)).await;
    assert_eq!(ready().await, None, "what the process before it said does not count");
}

#[tokio::test]
async fn a_service_that_is_drained_while_it_waits_for_its_restart_has_succeeded() {
    let world = world().await;
    let run = world.started(&dag("d", vec![service("s", &[]), task("t", &[])])).await;
    let mut attempts = world.claim(9).await;
    attempts.sort_by_key(|attempt| attempt.task);
    world.end(&attempts[0], Ending::Failed, at(1)).await;
    assert_eq!(world.states(run).await, ["s=up_for_retry", "t=running"]);
    let advanced = world.end(&attempts[1], Ending::Done, at(1)).await;
    assert_eq!(advanced.finished, Some(RunState::Success));
    assert_eq!(world.states(run).await, ["s=success", "t=success"]);
}

#[tokio::test]
async fn a_run_that_begins_with_a_deadline_rings_for_it() {
    let world = world().await;
    let mut listener = world.store.listen().await.unwrap();
    let dag = model::Dag { deadline: Some(std::time::Duration::from_secs(1)), ..wide("d", 1) };
    world.started(&dag).await;
    let rung = async { while listener.next().await != store::notify::Ring::Deadlines {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), rung).await.expect("the bell rings");
}

#[tokio::test]
async fn cancelling_ends_what_waits_and_asks_what_runs() {
    let world = world().await;
    let dag = dag("d", vec![task("a", &[]), task("b", &[]), task("c", &[0]), service("s", &[])]);
    let run = world.started(&dag).await;
    let claim = store::attempts::Claim { service_slots: 0, ..world.slots(1) };
    let attempt = world.store.claim(&claim, now()).await.unwrap().remove(0);
    world.store.request_cancel("d", "r1", "ann", at(1)).await.unwrap();
    world.store.request_cancel("d", "r1", "bob", at(2)).await.unwrap();
    assert_eq!(world.store.due_runs(at(1), 10).await.unwrap().0, [run]);
    let advanced = world.store.advance(run, at(2), None).await.unwrap();
    assert_eq!(advanced.finished, None);
    assert_eq!(world.states(run).await, ["a=running", "b=cancelled", "c=cancelled", "s=cancelled"]);
    assert!(world.claim(9).await.is_empty(), "nothing is left to claim");
    let heartbeat = world.store.heartbeat(world.node, at(3)).await.unwrap();
    assert_eq!(heartbeat.stop, [(attempt.attempt_id, "the run is cancelled".to_owned())]);
    let advanced = world.end(&attempt, Ending::Cancelled, at(4)).await;
    assert_eq!(advanced.finished, Some(RunState::Cancelled));
    assert_eq!(world.run_state(run).await, "cancelled");
    world.assert_invariants().await;
}

#[tokio::test]
async fn clearing_runs_the_named_tasks_and_all_after_them_again() {
    let world = world().await;
    let dag = dag("d", vec![task("a", &[]), task("b", &[0]), task("c", &[1]), task("other", &[])]);
    let run = world.started(&dag).await;
    for _ in 0..2 {
        for attempt in world.claim(9).await {
            let ending = if attempt.task == 1 { Ending::FailedForGood } else { Ending::Done };
            world.end(&attempt, ending, at(1)).await;
        }
    }
    assert_eq!(world.run_state(run).await, "failed");
    let clear = async |dry_run| {
        let tasks = Some(vec!["b".to_owned()]);
        let request = ClearRequest { tasks, downstream: true, dry_run, ..ClearRequest::default() };
        world.store.clear("d", "r1", &request, "ann", at(2)).await.map(|cleared| cleared.instances)
    };
    let expected = [("b".to_owned(), -1), ("c".to_owned(), -1)];
    assert_eq!(clear(true).await.unwrap(), expected);
    assert_eq!(world.run_state(run).await, "failed", "a dry run changes nothing");
    assert_eq!(clear(false).await.unwrap(), expected);
    assert_eq!(world.run_state(run).await, "queued");
    assert_eq!(world.states(run).await, ["a=success", "b=none", "c=none", "other=success"]);
    assert_eq!(world.store.promote(at(3), 10, None).await.unwrap().len(), 1);
    let second = world.claim_one().await;
    assert_eq!((second.task, second.try_number), (1, 2), "tries go on counting");
    world.end(&second, Ending::Done, at(4)).await;
    let last = world.claim_one().await;
    assert_eq!(world.end(&last, Ending::Done, at(5)).await.finished, Some(RunState::Success));
    world.assert_invariants().await;
}

#[tokio::test]
async fn clearing_only_the_failed_keeps_what_succeeded_and_unknown_names_are_refused() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("a", &[]), task("b", &[]), task("c", &[1])])).await;
    for attempt in world.claim(9).await {
        let ending = if attempt.task == 1 { Ending::FailedForGood } else { Ending::Done };
        world.end(&attempt, ending, at(1)).await;
    }
    let unknown = ClearRequest { tasks: Some(vec!["nothing".to_owned()]), ..ClearRequest::default() };
    let refused = world.store.clear("d", "r1", &unknown, "ann", at(2)).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let failed = ClearRequest { only_failed: true, ..ClearRequest::default() };
    let cleared = world.store.clear("d", "r1", &failed, "ann", at(2)).await.unwrap().instances;
    assert_eq!(cleared, [("b".to_owned(), -1), ("c".to_owned(), -1)]);
    assert_eq!(world.states(run).await, ["a=success", "b=none", "c=none"]);
}

#[tokio::test]
async fn final_instances_and_runs_never_move_by_themselves() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::Done, at(1)).await;
    let advanced = world.store.advance(run, at(2), Some(&world.slots(4))).await.unwrap();
    assert_eq!((advanced.queued, advanced.finished), (0, None));
    world.store.expire_nodes(at(3600), std::time::Duration::from_secs(1)).await.unwrap();
    assert!(world.store.promote(at(3), 10, None).await.unwrap().is_empty());
    let late = world.store.mark_ready(attempt.attempt_id, attempt.lease, at(4), None).await;
    assert!(matches!(late, Err(Error::Stale { .. })));
    assert_eq!(world.states(run).await, ["t0=success"]);
    let read = world.store.run("d", "r1").await.unwrap().unwrap();
    assert_eq!((read.state, read.ended_at), (RunState::Success, Some(at(1))));
}

#[tokio::test]
async fn a_run_of_nothing_ends_when_it_starts() {
    let world = world().await;
    let empty =
        model::dag::TaskDef { for_each: Some(model::for_each::ForEach::list(vec![])), ..task("m", &[]) };
    world.trigger(&dag("d", vec![empty]), "r").await;
    let promoted = world.store.promote(now(), 10, None).await.unwrap();
    assert_eq!(promoted[0].1.finished, Some(RunState::Success));
}

#[tokio::test]
async fn a_run_waits_for_its_time() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    world.store.trigger(NewRun { run_after: at(60), ..run }, now()).await.unwrap();
    assert!(world.store.promote(at(59), 10, None).await.unwrap().is_empty());
    assert_eq!(world.store.next_run_after(at(59)).await.unwrap(), Some(at(60)));
    assert_eq!(world.store.promote(at(60), 10, None).await.unwrap().len(), 1);
    assert_eq!(world.store.next_run_after(at(60)).await.unwrap(), None);
}

#[tokio::test]
async fn notes_with_a_zero_character_are_stored() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let run = NewRun { note: Some("a\0b".to_owned()), params: json!({"p": "\0"}), ..run };
    let made = world.store.trigger(run, now()).await.unwrap();
    assert_eq!((made.note.as_deref(), made.params), (Some("a\u{fffd}b"), json!({"p": "\0"})));
}
