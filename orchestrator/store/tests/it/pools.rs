//! Pools and limits over all runs: never more at once than there are places, whoever claims, and no place left free that fits.

use crate::support::{World, at, dag, now, task, world};
use model::dag::{Param, TaskDef};
use model::for_each::{ForEach, Over};
use model::{Dag, Ending};
use serde_json::json;
use store::attempts::Claim;
use store::clear::ClearRequest;
use store::runs::NewRun;
use uuid::Uuid;

fn pooled(id: &str, slots: u32) -> TaskDef {
    TaskDef { pool: Some("p".into()), pool_slots: slots, ..task(id, &[]) }
}

async fn pool(world: &World, slots: u32) {
    world.store.put_pool("p", slots, "", "ann", "", now()).await.expect("makes a pool");
}

async fn names(world: &World, slots: usize) -> Vec<String> {
    world.claim(slots).await.iter().map(|attempt| attempt.dag.tasks[attempt.task].id.clone()).collect()
}

#[tokio::test]
async fn a_pool_gives_no_more_places_than_it_has_and_what_it_holds_back_holds_up_nobody() {
    let world = world().await;
    pool(&world, 3).await;
    let urgent = TaskDef { priority: 1, ..pooled("big", 2) };
    world
        .started(&dag(
            "d",
            vec![pooled("a", 1), pooled("b", 1), urgent, pooled("huge", 4), task("free", &[])],
        ))
        .await;
    assert_eq!(names(&world, 9).await, ["big", "a", "free"], "what can never fit waits aside");
    assert_eq!(names(&world, 9).await, Vec::<String>::new());
    pool(&world, 4).await;
    assert_eq!(names(&world, 9).await, ["b"], "a larger pool counts at once");
}

#[tokio::test]
async fn a_pool_that_does_not_exist_gives_no_places_until_it_does() {
    let world = world().await;
    world.started(&dag("d", vec![pooled("a", 1)])).await;
    assert_eq!(names(&world, 9).await, Vec::<String>::new());
    pool(&world, 1).await;
    assert_eq!(names(&world, 9).await, ["a"]);
}

#[tokio::test]
async fn a_place_that_an_end_frees_is_filled_in_the_same_commit() {
    let world = world().await;
    pool(&world, 1).await;
    world.started(&dag("d", vec![pooled("a", 1), pooled("b", 1)])).await;
    let first = world.claim_one().await;
    let claim = world.slots(1);
    let (id, lease) = (first.attempt_id, first.lease);
    let advanced =
        world.store.finish(id, lease, Ending::Done, None, None, at(1), Some(&claim)).await.unwrap();
    assert_eq!(advanced.claimed.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [1]);
}

/// A full pool, and items of which the `if` wants the even ones.
fn sieve(over: Over) -> Vec<TaskDef> {
    let for_each = ForEach { over, max: 100, concurrency: None };
    let sieve = TaskDef {
        for_each: Some(for_each),
        condition: Some("item is even".into()),
        depends_on_past: true,
        ..pooled("sieve", 1)
    };
    vec![TaskDef { priority: 9, ..pooled("first", 1) }, sieve, task("after", &[1])]
}

