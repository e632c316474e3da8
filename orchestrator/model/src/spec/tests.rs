//! Files that are fine, and what they mean. Broken ones are in `tests_broken`.

use super::*;
use crate::dag::{Catchup, Overlap, Restart, Schedule, WindowRule};
use crate::task::{ExpandedTask, Outcome, Task, TaskContext, TaskError, WithProblem};
use crate::testing::utc;
use crate::trigger_rule::TriggerRule;
use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Takes a `command`, and nothing else.
struct Process;
/// A service.
struct Serve;
/// Stands for `a`, `b` after `a`, and `c` after `a`.
struct Models;

fn known_keys(with: &Value, known: &[&str]) -> Vec<WithProblem> {
    let unknown =
        |key: &String| WithProblem { key: key.clone(), message: "is not known".to_owned(), hint: None };
    with.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).map(unknown).collect()
}

macro_rules! kind {
    ($kind:ty, $name:literal, $keys:expr, { $($more:item)* }) => {
        #[async_trait]
        impl Task for $kind {
            fn kind(&self) -> &'static str {
                $name
            }
            fn summary(&self) -> &'static str {
                "For tests"
            }
            fn with_schema(&self) -> Value {
                json!({
                    "$schema": "x", "type": "object", "required": ["command"],
                    "properties": { "command": { "$ref": "#/$defs/Words" }, "text": { "type": "string" } },
                    "$defs": { "Words": { "type": "array", "items": { "$ref": "#/$defs/Word" } }, "Word": { "type": "string" } },
                })
            }
            fn check(&self, with: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
                known_keys(with, $keys)
            }
            async fn run(&self, _ctx: TaskContext) -> Result<Outcome, TaskError> {
                Err(TaskError::Fail("kinds of tests do not run".to_owned()))
            }
            $($more)*
        }
    };
}

kind!(Process, "process", &["command", "text", "count", "cwd"], {});
kind!(Serve, "serve", &[], {
    fn is_service(&self) -> bool {
        true
    }
});
kind!(Models, "models", &["project"], {
    fn route(&self) -> Option<&'static str> {
        Some("warehouse")
    }
    fn expand(&self, with: &Value, _dag_dir: &Path) -> Result<Option<Vec<ExpandedTask>>, Vec<WithProblem>> {
        let task = |id: &str, needs: &[&str]| ExpandedTask {
            id: id.to_owned(),
            uses: "models".to_owned(),
            with: json!({ "select": id, "project": with["project"] }),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        };
        Ok(Some(vec![task("a", &[]), task("b", &["a"]), task("c", &["a"])]))
    }
});

pub(super) fn registry() -> Registry {
    let kinds: [Arc<dyn Task>; 3] = [Arc::new(Process), Arc::new(Serve), Arc::new(Models)];
    Registry::new(kinds)
}

pub(super) fn read_text(text: &str) -> Result<Dag, Vec<Problem>> {
    read("dags/test.yaml", text.as_bytes(), Path::new("dags"), &registry())
}

pub(super) fn fine(text: &str) -> Dag {
    read_text(text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    })
}

pub(super) const FULL: &str = r#"
dag: hourly
description: Load it
tags: [streamify, core]
schedule: { cron: "5 * * * *", timezone: Europe/Zurich }
window: { every: 1h, lag: 5m }
start: 2026-01-01
catchup: { limit: 48 }
overlap: skip
max_active_runs: 1
max_active_tasks: 4
paused: true
params:
  full_refresh: { type: boolean, default: false, description: All of it }
  users: 100
defaults: { retries: { limit: 3, delay: 10s, backoff: 2, max_delay: 5m }, timeout: 15m }
env: { MODE: fast, LEVEL: 3 }
tasks:
  report: { needs: models, if: all_done, uses: process, priority: 5, queue: chat, retries: 0, timeout: 1m }
  load:
    for_each: [a, b]
    uses: process
    with: { command: [load, "{{ item }}", "{{ window.start }}", "{{ params.users }}"] }
    env: { MODE: slow }
  models: { needs: [load], uses: models, with: { project: streamify } }
"#;

