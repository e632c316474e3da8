//! An attempt ends once, under its lease, and its instance goes where the model says.

use crate::support::{World, at, dag, now, service, task, wide, world};
use model::{Ending, RunState};
use serde_json::json;
use std::time::Duration;
use store::Error;
use store::attempts::{Claimed, End, OUTPUTS_MAX_BYTES};

async fn finish(world: &World, attempt: &Claimed, lease: i64, ending: Ending) -> Result<(), Error> {
    world.store.finish(attempt.attempt_id, lease, ending, None, None, at(1), None).await.map(|_| ())
}

#[tokio::test]
async fn lost_lease_cannot_finish_attempt() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let attempt = world.claim_one().await;
    let stale = finish(&world, &attempt, attempt.lease + 1, Ending::Done).await;
    assert!(matches!(stale, Err(Error::Stale { .. })), "{stale:?}");
    assert_eq!(world.states(run).await, ["t0=running"]);
    assert_eq!(world.count("select count(*) from attempt_history").await, 0);
}

#[tokio::test]
async fn finishing_twice_changes_nothing() {
    let world = world().await;
    let run = world.started(&wide("d", 2)).await;
    let attempt = world.claim(1).await.remove(0);
    finish(&world, &attempt, attempt.lease, Ending::Done).await.unwrap();
    for ending in [Ending::Done, Ending::Failed] {
        let again = finish(&world, &attempt, attempt.lease, ending).await;
        assert!(matches!(again, Err(Error::Stale { .. })), "{again:?}");
    }
    assert_eq!(world.states(run).await, ["t0=success", "t1=queued"]);
    assert_eq!(world.count("select count(*) from attempt_history").await, 1);
}

#[tokio::test]
async fn a_late_report_of_a_node_that_was_given_up_changes_nothing() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let late = world.claim_one().await;
    world.store.expire_nodes(at(60), Duration::from_secs(30)).await.unwrap();
    world.register(world.node).await;
    let second = world.claim_one().await;
    assert_eq!((second.attempt_id == late.attempt_id, second.try_number), (false, 2));
    let stale = finish(&world, &late, late.lease, Ending::Failed).await;
    assert!(matches!(stale, Err(Error::Stale { .. })));
    world.end(&second, Ending::Done, at(61)).await;
    assert_eq!(world.states(run).await, ["t0=success"]);
    assert_eq!(world.run_state(run).await, "success");
}

#[tokio::test]
async fn a_failure_waits_for_its_retry_and_then_fails_the_run() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("a", &[]), task("b", &[0])])).await;
    let first = world.claim_one().await;
    let advanced = world.end(&first, Ending::Failed, at(1)).await;
    let due = advanced.wake_at.expect("a retry is planned");
    assert!(due > at(1));
    assert_eq!(world.store.due_runs(at(1), 10).await.unwrap(), (vec![], Some(due)));
    assert_eq!(world.store.due_runs(due, 10).await.unwrap(), (vec![run], None));
    let advanced = world.store.advance(run, due, None).await.unwrap();
    assert_eq!((advanced.queued, advanced.wake_at), (1, None));
    assert_eq!(world.store.due_runs(due, 10).await.unwrap(), (vec![], None));
    let second = world.claim_one().await;
    assert_eq!(second.try_number, 2);
    let advanced = world.end(&second, Ending::Failed, due).await;
    assert_eq!(advanced.finished, Some(RunState::Failed));
    assert_eq!(world.states(run).await, ["a=failed", "b=upstream_failed"]);
}

#[tokio::test]
async fn a_poke_goes_on_with_the_same_try() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let first = world.claim_one().await;
    let advanced = world.end(&first, Ending::Poke { again_in: Duration::from_secs(5) }, at(1)).await;
    assert_eq!(advanced.wake_at, Some(at(6)));
    world.store.advance(run, at(6), None).await.unwrap();
    let second = world.store.claim(&world.slots(1), at(7)).await.unwrap().remove(0);
    assert_eq!((second.try_number, second.first_started_at), (1, now()));
}

#[tokio::test]
async fn outputs_that_are_too_large_fail_the_attempt_and_say_so() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let attempt = world.claim_one().await;
    let outputs = Some(json!({"text": "x".repeat(OUTPUTS_MAX_BYTES)}));
    let (id, lease) = (attempt.attempt_id, attempt.lease);
    world.store.finish(id, lease, Ending::Done, outputs, None, at(1), None).await.unwrap();
    assert_eq!(world.states(run).await, ["t0=failed"]);
    let message: String =
        sqlx::query_scalar("select message from attempt_history").fetch_one(&world.pool).await.unwrap();
    assert!(message.contains("1048576 are possible"), "{message}");
}

