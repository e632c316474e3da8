//! What a mapped task is mapped over.

use crate::dag::TaskDef;
use crate::params;
use crate::template::{self, TemplateContext};
use crate::window::Window;
use chrono::{SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Items that one `for_each` may have, unless it says less (`max`).
pub const ITEMS_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct ForEach {
    pub over: Over,
    /// More items than this are a failure, not a surprise.
    pub max: u32,
    /// Most instances of one run that are queued or running at once.
    pub concurrency: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    Items(Vec<Value>),
    /// An expression (without braces) over outputs, params and the window that gives a list when the task could start.
    Expression(String),
    /// The run's window in pieces of this length, each `{start, end}`.
    Windows(Duration),
}

/// Versions stored before `for_each` knew more than lists have the bare list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    List(Vec<Value>),
    Whole { over: Over, max: u32, concurrency: Option<u32> },
}

impl From<Stored> for ForEach {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::List(items) => ForEach::list(items),
            Stored::Whole { over, max, concurrency } => ForEach { over, max, concurrency },
        }
    }
}

impl ForEach {
    pub fn list(items: Vec<Value>) -> Self {
        ForEach { over: Over::Items(items), max: ITEMS_MAX, concurrency: None }
    }

    /// Where the file says them.
    pub fn items(&self) -> Option<&[Value]> {
        match &self.over {
            Over::Items(items) => Some(items),
            Over::Expression(_) | Over::Windows(_) => None,
        }
    }
}

/// The items, when the task could start: in the order of their map indexes. Else why there are none.
pub fn items(for_each: &ForEach, context: &TemplateContext) -> Result<Vec<Value>, String> {
    let items = match &for_each.over {
        Over::Items(items) => items.clone(),
        Over::Windows(length) => {
            let window = context.window.ok_or("for_each over windows, but the run has no window")?;
            return pieces(window, *length, for_each.max);
        }
        Over::Expression(text) => match template::evaluate(text, context)? {
            Value::Array(items) => items,
            Value::Object(map) => {
                map.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
            }
            other => {
                let given = params::type_name(&other);
                return Err(format!("for_each: '{text}' must give a list or an object, not {given}"));
            }
        },
    };
    check_count(items.len(), for_each.max)?;
    Ok(items)
}

/// What only nodes know, and not those who expand a task.
const OF_NODES: [&str; 3] = ["conn", "var", "secret"];

/// Which items the task's `if` does not want, and why: those are skipped without a try. `try_number` gives what the next try of a map
/// index is. An item whose `if` names what only nodes know, or cannot be judged, is left to its try.
pub fn unwanted(
    task: &TaskDef,
    context: &TemplateContext,
    items: &[Value],
    try_number: impl Fn(i32) -> i32,
) -> Vec<(i32, String)> {
    let Some(text) = task.condition.as_deref().filter(|text| !template::names_any(text, &OF_NODES)) else {
        return Vec::new();
    };
    let all = (0..).zip(items).map(|(map_index, item)| (item, map_index, try_number(map_index)));
    let judged = (0..).zip(template::conditions(text, context, all));
    let skipped = judged.filter(|(_, wanted)| *wanted == Ok(false));
    skipped.map(|(map_index, _)| (map_index, not_wanted(text))).collect()
}

/// What is said of what its `if` skips.
pub fn not_wanted(condition: &str) -> String {
    format!("if: {condition} is false")
}

fn check_count(count: usize, max: u32) -> Result<(), String> {
    if count > max as usize {
        return Err(format!("for_each over {count} items, at most {max} are allowed (for_each.max)"));
    }
    Ok(())
}

