//! What is forgotten with time, what never is, and that it costs others nothing.

use crate::support::{World, at, dag, now, task, world};
use chrono::{DateTime, TimeDelta, Utc};
use model::RunState;
use model::dag::Schedule;
use store::backfills::{Action, BackfillRequest, Reprocess};
use store::retention::{Mode, Policy, Position, Pruned};
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;

/// So long before `now()`.
fn ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

fn only_runs(days: u32, per_dag: u32) -> Policy {
    Policy { runs_days: days, runs_per_dag: per_dag, ..Policy::never() }
}

/// A whole pass: what it removed, and in how many steps that removed something.
pub async fn pass(world: &World, policy: &Policy, mode: Mode) -> (Pruned, usize) {
    let (mut pruned, mut steps) = (Pruned::new(), 0);
    let mut at = Some(Position::default());
    while let Some(position) = at {
        let step = world.store.prune_step(policy, &position, mode, now()).await.unwrap();
        assert_eq!(step.left, None);
        steps += usize::from(!step.pruned.is_empty());
        for (what, rows) in step.pruned {
            *pruned.entry(what).or_default() += rows;
        }
        at = step.next;
    }
    (pruned, steps)
}

/// A run that was over so many days ago, with a task, an attempt and what else belongs to it.
async fn ended(world: &World, run: NewRun, days: i64) -> i64 {
    let id = world.store.trigger(NewRun { run_after: ago(days), ..run }, ago(days)).await.unwrap().id;
    sqlx::query("update runs set state = 'running', started_at = $2 where id = $1")
        .bind(id)
        .bind(ago(days))
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query("update runs set state = 'success', ended_at = $2 where id = $1")
        .bind(id)
        .bind(ago(days))
        .execute(&world.pool)
        .await
        .unwrap();
    for statement in [
        "insert into task_instances (run, task, map_index, task_id, state, started_at, ended_at) values ($1, 0, -1, 't0', 'success', $2, $2)",
        "insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, ended_at, ending, next_state)
         values (1000 + $1, $1, 0, -1, 1, false, $2, $2, 'done', 'success')",
        "insert into deadlines (run, task, due_at, missed_at) values ($1, -1, $2, $2)",
        "insert into notifications (event, run, target, body, state, created_at, sent_at) values ('failure', $1, '{}', '{}', 'sent', $2, $2)",
    ] {
        sqlx::query(statement).bind(id).bind(ago(days)).execute(&world.pool).await.unwrap();
    }
    id
}

async fn left(world: &World) -> Vec<String> {
    sqlx::query_scalar("select run_id from runs order by run_id").fetch_all(&world.pool).await.unwrap()
}

#[tokio::test]
async fn old_runs_go_with_all_that_belongs_to_them_and_the_newest_of_a_dag_stays() {
    let world = world().await;
    let chain = dag("d", vec![task("t0", &[])]);
    let run = world.new_run(&chain, "x").await;
    let named = |name: &str| NewRun { run_id: name.into(), ..run.clone() };
    for (name, days) in [("a", 300), ("b", 200), ("c", 91), ("d", 89)] {
        ended(&world, named(name), days).await;
    }
    // Of another dag, all of whose history is old.
    let other = world.new_run(&dag("other", vec![task("t0", &[])]), "y").await;
    ended(&world, NewRun { run_id: "y1".into(), ..other.clone() }, 301).await;
    ended(&world, NewRun { run_id: "y2".into(), ..other }, 300).await;

    let (would, _) = pass(&world, &only_runs(90, 0), Mode::Count).await;
    assert_eq!(left(&world).await.len(), 6, "a look removes nothing");
    let (pruned, _) = pass(&world, &only_runs(90, 0), Mode::Remove).await;
    assert_eq!(left(&world).await, ["d", "y2"]);
    for what in ["runs", "task_instances", "attempts"] {
        assert_eq!((would[what], pruned[what]), (4, 4), "{what}");
    }
    for table in ["task_instances", "attempt_history", "deadlines", "notifications"] {
        let query = format!("select count(*) from {table}");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&world.pool).await.unwrap();
        assert_eq!(rows, 2, "{table}");
    }
    let counted: i64 = world.count("select removed from prunings where what = 'runs'").await;
    assert_eq!(counted, 4);
    let (again, steps) = pass(&world, &only_runs(90, 0), Mode::Remove).await;
    assert_eq!((again, steps), (Pruned::new(), 0), "a second pass finds nothing");
}

