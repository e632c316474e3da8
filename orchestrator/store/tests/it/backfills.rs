//! Backfills: a plan that says why, and runs that follow it.

use crate::support::{World, at, dag, now, task, world};
use model::dag::{Schedule, TaskDef};
use model::{Dag, Ending};
use serde_json::{Value, json};
use store::Error;
use store::backfills::{Action, BackfillRequest, Reprocess};
use store::runs::NewRun;
use store::ticks::TickDecision;
use store::views::runs::RunFilter;

const HOUR: i64 = 3600;

/// The last six hours, each with a tick: five, four, .. and the one at `now`.
fn request() -> BackfillRequest {
    BackfillRequest {
        dag_id: "d".to_owned(),
        from: at(-5 * HOUR),
        to: at(HOUR),
        reprocess: Reprocess::None,
        run_backwards: false,
        max_active_runs: 2,
        params: Value::Null,
        reason: "the feed was late".to_owned(),
    }
}

/// A run for the tick so many hours ago that has ended well or not.
async fn ended(world: &World, dag: &Dag, hours: i64, ending: Ending) {
    let tick = at(-hours * HOUR);
    let run = world.new_run(dag, &format!("ago{hours}")).await;
    world.store.trigger(NewRun { logical_date: Some(tick), run_after: tick, ..run }, now()).await.unwrap();
    world.store.promote(now(), 10, None).await.unwrap();
    let attempt = world.claim_one().await;
    world.end(&attempt, ending, now()).await;
}

fn one() -> Dag {
    dag("d", vec![task("t", &[])])
}

async fn actions(world: &World, request: &BackfillRequest) -> Vec<(Action, String)> {
    let plan = world.store.plan_backfill(request, now()).await.unwrap();
    plan.into_iter().map(|tick| (tick.action, tick.reason)).collect()
}

#[tokio::test]
async fn a_plan_fills_gaps_only_unless_more_is_asked_and_says_why() {
    let world = world().await;
    ended(&world, &one(), 5, Ending::Done).await;
    ended(&world, &one(), 4, Ending::FailedForGood).await;
    let waiting = world.new_run(&one(), "waiting").await;
    world.store.trigger(NewRun { logical_date: Some(at(-3 * HOUR)), ..waiting }, now()).await.unwrap();
    let plan = actions(&world, &BackfillRequest { to: at(2 * HOUR), ..request() }).await;
    let expected = [
        (Action::Skip, "it has a run (success), and reprocess is none"),
        (Action::Skip, "it has a run (failed), and reprocess is none"),
        (Action::Skip, "in flight: its run is queued"),
        (Action::Create, "it has no run"),
        (Action::Create, "it has no run"),
        (Action::Create, "it has no run"),
        (Action::Skip, "it has not come yet"),
    ];
    assert_eq!(plan, expected.map(|(action, reason)| (action, reason.to_owned())));
    for (reprocess, again) in [(Reprocess::Failed, [false, true]), (Reprocess::Completed, [true, true])] {
        let plan = actions(&world, &BackfillRequest { reprocess, ..request() }).await;
        assert_eq!([plan[0].0 == Action::Rerun, plan[1].0 == Action::Rerun], again, "{reprocess:?}");
        assert_eq!(plan[2].0, Action::Skip, "what is in flight is left alone");
    }
}

