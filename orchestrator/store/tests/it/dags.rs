//! Dags: a version for each change, one file for each id, absent when the file is gone.

use crate::support::{at, dag, now, task, wide, world};
use model::Problem;
use model::dag::Schedule;
use store::Error;
use store::Store;

#[tokio::test]
async fn each_change_makes_a_version_and_none_makes_none() {
    let world = world().await;
    let store = &world.store;
    let register =
        |dag, source| async move { store.register_dag("d.yaml", &dag, source, now()).await.unwrap() };
    let first = register(wide("d", 1), "text").await;
    assert_eq!((first.version, first.is_new), (1, true));
    let same = register(wide("d", 1), "text").await;
    assert_eq!((same.version_id, same.is_new), (first.version_id, false));
    let second = register(wide("d", 2), "text").await;
    assert_eq!((second.version, second.is_new), (2, true));
    let comment = register(wide("d", 2), "text # why").await;
    assert_eq!((comment.version, comment.is_new), (3, true));
    assert_eq!(*world.store.dag_version(first.version_id).await.unwrap(), wide("d", 1));
    let (current, dag) = world.store.current_dag("d").await.unwrap().unwrap();
    assert_eq!((current, dag.tasks.len()), (comment.version_id, 2));
    // Read back without the cache.
    let fresh = Store::connect(world.database.url(), 1).await.unwrap();
    assert_eq!(*fresh.dag_version(second.version_id).await.unwrap(), wide("d", 2));
    assert!(matches!(fresh.dag_version(99).await, Err(Error::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_load_the_same_file_at_once_make_one_version() {
    let world = world().await;
    let loads: Vec<_> = (0..6)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move {
                store.register_dag("d.yaml", &wide("d", 1), "", now()).await.unwrap().is_new
            })
        })
        .collect();
    let mut new = 0;
    for load in loads {
        new += usize::from(load.await.unwrap());
    }
    assert_eq!((new, world.count("select count(*) from dag_versions").await), (1, 1));
}

#[tokio::test]
async fn an_id_of_another_file_is_refused_and_free_again_when_that_file_is_gone() {
    let world = world().await;
    world.store.register_dag("one.yaml", &wide("d", 1), "", now()).await.unwrap();
    let refused = world.store.register_dag("two.yaml", &wide("d", 1), "", now()).await;
    let Err(Error::Refused { message }) = refused else { panic!("{refused:?}") };
    assert!(message.contains("one.yaml"), "{message}");
    let gone = world.store.forget_files(&["two.yaml".to_owned()], at(1)).await.unwrap();
    assert_eq!(gone, ["d"]);
    assert!(world.store.current_dag("d").await.unwrap().is_none());
    assert!(world.store.scheduled_dags().await.unwrap().is_empty());
    let back = world.store.register_dag("two.yaml", &wide("d", 1), "", at(2)).await.unwrap();
    assert_eq!((back.version, back.is_new), (1, false));
    assert!(world.store.current_dag("d").await.unwrap().is_some());
}

#[tokio::test]
async fn only_dags_with_a_schedule_are_planned_and_pausing_survives_a_reload() {
    let world = world().await;
    let manual = model::Dag { schedule: Schedule::Manual, ..wide("manual", 1) };
    let asleep = model::Dag { paused: true, ..dag("asleep", vec![task("a", &[])]) };
    for dag in [&manual, &asleep, &wide("awake", 1)] {
        world.store.register_dag(&format!("{}.yaml", dag.id), dag, "", now()).await.unwrap();
    }
    world.store.set_paused("asleep", false, "ann", at(1)).await.unwrap();
    world.store.set_paused("awake", true, "ann", at(1)).await.unwrap();
    world.store.register_dag("awake.yaml", &wide("awake", 2), "", at(2)).await.unwrap();
    let planned = world.store.scheduled_dags().await.unwrap();
    let planned: Vec<(&str, bool)> = planned.iter().map(|dag| (dag.dag_id.as_str(), dag.paused)).collect();
    assert_eq!(planned, [("asleep", false), ("awake", true)]);
    let unknown = world.store.set_paused("nothing", true, "ann", at(1)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
    assert_eq!(world.count("select count(*) from audit_log").await, 2);
}

#[tokio::test]
async fn problems_of_a_file_are_replaced_and_go_with_it() {
    let world = world().await;
    let problem = |message: &str| Problem {
        file: "a.yaml".to_owned(),
        line: 3,
        column: 1,
        message: message.to_owned(),
        hint: None,
    };
    world.store.put_problems("a.yaml", &[problem("one"), problem("two")], now()).await.unwrap();
    world.store.put_problems("a.yaml", &[problem("three")], now()).await.unwrap();
    let messages: Vec<String> =
        sqlx::query_scalar("select message from dag_problems").fetch_all(&world.pool).await.unwrap();
    assert_eq!(messages, ["three"]);
    world.store.put_problems("b.yaml", &[problem("four")], now()).await.unwrap();
    world.store.forget_files(&["b.yaml".to_owned()], now()).await.unwrap();
    assert_eq!(world.count("select count(*) from dag_problems").await, 1);
    world.store.put_problems("b.yaml", &[], now()).await.unwrap();
    assert_eq!(world.count("select count(*) from dag_problems").await, 0);
}
