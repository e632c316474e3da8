//! A client that forgets a transaction keeps dead rows alive. Work goes on, and somebody is told.

use crate::support::{World, dag, now, task, wide, world};
use model::Ending;
use store::Store;

/// Pages of the live attempts read so far. What a connection has counted is told when it ends, so all but two end here.
async fn pages(world: &World, kept: i32) -> i64 {
    sqlx::query_scalar::<_, i64>(
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = current_database()
         and pid <> pg_backend_pid() and pid <> $1 and backend_type = 'client backend'",
    )
    .bind(kept)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    world
        .count(
            "select (heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::int8 from pg_statio_user_tables
             where relname = 'attempts'",
        )
        .await
}

/// What one claim reads, by a store of its own.
async fn pages_of_a_claim(world: &World, kept: i32) -> i64 {
    let before = pages(world, kept).await;
    let store = Store::connect(world.database.url(), 1).await.unwrap();
    assert_eq!(store.claim(&world.slots(1), now()).await.unwrap().len(), 1);
    pages(world, kept).await - before
}

#[tokio::test]
async fn a_pinned_snapshot_makes_claims_dearer_only_so_far_and_health_says_so() {
    let world = world().await;
    let mut forgotten = world.pool.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read").execute(&mut *forgotten).await.unwrap();
    let forgotten_pid: i32 =
        sqlx::query_scalar("select pg_backend_pid() from attempts union select pg_backend_pid()")
            .fetch_one(&mut *forgotten)
            .await
            .unwrap();
    let many = wide("many", 500);
    for round in 0..4 {
        world.trigger(&many, &format!("r{round}")).await;
        assert_eq!(world.store.promote(now(), 10, None).await.unwrap().len(), 1);
        let claimed = world.claim(500).await;
        assert_eq!(claimed.len(), 500);
        for attempt in &claimed {
            world.end(attempt, Ending::Done, now()).await;
        }
    }
    world.started(&dag("last", vec![task("t", &[])])).await;
    let read = pages_of_a_claim(&world, forgotten_pid).await;
    // Two thousand dead attempts lie in the way: their pages are read once, not once each.
    assert!(read < 4000, "a claim reads {read} pages");
    let health = world.store.health(now()).await.unwrap();
    assert!(health.oldest_snapshot_seconds > 0.0, "{health:?}");
    forgotten.rollback().await.unwrap();
    let health = world.store.health(now()).await.unwrap();
    assert_eq!(health.oldest_snapshot_seconds, 0.0);
    world.assert_invariants().await;
}
