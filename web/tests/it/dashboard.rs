//! The dashboard over a real DuckDB, with the panels of the pipeline.

use crate::world::{World, world};
use axum::http::StatusCode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::auth::Role;
use warehouse::{Statement, Warehouse};

fn panels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags/streamify/dashboard")
}

/// The columns that the panels read, with two days of listeners.
const TABLES: [&str; 9] = [
    "create schema prod",
    "create schema staging",
    "create table staging._loads as select 'listen_events' as topic, timestamp '2026-11-21 00:00:00' + interval (i) hour as hour,
        10 as rows, 1 as files, timestamp '2026-11-22 13:05:00' as loaded_at from range(37) as r (i)",
    "create table prod.wide_streams as select timestamp '2026-11-21 00:00:00' + interval (i % 37) hour as hour, i % 50 + 1 as userId,
        i % 200 as sessionId, case when i % 2 = 0 then 'F' else 'M' end as gender, case when i % 3 = 0 then 'paid' else 'free' end as level,
        'Song ' || (i % 30) as songName, case when i % 7 = 0 then '<b>Band</b>' else 'Artist ' || (i % 20) end as artistName,
        case when i % 4 = 0 then 'CA' else 'TX' end as stateCode, case when i % 4 = 0 then 'California' else 'Texas' end as stateName,
        200.0 as duration from range(5000) as r (i)",
    "create table prod.agg_hourly as select hour, stateCode, stateName, level, gender, count(*) as streams,
        count(distinct userId) as users, count(distinct sessionId) as sessions, sum(duration) as listenSeconds
        from prod.wide_streams group by all",
    "create table prod.fact_page_views as select hour, sessionId, 'Home' as page, stateCode from prod.wide_streams
        union all select hour, sessionId, 'Upgrade', stateCode from prod.wide_streams where userId < 9",
    "create table prod.fact_auth as select hour, sessionId % 10 <> 0 as success, stateCode from prod.wide_streams",
    "create table prod.dim_users as select 1 as userId",
    "create table prod.fact_streams as select 1 as one",
];

async fn with_warehouse(tables: bool) -> World {
    let warehouse: Arc<dyn Warehouse> = warehouse::open("duckdb::memory:").expect("opens");
    if tables {
        let statements: Vec<Statement> = TABLES.iter().map(|sql| Statement::new(*sql)).collect();
        warehouse.transaction(&statements).await.expect("makes the tables");
    }
    world(Some(Role::Viewer), Some(warehouse), Some(panels())).await
}

#[tokio::test]
async fn every_panel_of_the_pipeline_draws_figures() {
    let world = with_warehouse(true).await;
    let html = world.get("/dashboard").await.text;
    assert!(
        !html.contains("role=\"alert\"") && !html.contains("Filling") && !html.contains("left out"),
        "{html}"
    );
    assert!(!html.contains("Nothing in this period"), "{html}");
    let titles = [
        "Pipeline",
        "Streams today",
        "Total users",
        "User activity per state",
        "Chart busters",
        "Top artists",
        "Gender",
        "User level by gender",
        "User activity per hour",
    ];
    for title in titles {
        assert!(html.contains(&format!("<h2>{title}</h2>")), "lacks {title}");
    }
    assert!(html.contains("&lt;b&gt;Band&lt;/b&gt;") && !html.contains("<b>Band"));
    assert!(html.contains("California: "));
}

#[tokio::test]
async fn filters_and_dates_change_the_figures_without_javascript() {
    let world = with_warehouse(true).await;
    let all = world.get("/dashboard?from=2026-11-21&to=2026-11-22").await.text;
    let california = world.get("/dashboard?from=2026-11-21&to=2026-11-22&state=CA").await.text;
    let none = world.get("/dashboard?from=2020-01-01&to=2020-01-02").await.text;
    let streams =
        |html: &str| html.split("<h2>Streams</h2>").nth(1).unwrap().split('"').nth(3).unwrap().to_string();
    assert_eq!((streams(&all), streams(&california)), ("5,000".into(), "1,250".into()));
    assert!(california.contains("<option value=\"CA\" selected>California</option>"));
    assert!(california.contains("state=TX") && california.contains("class=\"l3 picked\""));
    assert!(none.contains("Nothing in this period"));
    let injected = world.get("/dashboard?state=%27%20or%201%3D1%20--").await;
    assert_eq!(injected.status, StatusCode::OK);
    assert!(injected.text.contains("Nothing in this period"));
}