#[tokio::test]
async fn a_backfill_makes_what_its_plan_says_on_the_newest_version_and_ends_with_its_last_run() {
    let world = world().await;
    ended(&world, &one(), 4, Ending::FailedForGood).await;
    let newest = dag("d", vec![task("before", &[]), task("t", &[0])]);
    world.store.register_dag("d.yaml", &newest, "", now()).await.unwrap();
    let request = BackfillRequest { reprocess: Reprocess::Failed, ..request() };
    let plan = world.store.plan_backfill(&request, now()).await.unwrap();
    let (id, done) = world.store.create_backfill(&request, "ann", now()).await.unwrap();
    assert_eq!(done, plan, "the plan is what is done");
    let again = world.store.create_backfill(&request, "ann", now()).await.unwrap_err();
    assert!(matches!(&again, Error::Refused { message } if message.contains("in flight")), "{again}");
    let filter = RunFilter { backfill: Some(id), ascending: true, limit: 99, ..Default::default() };
    let (runs, total) = world.store.list_runs(&filter).await.unwrap();
    assert_eq!(total, 6);
    assert!(
        runs.iter()
            .all(|run| run.run_type == "backfill" && run.version == 2 && run.state.as_str() == "queued")
    );
    assert_eq!(runs[1].run_id, "ago4", "what failed is the same run again");
    assert_eq!(runs[0].run_id, "backfill__2026-03-01T07:00:00+00:00");
    assert_eq!(world.store.complete_backfills(at(1)).await.unwrap(), 0);
    world.store.pause_backfill(id, true, "ann", "", at(1)).await.unwrap();
    assert_eq!(world.store.backfill(id).await.unwrap().unwrap().state, "paused");
    world.store.pause_backfill(id, false, "ann", "", at(1)).await.unwrap();
    for second in 2..20 {
        world.store.promote(at(second), 10, None).await.unwrap();
        for attempt in world.claim(99).await {
            world.end(&attempt, Ending::Done, at(second)).await;
        }
    }
    assert_eq!(world.store.complete_backfills(at(30)).await.unwrap(), 1);
    let row = world.store.backfill(id).await.unwrap().unwrap();
    assert_eq!(
        (row.state.as_str(), row.success, row.runs_planned, row.ended_at),
        ("completed", 6, 6, Some(at(30)))
    );
    assert_eq!((row.requested_by.as_str(), row.reason.as_str()), ("ann", "the feed was late"));
    assert_eq!(world.store.complete_backfills(at(31)).await.unwrap(), 0);
    world.store.clear("d", "ago4", &Default::default(), "ann", at(40)).await.unwrap();
    assert_eq!(world.store.backfill(id).await.unwrap().unwrap().state, "running", "open again with its run");
    let actions = "select count(*) from audit_log where subject like 'd/backfill/%'";
    assert_eq!(world.count(actions).await, 3);
}

