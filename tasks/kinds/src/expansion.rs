//! A project as tasks: one for each seed and model, one for the tests of each model, and what is downstream waits for both.

use model::task::ExpandedTask;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use transform::{Node, NodeKind};

pub struct Shared<'a> {
    pub project: &'a str,
    /// Handed on to each model as it is, templates included.
    pub with: &'a Map<String, Value>,
}

pub fn expand(nodes: &[&Node], shared: &Shared<'_>) -> Vec<ExpandedTask> {
    let models: Vec<&Node> = nodes.iter().copied().filter(|node| node.kind != NodeKind::Test).collect();
    let tests: Vec<&Node> = nodes.iter().copied().filter(|node| node.kind == NodeKind::Test).collect();
    let ancestors = ancestors(&models);
    let gates = Gates::new(&tests, &ancestors);
    let mut tasks = Vec::new();
    for (source, tests) in &gates.of_source {
        tasks.push(check(shared, format!("test_{source}"), tests, Vec::new()));
    }
    for node in &models {
        let mut needs = Vec::new();
        for upstream in node.depends_on.iter().filter(|id| ancestors.contains_key(id.as_str())) {
            needs.push(upstream.clone());
            needs.extend(gates.of_model.contains_key(upstream.as_str()).then(|| format!("test_{upstream}")));
        }
        let sources =
            node.sources.iter().map(|source| source_id(source)).filter(|id| gates.of_source.contains_key(id));
        needs.extend(sources.map(|id| format!("test_{id}")));
        let mut with = shared.with.clone();
        with.insert("project".to_string(), json!(shared.project));
        with.insert("node".to_string(), json!(node.id));
        tasks.push(ExpandedTask {
            id: node.id.clone(),
            uses: "model".to_string(),
            with: Value::Object(with),
            needs,
        });
        if let Some(tests) = gates.of_model.get(node.id.as_str()) {
            let needs = needed_by(tests, &ancestors);
            tasks.push(check(shared, format!("test_{}", node.id), tests, needs));
        }
    }
    for test in gates.alone {
        tasks.push(check(shared, test.id.clone(), &[test], needed_by(&[test], &ancestors)));
    }
    tasks
}

/// Which tests hold back what.
struct Gates<'a> {
    of_source: BTreeMap<String, Vec<&'a Node>>,
    of_model: BTreeMap<&'a str, Vec<&'a Node>>,
    /// Over several models: they judge what is there and hold nothing back.
    alone: Vec<&'a Node>,
}

impl<'a> Gates<'a> {
    fn new(tests: &[&'a Node], ancestors: &BTreeMap<&str, BTreeSet<&str>>) -> Self {
        let mut gates = Gates { of_source: BTreeMap::new(), of_model: BTreeMap::new(), alone: Vec::new() };
        for test in tests {
            let home = test.attached_to.as_deref().and_then(|id| ancestors.get_key_value(id));
            let is_upstream =
                |id: &String, home: &(&&str, &BTreeSet<&str>)| id == home.0 || home.1.contains(id.as_str());
            match home {
                Some(home) if test.depends_on.iter().all(|id| is_upstream(id, &home)) => {
                    let id = test.attached_to.as_deref().unwrap_or_default();
                    gates.of_model.entry(id).or_default().push(test);
                }
                None if test.depends_on.is_empty() && test.sources.len() == 1 => {
                    gates.of_source.entry(source_id(&test.sources[0])).or_default().push(test);
                }
                _ => gates.alone.push(test),
            }
        }
        gates
    }
}

/// For each model, all models above it.
fn ancestors<'a>(models: &[&'a Node]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // In topological order, so what is upstream is known already.
    for node in models {
        let mut above = BTreeSet::new();
        for id in &node.depends_on {
            if let Some(further) = found.get(id.as_str()) {
                above.insert(id.as_str());
                above.extend(further.iter().copied());
            }
        }
        found.insert(&node.id, above);
    }
    found
}

fn needed_by(tests: &[&Node], ancestors: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let needs: BTreeSet<&String> = tests
        .iter()
        .flat_map(|test| &test.depends_on)
        .filter(|id| ancestors.contains_key(id.as_str()))
        .collect();
    needs.into_iter().cloned().collect()
}

fn check(shared: &Shared<'_>, id: String, tests: &[&Node], needs: Vec<String>) -> ExpandedTask {
    let names: Vec<&str> = tests.iter().map(|test| test.id.as_str()).collect();
    let with = json!({ "project": shared.project, "tests": names });
    ExpandedTask { id, uses: "check".to_string(), with, needs }
}

fn source_id(source: &str) -> String {
    format!("source_{}", source.replace('.', "_"))
}
