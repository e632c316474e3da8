//! What is wrong with a template, as far as it can be known before it runs: its syntax, and the names that it begins with.

use super::expression::{compiled, inner};
use super::{ENVIRONMENT, is_template, single_expression};
use crate::dag::Param;
use crate::suggest;
use std::collections::{BTreeMap, HashSet};

/// What a template may name.
pub struct Names<'a> {
    pub params: &'a BTreeMap<String, Param>,
    pub tasks: &'a dyn TaskNames,
    pub has_item: bool,
    pub has_window: bool,
    /// Names that are known only here.
    pub extra: &'a [&'a str],
}

/// The tasks whose outputs a template may name.
pub trait TaskNames {
    fn find(&self, id: &str) -> Found<'_>;
    /// What to do about one that is not there.
    fn hint(&self, id: &str) -> String;
}

pub enum Found<'a> {
    /// It is done when this task starts.
    Before(Given<'a>),
    /// It exists, but need not be done.
    NotBefore,
    Unknown,
}

/// What is known of a task's outputs.
pub enum Given<'a> {
    /// Those that it declares; empty: it declares none.
    Outputs(&'a BTreeMap<String, String>),
    /// Its outputs are a list, one entry an item.
    Mapped,
    /// It stands for several tasks.
    Several,
}

/// Where no task can be named.
pub struct NoTasks;

impl TaskNames for NoTasks {
    fn find(&self, _id: &str) -> Found<'_> {
        Found::Unknown
    }

    fn hint(&self, _id: &str) -> String {
        "only templates of tasks can name other tasks".to_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// In characters from the start of the text.
    pub offset: usize,
    pub message: String,
    pub hint: Option<String>,
}

const ROOTS: [&str; 17] = [
    "window",
    "run",
    "dag",
    "task",
    "params",
    "item",
    "conn",
    "var",
    "secret",
    "tasks",
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
];
const AIRFLOW_ROOTS: [&str; 3] = ["dag_run", "run_id", "ti"];
const WINDOW_ROOTS: [&str; 3] = ["window", "data_interval_start", "data_interval_end"];
const FIELDS: [(&str, &[&str]); 4] = [
    ("window", &["start", "end"]),
    ("run", &["id", "state", "tick"]),
    ("dag", &["id", "dag_id", "description", "tags"]),
    ("task", &["id", "task_id", "map_index", "try_number"]),
];

/// Whether templates everywhere know this name.
pub(crate) fn is_known_root(name: &str) -> bool {
    ROOTS.contains(&name) || AIRFLOW_ROOTS.contains(&name)
}

pub fn check(text: &str, names: &Names<'_>) -> Vec<TemplateProblem> {
    if !is_template(text) {
        return Vec::new();
    }
    let used = match single_expression(text) {
        Some(expression) => expression.undeclared_variables(true),
        None => match ENVIRONMENT.template_from_str(text) {
            Ok(template) => template.undeclared_variables(true),
            Err(error) => {
                let start = error.range().map_or(0, |range| range.start);
                let message = format!("no valid template: {}", error.detail().unwrap_or("syntax error"));
                return vec![TemplateProblem { offset: characters(text, start), message, hint: None }];
            }
        },
    };
    unknown_names(used, names, text)
}

/// The same for an expression on its own, with or without braces.
pub fn check_expression(text: &str, names: &Names<'_>) -> Vec<TemplateProblem> {
    let code = inner(text);
    match compiled(code) {
        Ok(expression) => unknown_names(expression.undeclared_variables(true), names, text),
        Err(syntax) => {
            let before = text.find(code).unwrap_or(0);
            let message = format!("no valid expression: {}", syntax.message);
            vec![TemplateProblem { offset: characters(text, before + syntax.offset), message, hint: None }]
        }
    }
}

fn characters(text: &str, bytes: usize) -> usize {
    text.get(..bytes).map_or(0, |before| before.chars().count())
}

fn unknown_names(used: HashSet<String>, names: &Names<'_>, text: &str) -> Vec<TemplateProblem> {
    let mut used: Vec<String> = used.into_iter().collect();
    used.sort_unstable();
    let mut problems: Vec<TemplateProblem> =
        used.iter().filter_map(|path| unknown(path, names, text)).collect();
    for (offset, id, rest) in indexed_tasks(text) {
        let rest: Vec<&str> = rest.split('.').filter(|part| !part.is_empty()).collect();
        let problem = unknown_task(id, names).or_else(|| unknown_output(id, &rest, names));
        problems.extend(problem.map(|(message, hint)| TemplateProblem { offset, message, hint }));
    }
    problems
}