#[tokio::test]
async fn what_something_live_still_needs_is_never_pruned() {
    let world = world().await;
    let chain = dag("d", vec![task("t0", &[])]);
    let run = world.new_run(&chain, "x").await;
    let of = |name: &str, run_type: RunType| NewRun { run_id: name.into(), run_type, ..run.clone() };
    ended(&world, of("1-gone", RunType::Manual), 310).await;
    ended(&world, of("2-past-of-live", RunType::Manual), 300).await;
    ended(&world, of("3-before-live", RunType::AssetTriggered), 290).await;
    // Queued since long, such as the next of a backfill.
    world
        .store
        .trigger(NewRun { run_after: ago(280), ..of("4-live", RunType::Manual) }, now())
        .await
        .unwrap();
    let waited_for = ended(&world, of("5-asset-waits", RunType::Manual), 270).await;
    let planned = ended(&world, of("6-of-open-backfill", RunType::Backfill), 260).await;
    ended(&world, of("7-gone", RunType::AssetTriggered), 250).await;
    ended(&world, of("8-newest-of-plain", RunType::Manual), 240).await;
    ended(&world, of("9-newest", RunType::AssetTriggered), 230).await;
    for statement in [
        "with e as (insert into asset_events (asset, run, who, at) values ('a', $1, '', now()) returning id)
         insert into asset_queue (dag_id, asset, event) select 'waiting', 'a', id from e",
        "with b as (insert into backfills (dag_id, from_at, to_at, reprocess, max_active_runs, params, state, requested_by, created_at)
            values ('d', 'epoch', now(), 'none', 1, '{}', 'running', '', now()) returning id)
         update runs set backfill = b.id from b where runs.id = $1",
    ] {
        let id = if statement.contains("asset_queue") { waited_for } else { planned };
        sqlx::query(statement).bind(id).execute(&world.pool).await.unwrap();
    }
    pass(&world, &only_runs(90, 0), Mode::Remove).await;
    assert_eq!(
        left(&world).await,
        [
            "2-past-of-live",
            "3-before-live",
            "4-live",
            "5-asset-waits",
            "6-of-open-backfill",
            "8-newest-of-plain",
            "9-newest"
        ]
    );
    // The number of runs of a dag counts those that stay, too, and does not touch them.
    pass(&world, &only_runs(0, 1), Mode::Remove).await;
    assert_eq!(left(&world).await.len(), 7);
}

#[tokio::test]
async fn more_runs_than_a_dag_may_have_go_the_oldest_first() {
    let world = world().await;
    let run = world.new_run(&dag("d", vec![task("t0", &[])]), "x").await;
    for day in 1..=9 {
        ended(&world, NewRun { run_id: format!("day-{day}"), ..run.clone() }, day).await;
    }
    pass(&world, &only_runs(90, 3), Mode::Remove).await;
    assert_eq!(left(&world).await, ["day-1", "day-2", "day-3"]);
}

#[tokio::test]
async fn steps_are_bounded_and_a_pass_that_was_broken_off_is_begun_anew() {
    let world = world().await;
    let run = world.new_run(&dag("d", vec![task("t0", &[])]), "x").await;
    ended(&world, run, 1).await;
    sqlx::query(
        "insert into runs (dag_id, run_id, version_id, run_type, state, run_after, params, requested_by, queued_at, started_at, ended_at)
         select 'd', 'h' || n, (select min(id) from dag_versions), 'manual', 'success', $1 + n * interval '1 second', '{}', '', $1, $1, $1
         from generate_series(1, 2500) n",
    )
    .bind(ago(100))
    .execute(&world.pool)
    .await
    .unwrap();
    // One with more rows than a step removes goes by itself.
    sqlx::query(
        "insert into task_instances (run, task, map_index, task_id, state, started_at, ended_at)
         select (select id from runs where run_id = 'h7'), 0, n, 't', 'success', $1, $1 from generate_series(1, 21000) n",
    )
    .bind(ago(100))
    .execute(&world.pool)
    .await
    .unwrap();
    let policy = only_runs(90, 0);
    let first = world.store.prune_step(&policy, &Position::default(), Mode::Remove, now()).await.unwrap();
    assert_eq!(first.pruned["runs"], 6, "until the large one");
    let second = world.store.prune_step(&policy, &first.next.unwrap(), Mode::Remove, now()).await.unwrap();
    assert_eq!((second.pruned["runs"], second.pruned["task_instances"]), (1, 21_000));
    // Here the node died. The next one begins at the beginning.
    let (pruned, steps) = pass(&world, &policy, Mode::Remove).await;
    assert_eq!((pruned["runs"], steps), (2493, 3));
    assert_eq!(left(&world).await, ["x"]);
}

