//! What people do to runs, from the command line: look, clear, mark, run again, backfill, approve, tell.

use crate::support::{Up, open_folder, text};
use serde_json::Value;

const CHAIN: &str = r#"
dag: chain
schedule: { every: 1h }
catchup: none
params:
  n: { type: integer, default: 1 }
tasks:
  a: { uses: process, retries: { limit: 0 }, with: { command: [test, "n={{ params.n }}", "=", "n=2"] } }
  b: { needs: [a], uses: process, with: { command: ["true"] } }
"#;
const ASK: &str = r#"
dag: ask
tasks:
  ok: { uses: approve, with: { prompt: "publish {{ run.id }}?" } }
"#;
const ITEMS: &str = r#"
dag: items
tasks:
  each: { uses: process, for_each: [x, y], with: { command: [echo, "item {{ item }}"] } }
"#;
const HELD: &str = r#"
dag: held
tasks:
  t: { uses: process, pool: nobody_made, with: { command: ["true"] } }
"#;
const FOLLOW: &str = r#"
dag: follow
schedule: { assets: [lake/songs] }
tasks:
  t: { uses: process, with: { command: ["true"] } }
"#;

fn dags(folder: &std::path::Path) -> std::path::PathBuf {
    let dags = folder.join("dags");
    std::fs::create_dir_all(&dags).unwrap();
    for (name, content) in
        [("chain", CHAIN), ("ask", ASK), ("items", ITEMS), ("held", HELD), ("follow", FOLLOW)]
    {
        std::fs::write(dags.join(format!("{name}.yaml")), content).unwrap();
    }
    dags
}

