//! The dag itself: everything in the file that is not about one task.

use super::fields::{Fields, Reader};
use super::tasks::{self, Defaults};
use super::yaml::{Data, Node};
use super::{build, names, notify, retries, times};
use crate::dag::{Dag, Overlap, Param, Schedule, WindowRule};
use crate::params;
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::template;
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const DAG_KEYS: [&str; 18] = [
    "dag",
    "description",
    "tags",
    "schedule",
    "window",
    "start",
    "catchup",
    "overlap",
    "max_active_runs",
    "max_active_tasks",
    "params",
    "defaults",
    "env",
    "paused",
    "deadline",
    "retries",
    "notify",
    "tasks",
];
pub(super) const PARAM_KEYS: [&str; 4] = ["type", "default", "description", "allowed"];
const MAX_ACTIVE: u32 = 16;
const MAX_ACTIVE_LIMIT: u32 = 100_000;

pub(super) fn read(reader: &mut Reader, root: &Node, dag_dir: &Path, registry: &Registry) -> Option<Dag> {
    let fields = reader.fields(root, "the dag", &DAG_KEYS)?;
    let id = id(reader, &fields);
    let mut dag = Dag {
        id,
        description: text(reader, &fields, "description"),
        tags: fields.get("tags").map_or_else(Vec::new, |node| owned(reader.texts(node, "tags"))),
        max_active_runs: count(reader, &fields, "max_active_runs"),
        max_active_tasks: count(reader, &fields, "max_active_tasks"),
        paused: fields.get("paused").and_then(|node| reader.boolean(node, "paused")).unwrap_or(false),
        deadline: fields.get("deadline").and_then(|node| reader.period(node, "deadline")),
        retries: retries::read(reader, fields.get("retries"), &RetryPolicy::default()),
        ..Dag::default()
    };
    timing(reader, &fields, &mut dag);
    if let Some(node) = fields.get("params") {
        dag.params = read_params(reader, node, &dag.schedule);
    }
    let env = fields.get("env").map_or_else(BTreeMap::new, |node| tasks::env(reader, node));
    let defaults = Defaults::read(reader, fields.get("defaults"), env);
    let Some(node) = fields.get("tasks") else {
        let hint = "tasks: { hello: { uses: process, with: { command: [echo, hello] } } }".to_owned();
        reader.problem(fields.key_at("tasks"), "'tasks' is missing".to_owned(), Some(hint));
        return None;
    };
    let raw = tasks::read(reader, node, &defaults, registry);
    if let Some(node) = fields.get("env") {
        names::check_outside(reader, node, &dag, &[]);
    }
    if let Some(node) = fields.get("notify") {
        dag.notify = notify::read(reader, node);
        names::check_outside(reader, node, &dag, &notify::EXTRA);
    }
    build::build(reader, raw?, &mut dag, dag_dir, registry)?;
    Some(dag)
}

fn id(reader: &mut Reader, fields: &Fields<'_>) -> String {
    let Some(node) = fields.get("dag") else {
        let hint = Some("begin the file with 'dag: <name>'".to_owned());
        reader.problem(fields.key_at("dag"), "'dag' is missing".to_owned(), hint);
        return String::new();
    };
    let id = reader.text(node, "dag").unwrap_or_default();
    if !id.is_empty() {
        reader.id(id, node.at, "a dag", true);
    }
    id.to_owned()
}