#[tokio::test]
async fn cancelling_a_backfill_cancels_what_waits_and_asks_what_runs() {
    let world = world().await;
    world.store.register_dag("d.yaml", &one(), "", now()).await.unwrap();
    let (id, _) = world.store.create_backfill(&request(), "ann", now()).await.unwrap();
    world.store.promote(now(), 1, None).await.unwrap();
    let running = world.claim(1).await.len();
    assert_eq!(running, 1);
    assert_eq!(world.store.cancel_backfill(id, "bob", "wrong range", at(1)).await.unwrap(), 6);
    let row = world.store.backfill(id).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.cancelled, row.running), ("cancelled", 5, 1));
    assert_eq!(
        world
            .count("select count(*) from runs where state = 'running' and cancel_requested_at is not null")
            .await,
        1
    );
    for refused in [
        world.store.cancel_backfill(id, "bob", "", at(2)).await.map(|_| ()),
        world.store.pause_backfill(id, true, "bob", "", at(2)).await,
    ] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    assert!(matches!(world.store.cancel_backfill(99, "bob", "", at(2)).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_depends_on_the_past_goes_forwards_and_leaves_no_failure_behind() {
    let world = world().await;
    let dependent = dag("d", vec![TaskDef { depends_on_past: true, ..task("t", &[]) }]);
    world.store.register_dag("d.yaml", &dependent, "", now()).await.unwrap();
    let backwards = BackfillRequest { run_backwards: true, ..request() };
    let refused = world.store.plan_backfill(&backwards, now()).await.unwrap_err().to_string();
    assert!(refused.contains("depends on the past"), "{refused}");
    ended(&world, &dependent, 5, Ending::FailedForGood).await;
    let refused = world.store.create_backfill(&request(), "ann", now()).await.unwrap_err().to_string();
    assert!(refused.contains("run 'ago5' before") && refused.contains("failed"), "{refused}");
    let later = BackfillRequest { from: at(-4 * HOUR), ..request() };
    let refused = world.store.plan_backfill(&later, now()).await.unwrap_err().to_string();
    assert!(refused.contains("run 'ago5' before"), "the run before the range counts too: {refused}");
    let again = BackfillRequest { reprocess: Reprocess::Failed, ..request() };
    assert_eq!(world.store.create_backfill(&again, "ann", now()).await.unwrap().1.len(), 6);
}

#[tokio::test]
async fn a_backfill_that_makes_no_sense_is_refused_with_what_to_do() {
    let world = world().await;
    let manual = Dag { schedule: Schedule::Manual, ..dag("manual", vec![task("t", &[])]) };
    world.store.register_dag("manual.yaml", &manual, "", now()).await.unwrap();
    world.store.register_dag("d.yaml", &one(), "", now()).await.unwrap();
    for (request, wanted) in [
        (BackfillRequest { dag_id: "manual".into(), ..request() }, "no ticks to fill in"),
        (BackfillRequest { to: at(-9 * HOUR), ..request() }, "is empty"),
        (BackfillRequest { from: at(1), to: at(2), ..request() }, "no tick between"),
        (BackfillRequest { from: at(-20_000 * HOUR), ..request() }, "take the range in parts"),
        (BackfillRequest { max_active_runs: 0, ..request() }, "at least 1"),
        (BackfillRequest { params: json!({"x": 1}), ..request() }, "no param 'x'"),
        (BackfillRequest { from: at(HOUR), to: at(9 * HOUR), ..request() }, "it has not come yet"),
        (BackfillRequest { dag_id: "nobody".into(), ..request() }, "dag 'nobody' does not exist"),
    ] {
        let refused = world.store.create_backfill(&request, "ann", now()).await.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
    assert_eq!(world.count("select count(*) from backfills").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_equal_backfills_at_the_same_time_one_is_made() {
    let world = world().await;
    world.store.register_dag("d.yaml", &one(), "", now()).await.unwrap();
    let tries: Vec<_> = (0..4)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move { store.create_backfill(&request(), "ann", now()).await.is_ok() })
        })
        .collect();
    let mut made = 0;
    for made_one in tries {
        made += usize::from(made_one.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(world.count("select count(*) from runs").await, 6);
}

#[tokio::test]
async fn runs_that_a_later_backfill_takes_over_are_told_as_such() {
    let world = world().await;
    world.store.register_dag("d.yaml", &one(), "", now()).await.unwrap();
    let (first, _) = world.store.create_backfill(&request(), "ann", now()).await.unwrap();
    for second in 1..20 {
        world.store.promote(at(second), 10, None).await.unwrap();
        for attempt in world.claim(99).await {
            world.end(&attempt, Ending::Done, at(second)).await;
        }
    }
    let again = BackfillRequest { from: at(-2 * HOUR), reprocess: Reprocess::Completed, ..request() };
    let (second, planned) = world.store.create_backfill(&again, "bob", at(30)).await.unwrap();
    let row = world.store.backfill(first).await.unwrap().unwrap();
    assert_eq!((row.runs_planned, row.runs_taken, row.success), (6, 3, 3));
    let row = world.store.backfill(second).await.unwrap().unwrap();
    assert_eq!((row.runs_planned, row.runs_taken, row.queued), (3, 0, planned.len() as i64));
}

#[tokio::test]
async fn a_tick_that_a_backfill_was_faster_to_run_is_not_run_twice() {
    let world = world().await;
    let late = world.new_run(&one(), "scheduled__now").await;
    world.store.create_backfill(&request(), "ann", now()).await.unwrap();
    let runs = world.count("select count(*) from runs").await;
    let tick = (now(), TickDecision::Ran(NewRun { logical_date: Some(now()), ..late }));
    let created = world.store.record_ticks("d", &[tick], at(1)).await.unwrap();
    assert_eq!(created, [0; 0], "the backfill has made its run");
    assert_eq!(world.count("select count(*) from runs").await, runs);
    let named: String = sqlx::query_scalar(
        "select r.run_id from ticks t join runs r on r.id = t.run where t.dag_id = 'd' and t.decision = 'ran'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(named, "backfill__2026-03-01T12:00:00+00:00");
}
