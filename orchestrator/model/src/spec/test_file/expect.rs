//! `expect:` of a case.

use super::{place, selector};
use crate::dag::Dag;
use crate::simulate::{Expect, ExpectTask, Place, Selector};
use crate::spec::fields::Reader;
use crate::spec::yaml::{Data, Node};
use crate::state::{RunState, TaskState};

const KEYS: [&str; 6] = ["run", "tasks", "order", "not_started", "duration", "rendered"];
const TASK_KEYS: [&str; 4] = ["state", "tries", "instances", "reason"];
const RUN_STATES: [RunState; 4] =
    [RunState::Success, RunState::Failed, RunState::Cancelled, RunState::Running];
const TRIES_MAX: u32 = 10_000;

/// Adds to what is expected already; of the shared and the case's own word about one thing the own one counts.
pub(super) fn read(reader: &mut Reader, node: &Node, dag: &Dag, expect: &mut Expect) {
    let Some(fields) = reader.fields(node, "expect", &KEYS) else { return };
    if let Some(node) = fields.get("run") {
        let words = RUN_STATES.map(|state| (state.as_str(), state));
        expect.run = reader.word(node, "run", &words).map(|state| (place(node.at), state)).or(expect.run);
    }
    if let Some(node) = fields.get("tasks") {
        for (key, node) in reader.map(node, "tasks").unwrap_or_default() {
            let Some(selector) = selector(reader, &key.text, key.at, dag) else { continue };
            if let Some(task) = task(reader, node) {
                expect.tasks.retain(|(_, known, _)| *known != selector);
                expect.tasks.push((place(key.at), selector, task));
            }
        }
    }
    if let Some(node) = fields.get("order") {
        expect.order = selectors(reader, node, "order", dag);
    }
    if let Some(node) = fields.get("not_started") {
        expect.not_started.extend(selectors(reader, node, "not_started", dag));
    }
    if let Some(node) = fields.get("duration") {
        duration(reader, node, expect);
    }
    if let Some(node) = fields.get("rendered") {
        for (key, node) in reader.map(node, "rendered").unwrap_or_default() {
            let Some(selector) = selector(reader, &key.text, key.at, dag) else { continue };
            if reader.fields(node, "rendered", &["with", "env"]).is_some() {
                expect.rendered.push((place(key.at), selector, node.to_json()));
            }
        }
    }
}

/// A state, a list of it and more, or a mapping.
fn task(reader: &mut Reader, node: &Node) -> Option<ExpectTask> {
    let mut task = ExpectTask::default();
    let parts = match &node.data {
        Data::List(parts) => parts.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for part in parts {
        if let Data::Text(_) = part.data {
            task.state = Some(state(reader, part)?);
            continue;
        }
        let fields = reader.fields(part, "what is expected of a task", &TASK_KEYS)?;
        if let Some(node) = fields.get("state") {
            task.state = state(reader, node);
        }
        if let Some(node) = fields.get("tries") {
            task.tries =
                reader.count(node, "tries", 0, TRIES_MAX).and_then(|tries| i32::try_from(tries).ok());
        }
        if let Some(node) = fields.get("instances") {
            task.instances = reader.count(node, "instances", 0, u32::MAX).map(|count| count as usize);
        }
        if let Some(node) = fields.get("reason") {
            task.reason = reader.text(node, "reason").map(str::to_owned);
        }
    }
    Some(task)
}

fn state(reader: &mut Reader, node: &Node) -> Option<TaskState> {
    reader.word(node, "a task's state", &TaskState::ALL.map(|state| (state.as_str(), state)))
}

fn selectors(reader: &mut Reader, node: &Node, what: &str, dag: &Dag) -> Vec<(Place, Selector)> {
    let texts = reader.texts(node, what);
    let found = texts
        .into_iter()
        .filter_map(|(node, text)| Some((place(node.at), selector(reader, text, node.at, dag)?)));
    found.collect()
}

/// `10m` is the most; `{at_least, at_most}`.
fn duration(reader: &mut Reader, node: &Node, expect: &mut Expect) {
    if !matches!(node.data, Data::Map(_)) {
        expect.at_most = reader.duration(node, "duration").map(|most| (place(node.at), most));
        return;
    }
    let Some(fields) = reader.fields(node, "duration", &["at_least", "at_most"]) else { return };
    let mut bound = |name: &str| {
        let node = fields.get(name)?;
        Some((place(node.at), reader.duration(node, name)?))
    };
    expect.at_least = bound("at_least").or(expect.at_least);
    expect.at_most = bound("at_most").or(expect.at_most);
}
