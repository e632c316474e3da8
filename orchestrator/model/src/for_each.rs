//! What a mapped task is mapped over.

use serde::{Deserialize, Serialize};
use serde_json::Value;
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_stored_as_a_bare_list_are_read() {
        let read: ForEach = serde_json::from_value(json!(["a", 2])).unwrap();
        assert_eq!(read, ForEach::list(vec![json!("a"), json!(2)]));
        let again: ForEach = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }
}
