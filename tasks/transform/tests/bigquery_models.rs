//! One project, two warehouses: the streamify models, their tests and the dashboard give the same on BigQuery as on DuckDB.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value as Json, json};
use support::{House, Listen, TOPICS, hour, story, streamify, window};
use transform::{NodeKind, NodeResult};
use warehouse::Value;

/// Set where minutes do not matter, as every night.
const SLOW: &str = "STREAMIFY_SLOW_TESTS";

async fn both() -> Option<[House; 2]> {
    if std::env::var_os(SLOW).is_none() {
        testkit::skip("minutes on the BigQuery emulator", "set STREAMIFY_SLOW_TESTS=1");
        return None;
    }
    let cloud = House::on_bigquery().await?;
    Some([House::new().await, cloud])
}

async fn load(house: &House, hours: &[i64]) {
    for n in hours {
        house.load(*n, &story()[usize::try_from(*n).unwrap()]).await;
    }
}

/// Rows in an order of their own, numbers as what they are worth.
async fn figures(house: &House, sql: &str, params: &[Value]) -> Result<Vec<String>, String> {
    house.rest().await;
    let rows = house.warehouse.query(sql, params).await.map_err(|error| error.to_string())?;
    let worth = |value: &Json| value.as_f64().map_or_else(|| value.clone(), |number| json!(number));
    let mut rows: Vec<String> =
        rows.rows.iter().map(|row| json!(row.iter().map(worth).collect::<Vec<_>>()).to_string()).collect();
    rows.sort();
    Ok(rows)
}

/// What differs, as one text.
async fn difference(here: &House, there: &House, what: &str, sql: &str, params: &[Value]) -> Option<String> {
    let (left, right) = (figures(here, sql, params).await, figures(there, sql, params).await);
    (left != right || left.is_err()).then(|| format!("{what}\n  DuckDB:   {left:?}\n  BigQuery: {right:?}\n"))
}

/// Every table that the project makes. Keys are digests, and a time is written otherwise on each warehouse; what they join is compared.
async fn differing_tables(local: &House, cloud: &House) -> Vec<String> {
    const KEYS: [&str; 4] = ["userKey", "songKey", "artistKey", "locationKey"];
    let mut found = Vec::new();
    let nodes: Vec<_> = local.project.nodes().iter().filter(|node| node.kind != NodeKind::Test).collect();
    assert!(nodes.len() >= 12, "{}", nodes.len());
    for node in nodes {
        let relation = local.warehouse.relation("prod", &node.id).await.unwrap().unwrap();
        let plain = relation.columns.iter().filter(|column| !KEYS.contains(&column.name.as_str()));
        let columns: Vec<String> = plain.map(|column| format!("\"{}\"", column.name)).collect();
        let sql = format!("select {} from prod.\"{}\"", columns.join(", "), node.id);
        found.extend(difference(local, cloud, &node.id, &sql, &[]).await);
    }
    found
}

#[tokio::test]
async fn hours_in_any_order_a_late_file_and_every_check_come_to_the_same_on_both_warehouses() {
    let Some([local, cloud]) = both().await else { return };
    for house in [&local, &cloud] {
        load(house, &[0, 2]).await;
        for n in [0, 2] {
            house.run_models(&window(n)).await;
        }
        // The second hour comes last: what it changes in the third is built again.
        load(house, &[1]).await;
        house.run_models(&window(2)).await;
    }
    let mut late = story().remove(0);
    late.push(Listen::of(11, 40, 4, "paid"));
    for house in [&local, &cloud] {
        house.load_topics(0, &late, &TOPICS[..1]).await;
    }
    let (here, there) = (local.run_all(&window(2)).await, cloud.run_all(&window(2)).await);
    for (id, result) in &here {
        assert_eq!(result.hours, there[id].hours, "{id}: other hours were due");
        let checked = |result: &NodeResult| result.check.as_ref().map(|check| (check.status, check.value));
        assert_eq!(checked(result), checked(&there[id]), "{id}");
    }
    let found = differing_tables(&local, &cloud).await;
    assert!(found.is_empty(), "{}", found.concat());
}

/// The panel's values, numbered as a warehouse takes them.
fn bound(panel: &str, state: Value) -> (String, Vec<Value>) {
    let (mut sql, mut params) = (panel.to_owned(), Vec::new());
    let values =
        [("$from", Value::Time(hour(-24))), ("$to", Value::Time(hour(24))), ("$now", Value::Time(hour(24)))];
    for (name, value) in values.into_iter().chain([("$state", state)]) {
        if sql.contains(name) {
            params.push(value);
            sql = sql.replace(name, &format!("${}", params.len()));
        }
    }
    (sql, params)
}

#[tokio::test]
async fn panels_of_the_dashboard_say_the_same_on_both_warehouses() {
    let Some([local, cloud]) = both().await else { return };
    for house in [&local, &cloud] {
        load(house, &[0, 1]).await;
        house.run_models(&window(1)).await;
    }
    let (mut panels, mut found) = (0, Vec::new());
    for file in std::fs::read_dir(streamify().join("dashboard")).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        for state in [Value::Null, Value::from("DC")] {
            let (sql, params) = bound(&text, state);
            found.extend(difference(&local, &cloud, &file.display().to_string(), &sql, &params).await);
        }
        panels += 1;
    }
    assert!(panels >= 15, "{panels}");
    assert!(found.is_empty(), "{}", found.concat());
}

#[tokio::test]
async fn a_full_refresh_leaves_the_same_rows_on_both_warehouses() {
    let Some([local, cloud]) = both().await else { return };
    for house in [&local, &cloud] {
        load(house, &[0, 1]).await;
        house.run_models(&window(0)).await;
        let args = transform::RunArgs { full_refresh: true, ..window(1) };
        house.run_models(&args).await;
    }
    let mut found = differing_tables(&local, &cloud).await;
    found.extend(
        difference(&local, &cloud, "hours", "select model, hour, \"rows\" from prod._intervals", &[]).await,
    );
    assert!(found.is_empty(), "{}", found.concat());
}