fn timing(reader: &mut Reader, fields: &Fields<'_>, dag: &mut Dag) {
    let schedule = fields.get("schedule").map(|node| times::schedule(reader, node));
    let schedule_is_known = !matches!(schedule, Some(None));
    dag.schedule = schedule.flatten().unwrap_or(Schedule::Manual);
    if let Some(node) = fields.get("window") {
        // One that is broken still lets templates name it.
        dag.window = times::window(reader, node).unwrap_or(WindowRule::Hour);
    }
    if schedule_is_known {
        times::check_window(reader, &dag.schedule, &dag.window, fields.key_at("window"));
    }
    let zone: Tz = dag.schedule.zone();
    dag.start = fields.get("start").and_then(|node| reader.instant(node, "start", zone));
    if let Some(catchup) = fields.get("catchup").and_then(|node| times::catchup(reader, node)) {
        dag.catchup = catchup;
    }
    let words = [("queue", Overlap::Queue), ("skip", Overlap::Skip), ("cancel", Overlap::Cancel)];
    if let Some(overlap) = fields.get("overlap").and_then(|node| reader.word(node, "overlap", &words)) {
        dag.overlap = overlap;
    }
}

fn text(reader: &mut Reader, fields: &Fields<'_>, name: &str) -> String {
    fields.get(name).and_then(|node| reader.text(node, name)).unwrap_or_default().to_owned()
}

fn owned(texts: Vec<(&Node, &str)>) -> Vec<String> {
    texts.into_iter().map(|(_, text)| text.to_owned()).collect()
}

fn count(reader: &mut Reader, fields: &Fields<'_>, name: &str) -> u32 {
    fields.get(name).and_then(|node| reader.count(node, name, 1, MAX_ACTIVE_LIMIT)).unwrap_or(MAX_ACTIVE)
}

fn read_params(reader: &mut Reader, node: &Node, schedule: &Schedule) -> BTreeMap<String, Param> {
    let mut found = BTreeMap::new();
    for (key, node) in reader.map(node, "params").unwrap_or_default() {
        if !reader.id(&key.text, key.at, "a param", false) {
            continue;
        }
        let param = match node.data {
            Data::Map(_) => read_param(reader, node),
            // Short form: the default alone.
            _ => {
                let default = node.to_json();
                let r#type = params::type_name(&default).to_owned();
                Some(Param { r#type, default: Some(default), description: String::new(), allowed: vec![] })
            }
        };
        // One that is broken still lets templates name it.
        let Some(param) = param else {
            let r#type = String::new();
            found.insert(
                key.text.clone(),
                Param { r#type, default: None, description: String::new(), allowed: vec![] },
            );
            continue;
        };
        if param.default.is_none() && *schedule != Schedule::Manual {
            let hint =
                Some("give it a default: nobody is there to give one when the schedule fires".to_owned());
            reader.problem(
                key.at,
                format!("the param '{}' of a scheduled dag has no default", key.text),
                hint,
            );
        }
        found.insert(key.text.clone(), param);
    }
    found
}

fn read_param(reader: &mut Reader, node: &Node) -> Option<Param> {
    let fields = reader.fields(node, "a param", &PARAM_KEYS)?;
    declared(reader, &fields, false)
}

/// What a param of a dag and an input of a kind have in common; the default of the latter may be a template.
pub(super) fn declared(reader: &mut Reader, fields: &Fields<'_>, templates: bool) -> Option<Param> {
    let default = fields.get("default");
    let words = params::TYPES.map(|name| (name, name));
    let r#type = match (fields.get("type"), default) {
        (Some(node), _) => reader.word(node, "type", &words)?,
        (None, Some(default)) => params::type_name(&default.to_json()),
        (None, None) => "string",
    };
    let allowed = match fields.get("allowed").map(|node| (&node.data, node)) {
        None => Vec::new(),
        Some((Data::List(items), _)) => items.iter().map(Node::to_json).collect(),
        Some((_, node)) => {
            reader.wrong_type(node, "allowed", "a list");
            Vec::new()
        }
    };
    let param = Param {
        r#type: r#type.to_owned(),
        default: default.map(Node::to_json),
        description: text(reader, fields, "description"),
        allowed,
    };
    if let (Some(node), Some(value)) = (default, &param.default)
        && !(templates && template::has_template(value))
        && let Some(wrong) = params::mismatch(&param, value)
    {
        reader.problem(node.at, format!("the default {wrong}"), None);
    }
    Some(param)
}
