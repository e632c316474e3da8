//! Each tick is in exactly one row, whoever plans.

use crate::support::{at, now, wide, world};
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_planners_record_each_tick_and_make_each_run_once() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "").await;
    let ticks: Vec<(_, TickDecision)> = (1..=20)
        .map(|hour| {
            let tick = at(hour * 3600);
            let run =
                NewRun { run_type: RunType::Scheduled, run_id: format!("scheduled__{hour}"), ..run.clone() };
            (tick, TickDecision::Ran(run))
        })
        .collect();
    let planners: Vec<_> = (0..4)
        .map(|_| {
            let (store, ticks) = (world.store.clone(), ticks.clone());
            tokio::spawn(async move { store.record_ticks("d", &ticks, now()).await.unwrap().len() })
        })
        .collect();
    let mut made = 0;
    for planner in planners {
        made += planner.await.unwrap();
    }
    assert_eq!(made, 20);
    assert_eq!(world.count("select count(*) from runs").await, 20);
    assert_eq!(world.count("select count(distinct run) from ticks where decision = 'ran'").await, 20);
}

#[tokio::test]
async fn a_tick_keeps_its_first_decision() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let skipped = TickDecision::Skipped { reason: "paused".to_owned() };
    let ticks = [
        (at(1), skipped.clone()),
        (at(2), TickDecision::Merged { into: at(3) }),
        (at(3), TickDecision::Ran(run.clone())),
        (at(3), skipped.clone()),
    ];
    assert_eq!(world.store.record_ticks("d", &ticks, now()).await.unwrap().len(), 1);
    let again = [(at(1), TickDecision::Ran(NewRun { run_id: "late".to_owned(), ..run })), (at(3), skipped)];
    assert!(world.store.record_ticks("d", &again, now()).await.unwrap().is_empty());
    let ledger = world.store.ticks("d", None, 10).await.unwrap();
    let rows: Vec<(&str, Option<&str>)> =
        ledger.iter().map(|tick| (tick.decision.as_str(), tick.run_id.as_deref())).collect();
    assert_eq!(rows, [("ran", Some("r")), ("merged", None), ("skipped", None)]);
    assert_eq!(world.store.ticks("d", Some(at(2)), 10).await.unwrap().len(), 1);
    assert_eq!(world.count("select count(*) from runs").await, 1);
    assert_eq!(world.store.scheduled_dags().await.unwrap()[0].last_tick, Some(at(3)));
}

#[tokio::test]
async fn a_plan_that_comes_late_adds_nothing_before_the_end_of_the_ledger() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let tick = |second| {
        let run = NewRun { run_id: format!("r{second}"), ..run.clone() };
        (at(second), TickDecision::Ran(run))
    };
    assert_eq!(world.store.record_ticks("d", &[tick(5)], now()).await.unwrap().len(), 1);
    assert_eq!(world.store.record_ticks("d", &[tick(1), tick(5), tick(6)], now()).await.unwrap().len(), 1);
    let ledger = world.store.ticks("d", None, 10).await.unwrap();
    let runs: Vec<Option<&str>> = ledger.iter().map(|tick| tick.run_id.as_deref()).collect();
    assert_eq!(runs, [Some("r6"), Some("r5")]);
}

#[tokio::test]
async fn a_tick_names_the_run_that_a_person_made_before() {
    let world = world().await;
    let dag = wide("d", 1);
    world.trigger(&dag, "r").await;
    let run = world.new_run(&dag, "r").await;
    let ticks = [(at(1), TickDecision::Ran(run))];
    assert!(world.store.record_ticks("d", &ticks, now()).await.unwrap().is_empty());
    assert_eq!(world.store.ticks("d", None, 1).await.unwrap()[0].run_id.as_deref(), Some("r"));
}

#[tokio::test]
async fn many_skipped_ticks_share_a_row_that_says_how_many_they_are() {
    let world = world().await;
    let run = world.new_run(&wide("d", 1), "r").await;
    let many =
        |first, count| TickDecision::SkippedMany { first: at(first), count, reason: "missed".to_owned() };
    let plan = [(at(500), many(1, 500)), (at(501), TickDecision::Ran(run))];
    assert_eq!(world.store.record_ticks("d", &plan, now()).await.unwrap().len(), 1);
    let late = [(at(700), many(400, 301))];
    world.store.record_ticks("d", &late, now()).await.unwrap();
    let ledger = world.store.ticks("d", None, 10).await.unwrap();
    let rows: Vec<_> =
        ledger.iter().map(|row| (row.decision.as_str(), row.first_at, row.tick_at, row.ticks)).collect();
    let expected = [("ran", None, at(501), 1), ("skipped", Some(at(1)), at(500), 500)];
    assert_eq!(rows, expected, "a span that begins before the end of the ledger adds nothing");
    assert_eq!(ledger[1].reason.as_deref(), Some("missed"));
}