/// A command that must succeed; what it says.
fn said(up: &Up, arguments: &[&str]) -> String {
    let output = up.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn json(up: &Up, arguments: &[&str]) -> Value {
    let output = up.command(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Asks until the answer is as wanted; each ask takes as long as a process takes to start.
fn until(up: &Up, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..300 {
        last = json(up, arguments);
        if wanted(&last) {
            return last;
        }
    }
    panic!("{arguments:?} never was as wanted: {last}");
}

fn ended(up: &Up, run_id: &str, state: &str) -> Value {
    until(up, &["run", "show", "chain", run_id], |run| run["state"] == state)
}

#[test]
fn runs_are_looked_at_cleared_marked_and_run_again() {
    let folder = open_folder();
    let up = Up::start(&folder.path().join("data"), &dags(folder.path()));

    let output = up.command(&["run", "trigger", "chain", "--run-id", "first", "--wait"]);
    assert!(!output.status.success() && text(&output).contains("failed"), "{}", text(&output));
    let shown = said(&up, &["run", "show", "chain", "first", "--task", "a"]);
    assert!(shown.contains("chain/first  failed") && shown.contains("attempt of"), "{shown}");
    let run = json(&up, &["run", "show", "chain", "first"]);
    assert_eq!(run["tasks"][1]["state"], "upstream_failed", "{run}");

    let dry = said(&up, &["run", "clear", "chain", "first", "--only-failed", "--dry-run"]);
    assert!(dry.contains("2 tasks would run again"), "{dry}");
    let wrong = up.command(&["run", "clear", "chain", "first", "--param", "n=two"]);
    assert!(!wrong.status.success() && text(&wrong).contains("must be of type integer"), "{}", text(&wrong));
    said(&up, &["run", "clear", "chain", "first", "--param", "n=2", "--reason", "n was wrong"]);
    assert_eq!(ended(&up, "first", "success")["params"]["n"], 2);
    let again = said(&up, &["run", "rerun", "chain", "first", "--new-run-id", "again", "--wait"]);
    assert!(again.contains("chain/again") && again.contains("success"), "{again}");

    up.command(&["run", "trigger", "chain", "--run-id", "second", "--wait"]);
    let marked =
        said(&up, &["run", "mark", "chain", "second", "success", "--task", "a", "--reason", "done by hand"]);
    assert!(marked.contains("1 tasks are success"), "{marked}");
    ended(&up, "second", "success");
    said(&up, &["run", "mark", "chain", "second", "failed"]);
    ended(&up, "second", "failed");

    said(&up, &["dag", "pause", "chain"]);
    let dag = said(&up, &["dag", "show", "chain"]);
    assert!(dag.contains("chain  paused") && dag.contains("second"), "{dag}");
    said(&up, &["dag", "unpause", "chain"]);
    backfill(&up);
    assert!(up.stop());
}

fn backfill(up: &Up) {
    let now = chrono::Utc::now();
    let from = (now - chrono::TimeDelta::hours(3)).format("%Y-%m-%dT%H:%M").to_string();
    let to = now.format("%Y-%m-%dT%H:%M").to_string();
    let range = ["chain", "--from", &from, "--to", &to, "--param", "n=2", "--reason", "late feed"];
    let plan = said(up, &[&["backfill", "plan"], &range[..]].concat());
    assert!(plan.contains("3 to create") && plan.contains("it has no run"), "{plan}");
    let made = json(up, &[&["backfill", "create"], &range[..]].concat());
    assert_eq!(made["create"], 3, "{made}");
    let id = made["id"].to_string();
    let done = until(up, &["backfill", "show", &id], |shown| shown["backfill"]["state"] == "completed");
    assert_eq!(done["backfill"]["success"], 3, "{done}");
    let again = up.command(&[&["backfill", "create"], &range[..]].concat());
    assert!(!again.status.success() && text(&again).contains("nothing to do"), "{}", text(&again));
    let late = up.command(&["backfill", "cancel", &id]);
    assert!(!late.status.success() && text(&late).contains("completed already"), "{}", text(&late));
}

#[test]
fn who_waits_for_a_run_is_told_what_it_waits_for_and_for_how_long() {
    let folder = open_folder();
    let up = Up::start(&folder.path().join("data"), &dags(folder.path()));

    let held = ["run", "trigger", "held", "--run-id", "h", "--wait", "--timeout", "3s", "--reason", "a try"];
    let output = up.command(&held);
    assert_eq!(output.status.code(), Some(124), "{}", text(&output));
    let told = text(&output);
    assert!(told.contains("t pool 'nobody_made' does not exist: `streamify pool set"), "{told}");
    let page = up.get("/dags/held/runs/h");
    assert!(page.contains("The pool nobody_made does not exist"), "{page}");
    said(&up, &["run", "cancel", "held", "h", "--reason", "no pool"]);

    let output = up.command(&["run", "trigger", "items", "--run-id", "i", "--wait"]);
    assert!(output.status.success() && text(&output).contains("success"), "{}", text(&output));
    let output = up.command(&["run", "logs", "items", "i", "each"]);
    let told = text(&output);
    assert!(!output.status.success() && told.contains("2 items") && told.contains("--map-index"), "{told}");
    assert!(said(&up, &["run", "logs", "items", "i", "each", "--map-index", "1"]).contains("item y"));
    assert!(up.stop());
}

#[test]
fn people_approve_tell_assets_and_set_pools() {
    let folder = open_folder();
    let up = Up::start(&folder.path().join("data"), &dags(folder.path()));

    said(&up, &["run", "trigger", "ask", "--run-id", "r"]);
    let open = until(&up, &["approval", "list"], |rows| rows[0]["prompt"] == "publish r?");
    assert_eq!(open[0]["task_id"], "ok");
    said(&up, &["approval", "approve", "ask", "r", "ok", "--comment", "fine"]);
    until(&up, &["run", "show", "ask", "r"], |run| run["state"] == "success");
    let twice = up.command(&["approval", "reject", "ask", "r", "ok"]);
    assert!(!twice.status.success() && text(&twice).contains("approved by"), "{}", text(&twice));

    let unknown = up.command(&["asset", "tell", "lake/song"]);
    assert!(
        !unknown.status.success() && text(&unknown).contains("did you mean 'lake/songs'?"),
        "{}",
        text(&unknown)
    );
    said(&up, &["asset", "tell", "lake/songs", "--reason", "loaded by hand"]);
    let runs = until(&up, &["run", "list", "follow"], |runs| runs[0]["state"] == "success");
    assert!(runs[0]["run_id"].as_str().unwrap().starts_with("asset__"), "{runs}");
    assert!(said(&up, &["asset", "list"]).contains("follow"), "the dag that it starts");
    assert_eq!(json(&up, &["asset", "events", "lake/songs"]).as_array().unwrap().len(), 1);

    said(&up, &["pool", "set", "db", "2", "--description", "the small server"]);
    assert!(said(&up, &["pool", "list"]).contains("the small server"));
    said(&up, &["pool", "delete", "db"]);
    let gone = up.command(&["pool", "delete", "db"]);
    assert!(!gone.status.success() && text(&gone).contains("does not exist"), "{}", text(&gone));
    assert!(up.stop());
}