#[tokio::test]
async fn no_tick_is_fired_again_and_a_backfill_takes_pruned_runs_for_no_gap() {
    let world = world().await;
    let hourly = dag("d", vec![task("t0", &[])]);
    let run = world.new_run(&hourly, "x").await;
    let first = ago(200);
    let ticks: Vec<DateTime<Utc>> = (0..5).map(|hour| first + TimeDelta::hours(hour)).collect();
    let ran = |tick: &DateTime<Utc>| {
        let run_id = format!("scheduled__{}", tick.to_rfc3339());
        let run = NewRun {
            run_id,
            logical_date: Some(*tick),
            run_after: *tick,
            run_type: RunType::Scheduled,
            ..run.clone()
        };
        (*tick, TickDecision::Ran(run))
    };
    world.store.record_ticks("d", &ticks.iter().map(ran).collect::<Vec<_>>(), first).await.unwrap();
    sqlx::query("update runs set state = 'cancelled', ended_at = run_after")
        .execute(&world.pool)
        .await
        .unwrap();
    let policy = Policy { ticks_days: 100, ..only_runs(90, 0) };
    let keep_ticks = Policy { ticks_days: 0, ..policy.clone() };
    pass(&world, &keep_ticks, Mode::Remove).await;
    let kept = format!("scheduled__{}", ticks[4].to_rfc3339());
    assert_eq!(left(&world).await, std::slice::from_ref(&kept));
    assert_eq!(world.count("select count(*) from ticks where decision = 'ran'").await, 5);

    let gone = format!("scheduled__{}", ticks[0].to_rfc3339());
    assert_eq!(world.store.pruned_at("d", &gone).await.unwrap(), Some(now()));
    assert_eq!(world.store.pruned_at("d", &kept).await.unwrap(), None);
    let request = BackfillRequest {
        dag_id: "d".into(),
        from: first,
        to: first + TimeDelta::hours(4),
        reprocess: Reprocess::None,
        run_backwards: false,
        max_active_runs: 1,
        params: serde_json::Value::Null,
        reason: String::new(),
    };
    let actions = |plan: Vec<store::backfills::PlannedTick>| {
        plan.into_iter().map(|tick| tick.action).collect::<Vec<_>>()
    };
    let plan = world.store.plan_backfill(&request, now()).await.unwrap();
    assert!(plan.iter().all(|tick| tick.reason.contains("pruned")), "{plan:?}");
    assert_eq!(actions(plan), vec![Action::Skip; 4]);
    let again = BackfillRequest { reprocess: Reprocess::Completed, ..request };
    assert_eq!(actions(world.store.plan_backfill(&again, now()).await.unwrap()), vec![Action::Create; 4]);

    // The ledger itself: all but the newest row, from which the planner goes on.
    pass(&world, &policy, Mode::Remove).await;
    assert_eq!(world.count("select count(*) from ticks").await, 1);
    let scheduled = world.store.scheduled_dags().await.unwrap();
    assert_eq!(scheduled[0].last_tick, Some(ticks[4]));
    let late = [ran(&ticks[2]), ran(&ticks[4])];
    assert!(world.store.record_ticks("d", &late, now()).await.unwrap().is_empty(), "fired again");
}

