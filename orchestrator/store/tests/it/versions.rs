//! Nodes of two versions on one database: what has only grown is fine for the older one, what was taken away is not.

use crate::support::{dag, now, task, world};
use model::Ending;
use store::{Error, Store};

/// The next version's migration, as its node would have applied it: its statements and its row.
async fn migrate_to_next(pool: &sqlx::PgPool, statements: &'static str) -> i64 {
    sqlx::raw_sql(statements).execute(pool).await.unwrap();
    sqlx::query_scalar(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         select max(version) + 1, 'next', true, '\\x00', 1 from _sqlx_migrations returning version",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_node_works_on_a_schema_that_has_grown() {
    let world = world().await;
    let chain = dag("d", vec![task("a", &[]), task("b", &[0])]);
    let run = world.started(&chain).await;
    let next = migrate_to_next(
        &world.pool,
        "alter table runs add column tint text;
         alter table attempts add column weight integer not null default 1;
         alter table nodes add column zone text;
         create table tints (id bigint primary key, run bigint references runs on delete cascade);",
    )
    .await;
    // The node that runs goes on, with its prepared statements; one that starts now finds nothing to do.
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::Done, now()).await;
    let started = Store::connect(world.database.url(), 2).await.unwrap();
    started.migrate().await.unwrap();
    let state = started.schema_state().await.unwrap();
    assert_eq!((state.applied, state.missing), (Some(next), 0));
    assert!(state.known < next);
    let attempt = world.claim_one().await;
    started.finish(attempt.attempt_id, attempt.lease, Ending::Done, None, None, now(), None).await.unwrap();
    assert_eq!(world.run_state(run).await, "success");
    started.health(now()).await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_node_that_lacks_what_was_taken_away_refuses_and_changes_nothing() {
    let world = world().await;
    let next = migrate_to_next(&world.pool, "create table new_home (id bigint primary key)").await;
    sqlx::query("insert into schema_contracts (migration, needs) values ($1, $1)")
        .bind(next)
        .execute(&world.pool)
        .await
        .unwrap();
    let store = Store::connect(world.database.url(), 2).await.unwrap();
    let Err(Error::Refused { message }) = store.migrate().await else { panic!("it started") };
    assert!(message.contains("too old") && message.contains(&format!("must know {next}")), "{message}");
    assert_eq!(store.schema_state().await.unwrap().check().unwrap_err().to_string(), message);
    // A contract that this version knows is none of its concern.
    sqlx::query("update schema_contracts set needs = 6 where migration = $1")
        .bind(next)
        .execute(&world.pool)
        .await
        .unwrap();
    store.migrate().await.unwrap();
}
