//! `streamify db prune` and the duty of the nodes: what goes, what says that it went, and old log lines that are read as before.

use crate::node::{Node, Start};
use crate::support::text;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::Database;

const HELLO: &str =
    "dag: hello\ntasks:\n  hello: { uses: process, with: { command: [echo, hello there] } }\n";
const HOURLY: &str = "dag: hourly\nschedule: { cron: \"0 * * * *\", timezone: UTC }\nwindow: hour\nstart: 2026-01-01\ncatchup: { limit: 3 }\ntasks:\n  hello: { uses: process, with: { command: [echo, hello] } }\n";
const ONE_RUN: [(&str, &str); 1] = [("STREAMIFY_KEEP_RUNS_PER_DAG", "1")];
const PATIENCE: Duration = Duration::from_secs(60);

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Ids of the runs of a dag that is paused now, the oldest first, once three or more have ended and none goes on.
fn ended_runs(node: &Node, dag: &str) -> Vec<String> {
    let give_up = Instant::now() + PATIENCE;
    let mut is_paused = false;
    loop {
        let listed = body(&node.get(&format!("/api/v2/dags/{dag}/dagRuns?order_by=run_after")));
        let runs = listed["dag_runs"].as_array().cloned().unwrap_or_default();
        let have_ended = runs.iter().all(|run| run["state"] == "success");
        if is_paused && have_ended {
            return runs.iter().map(|run| run["dag_run_id"].as_str().unwrap().to_string()).collect();
        }
        if runs.len() >= 3 && have_ended {
            let output = node.command(&["dag", "pause", dag]);
            assert!(output.status.success(), "{}", text(&output));
            is_paused = true;
        }
        assert!(Instant::now() < give_up, "{listed}\n{}", node.said().join("\n"));
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// What `db prune --json` says.
fn prune(node: &Node, settings: &[(&str, &str)], more: &[&str]) -> Value {
    let output = node.command_with(settings, &[&["db", "prune", "--json"], more].concat());
    assert!(output.status.success(), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["left"], serde_json::json!([]), "{told}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_counted_then_removed_by_policy_and_their_pages_say_that_they_were() {
    let node = Start::with("hourly.yaml", HOURLY).await.start();
    let runs = ended_runs(&node, "hourly");
    let (oldest, newest) = (&runs[0], runs.last().unwrap());
    let page = |run: &str| node.get(&format!("/dags/hourly/runs/{run}"));
    let gone = runs.len() - 1;

    let would = prune(&node, &ONE_RUN, &["--dry-run"]);
    assert_eq!((&would["dry_run"], &would["rows"]["runs"]), (&Value::from(true), &Value::from(gone)));
    assert!(page(oldest).starts_with("HTTP/1.1 200"), "a look removes nothing");

    let did = prune(&node, &ONE_RUN, &[]);
    assert_eq!(did["dry_run"], false);
    for what in ["runs", "task_instances", "attempts"] {
        assert_eq!((&would["rows"][what], &did["rows"][what]), (&gone.into(), &gone.into()), "{what}");
    }
    assert!(page(newest).starts_with("HTTP/1.1 200"), "the newest stays");
    let told = page(oldest);
    assert!(told.starts_with("HTTP/1.1 404") && told.contains("was pruned on"), "{told}");
    let log = node.get(&format!("/dags/hourly/runs/{oldest}/tasks/hello"));
    assert!(log.starts_with("HTTP/1.1 404") && log.contains("was pruned on"), "{log}");
    let answer = node.get(&format!("/api/v2/dags/hourly/dagRuns/{oldest}"));
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("was pruned on"), "{answer}");
    let never = node.get("/dags/hourly/runs/by-hand");
    assert!(never.starts_with("HTTP/1.1 404") && !never.contains("was pruned on"), "{never}");

    let metrics = node.get("/metrics");
    assert!(metrics.contains(&format!("streamify_pruned_rows_total{{what=\"runs\"}} {gone}\n")), "{metrics}");
    let again = node.command_with(&ONE_RUN, &["db", "prune"]);
    assert!(text(&again).contains("nothing is older"), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_log_lines_are_read_from_the_archive_as_before() {
    let node = Start::with("hello.yaml", HELLO).await.start();
    assert!(node.run("hello", "first").status.success());
    let before = node.log_with("hello", "first", "hello", "hello there");
    node.database
        .execute(
            "select ensure_log_partition((now() at time zone 'utc' - interval '40 days')::date);
             update logs set at = at - interval '40 days'",
        )
        .await;
    let did = prune(&node, &[], &[]);
    let lines = did["rows"]["log_lines"].as_i64().unwrap_or_else(|| panic!("{did}"));
    assert!(lines >= 1, "{did}");
    let metrics = node.get("/metrics");
    assert!(
        metrics.contains(&format!("streamify_pruned_rows_total{{what=\"log_lines\"}} {lines}\n")),
        "{metrics}"
    );
    let after = node.log_with("hello", "first", "hello", "hello there");
    assert_eq!(after.lines().count(), before.lines().count(), "{after}");
    let answer = node.get("/api/v2/dags/hello/dagRuns/first/taskInstances/hello/logs/1");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("hello there"), "{answer}");
    let page = node.get("/dags/hello/runs/first/tasks/hello");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("hello there"), "{page}");
    assert_eq!(prune(&node, &[], &[])["rows"], serde_json::json!({}), "each line is moved once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_prunes_by_its_own_settings_without_being_asked() {
    const PASS: &str = "\nstreamify_prune_last_pass_timestamp_seconds ";
    let node = Start::with("hello.yaml", HELLO).await.start();
    for run in ["first", "second", "third"] {
        assert!(node.run("hello", run).status.success());
    }
    node.get_with("/metrics", PASS);
    let (database, url) = (Database::at(node.database.url()), node.database.url().to_string());
    drop(node);
    // The next pass is due an hour after the last.
    database
        .execute("update prunings set last_at = last_at - interval '2 hours' where what = 'passes'")
        .await;
    let mut start = Start::with("hello.yaml", HELLO).await.env(ONE_RUN[0].0, ONE_RUN[0].1);
    start.database = Database::at(url);
    let node = start.start();
    node.get_with("/metrics", "streamify_pruned_rows_total{what=\"runs\"} 2\n");
    node.wait_for("pruned");
    assert!(node.get("/dags/hello/runs/third").starts_with("HTTP/1.1 200"));
    assert!(node.get("/dags/hello/runs/first").starts_with("HTTP/1.1 404"));
    node.get_with("/health", "task instances");
}
