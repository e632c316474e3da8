//! Queued runs start in order, within their limit, whatever the number of nodes.

use crate::support::{World, at, dag, now, task, wide, world};
use model::dag::Overlap;
use model::{Dag, Ending};
use std::time::Duration;
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;

/// Scheduled runs with their ticks, one a second, from `at(1)`.
async fn ticks(world: &World, dag: &Dag, seconds: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    let template = world.new_run(dag, "").await;
    let mut ticks = Vec::new();
    for second in seconds {
        let (run_type, run_after) = (RunType::Scheduled, at(second));
        let run = NewRun { run_id: format!("tick-{second}"), run_type, run_after, ..template.clone() };
        ticks.push((at(second), TickDecision::Ran(run)));
    }
    world.store.record_ticks(&dag.id, &ticks, now()).await.expect("records")
}

async fn all_states(world: &World) -> Vec<String> {
    sqlx::query_scalar("select run_id || '=' || state from runs order by id")
        .fetch_all(&world.pool)
        .await
        .expect("reads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_promoters_never_exceed_the_limit_and_keep_the_order() {
    let world = world().await;
    let dag = Dag { max_active_runs: 1, ..wide("d", 1) };
    let runs = ticks(&world, &dag, 1..=50).await;
    let mut started = Vec::new();
    while started.len() < 50 {
        let promoters: Vec<_> = (0..4)
            .map(|_| {
                let store = world.store.clone();
                tokio::spawn(async move { store.promote(at(100), 10, None).await.unwrap() })
            })
            .collect();
        for promoter in promoters {
            started.extend(promoter.await.unwrap().into_iter().map(|(run, _)| run));
        }
        assert_eq!(world.count("select count(*) from runs where state = 'running'").await, 1);
        let attempt = world.claim_one().await;
        world.end(&attempt, Ending::Done, at(100)).await;
    }
    assert_eq!(started, runs, "each once, the oldest first");
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_dag_with_thousands_of_runs_does_not_hold_up_another() {
    let world = world().await;
    let busy = Dag { max_active_runs: 10_000, ..wide("busy", 1) };
    ticks(&world, &busy, 1..=5_000).await;
    let late = world.new_run(&wide("calm", 1), "r").await;
    let late = world.store.trigger(NewRun { run_after: at(5_500), ..late }, now()).await.unwrap().id;
    let promoted = world.store.promote(at(6_000), 10, None).await.unwrap();
    assert!(promoted.len() <= 10 && promoted.iter().any(|(run, _)| *run == late), "{promoted:?}");
}

#[tokio::test]
async fn a_backfill_has_places_of_its_own_and_waits_for_no_other_run() {
    let world = world().await;
    let dag = Dag { max_active_runs: 1, ..wide("d", 1) };
    let backfill = |backwards: bool, limit: i32| {
        sqlx::query_scalar::<_, i64>(
            "insert into backfills (dag_id, from_at, to_at, reprocess, max_active_runs, run_backwards, params, state, requested_by, created_at)
             values ('d', $1, $2, 'none', $3, $4, '{}', 'running', 'ann', $1) returning id",
        )
        .bind(now())
        .bind(at(9))
        .bind(limit)
        .bind(backwards)
        .fetch_one(&world.pool)
    };
    let runs = ticks(&world, &dag, 1..=6).await;
    let (forwards, backwards) = (backfill(false, 1).await.unwrap(), backfill(true, 1).await.unwrap());
    for (id, of) in [(forwards, &runs[..2]), (backwards, &runs[2..4])] {
        let belong = sqlx::query("update runs set backfill = $1, run_type = 'backfill' where id = any($2)");
        belong.bind(id).bind(of).execute(&world.pool).await.unwrap();
    }
    let promote = async || {
        let promoted = world.store.promote(at(9), 10, None).await.unwrap();
        promoted.into_iter().map(|(run, _)| run).collect::<Vec<_>>()
    };
    assert_eq!(promote().await, [runs[0], runs[3], runs[4]], "one of each, the newest of the backwards one");
    assert_eq!(promote().await, Vec::<i64>::new(), "all places are taken");
    sqlx::query("update backfills set state = 'paused' where id = $1")
        .bind(backwards)
        .execute(&world.pool)
        .await
        .unwrap();
    for attempt in world.claim(9).await {
        world.end(&attempt, Ending::Done, at(9)).await;
    }
    assert_eq!(promote().await, [runs[1], runs[5]], "a paused backfill starts nothing");
    world.assert_invariants().await;
}

#[tokio::test]
async fn deadlines_are_made_when_a_run_starts() {
    let world = world().await;
    let late = model::dag::TaskDef { deadline: Some(Duration::from_secs(5)), ..task("b", &[]) };
    let dag = Dag { deadline: Some(Duration::MAX), ..dag("d", vec![task("a", &[]), late]) };
    let run = world.new_run(&dag, "r").await;
    world.store.trigger(NewRun { run_after: at(7), ..run }, now()).await.unwrap();
    world.store.promote(at(8), 10, None).await.unwrap();
    let due: Vec<(i32, chrono::DateTime<chrono::Utc>)> =
        sqlx::query_as("select task, due_at from deadlines order by task desc")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(due[0], (1, at(12)), "the task's, counted from run_after");
    assert!(due[1].0 == -1 && due[1].1 > at(300_000_000), "the run's");
}

#[tokio::test]
async fn the_deadlines_of_a_backfill_count_from_when_it_was_asked_for() {
    let world = world().await;
    let dag = Dag { deadline: Some(Duration::from_secs(60)), ..dag("d", vec![task("a", &[])]) };
    let run = world.new_run(&dag, "r").await;
    world.store.trigger(NewRun { run_after: at(-86_400), ..run }, now()).await.unwrap();
    let backfill = "with b as (insert into backfills (dag_id, from_at, to_at, reprocess, max_active_runs, params, state, requested_by, created_at)
        values ('d', $1, $2, 'none', 1, '{}', 'running', 'test', $2) returning id)
        update runs set run_type = 'backfill', backfill = b.id from b";
    sqlx::query(backfill).bind(at(-90_000)).bind(now()).execute(&world.pool).await.unwrap();
    assert_eq!(world.store.promote(at(1), 10, None).await.unwrap().len(), 1);
    let due: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select due_at from deadlines").fetch_one(&world.pool).await.unwrap();
    assert_eq!(due, at(60));
}

#[tokio::test]
async fn overlap_skip_drops_a_tick_that_finds_no_place_but_not_what_a_person_asked_for() {
    let world = world().await;
    let dag = Dag { max_active_runs: 1, overlap: Overlap::Skip, ..wide("d", 1) };
    ticks(&world, &dag, 1..=3).await;
    world.store.promote(at(1), 10, None).await.unwrap();
    let by_hand = world.new_run(&dag, "by-hand").await;
    world.store.trigger(by_hand, at(1)).await.unwrap();
    world.store.promote(at(2), 10, None).await.unwrap();
    assert_eq!(
        all_states(&world).await,
        ["tick-1=running", "tick-2=cancelled", "tick-3=queued", "by-hand=queued"],
        "tick-3 has not come yet"
    );
    let ledger = world.store.ticks("d", None, 10).await.unwrap();
    let decisions: Vec<&str> = ledger.iter().map(|tick| tick.decision.as_str()).collect();
    assert_eq!(decisions, ["ran", "skipped", "ran"]);
    assert!(ledger[1].reason.as_deref().unwrap().contains("overlap: skip"));
}

#[tokio::test]
async fn overlap_cancel_makes_room_for_the_newest() {
    let world = world().await;
    let dag = Dag { max_active_runs: 1, overlap: Overlap::Cancel, ..wide("d", 1) };
    let runs = ticks(&world, &dag, 1..=3).await;
    world.store.promote(at(1), 10, None).await.unwrap();
    let attempt = world.claim_one().await;
    assert!(world.store.promote(at(3), 10, None).await.unwrap().is_empty());
    assert_eq!(all_states(&world).await, ["tick-1=running", "tick-2=cancelled", "tick-3=queued"]);
    world.store.advance(runs[0], at(3), None).await.unwrap();
    world.end(&attempt, Ending::Cancelled, at(4)).await;
    world.store.promote(at(4), 10, None).await.unwrap();
    assert_eq!(all_states(&world).await, ["tick-1=cancelled", "tick-2=cancelled", "tick-3=running"]);
}

#[tokio::test]
async fn a_paused_dag_starts_only_what_a_person_asked_for() {
    let world = world().await;
    let dag = wide("d", 1);
    ticks(&world, &dag, 1..=1).await;
    world.trigger(&dag, "by-hand").await;
    world.store.set_paused("d", true, "ann", now()).await.unwrap();
    world.store.promote(at(9), 10, None).await.unwrap();
    assert_eq!(all_states(&world).await, ["tick-1=queued", "by-hand=running"]);
    world.store.set_paused("d", false, "ann", now()).await.unwrap();
    world.store.promote(at(9), 10, None).await.unwrap();
    assert_eq!(all_states(&world).await, ["tick-1=running", "by-hand=running"]);
}

#[tokio::test]
async fn a_promoted_run_is_claimed_in_the_same_commit_within_the_free_slots() {
    let world = world().await;
    let dag = dag("d", vec![task("a", &[]), task("b", &[])]);
    world.trigger(&dag, "r1").await;
    world.trigger(&crate::support::wide("e", 2), "r1").await;
    let claim = world.slots(3);
    let promoted = world.store.promote(now(), 10, Some(&claim)).await.unwrap();
    let claimed: usize = promoted.iter().map(|(_, advanced)| advanced.claimed.len()).sum();
    assert_eq!((promoted.len(), claimed), (2, 3));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_dag_that_cannot_be_started_holds_back_no_other() {
    let world = world().await;
    for (dag, seconds) in [("broken", -2), ("whole", -1)] {
        world.trigger(&wide(dag, 1), "r1").await;
        let earlier = sqlx::query("update runs set run_after = $1 where dag_id = $2");
        earlier.bind(at(seconds)).bind(dag).execute(&world.pool).await.unwrap();
    }
    let broke = sqlx::query("update dag_versions set spec = '{}' where dag_id = 'broken'");
    broke.execute(&world.pool).await.unwrap();
    // It has not read any version yet.
    let store = store::Store::connect(world.database.url(), 2).await.unwrap();
    let promoted = store.promote(now(), 10, Some(&world.slots(8))).await.unwrap();
    assert_eq!(promoted.iter().map(|(_, advanced)| advanced.claimed.len()).sum::<usize>(), 1);
    assert_eq!(
        world.count("select count(*) from runs where dag_id = 'whole' and state = 'running'").await,
        1
    );
}

#[tokio::test]
async fn what_was_claimed_for_one_dag_is_not_lost_when_the_next_dag_fails() {
    let world = world().await;
    world.trigger(&wide("whole", 1), "r1").await;
    world.trigger(&wide("broken", 1), "r1").await;
    let broke = sqlx::query("update dag_versions set spec = '{}' where dag_id = 'broken'");
    broke.execute(&world.pool).await.unwrap();
    sqlx::query("update runs set run_after = $1 where dag_id = 'whole'")
        .bind(at(-1))
        .execute(&world.pool)
        .await
        .unwrap();
    // It has not read any version yet.
    let store = store::Store::connect(world.database.url(), 2).await.unwrap();
    let promoted = store.promote(now(), 10, Some(&world.slots(8))).await.unwrap();
    assert_eq!(promoted.iter().map(|(_, advanced)| advanced.claimed.len()).sum::<usize>(), 1);
    assert_eq!(world.count("select count(*) from attempts where state = 'running'").await, 1);
    assert!(
        store.promote(now(), 10, Some(&world.slots(8))).await.is_err(),
        "with nothing to tell, it tells why"
    );
}
