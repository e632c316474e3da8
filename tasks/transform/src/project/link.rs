//! From files to a checked project: names, references, cycles, tests; all problems are collected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Problem;
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::DiGraph;

use super::files::{Files, TextFile};
use super::properties::{Properties, Subject};
use super::{Body, Entry, Node, NodeKind, Project};
use crate::config::{Config, RawConfig, did_you_mean};
use crate::jinja::{Captured, Scope, Target};
use crate::testing::GenericTest;

/// `problems`: those of files that could not be read.
pub(super) fn link(files: &Files, schema: &str, problems: Vec<Problem>) -> Result<Project, Vec<Problem>> {
    let mut linker = Linker::new(files, schema, problems);
    linker.declare();
    for file in &files.models {
        linker.model(file);
    }
    for file in &files.tests {
        linker.singular(file);
    }
    for properties in &files.properties {
        linker.properties(properties);
    }
    linker.finish()
}

/// Jinja's errors name a line of some template; a macro file is named itself.
pub(super) fn jinja_problem(path: &str, text: &str, error: &minijinja::Error) -> Problem {
    let mut cause = error;
    while let Some(inner) =
        std::error::Error::source(cause).and_then(|inner| inner.downcast_ref::<minijinja::Error>())
    {
        cause = inner;
    }
    let detail = cause
        .detail()
        .map_or_else(|| cause.kind().to_string(), |detail| format!("{}: {detail}", cause.kind()));
    let line = error.line().unwrap_or_default();
    let hint = (error.name() == Some(path)).then(|| text.lines().nth(line.saturating_sub(1))).flatten();
    Problem {
        file: error.name().unwrap_or(path).to_owned(),
        line,
        column: usize::from(line > 0),
        message: detail,
        hint: hint.map(|line| format!("in `{}`", line.trim())),
    }
}

struct Linker<'a> {
    files: &'a Files,
    schema: &'a str,
    scope: Scope,
    refs: BTreeMap<String, Target>,
    sources: BTreeMap<(String, String), Target>,
    entries: BTreeMap<String, Entry>,
    problems: Vec<Problem>,
}

impl<'a> Linker<'a> {
    fn new(files: &'a Files, schema: &'a str, problems: Vec<Problem>) -> Self {
        let macros = Arc::new(files.macros.clone());
        let scope = Scope { macros, vars: files.vars.clone(), schema: schema.to_owned(), ..Scope::default() };
        Self {
            files,
            schema,
            scope,
            refs: BTreeMap::new(),
            sources: BTreeMap::new(),
            entries: BTreeMap::new(),
            problems,
        }
    }

