//! What is wrong with a template, as far as it can be known before it runs: its syntax, and the names that it begins with.

use super::{ENVIRONMENT, is_template, single_expression};
use crate::suggest;
use std::collections::BTreeSet;

/// What the templates of one task may name.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub params: BTreeSet<String>,
    /// The tasks before it, whose outputs exist when it starts.
    pub tasks: BTreeSet<String>,
    pub has_item: bool,
    pub has_window: bool,
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

pub fn check(text: &str, names: &Names) -> Vec<TemplateProblem> {
    if !is_template(text) {
        return Vec::new();
    }
    let used = match single_expression(text) {
        Some(expression) => expression.undeclared_variables(true),
        None => match ENVIRONMENT.template_from_str(text) {
            Ok(template) => template.undeclared_variables(true),
            Err(error) => {
                let start = error.range().map_or(0, |range| range.start);
                let offset = text.get(..start).map_or(0, |before| before.chars().count());
                return vec![TemplateProblem { offset, message: syntax(&error), hint: None }];
            }
        },
    };
    let mut used: Vec<String> = used.into_iter().collect();
    used.sort_unstable();
    used.iter().filter_map(|path| unknown(path, names, text)).collect()
}

fn unknown(path: &str, names: &Names, text: &str) -> Option<TemplateProblem> {
    let mut parts = path.split('.');
    let root = parts.next()?;
    let field = parts.next();
    let problem = |message: String, hint: Option<String>| {
        Some(TemplateProblem {
            offset: find_word(text, path).or_else(|| find_word(text, root)).unwrap_or(0),
            message,
            hint,
        })
    };
    let known_root = ROOTS.contains(&root)
        || AIRFLOW_ROOTS.contains(&root)
        || ENVIRONMENT.globals().any(|(global, _)| global == root);
    if !known_root {
        return problem(format!("unknown name '{root}' in a template"), suggest::hint(root, ROOTS));
    }
    if root == "item" && !names.has_item {
        return problem(
            "'item' in a task without for_each".to_owned(),
            Some("add for_each: [...] to the task".to_owned()),
        );
    }
    if WINDOW_ROOTS.contains(&root) && !names.has_window {
        let hint = "add window: hour (or day, previous-tick, {every: 15m}) to the dag".to_owned();
        return problem(format!("'{root}' in a dag without a window"), Some(hint));
    }
    let field = field?;
    match root {
        "params" if !names.params.contains(field) => {
            let known = names.params.iter().map(String::as_str);
            problem(format!("unknown param '{field}'"), suggest::hint(field, known))
        }
        "tasks" if !names.tasks.contains(field) => {
            let known = names.tasks.iter().map(String::as_str);
            let hint = suggest::hint(field, known).unwrap_or_else(|| "add it to needs".to_owned());
            problem(format!("'{field}' is no task before this one"), Some(hint))
        }
        _ => {
            let (_, fields) = FIELDS.iter().find(|(name, _)| *name == root)?;
            if fields.contains(&field) {
                return None;
            }
            problem(format!("'{root}' has no '{field}'"), suggest::hint(field, fields.iter().copied()))
        }
    }
}

fn syntax(error: &minijinja::Error) -> String {
    format!("no valid template: {}", error.detail().unwrap_or("syntax error"))
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
