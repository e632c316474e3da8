//! What the loops ask again and again reads no history, however long that is.

use crate::{Store, assets, backfills, continuous, deadlines, notifications, retention};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, PgPool, Postgres};

type Query = sqlx::query::QueryScalar<'static, Postgres, String, PgArguments>;

fn explain(sql: &str) -> Query {
    sqlx::query_scalar(AssertSqlSafe(format!("explain {sql}")))
}

/// Thousands of ended runs with all that they leave behind, of hundreds of dags.
const HISTORY: [&str; 9] = [
    "insert into dags (dag_id, file, max_active_runs, overlap, registered_at, changed_at)
     select 'd' || n, 'f', 1, 'queue', now(), now() from generate_series(1, 500) n",
    "insert into dag_versions (dag_id, version, content_hash, file, spec, source, created_at)
     select dag_id, 1, sha256(dag_id::bytea), 'f', '{}', '', now() from dags",
    "insert into runs (dag_id, run_id, version_id, run_type, state, run_after, params, requested_by, queued_at, started_at, ended_at)
     select 'd' || 1 + n % 500, 'r' || n, (select min(id) from dag_versions), 'scheduled', 'success', now(), '{}', '', now(), now(), now()
     from generate_series(1, 20000) n",
    "insert into backfills (dag_id, from_at, to_at, reprocess, max_active_runs, params, state, requested_by, created_at, ended_at)
     select 'd' || 1 + n % 500, now(), now() + interval '1 day', 'none', 1, '{}', 'completed', '', now(), now() from generate_series(1, 5000) n",
    "insert into task_instances (run, task, map_index, task_id, state, ended_at) select id, 0, -1, 't', 'success', now() from runs",
    "insert into deadlines (run, task, due_at, missed_at) select id, -1, now(), now() from runs",
    "insert into notifications (event, run, target, body, state, created_at, sent_at)
     select 'failure', id, '{}', '{}', 'sent', now(), now() from runs",
    "insert into asset_events (asset, run, who, at) select 'a' || id % 50, id, '', now() from runs",
    "analyze",
];

async fn with_history() -> (testkit::Database, PgPool) {
    let database = testkit::Database::fresh().await;
    Store::connect(database.url(), 2).await.unwrap().migrate().await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    for statement in HISTORY {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    (database, pool)
}

/// A pass over everything goes dag by dag, and each run finds what belongs to it.
#[tokio::test]
async fn pruning_reads_no_table_as_a_whole() {
    let (_database, pool) = with_history().await;
    for statement in [
        "insert into ticks (dag_id, tick_at, decision, reason, decided_at)
         select 'd' || 1 + n % 500, timestamptz '2020-01-01' + n * interval '1 hour', 'skipped', 'x', now() from generate_series(1, 20000) n",
        "insert into attempt_history (id, run, task, map_index, try_number, is_service, queued_at, ended_at, ending, next_state)
         select id, id, 0, -1, 1, false, now(), now(), 'done', 'success' from runs",
        "analyze",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&pool).await.unwrap();
    let runs = explain(retention::runs::CANDIDATES)
        .bind("d7")
        .bind(now - chrono::TimeDelta::days(1))
        .bind(0_i64)
        .bind(now + chrono::TimeDelta::days(1))
        .bind(i64::MAX)
        .bind(now)
        .bind(None::<DateTime<Utc>>)
        .bind(None::<i64>)
        .bind(1000_i64);
    let ticks = explain(retention::rows::TICKS).bind("d7").bind(now).bind(now).bind(1000_i64);
    let events = explain("update asset_events set run = null where run = $1").bind(7_i64);
    for (name, statement) in [("runs", runs), ("ticks", ticks), ("events of a run", events)] {
        let plan = statement.fetch_all(&pool).await.unwrap().join("\n");
        for table in ["runs", "backfills", "task_instances", "attempt_history", "asset_events", "ticks"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name} reads all of {table}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn no_statement_of_the_control_loops_reads_history() {
    let (_database, pool) = with_history().await;
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&pool).await.unwrap();
    let statements: [(&str, Query); 5] = [
        ("continuous", explain(continuous::CONTINUOUS)),
        ("assets", explain(assets::WAITING)),
        ("deadlines", explain(deadlines::DUE).bind(now).bind(10_i64)),
        ("notifications", explain(notifications::CLAIM).bind(now).bind(10_i64).bind(now).bind(10_i32)),
        ("backfills", explain(backfills::COMPLETE).bind(now)),
    ];
    for (name, statement) in statements {
        let plan = statement.fetch_all(&pool).await.unwrap().join("\n");
        for table in ["runs", "backfills", "task_instances", "deadlines", "notifications", "asset_events"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name} reads all of {table}:\n{plan}");
        }
    }
}
