//! Runs that no clock starts: assets that were written, and the end of the run before.

use crate::support::{World, at, now, task, world};
use model::dag::{Schedule, TaskDef, WindowRule};
use model::{Dag, Window};
use sqlx::Row;
use store::runs::NewRun;

fn waits_for(id: &str, assets: &[&str], all: bool) -> Dag {
    let assets = assets.iter().map(|asset| (*asset).to_owned()).collect();
    Dag { schedule: Schedule::Assets { assets, all }, ..crate::support::dag(id, vec![task("t", &[])]) }
}

async fn register(world: &World, dag: &Dag) {
    world.store.register_dag(&format!("{}.yaml", dag.id), dag, "", now()).await.unwrap();
}

async fn tell(world: &World, asset: &str, second: i64) -> i64 {
    world.store.tell_asset(asset, "ann", "", at(second)).await.unwrap()
}

async fn promote(world: &World, second: i64) {
    world.store.promote(at(second), 10, None).await.unwrap();
}

#[tokio::test]
async fn a_dag_runs_when_all_of_its_assets_were_written_and_each_write_counts_once() {
    let world = world().await;
    register(&world, &waits_for("both", &["a", "b"], true)).await;
    register(&world, &waits_for("either", &["a", "b"], false)).await;
    tell(&world, "a", 1).await;
    assert_eq!(world.store.assets_due(at(2)).await.unwrap(), 1, "only the one for which any is enough");
    assert_eq!(world.store.assets_due(at(3)).await.unwrap(), 0, "a write counts once");
    promote(&world, 3).await;
    tell(&world, "b", 4).await;
    assert_eq!(world.store.assets_due(at(5)).await.unwrap(), 2);
    assert_eq!(world.store.assets_due(at(6)).await.unwrap(), 0);
    let run = sqlx::query("select run_id, run_type, logical_date, note from runs where dag_id = 'both'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(run.get::<String, _>("run_id").starts_with("asset__2026-03-01T12:00:05"));
    assert_eq!(run.get::<String, _>("run_type"), "asset_triggered");
    assert_eq!(
        run.get::<chrono::DateTime<chrono::Utc>, _>("logical_date"),
        at(4),
        "when the last was written"
    );
    assert_eq!(run.get::<String, _>("note"), "written: a by ann, b by ann");
    let ledger = "select count(*) from ticks t join runs r on r.id = t.run where t.decision = 'ran' and r.dag_id = t.dag_id";
    assert_eq!(world.count(ledger).await, 3);
}

#[tokio::test]
async fn writes_before_a_dag_was_there_do_not_count() {
    let world = world().await;
    register(&world, &waits_for("old", &["a"], true)).await;
    tell(&world, "a", 1).await;
    register(&world, &waits_for("new", &["a"], true)).await;
    assert_eq!(world.store.assets_due(at(2)).await.unwrap(), 1);
    assert_eq!(world.count("select count(*) from runs where dag_id = 'new'").await, 0);
}

#[tokio::test]
async fn writes_that_come_while_a_triggered_run_has_not_begun_make_one_run_more() {
    let world = world().await;
    register(&world, &waits_for("d", &["a"], true)).await;
    for second in 1..=3 {
        tell(&world, "a", second).await;
        world.store.assets_due(at(second)).await.unwrap();
    }
    assert_eq!(world.count("select count(*) from runs").await, 1);
    promote(&world, 4).await;
    assert_eq!(world.store.assets_due(at(5)).await.unwrap(), 1);
    assert_eq!(world.count("select count(*) from runs").await, 2);
    assert_eq!(world.count("select count(*) from asset_queue").await, 0);
}

#[tokio::test]
async fn an_event_that_commits_after_a_later_one_is_not_lost() {
    let world = world().await;
    register(&world, &waits_for("d", &["a"], true)).await;
    let mut slow = world.pool.begin().await.unwrap();
    sqlx::query("insert into asset_events (asset, who, at) values ('a', 'slow', $1)")
        .bind(at(1))
        .execute(&mut *slow)
        .await
        .unwrap();
    tell(&world, "a", 2).await;
    assert_eq!(world.store.assets_due(at(3)).await.unwrap(), 1);
    promote(&world, 4).await;
    slow.commit().await.unwrap();
    assert_eq!(world.store.assets_due(at(5)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_planners_one_starts_the_triggered_run() {
    let world = world().await;
    register(&world, &waits_for("d", &["a"], true)).await;
    let continuous = Dag { schedule: Schedule::Continuous, ..waits_for("c", &[], true) };
    register(&world, &continuous).await;
    tell(&world, "a", 1).await;
    let planners: Vec<_> = (0..6)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move {
                let by_assets = store.assets_due(at(2)).await.unwrap();
                (by_assets, store.continuous_due(at(2)).await.unwrap().0)
            })
        })
        .collect();
    let (mut by_assets, mut continuous) = (0, 0);
    for planner in planners {
        let (assets, ends) = planner.await.unwrap();
        by_assets += assets;
        continuous += ends;
    }
    assert_eq!((by_assets, continuous), (1, 1));
}

#[tokio::test]
async fn a_triggered_run_is_about_the_hull_of_what_wrote_its_assets() {
    let world = world().await;
    let writer = TaskDef { writes: vec!["a".to_owned(), "b".to_owned()], ..task("t", &[]) };
    let writer = crate::support::dag("writer", vec![writer]);
    register(&world, &waits_for("d", &["a", "b"], true)).await;
    for (asset, hours) in [("a", 1), ("b", 3)] {
        let window = Window { start: at(hours * 3600), end: at((hours + 1) * 3600) };
        let run = NewRun { window: Some(window), ..world.new_run(&writer, asset).await };
        let run = world.store.trigger(run, now()).await.unwrap().id;
        sqlx::query(
            "insert into asset_events (asset, run, task, map_index, who, at) values ($1, $2, 0, -1, 'w', $3)",
        )
        .bind(asset)
        .bind(run)
        .bind(at(5))
        .execute(&world.pool)
        .await
        .unwrap();
    }
    assert_eq!(world.store.assets_due(at(6)).await.unwrap(), 1);
    let hull = Some(Window { start: at(3600), end: at(4 * 3600) });
    let logical_date = Some(at(3600));
    let found = world.store.run_for("d", hull, None).await.unwrap().unwrap();
    assert_eq!(world.store.run_for("d", None, logical_date).await.unwrap().unwrap(), found);
    assert_eq!(
        world.store.run_for("d", Some(Window { start: at(0), end: at(1) }), None).await.unwrap(),
        None
    );
    let assets = world.store.list_assets().await.unwrap();
    assert_eq!(assets.iter().map(|asset| asset.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(assets[0].writers, [("writer".to_owned(), "t".to_owned())]);
    assert_eq!(assets[0].triggers, ["d"]);
    assert_eq!(assets[1].last.as_ref().and_then(|event| event.run_id.clone()), Some("b".to_owned()));
    assert_eq!(world.store.asset_events(Some("a"), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_paused_dag_keeps_the_writes_and_runs_once_when_it_goes_on() {
    let world = world().await;
    register(&world, &waits_for("d", &["a"], true)).await;
    world.store.set_paused("d", true, "ann", now()).await.unwrap();
    tell(&world, "a", 1).await;
    tell(&world, "a", 2).await;
    assert_eq!(world.store.assets_due(at(3)).await.unwrap(), 0);
    world.store.set_paused("d", false, "ann", at(4)).await.unwrap();
    assert_eq!(world.store.assets_due(at(5)).await.unwrap(), 1);
    promote(&world, 5).await;
    assert_eq!(world.store.assets_due(at(6)).await.unwrap(), 0);
}

#[tokio::test]
async fn an_unknown_asset_is_refused_with_the_name_that_was_meant() {
    let world = world().await;
    register(&world, &waits_for("d", &["lake/listen_events"], true)).await;
    let refused =
        world.store.tell_asset("lake/listen_event", "ann", "", now()).await.unwrap_err().to_string();
    assert!(refused.contains("did you mean 'lake/listen_events'?"), "{refused}");
    world.store.tell_asset("lake/listen_events", "ann", "loaded by hand", at(1)).await.unwrap();
    let (audit, _) = world.store.list_audit(Some("lake/listen_events"), 10, 0).await.unwrap();
    assert_eq!((audit[0].who.as_str(), audit[0].details["reason"].as_str()), ("ann", Some("loaded by hand")));
}

#[tokio::test]
async fn the_next_continuous_run_comes_when_the_one_before_has_ended_and_at_most_once_a_second() {
    let world = world().await;
    let dag = Dag {
        schedule: Schedule::Continuous,
        window: WindowRule::PreviousTick,
        ..crate::support::dag("c", vec![task("t", &[])])
    };
    register(&world, &dag).await;
    assert_eq!(world.store.continuous_due(now()).await.unwrap(), (1, None));
    assert_eq!(world.store.continuous_due(at(5)).await.unwrap(), (0, None), "one is queued");
    promote(&world, 5).await;
    assert_eq!(world.store.continuous_due(at(6)).await.unwrap(), (0, None), "one is running");
    let attempt = world.claim_one().await;
    world.end(&attempt, model::Ending::Done, at(6)).await;
    assert_eq!(world.store.continuous_due(at(7)).await.unwrap(), (1, None));
    assert_eq!(world.count("select count(*) from ticks where decision = 'ran' and run is not null").await, 2);
    let window = Some(Window { start: now(), end: at(7) });
    assert!(world.store.run_for("c", window, None).await.unwrap().is_some(), "since the tick before");
    world
        .store
        .request_cancel("c", "continuous__2026-03-01T12:00:07.000000+00:00", "ann", at(7))
        .await
        .unwrap();
    assert_eq!(world.store.continuous_due(at(7)).await.unwrap(), (0, Some(at(8))));
    world.store.set_paused("c", true, "ann", at(8)).await.unwrap();
    assert_eq!(world.store.continuous_due(at(9)).await.unwrap(), (0, None));
}
