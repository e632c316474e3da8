//! What people decide: approvals and pools.

use crate::support::{World, at, dag, now, task, world};
use model::Ending;
use model::platform::{Approval, Asker};
use std::time::Duration;
use store::Error;
use store::approvals::ApprovalName;
use store::clear::ClearRequest;
use store::views::approvals::ApprovalFilter;

const NAME: ApprovalName<'static> = ApprovalName { dag_id: "d", run_id: "r1", task_id: "ok", map_index: -1 };

/// A task that has asked and waits for an hour.
async fn asked(world: &World) -> (i64, Asker) {
    let run = world.started(&dag("d", vec![task("ok", &[])])).await;
    let attempt = world.claim_one().await;
    let asker = Asker { run, task: 0, map_index: -1 };
    assert_eq!(world.store.ask_approval(&asker, "publish?", at(1)).await.unwrap(), Approval::Waiting);
    assert_eq!(world.store.ask_approval(&asker, "really?", at(2)).await.unwrap(), Approval::Waiting);
    world.end(&attempt, Ending::Poke { again_in: Duration::from_secs(3600) }, at(2)).await;
    (run, asker)
}

#[tokio::test]
async fn an_answer_wakes_the_task_that_asked_at_once() {
    let world = world().await;
    let (run, asker) = asked(&world).await;
    assert!(world.store.due_runs(at(3), 10).await.unwrap().0.is_empty(), "it waits for an hour");
    world.store.decide_approval(NAME, true, "bob", "looks good", at(4)).await.unwrap();
    assert_eq!(world.store.due_runs(at(4), 10).await.unwrap().0, [run]);
    assert_eq!(world.store.advance(run, at(4), None).await.unwrap().queued, 1);
    let decided = world.store.ask_approval(&asker, "publish?", at(5)).await.unwrap();
    assert_eq!(decided, Approval::Approved { who: "bob".into(), comment: "looks good".into() });
    let (rows, _) =
        world.store.list_approvals(&ApprovalFilter { limit: 9, ..Default::default() }).await.unwrap();
    assert_eq!((rows[0].prompt.as_str(), rows[0].decision.as_deref()), ("publish?", Some("approved")));
    assert_eq!(world.count("select count(*) from audit_log where action = 'approval.approve'").await, 1);
}

#[tokio::test]
async fn a_question_is_answered_once_and_clearing_asks_anew() {
    let world = world().await;
    let (_, asker) = asked(&world).await;
    world.store.decide_approval(NAME, false, "bob", "", at(3)).await.unwrap();
    let again = world.store.decide_approval(NAME, true, "eve", "", at(4)).await.unwrap_err();
    assert!(matches!(&again, Error::Refused { message } if message.contains("rejected by bob")), "{again}");
    let other = ApprovalName { task_id: "nobody", ..NAME };
    let unknown = world.store.decide_approval(other, true, "eve", "", at(4)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
    world.store.clear("d", "r1", &ClearRequest::default(), "ann", at(5)).await.unwrap();
    assert_eq!(world.store.ask_approval(&asker, "publish?", at(6)).await.unwrap(), Approval::Waiting);
    let open = ApprovalFilter { open: true, limit: 9, ..Default::default() };
    assert_eq!(world.store.list_approvals(&open).await.unwrap().1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_while_the_task_looks_for_one_is_not_missed() {
    let world = world().await;
    let run = world.started(&dag("d", vec![task("ok", &[])])).await;
    let attempt = world.claim_one().await;
    let asker = Asker { run, task: 0, map_index: -1 };
    world.store.ask_approval(&asker, "publish?", at(1)).await.unwrap();
    let store = world.store.clone();
    let answer = tokio::spawn(async move { store.decide_approval(NAME, true, "bob", "", at(2)).await });
    world.end(&attempt, Ending::Poke { again_in: Duration::from_secs(3600) }, at(2)).await;
    answer.await.unwrap().unwrap();
    let wakes = "select count(*) from runs where wake_at = timestamptz '2026-03-01T12:00:02Z'";
    assert_eq!(world.count(wakes).await, 1, "it looks at once");
}

#[tokio::test]
async fn nobody_answers_for_a_task_that_waits_no_more() {
    let world = world().await;
    let (run, _) = asked(&world).await;
    world.store.request_cancel("d", "r1", "ann", at(3)).await.unwrap();
    world.store.advance(run, at(3), None).await.unwrap();
    let late = world.store.decide_approval(NAME, true, "bob", "", at(4)).await.unwrap_err();
    assert!(matches!(&late, Error::Refused { message } if message.contains("waits no more")), "{late}");
    let open = ApprovalFilter { open: true, limit: 9, ..Default::default() };
    assert_eq!(world.store.list_approvals(&open).await.unwrap().1, 0);
}

#[tokio::test]
async fn the_use_of_a_pool_is_counted_from_live_attempts_and_a_pool_in_use_stays() {
    let world = world().await;
    world.store.put_pool("db", 3, "the small server", "ann", "too many connections", now()).await.unwrap();
    world.started(&dag("d", vec![task("a", &[]), task("b", &[])])).await;
    world.claim(1).await;
    sqlx::query("update attempts set pool = case task when 0 then 'db' else 'gone' end, pool_slots = 2")
        .execute(&world.pool)
        .await
        .unwrap();
    let pools = world.store.list_pools().await.unwrap();
    let shown: Vec<_> =
        pools.iter().map(|pool| (pool.name.as_str(), pool.slots, pool.running, pool.queued)).collect();
    assert_eq!(shown, [("db", Some(3), 2, 0), ("gone", None, 0, 2)]);
    let refused = world.store.delete_pool("db", "ann", "", at(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    world.store.put_pool("db", 0, "", "ann", "", at(1)).await.unwrap();
    sqlx::query("update attempts set pool = null").execute(&world.pool).await.unwrap();
    world.store.delete_pool("db", "ann", "", at(2)).await.unwrap();
    assert!(matches!(world.store.delete_pool("db", "ann", "", at(3)).await, Err(Error::NotFound { .. })));
    assert_eq!(world.count("select count(*) from audit_log where subject = 'db'").await, 3);
}