/// The last piece ends where the window does.
fn pieces(window: Window, length: Duration, max: u32) -> Result<Vec<Value>, String> {
    let step = TimeDelta::from_std(length).ok().filter(|step| *step >= TimeDelta::milliseconds(1));
    let step = step.ok_or("for_each over windows of no length")?;
    let whole = (window.end - window.start).num_milliseconds().max(0) as u64;
    check_count(whole.div_ceil(step.num_milliseconds() as u64) as usize, max)?;
    let mut pieces = Vec::new();
    let mut start = window.start;
    while start < window.end {
        let end = start.checked_add_signed(step).map_or(window.end, |end| end.min(window.end));
        let iso =
            |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        pieces.push(json!({ "start": iso(start), "end": iso(end) }));
        start = end;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::utc;
    use std::collections::BTreeMap;

    fn over(over: Over, max: u32) -> ForEach {
        ForEach { over, max, concurrency: None }
    }

    fn context() -> TemplateContext {
        let outputs =
            BTreeMap::from([("list".to_owned(), json!({ "files": ["a", 2], "sizes": { "x": 1 } }))]);
        let window = Window { start: utc("2026-01-01T00:00:00Z"), end: utc("2026-01-01T02:30:00Z") };
        TemplateContext { outputs, window: Some(window), ..TemplateContext::default() }
    }

    #[test]
    fn items_come_from_lists_and_from_objects_as_pairs() {
        let of = |text: &str, max| items(&over(Over::Expression(text.to_owned()), max), &context());
        assert_eq!(of("tasks.list.outputs.files", 2), Ok(vec![json!("a"), json!(2)]));
        assert_eq!(of("{{ tasks.list.outputs.sizes }}", 2), Ok(vec![json!({ "key": "x", "value": 1 })]));
        assert_eq!(of("range(3)", 3), Ok(vec![json!(0), json!(1), json!(2)]));
        assert_eq!(of("[]", 3), Ok(vec![]));
        let error = of("tasks.list.outputs.files", 1).unwrap_err();
        assert_eq!(error, "for_each over 2 items, at most 1 are allowed (for_each.max)");
        assert!(of("'text'", 9).unwrap_err().contains("must give a list or an object, not string"));
        assert!(of("tasks.list.outputs.fils", 9).unwrap_err().contains("is not defined"));
    }

    #[test]
    fn windows_are_cut_into_pieces_and_the_last_ends_with_the_window() {
        let hours = |max| items(&over(Over::Windows(Duration::from_secs(3600)), max), &context());
        let expected = vec![
            json!({ "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z" }),
            json!({ "start": "2026-01-01T01:00:00Z", "end": "2026-01-01T02:00:00Z" }),
            json!({ "start": "2026-01-01T02:00:00Z", "end": "2026-01-01T02:30:00Z" }),
        ];
        assert_eq!(hours(3), Ok(expected));
        assert!(hours(2).unwrap_err().starts_with("for_each over 3 items, at most 2"));
        assert!(items(&over(Over::Windows(Duration::ZERO), 9), &context()).is_err());
        let none = TemplateContext { window: None, ..context() };
        assert!(items(&over(Over::Windows(Duration::from_secs(60)), 9), &none).is_err());
    }

    #[test]
    fn items_are_unwanted_only_where_their_if_is_surely_false() {
        let items = [json!({ "n": 1 }), json!({ "n": 2 }), json!({}), json!({ "n": 3 })];
        let of = |text: &str| {
            let task = TaskDef {
                id: "t".to_owned(),
                condition: Some(text.to_owned()),
                for_each: Some(ForEach::list(items.to_vec())),
                ..TaskDef::default()
            };
            let context = TemplateContext {
                task: template::TaskFacts { id: "t".to_owned(), map_index: -1, try_number: 0 },
                ..context()
            };
            let found = unwanted(&task, &context, &items, |map_index| map_index + 1);
            found.into_iter().map(|(map_index, _)| map_index).collect::<Vec<_>>()
        };
        assert_eq!(of("item.n != 2"), [1], "what has no n is an error, and that is for its try to say");
        assert_eq!(of("{{ item.n | default(0) > 2 }}"), [0, 1, 2]);
        assert_eq!(of("false"), [0, 1, 2, 3]);
        assert_eq!(of("tasks.list.outputs.files | length == 2"), [0; 0]);
        assert_eq!(of("task.map_index > 1 and ti.map_index > 1 and task.id == 't'"), [0, 1]);
        assert_eq!(of("task.try_number > 1"), [0]);
        assert_eq!(of("conn.x is defined and false"), [0; 0], "only nodes know their connections");
        assert_eq!(of("item.n >"), [0; 0]);
    }

    #[test]
    fn versions_stored_as_a_bare_list_are_read() {
        let read: ForEach = serde_json::from_value(json!(["a", 2])).unwrap();
        assert_eq!(read, ForEach::list(vec![json!("a"), json!(2)]));
        let again: ForEach = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }
}
