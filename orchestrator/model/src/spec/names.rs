//! Templates and expressions of a file, checked against the names that they can use where they stand.

use super::fields::Reader;
use super::graph::Graph;
use super::task::{Condition, RawTask};
use super::tasks::{Body, RawGroup};
use super::yaml::Node;
use crate::dag::{Dag, WindowRule};
use crate::suggest;
use crate::template::{self, Found, Given, Names, NoTasks, TaskNames, TemplateProblem};

/// What a task can name: those before it, by full id, or from inside a group by the short one.
struct Before<'g, 'r, 'n> {
    graph: &'g Graph<'r, 'n>,
    /// Whose templates these are; for those of a group one of its roots.
    task: usize,
    group: Option<usize>,
    /// Tasks that their kinds expand.
    several: &'g dyn Fn(usize) -> bool,
}

impl TaskNames for Before<'_, '_, '_> {
    fn find(&self, id: &str) -> Found<'_> {
        let Some(at) = self.graph.find(self.group, id) else { return Found::Unknown };
        let raw = &self.graph.raw[at];
        if raw.is_group() {
            return Found::Unknown;
        }
        if !self.graph.is_before(at, self.task) {
            return Found::NotBefore;
        }
        Found::Before(match raw.task() {
            // What an unknown kind gives, and whether it stands for several tasks, nobody can say.
            Some(task) if task.kind.is_some() && !(self.several)(at) => match task.def.for_each {
                Some(_) => Given::Mapped,
                None => Given::Outputs(&task.def.outputs),
            },
            _ => Given::Several,
        })
    }

    fn hint(&self, id: &str) -> String {
        let known = self.graph.all_before(self.task);
        match suggest::hint(id, known) {
            Some(hint) if !hint.starts_with("known") => hint,
            _ if matches!(self.find(id), Found::NotBefore) => format!("add it to needs: [{id}]"),
            Some(hint) => hint,
            None => "add it to needs".to_owned(),
        }
    }
}

fn names_of<'a>(dag: &'a Dag, tasks: &'a dyn TaskNames, has_item: bool) -> Names<'a> {
    let has_window = dag.window != WindowRule::None;
    Names { params: &dag.params, tasks, has_item, has_window, extra: &[] }
}

/// Templates in the dag's `env:` and of notices, which belong to no task.
pub(super) fn check_outside(reader: &mut Reader, node: &Node, dag: &Dag, extra: &[&str]) {
    let names = Names { extra, ..names_of(dag, &NoTasks, false) };
    check_texts(reader, node, &names);
}

/// All templates of all tasks and groups. `several` tells which tasks their kinds expand.
pub(super) fn check_all(
    reader: &mut Reader,
    graph: &Graph<'_, '_>,
    dag: &Dag,
    several: &dyn Fn(usize) -> bool,
) {
    for (at, raw) in graph.raw.iter().enumerate() {
        if reader.is_full() {
            return;
        }
        match &raw.body {
            Body::Task(task) => {
                let tasks = Before { graph, task: at, group: raw.group, several };
                check_task(reader, task, dag, &tasks);
            }
            Body::Group(RawGroup { condition: Some(condition), .. }) => {
                let Some(root) = graph.roots[at].first() else { continue };
                let tasks = Before { graph, task: *root, group: raw.group, several };
                check_condition(reader, condition, &names_of(dag, &tasks, false));
            }
            Body::Group(_) | Body::Broken => {}
        }
    }
}

fn check_task(reader: &mut Reader, task: &RawTask<'_>, dag: &Dag, tasks: &dyn TaskNames) {
    let names = names_of(dag, tasks, task.def.for_each.is_some());
    let nodes = task.with.iter().chain(&task.env).map(AsRef::as_ref).chain(task.texts.iter().copied());
    for node in nodes {
        check_texts(reader, node, &names);
    }
    if let Some(condition) = &task.condition {
        check_condition(reader, condition, &names);
    }
    if let Some(node) = task.each {
        let names = names_of(dag, tasks, false);
        let mut texts = Vec::new();
        node.texts(&mut texts);
        for (node, text) in texts {
            report(reader, node, text, template::check_expression(text, &names));
        }
    }
}

fn check_condition(reader: &mut Reader, condition: &Condition<'_>, names: &Names<'_>) {
    let mut texts = Vec::new();
    condition.node.texts(&mut texts);
    for (node, text) in texts {
        report(reader, node, text, template::check_expression(text, names));
    }
}

fn check_texts(reader: &mut Reader, node: &Node, names: &Names<'_>) {
    let mut texts = Vec::new();
    node.texts(&mut texts);
    for (node, text) in texts.into_iter().filter(|(_, text)| template::is_template(text)) {
        report(reader, node, text, template::check(text, names));
    }
}

fn report(reader: &mut Reader, node: &Node, text: &str, problems: Vec<TemplateProblem>) {
    for problem in problems {
        reader.problem(node.position_in_text(text, problem.offset), problem.message, problem.hint);
    }
}