    /// Names first, so that references can be judged.
    fn declare(&mut self) {
        let models = self.files.models.iter().map(|file| (file.stem(), file.path.as_str()));
        let seeds = self.files.seeds.iter().map(|seed| (seed.name.as_str(), seed.path.as_str()));
        let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, path) in models.chain(seeds) {
            if let Some(other) = paths.insert(name, path) {
                self.problems.push(place(path, 0, format!("`{name}` is also the name of {other}"), None));
            }
            let target = Target { schema: self.schema.to_owned(), name: name.to_owned(), event_time: None };
            self.refs.insert(name.to_owned(), target);
        }
        for properties in &self.files.properties {
            if let Subject::Source { source, schema, table } = &properties.subject {
                let event_time =
                    properties.config.get("event_time").and_then(|value| value.as_str()).map(str::to_owned);
                let target = Target { schema: schema.clone(), name: table.clone(), event_time };
                self.sources.insert((source.clone(), table.clone()), target);
            }
        }
        for seed in &self.files.seeds {
            let node = blank(&seed.name, NodeKind::Seed, &seed.path);
            self.entries.insert(seed.name.clone(), Entry { node, body: Body::Seed(seed.clone()) });
        }
    }

    fn model(&mut self, file: &TextFile) {
        let name = file.stem();
        let mut raw = self.files.folder_config(&file.path);
        for properties in &self.files.properties {
            if properties.subject == Subject::Node(name.to_owned()) {
                raw.extend(properties.config.clone());
            }
        }
        let this = self.refs.get(name).cloned();
        let Some((config, captured)) = self.read(file, raw, this) else { return };
        if !config.enabled {
            self.refs.remove(name);
            return;
        }
        if let Some(target) = self.refs.get_mut(name) {
            target.event_time = config.event_time.clone().filter(|_| config.is_microbatch());
        }
        for other in config.rebuild_on.iter().filter(|other| !captured.refs.contains(*other)) {
            let message = format!("rebuild_on names `{other}`, which the model does not read");
            self.problems.push(place(&file.path, line_of(&file.text, other), message, None));
        }
        let mut node = blank(name, NodeKind::Model, &file.path);
        node.depends_on = captured.refs.into_iter().filter(|other| other != name).collect();
        node.sources = captured.sources.iter().map(|(source, table)| format!("{source}.{table}")).collect();
        node.tags.clone_from(&config.tags);
        self.entries
            .insert(name.to_owned(), Entry { node, body: Body::Model { text: file.text.clone(), config } });
    }

    fn singular(&mut self, file: &TextFile) {
        let name = file.stem();
        let Some((config, captured)) = self.read(file, RawConfig::new(), None) else { return };
        if !config.enabled {
            return;
        }
        let mut node = blank(name, NodeKind::Test, &file.path);
        node.attached_to = (captured.refs.len() == 1).then(|| captured.refs.first().cloned()).flatten();
        node.depends_on = captured.refs.into_iter().collect();
        node.sources = captured.sources.iter().map(|(source, table)| format!("{source}.{table}")).collect();
        node.tags.clone_from(&config.tags);
        node.severity = Some(config.severity);
        let body = Body::Singular { text: file.text.clone(), config };
        self.add_test(Entry { node, body }, &place(&file.path, 0, String::new(), None));
    }

    /// Renders as for a first and as for a later build: both branches count for references.
    fn read(
        &mut self,
        file: &TextFile,
        mut raw: RawConfig,
        this: Option<Target>,
    ) -> Option<(Config, Captured)> {
        let mut all = Captured::default();
        for incremental in [false, true] {
            let scope = Scope { this: this.clone(), incremental, ..self.scope.clone() };
            match scope.render(&file.path, &file.text) {
                Ok((_, captured)) => {
                    all.config.extend(captured.config);
                    all.refs.extend(captured.refs);
                    all.sources.extend(captured.sources);
                }
                Err(error) => {
                    self.problems.push(jinja_problem(&file.path, &file.text, &error));
                    return None;
                }
            }
        }
        self.check_references(&all, |name| place(&file.path, line_of(&file.text, name), String::new(), None));
        raw.extend(all.config.clone());
        match Config::parse(&raw) {
            Ok(config) => Some((config, all)),
            Err((message, hint)) => {
                self.problems.push(place(&file.path, line_of(&file.text, "config("), message, hint));
                None
            }
        }
    }

    fn check_references(&mut self, captured: &Captured, at: impl Fn(&str) -> Problem) {
        for name in captured.refs.iter().filter(|name| !self.refs.contains_key(*name)) {
            let hint = did_you_mean(name, self.refs.keys().map(String::as_str));
            self.problems.push(Problem { message: format!("no model or seed `{name}`"), hint, ..at(name) });
        }
        for (source, table) in captured.sources.iter().filter(|key| !self.sources.contains_key(*key)) {
            let known: Vec<String> =
                self.sources.keys().map(|(source, table)| format!("{source}.{table}")).collect();
            let name = format!("{source}.{table}");
            let hint = did_you_mean(&name, known.iter().map(String::as_str))
                .or_else(|| Some("declare it under sources: in a .yml below models/".to_owned()));
            self.problems.push(Problem { message: format!("no source `{name}`"), hint, ..at(table) });
        }
    }

    fn properties(&mut self, properties: &Properties) {
        let (subject, label, attached) = match &properties.subject {
            Subject::Node(name) => {
                let Some(entry) = self.entries.get_mut(name) else {
                    if !self.files.models.iter().any(|file| file.stem() == name) {
                        let hint = did_you_mean(name, self.refs.keys().map(String::as_str));
                        let message = format!("describes `{name}`, but there is no such model or seed");
                        self.problems.push(Problem { message, hint, ..properties.place.clone() });
                    }
                    return;
                };
                entry.node.description.clone_from(&properties.description);
                entry.node.columns.clone_from(&properties.columns);
                (format!("ref('{name}')"), name.clone(), Some(name.clone()))
            }
            Subject::Source { source, table, .. } => {
                (format!("source('{source}', '{table}')"), format!("{source}.{table}"), None)
            }
        };
        for raw in &properties.tests {
            match GenericTest::parse(raw, &subject, &label, attached.as_deref()) {
                Ok(test) => self.generic(test, attached.clone(), &raw.place),
                Err((message, hint)) => self.problems.push(Problem { message, hint, ..raw.place.clone() }),
            }
        }
    }

    fn generic(&mut self, test: GenericTest, attached_to: Option<String>, at: &Problem) {
        let captured = match self.scope.render(&at.file, &test.reference_text()) {
            Ok((_, captured)) => captured,
            Err(error) => {
                let message = format!("test {}: {}", test.name, jinja_problem(&at.file, "", &error).message);
                self.problems.push(Problem { message, ..at.clone() });
                return;
            }
        };
        self.check_references(&captured, |_| at.clone());
        let mut node = blank(&test.name, NodeKind::Test, &at.file);
        node.depends_on = captured.refs.into_iter().collect();
        node.sources = captured.sources.iter().map(|(source, table)| format!("{source}.{table}")).collect();
        node.tags.clone_from(&test.config.tags);
        node.severity = Some(test.config.severity);
        node.attached_to = attached_to;
        self.add_test(Entry { node, body: Body::Generic(test) }, at);
    }

    fn add_test(&mut self, entry: Entry, at: &Problem) {
        let name = entry.node.id.clone();
        if self.entries.contains_key(&name) || self.refs.contains_key(&name) {
            let hint = Some("give one of them a name: of its own".to_owned());
            self.problems.push(Problem {
                message: format!("two nodes are called `{name}`"),
                hint,
                ..at.clone()
            });
            return;
        }
        self.entries.insert(name, entry);
    }

    fn finish(mut self) -> Result<Project, Vec<Problem>> {
        let nodes = if self.problems.is_empty() { self.order() } else { Vec::new() };
        if !self.problems.is_empty() {
            self.problems.sort();
            return Err(self.problems);
        }
        Ok(Project {
            name: self.files.name.clone(),
            schema: self.schema.to_owned(),
            nodes,
            entries: self.entries,
            refs: Arc::new(self.refs),
            sources: Arc::new(self.sources),
            macros: self.scope.macros,
            vars: self.scope.vars,
            digest: self.files.digest.clone(),
        })
    }

    fn order(&mut self) -> Vec<Node> {
        let mut graph = DiGraph::<&str, ()>::new();
        // Inserted backwards, because toposort visits the last node first.
        let indices: BTreeMap<&str, _> =
            self.entries.keys().rev().map(|id| (id.as_str(), graph.add_node(id.as_str()))).collect();
        for (id, entry) in self.entries.iter().rev() {
            for other in &entry.node.depends_on {
                graph.add_edge(indices[other.as_str()], indices[id.as_str()], ());
            }
        }
        if let Ok(order) = toposort(&graph, None) {
            return order.into_iter().map(|index| self.entries[graph[index]].node.clone()).collect();
        }
        for cycle in tarjan_scc(&graph).into_iter().filter(|cycle| cycle.len() > 1) {
            let names: BTreeSet<&str> = cycle.into_iter().map(|index| graph[index]).collect();
            let path = &self.entries[*names.first().expect("a cycle has nodes")].node.path;
            let message =
                format!("models refer to each other in a circle: {}", Vec::from_iter(names).join(", "));
            self.problems.push(place(path, 0, message, None));
        }
        Vec::new()
    }
}

fn blank(id: &str, kind: NodeKind, path: &str) -> Node {
    Node {
        id: id.to_owned(),
        kind,
        depends_on: Vec::new(),
        sources: Vec::new(),
        tags: Vec::new(),
        path: path.to_owned(),
        description: String::new(),
        columns: Vec::new(),
        severity: None,
        attached_to: None,
    }
}

fn place(file: &str, line: usize, message: String, hint: Option<String>) -> Problem {
    Problem { file: file.to_owned(), line, column: usize::from(line > 0), message, hint }
}

/// The first line that says `word`.
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(0, |index| index + 1)
}