#[tokio::test]
async fn runs_of_a_backfill_are_kept_in_the_ledger_when_they_go() {
    let world = world().await;
    let hourly = model::Dag {
        schedule: Schedule::Every { every: std::time::Duration::from_secs(3600) },
        ..dag("d", vec![task("t0", &[])])
    };
    let run = world.new_run(&hourly, "x").await;
    let tick = ago(200);
    let skipped = TickDecision::Skipped { reason: "paused".into() };
    world.store.record_ticks("d", &[(ago(1), skipped)], ago(1)).await.unwrap();
    let filled = NewRun {
        run_id: "fill".into(),
        logical_date: Some(tick),
        run_type: RunType::Backfill,
        ..run.clone()
    };
    ended(&world, filled, 150).await;
    ended(&world, NewRun { run_id: "new".into(), ..run }, 1).await;
    pass(&world, &only_runs(90, 0), Mode::Remove).await;
    assert_eq!(left(&world).await, ["new"]);
    assert_eq!(
        world.count("select count(*) from ticks where decision = 'ran' and pruned_at is not null").await,
        1
    );
    assert_eq!(
        world.store.scheduled_dags().await.unwrap()[0].last_tick,
        Some(ago(1)),
        "the planner stands where it stood"
    );
}

#[tokio::test]
async fn a_run_that_is_cleared_meanwhile_stays() {
    let world = world().await;
    let run = world.new_run(&dag("d", vec![task("t0", &[])]), "x").await;
    for (name, days) in [("a", 200), ("b", 199), ("c", 1)] {
        ended(&world, NewRun { run_id: name.into(), ..run.clone() }, days).await;
    }
    // Somebody else has it in hand: it is not waited for.
    let mut tx = world.pool.begin().await.unwrap();
    sqlx::query("update runs set state = 'queued', queued_at = $1, started_at = null, ended_at = null where run_id = 'a'")
        .bind(now())
        .execute(&mut *tx)
        .await
        .unwrap();
    let (pruned, _) = pass(&world, &only_runs(90, 0), Mode::Remove).await;
    assert_eq!(pruned["runs"], 1);
    tx.commit().await.unwrap();
    assert_eq!(left(&world).await, ["a", "c"]);
    let state = world.store.run("d", "a").await.unwrap().unwrap().state;
    assert_eq!(state, RunState::Queued);
}

#[tokio::test]
async fn old_rows_of_other_tables_go_and_what_is_needed_stays() {
    let world = world().await;
    let run = ended(&world, world.new_run(&dag("d", vec![task("t0", &[])]), "x").await, 1).await;
    sqlx::query(
        "insert into notifications (event, run, target, body, state, created_at, sent_at, next_at)
         values ('failure', $1, '{}', '{}', 'sent', $2, $2, null), ('failure', $1, '{}', '{}', 'waiting', $2, null, $2)",
    )
    .bind(run)
    .bind(ago(100))
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query("insert into audit_log (at, who, action, subject, details) select $1 + n * interval '1 second', '', '', '', '{}' from generate_series(1, 1500) n")
        .bind(ago(500))
        .execute(&world.pool)
        .await
        .unwrap();
    world.store.audit("ann", "x", "y", serde_json::json!({}), now()).await.unwrap();
    // Three events of two assets; the first one still waits in a queue.
    sqlx::query(
        "insert into asset_events (asset, who, at) select a, '', $1 from unnest(array['a', 'a', 'a', 'b']) a",
    )
    .bind(ago(100))
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query("insert into asset_queue (dag_id, asset, event) select 'z', 'a', min(id) from asset_events")
        .execute(&world.pool)
        .await
        .unwrap();
    let (pruned, _) = pass(&world, &Policy::default(), Mode::Remove).await;
    assert_eq!((pruned["notifications"], pruned["audit_log"], pruned["asset_events"]), (1, 1500, 1));
    assert_eq!(world.count("select count(*) from notifications where state = 'waiting'").await, 1);
    assert_eq!(world.count("select count(*) from audit_log").await, 1);
    assert_eq!(world.count("select count(distinct asset) from asset_events").await, 2);
    let (nothing, _) = pass(&world, &Policy::never(), Mode::Remove).await;
    assert_eq!(nothing, Pruned::new());

    world.store.end_prune("ann", &pruned, at(5)).await.unwrap();
    assert_eq!(world.store.last_prune().await.unwrap(), Some(at(5)));
    let told: String =
        sqlx::query_scalar("select details::text from audit_log where action = 'db.prune' and who = 'ann'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(told.contains("\"audit_log\":1500"), "{told}");
    let health = world.store.health(now()).await.unwrap();
    assert!(
        health.pruned.iter().any(|row| row.what == "audit_log" && row.removed == 1500),
        "{:?}",
        health.pruned
    );
}
