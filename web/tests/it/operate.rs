//! The files of operators: a dashboard, alert rules or a runbook that name a metric which is not there are worse than none.

use crate::world::{World, now, seeded};
use std::collections::BTreeSet;
use std::path::PathBuf;
use store::auth::Role;

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names that a sample of `/metrics` has; of a histogram also its parts.
async fn metrics(world: &World) -> BTreeSet<String> {
    let text = world.get("/metrics").await.text;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').expect("a name and a kind");
            names.insert(name.to_string());
            if kind == "histogram" {
                names.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
            }
        }
    }
    names
}

/// Words that look like metrics of ours.
fn used(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.starts_with("streamify_") && word.len() > "streamify_".len())
        .map(str::to_string)
        .collect()
}

/// Labels that a query selects or groups by must be labels of that page.
fn labels(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split(" by (").skip(1) {
        let inside = part.split(')').next().unwrap_or_default();
        found.extend(inside.split(',').map(|label| label.trim().to_string()));
    }
    found
        .into_iter()
        .filter(|label| !label.is_empty() && label.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect()
}

#[tokio::test]
async fn dashboard_alerts_and_runbook_name_only_metrics_that_exist() {
    let world = seeded(Some(Role::Viewer)).await;
    // Requests are counted after their answer.
    world.get("/dags/hourly").await;
    let there = metrics(&world).await;
    for path in [
        "deploy/grafana/streamify.json",
        "deploy/prometheus/alerts.yaml",
        "deploy/prometheus/alerts.test.yaml",
        "docs/ops/runbook.md",
    ] {
        let used = used(&file(path));
        assert!(!used.is_empty(), "{path} names no metric");
        let missing: Vec<&String> = used.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{path} names metrics that /metrics does not have: {missing:?}\nit has {there:?}"
        );
    }
}

#[tokio::test]
async fn what_alerts_and_dashboard_group_by_are_labels() {
    let world = seeded(Some(Role::Viewer)).await;
    world.store.put_pool("small", 4, "", "admin", "", now()).await.expect("puts");
    world.get("/dags/hourly").await;
    crate::metrics::prune_two_runs(&world).await;
    let text = world.get("/metrics").await.text;
    for path in ["deploy/grafana/streamify.json", "deploy/prometheus/alerts.yaml"] {
        for label in labels(&file(path)) {
            // Prometheus itself adds these.
            let is_there = ["instance", "job"].contains(&label.as_str())
                || text.contains(&format!("{{{label}=\""))
                || text.contains(&format!(",{label}=\""));
            assert!(is_there, "{path} groups by {label}, which no sample has");
        }
    }
}

#[test]
fn the_dashboard_is_json_with_queries_in_every_panel() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("deploy/grafana/streamify.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let graphs: Vec<_> = panels.iter().filter(|panel| panel["type"] != "row").collect();
    assert!(graphs.len() > 10);
    for panel in graphs {
        let targets = panel["targets"].as_array().map_or(0, Vec::len);
        assert!(targets > 0 && panel["title"].is_string() && panel["description"].is_string(), "{panel}");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_no_section_is_without_its_alert() {
    let (rules, runbook) = (file("deploy/prometheus/alerts.yaml"), file("docs/ops/runbook.md"));
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## Streamify").map(|_| line.trim_start_matches("## ")))
        .collect();
    assert!(alerts.len() > 10);
    assert_eq!(alerts, sections);
    for alert in alerts {
        let link = format!("docs/ops/runbook.md#{}", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} has no link to its section ({link})");
    }
    let tested = file("deploy/prometheus/alerts.test.yaml");
    let untested: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .filter(|alert| !tested.contains(&format!("alertname: {alert}\n")))
        .collect();
    assert!(untested.is_empty(), "alerts without a test in alerts.test.yaml: {untested:?}");
}
