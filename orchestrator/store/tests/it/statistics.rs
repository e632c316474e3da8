//! Postgres plans by what it last counted, and a queue is often empty when it counts. Plans that are kept must stay good when it fills.

use crate::support::{World, now, wide, world};
use store::Store;

/// Entries of indexes of the live attempts read so far, told when connections end: all but this one do here.
async fn entries_read(world: &World) -> i64 {
    sqlx::query_scalar::<_, i64>(
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = current_database()
         and pid <> pg_backend_pid() and backend_type = 'client backend'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    world.count("select sum(idx_tup_read)::int8 from pg_stat_user_indexes where relname = 'attempts'").await
}

#[tokio::test]
async fn a_claim_planned_while_the_queue_was_empty_reads_no_more_than_it_takes() {
    let world = world().await;
    for statement in ["alter table attempts set (autovacuum_enabled = false)", "vacuum analyze attempts"] {
        sqlx::query(statement).execute(&world.pool).await.unwrap();
    }
    let queued = |round: i32| {
        let dag = wide("many", 1500);
        let world = &world;
        async move {
            world.trigger(&dag, &format!("r{round}")).await;
            assert_eq!(world.store.promote(now(), 10, None).await.unwrap().len(), 1);
        }
    };
    let node = Store::connect(world.database.url(), 1).await.unwrap();
    assert_eq!(node.claim(&world.slots(10), now()).await.unwrap().len(), 0);
    queued(1).await;
    queued(2).await;
    for _ in 0..20 {
        assert_eq!(node.claim(&world.slots(10), now()).await.unwrap().len(), 10);
    }
    drop(node);
    let read = entries_read(&world).await;
    assert!(read < 20_000, "to claim 200 of 3,000 it read {read} entries");
}