#[test]
fn every_field_arrives() {
    let dag = fine(FULL);
    assert_eq!((dag.id.as_str(), dag.description.as_str(), dag.tags.len()), ("hourly", "Load it", 2));
    let expressions = vec!["5 * * * *".to_owned()];
    assert_eq!(dag.schedule, Schedule::Cron { expressions, timezone: "Europe/Zurich".to_owned() });
    let (every, lag) = (Duration::from_secs(3600), Duration::from_secs(300));
    assert_eq!(dag.window, WindowRule::Every { every, lag });
    assert_eq!(dag.start, Some(utc("2025-12-31T23:00:00Z")), "midnight where the schedule lives");
    assert_eq!((dag.catchup, dag.overlap, dag.paused), (Catchup::Limit(48), Overlap::Skip, true));
    assert_eq!((dag.max_active_runs, dag.max_active_tasks), (1, 4));
    assert_eq!(dag.params["users"].default, Some(json!(100)));
    let ids: Vec<&str> = dag.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["load", "models.a", "models.b", "models.c", "report"]);
    let needs: Vec<&[usize]> = dag.tasks.iter().map(|task| task.needs.as_slice()).collect();
    assert_eq!(needs, [&[][..], &[0], &[1], &[1], &[2, 3]]);
    let (load, report) = (&dag.tasks[0], &dag.tasks[4]);
    assert_eq!((load.env["MODE"].as_str(), load.env["LEVEL"].as_str()), ("slow", "3"));
    assert_eq!((load.retries.limit, load.timeout), (3, Some(Duration::from_secs(900))));
    assert_eq!(load.map_indexes(), [0, 1]);
    assert_eq!(
        (report.trigger_rule, report.priority, report.queue.as_str()),
        (TriggerRule::AllDone, 5, "chat")
    );
    assert_eq!((report.retries.limit, report.retries.delay), (0, Duration::from_secs(10)));
    let group = &dag.tasks[2];
    assert_eq!((group.group.as_deref(), group.route.as_deref()), (Some("models"), Some("warehouse")));
    assert_eq!(group.with, json!({ "select": "b", "project": "streamify" }));
}

#[test]
fn short_forms_and_defaults() {
    let dag = fine("dag: d\nschedule: '@daily'\ntasks: { a: { uses: process } }");
    assert_eq!((dag.catchup, dag.overlap, dag.window), (Catchup::Latest, Overlap::Queue, WindowRule::None));
    assert_eq!(dag.tasks[0].with, json!({}));
    let schedule =
        |text: &str| fine(&format!("dag: d\nschedule: {text}\ntasks: {{ a: {{ uses: process }} }}")).schedule;
    assert_eq!(schedule("'@once'"), Schedule::Once);
    assert_eq!(schedule("{ once: true }"), Schedule::Once);
    assert_eq!(schedule("manual"), Schedule::Manual);
    assert_eq!(schedule("{ every: 90s }"), Schedule::Every { every: Duration::from_secs(90) });
    assert_eq!(
        schedule("{ at: 2026-01-01T00:00:00Z }"),
        Schedule::At { instants: vec![utc("2026-01-01T00:00:00Z")] }
    );
    let Schedule::Cron { expressions, .. } = schedule("{ cron: ['0 1 * * *', '30 2 * * *'] }") else {
        panic!()
    };
    assert_eq!(expressions.len(), 2);
}

#[test]
fn services_are_read_and_kinds_that_are_services_need_not_say_so() {
    let dag = fine(
        "dag: d\ndefaults: { timeout: 1m, retries: 3 }\ntasks:\n  a: { uses: serve }\n  b:\n    uses: process\n    service:\n      \
         restart: { policy: always, budget: 5 in 10m, backoff: 3s }\n      stop: { grace: 20s }\n      ready_timeout: 2m\n",
    );
    let (a, b) = (dag.tasks[0].service.clone().unwrap(), dag.tasks[1].service.clone().unwrap());
    assert_eq!((a.restart, a.budget, a.period), (Restart::OnFailure, 5, Duration::from_secs(600)));
    assert_eq!(
        (b.restart, b.stop_grace, b.ready_timeout),
        (Restart::Always, Duration::from_secs(20), Duration::from_secs(120))
    );
    assert_eq!((dag.tasks[1].retries.delay, dag.tasks[1].timeout), (Duration::from_secs(3), None));
}