#[tokio::test]
async fn a_batch_ends_attempts_of_many_runs_and_names_the_stale_ones() {
    let world = world().await;
    let dag = wide("d", 3);
    let runs = [world.trigger(&dag, "r1").await, world.trigger(&dag, "r2").await];
    world.store.promote(now(), 10, None).await.unwrap();
    let claimed = world.claim(6).await;
    let end = |attempt: &Claimed, lease| End {
        attempt_id: attempt.attempt_id,
        lease,
        ending: Ending::Done,
        outputs: None,
        message: Some("with a \0 character".to_owned()),
    };
    let mut ends: Vec<End> = claimed[..5].iter().map(|attempt| end(attempt, attempt.lease)).collect();
    ends.push(end(&claimed[5], 0));
    ends.push(end(&claimed[0], claimed[0].lease));
    let finished = world.store.finish_batch(ends, at(1), None).await.unwrap();
    assert_eq!(finished.stale, [claimed[5].attempt_id, claimed[0].attempt_id]);
    assert_eq!(finished.runs.iter().map(|(run, _)| *run).collect::<Vec<_>>(), runs);
    assert_eq!(world.run_state(runs[0]).await, "success");
    assert_eq!(world.run_state(runs[1]).await, "running");
    world.assert_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_one_run_at_the_same_time_all_count() {
    let world = world().await;
    let mut tasks: Vec<_> = (0..40).map(|position| task(&format!("t{position}"), &[])).collect();
    tasks.push(task("join", &(0..40).collect::<Vec<_>>()));
    let run = world.started(&dag("d", tasks)).await;
    let ends = world.claim(40).await.into_iter().map(|attempt| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let (id, lease) = (attempt.attempt_id, attempt.lease);
            store.finish(id, lease, Ending::Done, None, None, at(1), None).await.unwrap().queued
        })
    });
    let mut queued = 0;
    for end in ends.collect::<Vec<_>>() {
        queued += end.await.unwrap();
    }
    assert_eq!(queued, 1, "the join is queued exactly once");
    assert_eq!(world.states(run).await.pop().unwrap(), "join=queued");
    world.assert_invariants().await;
}

#[tokio::test]
async fn what_needs_a_service_starts_when_it_is_ready_and_the_service_is_drained_after() {
    let world = world().await;
    let run = world.started(&dag("d", vec![service("s", &[]), task("t", &[0])])).await;
    let attempt = world.claim_one().await;
    let stale = world.store.mark_ready(attempt.attempt_id, attempt.lease + 1, at(1), None).await;
    assert!(matches!(stale, Err(Error::Stale { .. })));
    let claim = world.slots(1);
    let advanced =
        world.store.mark_ready(attempt.attempt_id, attempt.lease, at(1), Some(&claim)).await.unwrap();
    assert_eq!(advanced.claimed.len(), 1);
    world.store.put_status(attempt.attempt_id, attempt.lease, &json!({"lag": 3}), at(2)).await.unwrap();
    world.end(&advanced.claimed[0], Ending::Done, at(3)).await;
    let heartbeat = world.store.heartbeat(world.node, at(4)).await.unwrap();
    assert_eq!(heartbeat.held, [(attempt.attempt_id, attempt.lease)]);
    assert_eq!(heartbeat.stop, [(attempt.attempt_id, "nothing needs it any more".to_owned())]);
    let advanced = world.end(&attempt, Ending::Cancelled, at(5)).await;
    assert_eq!(advanced.finished, Some(RunState::Success));
    assert_eq!(world.states(run).await, ["s=success", "t=success"]);
    let late = world.store.put_status(attempt.attempt_id, attempt.lease, &json!({}), at(6)).await;
    assert!(matches!(late, Err(Error::Stale { .. })));
    let status: String =
        sqlx::query_scalar("select status::text from service_status").fetch_one(&world.pool).await.unwrap();
    assert_eq!(status, r#"{"lag":3}"#);
}

#[tokio::test]
async fn a_service_that_fails_too_often_within_its_period_fails() {
    let world = world().await;
    let run = world.started(&dag("d", vec![service("s", &[])])).await;
    let mut failures = 0;
    for second in 0..10 {
        let (due, next) = world.store.due_runs(at(second * 60), 10).await.unwrap();
        assert!(due.len() <= 1 && (next.is_none() || due.is_empty()));
        world.store.advance(run, at(second * 60), None).await.unwrap();
        let Some(attempt) = world.store.claim(&world.slots(1), at(second * 60)).await.unwrap().pop() else {
            break;
        };
        failures += 1;
        world.end(&attempt, Ending::Failed, at(second * 60)).await;
    }
    assert_eq!(failures, 3, "one start and a budget of two restarts");
    assert_eq!(world.states(run).await, ["s=failed"]);
}
