//! Long histories and wide dags: what a page shows, asks and sends stays bounded.

use crate::queries::counted;
use crate::seed::{self, Seed};
use crate::world::{World, empty, now};
use axum::http::StatusCode;
use chrono::TimeDelta;
use model::dag::{Schedule, TaskDef};
use model::{Dag, RunState};
use store::auth::Role;
use store::runs::RunType;
use store::ticks::TickDecision;

const TASKS: usize = 100_000;

/// Queries of any page, apart from the session's.
const QUERIES: usize = 16;

async fn opened(world: &World, path: &str) -> String {
    let (answer, queries) = counted(world.get(path)).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    assert!(0 < queries && queries <= QUERIES, "{path} took {queries} queries");
    assert!(answer.text.len() < 1_500_000, "{path} is {} bytes", answer.text.len());
    answer.text
}

/// One step, then 100 groups of 1,000 tasks.
fn wide(grouped: bool) -> Dag {
    let mut tasks = vec![seed::task("first", "process", &[])];
    for i in 1..TASKS {
        let id = if grouped { format!("g{:02}.t{i}", i % 100) } else { format!("t{i}") };
        let group = grouped.then(|| format!("g{:02}", i % 100));
        let needs = vec![i.saturating_sub(1_000)];
        tasks.push(TaskDef { id, group, uses: "process".into(), needs, ..TaskDef::default() });
    }
    seed::dag(if grouped { "grouped" } else { "wide" }, Schedule::Manual, tasks)
}

async fn wide_run(world: &World, grouped: bool) -> String {
    let seed = Seed::begin(world.store.clone(), now()).await;
    let dag = wide(grouped);
    let version = seed.register(&dag, seed::SOURCE, now()).await;
    let run = seed::new_run(&dag, version, RunType::Manual, None, now());
    world.store.trigger(run, now()).await.expect("triggers");
    world.store.promote(now(), 10, None).await.expect("promotes");
    format!("/dags/{}", dag.id)
}

#[tokio::test]
async fn a_dag_of_ten_thousand_runs_opens_with_a_page_of_them() {
    let world = empty(Some(Role::Viewer)).await;
    let seed = Seed::begin(world.store.clone(), now()).await;
    let dag = seed::hourly();
    let version = seed.register(&dag, seed::SOURCE, now()).await;
    let ticks: Vec<_> = (0..10_000)
        .map(|hour| {
            let tick = now() - TimeDelta::hours(10_000 - hour);
            (tick, TickDecision::Ran(seed::new_run(&dag, version, RunType::Scheduled, None, tick)))
        })
        .collect();
    for batch in ticks.chunks(1_000) {
        world.store.record_ticks(&dag.id, batch, now()).await.expect("records");
    }
    let grid = opened(&world, "/dags/hourly").await;
    assert_eq!(grid.matches("class=\"s-queued\"").count(), 48);
    assert!(grid.contains("1–48 of 10,000"));
    let runs = opened(&world, "/dags/hourly/runs?offset=9000").await;
    assert_eq!(runs.matches("<tr><td class=\"main-cell\">").count(), 50);
    let calendar = opened(&world, "/dags/hourly/calendar").await;
    assert_eq!(calendar.matches("<g class=\"day").count(), 365 + 1, "each day, and one of the legend");
    assert!(calendar.contains("24 queued"));
    opened(&world, "/").await;
    opened(&world, "/dags/hourly/ticks").await;
}

#[tokio::test]
async fn a_run_of_a_hundred_thousand_tasks_opens_summed_up() {
    let world = empty(Some(Role::Viewer)).await;
    let dag = wide_run(&world, false).await;
    let (runs, _) = world.store.list_runs(&Default::default()).await.expect("lists");
    assert!(runs.is_empty(), "a limit of 0 gives none");
    let filter = store::views::runs::RunFilter { limit: 1, ..Default::default() };
    let run = world.store.list_runs(&filter).await.expect("lists").0.remove(0);
    assert_eq!(run.state, RunState::Running);
    let path = format!("{dag}/runs/{}", run.run_id.replace(':', "%3A").replace('+', "%2B"));
    let page = opened(&world, &path).await;
    assert!(
        page.contains("100000 task instances") && page.contains("waiting 99,999"),
        "the states are counted"
    );
    assert_eq!(page.matches("<td class=\"gantt").count(), 200);
    let last = opened(&world, &format!("{path}?state=none&offset=99900")).await;
    assert_eq!(last.matches("<td class=\"gantt").count(), 99);
    let graph = opened(&world, &format!("{dag}/graph")).await;
    let nodes = graph.matches("<g class=\"node").count();
    assert!((2..=300).contains(&nodes) && graph.contains("100,000 tasks"), "{nodes}");
    let grid = opened(&world, &dag).await;
    assert_eq!(grid.matches("<a class=\"c s-").count(), 150);
    assert!(grid.contains("1–150 of 100,000"));
    let rest = opened(&world, &format!("{dag}?task=99900")).await;
    assert_eq!(rest.matches("<a class=\"c s-").count(), 100);
    opened(&world, &format!("{path}/tasks/t99999")).await;
}

#[tokio::test]
async fn a_wide_run_with_groups_is_shown_group_by_group() {
    let world = empty(Some(Role::Viewer)).await;
    let dag = wide_run(&world, true).await;
    let filter = store::views::runs::RunFilter { limit: 1, ..Default::default() };
    let run = world.store.list_runs(&filter).await.expect("lists").0.remove(0);
    let page =
        opened(&world, &format!("{dag}/runs/{}", run.run_id.replace(':', "%3A").replace('+', "%2B"))).await;
    assert_eq!(page.matches("<td class=\"share\">").count(), 101);
    assert!(page.contains("0 of 1,000"));
    let grid = opened(&world, &dag).await;
    assert_eq!(grid.matches("<a class=\"c s-").count(), 101);
    let graph = opened(&world, &format!("{dag}/graph")).await;
    assert_eq!(graph.matches("<g class=\"node").count(), 101);
}