#[tokio::test]
async fn without_tables_it_says_that_it_fills() {
    let html = with_warehouse(false).await.get("/dashboard").await.text;
    assert!(
        html.contains("The first hours are being loaded") && html.contains("Filling: no hour is loaded yet.")
    );
}

#[tokio::test]
async fn without_the_warehouse_it_says_who_has_it() {
    let nobody = world(Some(Role::Viewer), None, Some(panels())).await;
    let answer = nobody.get("/dashboard").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("No node has the warehouse"));
}

#[tokio::test]
async fn a_broken_panel_is_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.sql"), "-- panel: Good\n-- kind: number\nselect 41 + 1 as value")
        .unwrap();
    std::fs::write(folder.path().join("bad.sql"), "-- panel: Bad\n-- kind: pie\nselect 1").unwrap();
    std::fs::write(
        folder.path().join("wrong.sql"),
        "-- panel: Wrong\n-- kind: number\nselect nothing as value",
    )
    .unwrap();
    let warehouse = warehouse::open("duckdb::memory:").unwrap();
    let world = world(Some(Role::Viewer), Some(warehouse), Some(folder.path().into())).await;
    let html = world.get("/dashboard").await.text;
    assert!(html.contains(">42</span>") && html.contains("bad.sql: line 2: unknown kind"), "{html}");
    assert!(html.contains("role=\"alert\""), "a query that fails says so in its place: {html}");
}

#[tokio::test]
async fn a_misspelt_table_fills_only_until_models_are_built() {
    let folder = tempfile::tempdir().unwrap();
    let panel = "-- panel: Misspelt\n-- kind: number\nselect count(*) as value from prod.wide_strems";
    std::fs::write(folder.path().join("misspelt.sql"), panel).unwrap();
    let warehouse = warehouse::open("duckdb::memory:").unwrap();
    let world = world(Some(Role::Viewer), Some(warehouse.clone()), Some(folder.path().into())).await;
    let build = async |sql: &[&str]| {
        let statements: Vec<Statement> = sql.iter().map(|sql| Statement::new(*sql)).collect();
        warehouse.transaction(&statements).await.expect("makes the tables");
    };
    // Another period each time: answers are kept for some seconds.
    build(&["create schema staging", "create table staging._loads as select 1 as rows"]).await;
    let before = world.get("/dashboard?to=2026-11-20").await.text;
    assert!(before.contains("Filling") && !before.contains("role=\"alert\""), "{before}");
    build(&["create schema prod", "create table prod.wide_streams as select 1 as one"]).await;
    let after = world.get("/dashboard?to=2026-11-21").await.text;
    assert!(!after.contains("Filling") && !after.contains("The first hours"), "{after}");
    let alert = after.split("role=\"alert\"").nth(1).expect("an alert");
    assert!(alert.contains("misspelt.sql") && alert.contains("wide_strems does not exist"), "{after}");
}

#[tokio::test]
async fn the_query_of_our_commands_needs_an_admin_and_only_reads() {
    let world = with_warehouse(true).await;
    let token = web::cli_token(&world.store, crate::world::now()).await.unwrap();
    let body = serde_json::json!({ "sql": "select count(*) as n from prod.wide_streams where stateCode = $1", "params": ["CA"] });
    let answer = world.call("POST", "/api/v2/warehouse/query", &token, &body).await;
    assert_eq!(
        (answer.status, answer.json()["rows"][0]["n"].as_i64()),
        (StatusCode::OK, Some(1250)),
        "{}",
        answer.text
    );
    let write = serde_json::json!({ "sql": "drop table prod.wide_streams" });
    assert_eq!(
        world.call("POST", "/api/v2/warehouse/query", &token, &write).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}