#[test]
fn anchors_and_merge_keys_work() {
    let dag = fine(
        "dag: d\ntasks:\n  a: &base { uses: process, with: { command: [x] }, priority: 3 }\n  b: { <<: *base, needs: [a], priority: 4 }\n",
    );
    assert_eq!((dag.tasks[1].with.clone(), dag.tasks[1].priority), (json!({ "command": ["x"] }), 4));
}

#[test]
fn the_hash_is_of_the_meaning_not_of_the_text() {
    let one = fine("dag: d\ntasks: { a: { uses: process, with: { command: [x], text: y } } }");
    let same =
        fine("# comment\ntasks:\n  a:\n    with: { text: y, command: [x] }\n    uses: process\ndag: d\n");
    let other = fine("dag: d\ntasks: { a: { uses: process, with: { command: [z], text: y } } }");
    assert_eq!(dag_hash(&one), dag_hash(&same));
    assert_ne!(dag_hash(&one), dag_hash(&other));
    assert_eq!(dag_hash(&one).len(), 64);
    let stored: Dag = serde_json::from_value(serde_json::to_value(&one).unwrap()).unwrap();
    assert_eq!(dag_hash(&stored), dag_hash(&one), "it survives the database");
}

#[test]
fn the_schema_names_exactly_the_keys_that_the_reader_reads() {
    let schema = json_schema(&registry());
    let keys = |schema: &Value| {
        let mut keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&schema), sorted(&top::DAG_KEYS));
    let table: [(&str, &[&str]); 20] = [
        ("TaskField", &task::TASK_KEYS),
        ("GroupField", &tasks::GROUP_KEYS),
        ("DefaultsField", &tasks::DEFAULTS_KEYS),
        ("ForEachParts", &each::FOR_EACH_KEYS),
        ("PoolParts", &task::POOL_KEYS),
        ("RetriesParts", &retries::RETRIES_KEYS),
        ("ServiceField", &service::SERVICE_KEYS),
        ("ReadyField", &service::READY_KEYS),
        ("LiveField", &service::LIVE_KEYS),
        ("LagField", &service::LAG_KEYS),
        ("RestartParts", &service::RESTART_KEYS),
        ("StopField", &service::STOP_KEYS),
        ("ParamParts", &top::PARAM_KEYS),
        ("NotifyField", &notify::NOTIFY_KEYS),
        ("NotifyHttp", &notify::HTTP_KEYS),
        ("NotifyEmail", &notify::EMAIL_KEYS),
        ("ScheduleParts", &times::SCHEDULE_KEYS),
        ("AssetsParts", &times::ASSETS_KEYS),
        ("WindowParts", &times::WINDOW_KEYS),
        ("CatchupParts", &times::CATCHUP_KEYS),
    ];
    for (name, known) in table {
        let definition = &schema["definitions"][name];
        assert_eq!(keys(definition), sorted(known), "{name}");
        assert_eq!(definition["additionalProperties"], json!(false), "{name}");
    }
}

#[test]
fn the_schema_knows_the_kinds_and_all_its_references_lead_somewhere() {
    let schema = json_schema(&registry());
    let task = &schema["definitions"]["TaskField"];
    assert_eq!(task["properties"]["uses"]["oneOf"].as_array().unwrap().len(), 3);
    let process = task["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["if"]["properties"]["uses"]["const"] == "process");
    let with = &process.unwrap()["then"]["properties"]["with"];
    assert_eq!(with["properties"]["command"]["anyOf"][0]["$ref"], "#/definitions/process.Words");
    assert_eq!(with["properties"]["text"], json!({ "type": "string" }));
    let mut references = Vec::new();
    collect_references(&schema, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let target = schema.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

proptest! {
    /// Broken in any way at all, a file gives problems with positions inside it, and no panic.
    #[test]
    fn a_file_cut_and_garbled_anywhere_gives_problems_not_panics(
        cut in 0usize..1500, at in 0usize..1500, garbage in "[\\[\\]{}:&*!|>'\"\t\n -zé%@]{0,6}",
    ) {
        let mut text: String = FULL.chars().take(cut).collect();
        let index = text.char_indices().nth(at).map_or(text.len(), |(index, _)| index);
        text.insert_str(index, &garbage);
        if let Err(problems) = read_text(&text) {
            prop_assert!(!problems.is_empty());
            let lines = text.lines().count() + 1;
            prop_assert!(problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column >= 1), "{problems:?}");
        }
    }
}
