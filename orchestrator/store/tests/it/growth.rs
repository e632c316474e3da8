//! No query of the loops grows with history: what the real calls read is counted by Postgres itself, with little history and with ten
//! times as much.

use crate::support::{World, at, dag, now, task, world};
use model::Ending;
use model::dag::TaskDef;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::collections::BTreeMap;
use store::Store;
use store::runs::NewRun;

/// Tables that grow with history, or with what waits.
const TABLES: [&str; 8] = [
    "runs",
    "task_instances",
    "attempts",
    "attempt_history",
    "deadlines",
    "notifications",
    "asset_events",
    "ticks",
];

/// Ended runs with all that belongs to them, and as many runs that wait for their time.
async fn history(own: &PgPool, runs: i64) {
    for statement in [
        "insert into runs (dag_id, run_id, version_id, run_type, state, run_after, params, requested_by, queued_at, started_at, ended_at)
         select 'd', 'h' || n || '-' || $1, (select min(id) from dag_versions), 'scheduled', 'success',
            timestamptz '2020-01-01' + n * interval '1 minute', '{}', 'x', now(), now(), now() from generate_series(1, $1) n",
        "insert into runs (dag_id, run_id, version_id, run_type, state, run_after, params, requested_by, queued_at)
         select 'other', 'w' || n || '-' || $1, (select max(id) from dag_versions), 'scheduled', 'queued',
            timestamptz '2050-01-01', '{}', 'x', now() from generate_series(1, $1) n",
        "insert into task_instances (run, task, map_index, task_id, state, started_at, ended_at, outputs)
         select id, t, -1, 't' || t, 'success', now(), now(), '{\"a\": 1}' from runs, generate_series(0, 2) t
         where state = 'success' and $1 > 0 on conflict do nothing",
        "insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, ended_at, ending, next_state)
         select -row_number() over () - $1 * 1000, run, task, -1, 1, false, now(), now(), 'done', 'success' from task_instances
         where state = 'success'",
        "insert into deadlines (run, task, due_at, missed_at) select id, -1, now(), now() from runs where state = 'success' and $1 > 0
         on conflict do nothing",
        "insert into notifications (event, run, target, body, state, created_at, sent_at)
         select 'failure', id, '{}', '{}', 'sent', now(), now() from runs where state = 'success' and $1 > 0",
        "insert into asset_events (asset, run, who, at) select 'x', id, 'x', now() from runs where state = 'success' and $1 > 0",
    ] {
        sqlx::query(statement).bind(runs).execute(own).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    sqlx::raw_sql("vacuum analyze").execute(own).await.expect("postgres answers");
}

/// (rows read by scans of whole tables, pages touched) of each table, by calls on a store of its own.
async fn touched(world: &World, own: &PgPool, run: NewRun) -> BTreeMap<String, (i64, i64)> {
    let before = counters(own).await;
    let store = Store::connect(world.database.url(), 1).await.expect("postgres answers");
    store.register_dag("d.yaml", &chain(), "", now()).await.expect("postgres answers");
    let id = store.trigger(run, at(1)).await.expect("postgres answers").id;
    assert_eq!(store.promote(at(2), 9, None).await.expect("postgres answers").len(), 1);
    let claim = world.slots(1);
    let mut attempt = store.claim(&claim, at(2)).await.expect("postgres answers").remove(0);
    for second in 3..6 {
        let (task, lease) = (attempt.attempt_id, attempt.lease);
        let mut advanced = store
            .finish(
                task,
                lease,
                Ending::Done,
                Some(serde_json::json!({"n": 1})),
                None,
                at(second),
                Some(&claim),
            )
            .await
            .expect("postgres answers");
        store.due_runs(at(second), 9).await.expect("postgres answers");
        store.next_run_after(at(second)).await.expect("postgres answers");
        store.miss_deadlines(at(second), 9).await.expect("postgres answers");
        store.claim_notifications(at(second), 9, at(60)).await.expect("postgres answers");
        store.heartbeat(world.node, at(second)).await.expect("postgres answers");
        match advanced.claimed.pop() {
            Some(next) => attempt = next,
            None => break,
        }
    }
    drop(store);
    let state: String = sqlx::query_scalar("select state from runs where id = $1")
        .bind(id)
        .fetch_one(own)
        .await
        .expect("a run");
    assert_eq!(state, "success");
    let after = counters(own).await;
    after
        .into_iter()
        .map(|(table, (rows, pages))| {
            let (old_rows, old_pages) = before[&table];
            (table, (rows - old_rows, pages - old_pages))
        })
        .collect()
}

/// What autovacuum reads is counted too.
async fn nobody_else_reads(own: &PgPool) {
    for table in TABLES {
        let off = format!("alter table {table} set (autovacuum_enabled = false)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(off)).execute(own).await.expect("postgres answers");
    }
}

async fn counters(own: &PgPool) -> BTreeMap<String, (i64, i64)> {
    // What a connection has counted is told when it ends.
    let ended = "select coalesce(bool_and(pg_terminate_backend(pid, 30000)), true) from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and backend_type = 'client backend'";
    let mut own = own.acquire().await.expect("a connection");
    assert!(sqlx::query_scalar::<_, bool>(ended).fetch_one(&mut *own).await.expect("postgres answers"));
    // Our own is told with the next transaction that ends.
    for statement in ["select pg_stat_force_next_flush()", "select 1"] {
        sqlx::query(statement).execute(&mut *own).await.expect("postgres answers");
    }
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select s.relname::text, s.seq_tup_read,
            (io.heap_blks_read + io.heap_blks_hit + coalesce(io.idx_blks_read, 0) + coalesce(io.idx_blks_hit, 0))::int8
         from pg_stat_user_tables s join pg_statio_user_tables io using (relid) where s.relname = any($1)",
    )
    .bind(TABLES)
    .fetch_all(&mut *own)
    .await
    .expect("postgres answers");
    assert_eq!(rows.len(), TABLES.len());
    rows.into_iter().map(|(table, read, pages)| (table, (read, pages))).collect()
}

fn chain() -> model::Dag {
    let writes = |def: TaskDef| TaskDef { writes: vec!["x".into()], ..def };
    let named = TaskDef { with: serde_json::json!("{{ tasks.t0.outputs.n }}"), ..task("t1", &[0]) };
    let notify = model::notify::Notify {
        on: vec![model::notify::Event::Recovery],
        to: model::notify::Target::Email { to: vec![], subject: String::new() },
    };
    model::Dag {
        deadline: Some(std::time::Duration::from_secs(1)),
        notify: vec![notify],
        ..dag("d", vec![writes(task("t0", &[])), named, task("t2", &[1])])
    }
}

#[tokio::test]
async fn a_run_from_its_promotion_to_its_end_reads_no_more_with_ten_times_the_history() {
    let world = world().await;
    // Counting ends every connection but this one.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .connect(world.database.url())
        .await
        .expect("postgres answers");
    nobody_else_reads(&own).await;
    let run = world.new_run(&chain(), "template").await;
    let named = |name: &str| NewRun { run_id: name.to_owned(), ..run.clone() };
    world.new_run(&dag("other", vec![task("t", &[])]), "template").await;
    history(&own, 300).await;
    touched(&world, &own, named("warm")).await;
    let little = touched(&world, &own, named("little")).await;
    history(&own, 3_000).await;
    let much = touched(&world, &own, named("much")).await;
    for (table, (rows, pages)) in &much {
        let (_, before) = little[table];
        // Only what is live may be so little that reading all of it is best.
        assert!(*rows <= 10, "{table} was read as a whole: {rows} rows");
        assert!(
            *pages <= before + before / 2 + 40,
            "{table}: {before} pages with little history, {pages} with much"
        );
    }
}