#[tokio::test]
async fn an_item_that_its_if_skips_ends_without_an_attempt_a_place_or_a_wait() {
    let lists = [Over::Items((0..4).map(|n| json!(n)).collect()), Over::Expression("range(4)".into())];
    for over in lists {
        let world = world().await;
        pool(&world, 1).await;
        let run = world.started(&dag("d", sieve(over))).await;
        let first = world.claim(9).await;
        assert_eq!(first.iter().map(|attempt| attempt.task).collect::<Vec<_>>(), [0], "the pool is full");
        let states = world.states(run).await;
        assert_eq!(states[2], "sieve[1]=skipped", "{states:?}");
        assert_eq!(states[4], "sieve[3]=skipped", "{states:?}");
        world.end(&first[0], Ending::Done, at(1)).await;
        for expected in [0, 2] {
            let attempt = world.claim_one().await;
            assert_eq!((attempt.map_index, attempt.item.clone()), (expected, Some(json!(expected))));
            world.end(&attempt, Ending::Done, at(2)).await;
        }
        let tries = world.count("select count(*) from attempt_history where task = 1").await;
        assert_eq!(tries, 2, "what was skipped was never tried");
        let why: String =
            sqlx::query_scalar("select message from task_instances where task = 1 and map_index = 3")
                .fetch_one(&world.pool)
                .await
                .unwrap();
        assert_eq!(why, "if: item is even is false");
        assert_eq!(
            world.states(run).await[5],
            "after=skipped",
            "an item was skipped, and all are to succeed"
        );
        assert_eq!(world.run_state(run).await, "success");
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn an_item_whose_if_only_nodes_can_judge_is_left_to_its_try() {
    let world = world().await;
    let items = ForEach::list(vec![json!(1), json!(2)]);
    let of = |condition: &str| TaskDef {
        for_each: Some(items.clone()),
        condition: Some(condition.into()),
        ..task("t", &[])
    };
    for (id, condition) in [("known", "conn.x is defined and item > 1"), ("wrong", "item.size > 1")] {
        let run = world.trigger(&dag(id, vec![of(condition)]), id).await;
        world.store.promote(now(), 9, None).await.unwrap();
        assert_eq!(world.states(run).await, ["t[0]=queued", "t[1]=queued"], "{condition}");
    }
}

#[tokio::test]
async fn items_of_a_task_with_an_if_are_judged_anew_when_it_is_cleared() {
    let world = world().await;
    let items = ForEach::list(vec![json!(1), json!(2)]);
    let def =
        TaskDef { for_each: Some(items), condition: Some("item > params.least".into()), ..task("t", &[]) };
    let least = Param {
        r#type: "integer".into(),
        default: Some(json!(1)),
        description: String::new(),
        allowed: vec![],
    };
    let dag = Dag { params: [("least".to_owned(), least)].into(), ..dag("d", vec![def]) };
    let run = world.new_run(&dag, "r1").await;
    let run = NewRun { params: json!({ "least": 1 }), ..run };
    let run = world.store.trigger(run, now()).await.unwrap().id;
    world.store.promote(now(), 9, None).await.unwrap();
    assert_eq!(world.states(run).await, ["t[0]=skipped", "t[1]=queued"]);
    let second = world.claim_one().await;
    world.end(&second, Ending::Done, at(1)).await;
    assert_eq!(world.run_state(run).await, "success");
    let request = ClearRequest { params: Some(json!({ "least": 0 })), ..ClearRequest::default() };
    world.store.clear("d", "r1", &request, "ann", at(2)).await.unwrap();
    world.store.promote(at(3), 9, None).await.unwrap();
    assert_eq!(world.states(run).await, ["t[0]=queued", "t[1]=queued"]);
    world.assert_invariants().await;
}

#[tokio::test]
async fn max_active_counts_over_all_runs_of_the_dag() {
    let world = world().await;
    let limited = TaskDef { max_active: Some(2), ..task("a", &[]) };
    let dag = dag("d", vec![limited]);
    for run in ["r1", "r2", "r3"] {
        world.trigger(&dag, run).await;
    }
    world.store.promote(now(), 9, None).await.unwrap();
    let claimed = world.claim(9).await;
    assert_eq!(claimed.len(), 2);
    world.end(&claimed[0], Ending::Done, at(1)).await;
    assert_eq!(world.claim(9).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claimers_never_exceed_a_pool_and_leave_no_place_free() {
    let world = world().await;
    pool(&world, 5).await;
    world.started(&dag("d", (0..60).map(|at| pooled(&format!("t{at}"), 1)).collect())).await;
    for node in 2..=6 {
        world.register(Uuid::from_u128(node)).await;
    }
    let workers: Vec<_> = (2..=6u128)
        .map(|node| {
            let (store, pool) = (world.store.clone(), world.pool.clone());
            let claim = Claim { node: Uuid::from_u128(node), ..world.slots(3) };
            tokio::spawn(async move {
                let mut ended = 0;
                for _ in 0..400 {
                    let claimed = store.claim(&claim, at(1)).await.unwrap();
                    let used: i64 =
                        sqlx::query_scalar("select count(*) from attempts where state = 'running'")
                            .fetch_one(&pool)
                            .await
                            .unwrap();
                    assert!(used <= 5, "{used} of 5 places");
                    for attempt in claimed {
                        let (id, lease) = (attempt.attempt_id, attempt.lease);
                        store.finish(id, lease, Ending::Done, None, None, at(1), None).await.unwrap();
                        ended += 1;
                    }
                    let left: i64 =
                        sqlx::query_scalar("select count(*) from attempts").fetch_one(&pool).await.unwrap();
                    if left == 0 {
                        break;
                    }
                }
                ended
            })
        })
        .collect();
    let mut ended = 0;
    for worker in workers {
        ended += worker.await.unwrap();
    }
    assert_eq!(ended, 60, "all ran");
    world.assert_invariants().await;
}
