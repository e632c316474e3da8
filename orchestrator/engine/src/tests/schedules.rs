//! Ticks become ledger rows and runs.

use super::world::{TestNode, World, dag, task, until_later, utc};
use crate::planner::Planner;
use crate::rounds::{Again, Round};
use model::Window;
use model::dag::{Catchup, Dag, Schedule, WindowRule};
use serde_json::json;
use std::time::Duration;

fn hourly(id: &str, catchup: Catchup) -> Dag {
    Dag {
        schedule: Schedule::Cron { expressions: vec!["5 * * * *".into()], timezone: "UTC".into() },
        window: WindowRule::Hour,
        catchup,
        ..dag(id, vec![task("t", &[], json!({}))])
    }
}

async fn register(world: &World, dag: &Dag) {
    world.store.register_dag(&format!("{}.yaml", dag.id), dag, "source", world.now()).await.unwrap();
}

/// Turns the planner; the heartbeat keeps its right to plan.
async fn plan(node: &mut TestNode) -> Again {
    node.lease.tick().await.unwrap();
    until_later(&mut node.planner).await
}

/// Decisions of the ledger, oldest first.
async fn ledger(world: &World, dag: &str) -> Vec<(String, String)> {
    let rows = world.store.ticks(dag, None, 10_000).await.unwrap();
    rows.iter().rev().map(|row| (row.tick_at.format("%H:%M").to_string(), row.decision.clone())).collect()
}

#[tokio::test]
async fn a_tick_that_comes_due_becomes_one_run_about_its_window() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    register(&world, &hourly("hourly", Catchup::None)).await;
    assert_eq!(plan(&mut node).await, Again::At(utc("2026-11-22T10:00:10Z")), "the duty is renewed first");
    assert!(ledger(&world, "hourly").await.is_empty());
    world.advance(299);
    assert_eq!(plan(&mut node).await, Again::At(utc("2026-11-22T10:05:00Z")));
    world.advance(1);
    plan(&mut node).await;
    plan(&mut node).await;
    assert_eq!(ledger(&world, "hourly").await, [("10:05".to_owned(), "ran".to_owned())]);
    let run = world.store.run("hourly", "scheduled__2026-11-22T10:05:00+00:00").await.unwrap().unwrap();
    let window = Window { start: utc("2026-11-22T09:00:00Z"), end: utc("2026-11-22T10:00:00Z") };
    assert_eq!((run.window, run.logical_date), (Some(window), Some(utc("2026-11-22T10:05:00Z"))));
    node.until_final(&world, &run).await;
}

#[tokio::test]
async fn rings_do_not_make_the_planner_look_at_all_dags_again_before_one_is_due() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    register(&world, &hourly("hourly", Catchup::None)).await;
    let mut planner = Planner::with_distance(node.core.clone(), Duration::from_secs(3600));
    node.lease.tick().await.unwrap();
    assert!(matches!(until_later(&mut planner).await, Again::At(_)));
    assert!(matches!(planner.tick().await.unwrap(), Again::In(_)), "it has looked just now");
    world.advance(300);
    node.lease.tick().await.unwrap();
    until_later(&mut planner).await;
    assert_eq!(ledger(&world, "hourly").await, [("10:05".to_owned(), "ran".to_owned())], "on time");
}

#[tokio::test]
async fn two_planners_write_each_tick_once() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    register(&world, &hourly("hourly", Catchup::All)).await;
    plan(&mut a).await;
    for _ in 0..6 {
        world.advance(1800);
        // Both at once, and both with the right by now.
        let (first, second) = tokio::join!(plan(&mut a), plan(&mut b));
        assert!(matches!((first, second), (Again::At(_), Again::At(_))));
    }
    let expected = ["10:05", "11:05", "12:05"].map(|at| (at.to_owned(), "ran".to_owned()));
    assert_eq!(ledger(&world, "hourly").await, expected);
}

#[tokio::test]
async fn ticks_missed_while_nobody_planned_follow_the_catch_up_policy() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let policies = [
        ("none", Catchup::None),
        ("latest", Catchup::Latest),
        ("limit", Catchup::Limit(3)),
        ("all", Catchup::All),
    ];
    for (id, catchup) in policies {
        register(&world, &hourly(id, catchup)).await;
    }
    world.advance(6 * 60);
    plan(&mut node).await;
    // Seven hours without a planner.
    world.advance(7 * 3600);
    plan(&mut node).await;
    for (id, runs) in [("none", 1), ("latest", 1), ("limit", 3), ("all", 7)] {
        let rows = ledger(&world, id).await;
        let missed = &rows[rows.len() - 7..];
        assert_eq!(missed.first().unwrap().0, "11:05", "{id}: no tick without a row");
        let ran = missed.iter().filter(|(_, decision)| decision == "ran").count();
        assert_eq!(ran, runs, "{id}: {missed:?}");
        assert_eq!(missed.last().unwrap().1, "ran", "{id}: the newest");
    }
}

#[tokio::test]
async fn a_dag_that_runs_once_runs_once_ever() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let once = Dag { schedule: Schedule::Once, ..dag("once", vec![task("t", &[], json!({}))]) };
    register(&world, &once).await;
    plan(&mut node).await;
    let run = world.store.run("once", "scheduled__2026-11-22T10:00:00+00:00").await.unwrap().unwrap();
    node.until_final(&world, &run).await;
    let changed = Dag { description: "changed".into(), ..once };
    register(&world, &changed).await;
    world.advance(86_400);
    plan(&mut node).await;
    assert_eq!(ledger(&world, "once").await.len(), 1);
}

#[tokio::test]
async fn a_paused_dag_keeps_its_ledger_without_runs() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    register(&world, &hourly("hourly", Catchup::None)).await;
    world.store.set_paused("hourly", true, "test", world.now()).await.unwrap();
    world.advance(2 * 3600);
    plan(&mut node).await;
    let expected = ["10:05", "11:05"].map(|at| (at.to_owned(), "skipped".to_owned()));
    assert_eq!(ledger(&world, "hourly").await, expected);
}