fn unknown(path: &str, names: &Names<'_>, text: &str) -> Option<TemplateProblem> {
    let mut parts = path.split('.');
    let root = parts.next()?;
    let problem = |(message, hint): (String, Option<String>)| TemplateProblem {
        offset: find_word(text, path).or_else(|| find_word(text, root)).unwrap_or(0),
        message,
        hint,
    };
    if names.extra.contains(&root) {
        return None;
    }
    let is_global = || ENVIRONMENT.globals().any(|(global, _)| global == root);
    if !is_known_root(root) && !is_global() {
        let known = ROOTS.iter().chain(names.extra).copied();
        let near = suggest::nearest(root, known).map(|near| format!("did you mean '{near}'?"));
        let hint = near.or_else(|| suggest::hint(root, ROOTS));
        return Some(problem((format!("unknown name '{root}' in a template"), hint)));
    }
    if root == "item" && !names.has_item {
        let hint = "add for_each: [...] to the task".to_owned();
        return Some(problem(("'item' in a task without for_each".to_owned(), Some(hint))));
    }
    if WINDOW_ROOTS.contains(&root) && !names.has_window {
        let hint = "add window: hour (or day, previous-tick, {every: 15m}) to the dag".to_owned();
        return Some(problem((format!("'{root}' in a dag without a window"), Some(hint))));
    }
    let field = parts.next()?;
    let found = match root {
        "params" if !names.params.contains_key(field) => {
            let known = names.params.keys().map(String::as_str);
            Some((format!("unknown param '{field}'"), suggest::hint(field, known)))
        }
        "tasks" => unknown_in_path(&path["tasks.".len()..], names),
        _ => {
            let (_, fields) = FIELDS.iter().find(|(name, _)| *name == root)?;
            let hint = || suggest::hint(field, fields.iter().copied());
            (!fields.contains(&field)).then(|| (format!("'{root}' has no '{field}'"), hint()))
        }
    };
    found.map(problem)
}

type Wrong = (String, Option<String>);

/// `group.task.outputs.rows`: the id is as long as one is known.
fn unknown_in_path(path: &str, names: &Names<'_>) -> Option<Wrong> {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    let id = ends.map(|end| &path[..end]).find(|id| !matches!(names.tasks.find(id), Found::Unknown));
    let Some(id) = id else {
        return unknown_task(path.split(".outputs").next().unwrap_or(path), names);
    };
    let rest: Vec<&str> = path[id.len()..].split('.').filter(|part| !part.is_empty()).collect();
    unknown_task(id, names).or_else(|| unknown_output(id, &rest, names))
}

fn unknown_task(id: &str, names: &Names<'_>) -> Option<Wrong> {
    match names.tasks.find(id) {
        Found::Before(_) => None,
        Found::NotBefore | Found::Unknown => {
            Some((format!("'{id}' is no task before this one"), Some(names.tasks.hint(id))))
        }
    }
}

fn unknown_output(id: &str, rest: &[&str], names: &Names<'_>) -> Option<Wrong> {
    let Found::Before(given) = names.tasks.find(id) else { return None };
    let (first, output) = (rest.first()?, rest.get(1));
    if matches!(given, Given::Several) {
        return None;
    }
    if *first != "outputs" {
        let hint = format!("write tasks.{id}.outputs.{first}");
        return Some((format!("'tasks.{id}' has no '{first}'"), Some(hint)));
    }
    match (given, output) {
        (Given::Mapped, Some(output)) => {
            let hint = format!("write tasks.{id}.outputs | map(attribute='{output}') | list");
            Some((format!("the outputs of '{id}' are a list, one entry for each item"), Some(hint)))
        }
        (Given::Outputs(declared), Some(output))
            if !declared.is_empty() && !declared.contains_key(*output) =>
        {
            let hint = suggest::hint(output, declared.keys().map(String::as_str));
            Some((format!("'{id}' declares no output '{output}'"), hint))
        }
        _ => None,
    }
}

/// `tasks['id'].outputs.rows`: where it stands (in characters), the id, and what follows.
fn indexed_tasks(text: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tasks[") {
        let rest = &text[at + "tasks[".len()..];
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else { continue };
        let Some((id, rest)) = rest[1..].split_once(quote) else { continue };
        let Some(rest) = rest.strip_prefix(']') else { continue };
        let length = rest.find(|c: char| !c.is_alphanumeric() && !"_.".contains(c)).unwrap_or(rest.len());
        let is_own = !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c));
        if is_own {
            found.push((characters(text, at), id, &rest[..length]));
        }
    }
    found
}

/// Where the word stands on its own, in characters.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .find(|(at, _)| {
            !part_of_word(text[..*at].chars().next_back())
                && !part_of_word(text[at + word.len()..].chars().next())
        })
        .map(|(at, _)| text[..at].chars().count())
}
