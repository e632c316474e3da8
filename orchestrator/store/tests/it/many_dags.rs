//! What a loop reads does not grow with the number of dags: rows of `dags` are counted by Postgres itself, for each call by itself.

use crate::support::{World, at, dag, now, task, world};
use model::dag::Schedule;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::collections::BTreeMap;
use store::Store;
use store::runs::NewRun;

/// Other dags, with a schedule, that have nothing to do now.
async fn idle_dags(own: &PgPool, count: i64) {
    let more = "insert into dags (dag_id, file, version_id, scheduled, schedule_kind, max_active_runs, overlap, registered_at, changed_at)
        select 'idle' || n || '-' || $1, 'f' || n || '-' || $1, version_id, true, 'ticks', 1, 'queue', now(), now()
        from dags, generate_series(1, $1) n where dag_id = 'd'";
    sqlx::query(more).bind(count).execute(own).await.expect("more dags");
    sqlx::raw_sql("vacuum analyze").execute(own).await.expect("postgres answers");
}

/// Rows of `dags` read so far. What a connection has counted is told when it ends.
async fn read_so_far(own: &PgPool) -> i64 {
    let mut own = own.acquire().await.expect("a connection");
    // One that ends by itself meanwhile is ended, too.
    let others = "select count(pg_terminate_backend(pid, 30000)) from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *own).await.expect("postgres answers") > 0 {}
    for statement in ["select pg_stat_force_next_flush()", "select 1"] {
        sqlx::query(statement).execute(&mut *own).await.expect("postgres answers");
    }
    sqlx::query_scalar(
        "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::int8 from pg_stat_user_tables where relname = 'dags'",
    )
    .fetch_one(&mut *own)
    .await
    .expect("postgres answers")
}

/// Rows of `dags` that each call of the loops reads while one run of one dag starts and goes on.
async fn read(world: &World, own: &PgPool, run: NewRun) -> BTreeMap<&'static str, i64> {
    let mut reads = BTreeMap::new();
    let mut run = Some(run);
    let calls = [
        "trigger",
        "promote",
        "due_runs",
        "next_run_after",
        "continuous_due",
        "assets_due",
        "complete_backfills",
        "miss_deadlines",
        "claim_notifications",
        "heartbeat",
        "claim",
    ];
    for call in calls {
        let before = read_so_far(own).await;
        let store = Store::connect(world.database.url(), 1).await.expect("postgres answers");
        match call {
            "trigger" => {
                store.trigger(run.take().expect("once"), at(1)).await.expect("a run");
            }
            "promote" => assert!(!store.promote(at(2), 9, None).await.expect("promotes").is_empty()),
            "due_runs" => drop(store.due_runs(at(2), 9).await.expect("answers")),
            "next_run_after" => drop(store.next_run_after(at(2)).await.expect("answers")),
            "continuous_due" => drop(store.continuous_due(at(2)).await.expect("answers")),
            "assets_due" => drop(store.assets_due(at(2)).await.expect("answers")),
            "complete_backfills" => drop(store.complete_backfills(at(2)).await.expect("answers")),
            "miss_deadlines" => drop(store.miss_deadlines(at(2), 9).await.expect("answers")),
            "claim_notifications" => {
                drop(store.claim_notifications(at(2), 9, at(60)).await.expect("answers"));
            }
            "heartbeat" => drop(store.heartbeat(world.node, at(2)).await.expect("answers")),
            _ => drop(store.claim(&world.slots(1), at(2)).await.expect("answers")),
        }
        drop(store);
        reads.insert(call, read_so_far(own).await - before);
    }
    reads
}

#[tokio::test]
async fn no_call_of_the_loops_reads_dags_that_have_nothing_to_do() {
    let world = world().await;
    let own = PgPoolOptions::new().max_connections(1).connect(world.database.url()).await.expect("connects");
    sqlx::raw_sql("alter table dags set (autovacuum_enabled = false)").execute(&own).await.expect("answers");
    let waits = Schedule::Assets { assets: vec!["x".into()], all: true };
    let fed = model::Dag { schedule: waits, ..dag("fed", vec![task("t", &[])]) };
    world.new_run(&fed, "template").await;
    let run = world.new_run(&dag("d", vec![task("t", &[])]), "template").await;
    let named = |name: &str| NewRun { run_id: name.to_owned(), ..run.clone() };
    world.store.tell_asset("x", "ann", "", now()).await.expect("an event");
    idle_dags(&own, 5).await;
    read(&world, &own, named("few")).await;
    world.store.tell_asset("x", "ann", "", now()).await.expect("an event");
    idle_dags(&own, 2_000).await;
    let reads = read(&world, &own, named("many")).await;
    let all: Vec<_> = reads.iter().filter(|(_, rows)| **rows > 10).collect();
    assert!(all.is_empty(), "rows of 2,007 dags that calls have read: {all:?} of {reads:?}");
}
