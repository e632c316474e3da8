//! `tasks:` of a case: what each task comes to.

use super::selector;
use crate::dag::Dag;
use crate::simulate::{Finish, Script, Selector};
use crate::spec::fields::{Fields, Reader};
use crate::spec::yaml::{Data, Node};
use serde_json::{Map, Value};

const KEYS: [&str; 11] = [
    "ends",
    "takes",
    "fails",
    "lost",
    "pokes",
    "poke_every",
    "outputs",
    "chooses",
    "ready_after",
    "ends_after",
    "held",
];
const ENDS: [(&str, Finish); 6] = [
    ("success", Finish::Success),
    ("skipped", Finish::Skipped),
    ("failed", Finish::Failed),
    ("failed_for_good", Finish::FailedForGood),
    ("approved", Finish::Approved),
    ("rejected", Finish::Rejected),
];
/// Tries, looks.
const COUNT_MAX: u32 = 10_000;

pub(super) fn read(reader: &mut Reader, node: &Node, dag: &Dag, scripts: &mut Vec<(Selector, Script)>) {
    for (key, node) in reader.map(node, "tasks").unwrap_or_default() {
        let Some(selector) = selector(reader, &key.text, key.at, dag) else { continue };
        if let Some(script) = script(reader, node) {
            scripts.push((selector, script));
        }
    }
}

fn script(reader: &mut Reader, node: &Node) -> Option<Script> {
    if let Data::Text(_) = node.data {
        let end = reader.word(node, "a task", &ENDS)?;
        return Some(Script { end: Some(end), ..Script::default() });
    }
    let fields = reader.fields(node, "what a task comes to", &KEYS)?;
    let mut duration = |name: &str| fields.get(name).and_then(|node| reader.duration(node, name));
    let (takes, poke_every) = (duration("takes"), duration("poke_every"));
    let (ready_after, ends_after) = (duration("ready_after"), duration("ends_after"));
    let mut count = |name: &str| fields.get(name).and_then(|node| reader.count(node, name, 0, COUNT_MAX));
    let (fails, loses, pokes) = (count("fails"), count("lost"), count("pokes"));
    Some(Script {
        takes: takes.or(ends_after),
        end: fields.get("ends").and_then(|node| reader.word(node, "ends", &ENDS)),
        fails,
        loses,
        pokes,
        poke_every,
        outputs: outputs(reader, &fields),
        ready_after,
        held: fields.get("held").and_then(|node| reader.boolean(node, "held")),
    })
}

/// `chooses: [a]` is short for the outputs of a branch.
fn outputs(reader: &mut Reader, fields: &Fields<'_>) -> Option<Map<String, Value>> {
    let outputs = fields.get("outputs").and_then(|node| {
        let map = reader.map(node, "outputs")?;
        Some(map.iter().map(|(key, value)| (key.text.clone(), value.to_json())).collect::<Map<_, _>>())
    });
    let Some(node) = fields.get("chooses") else { return outputs };
    let chosen: Vec<Value> =
        reader.texts(node, "chooses").into_iter().map(|(_, id)| Value::from(id)).collect();
    let mut outputs = outputs.unwrap_or_default();
    outputs.insert("chosen".to_owned(), Value::Array(chosen));
    Some(outputs)
}
