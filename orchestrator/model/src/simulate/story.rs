//! What happened in a played run.

use crate::dag::Dag;
use crate::state::{RunState, TaskState};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// `Running`: it goes on, for its services or because it waits for something that the test does not tell.
    pub run: RunState,
    pub began: DateTime<Utc>,
    /// The last instant at which something happened.
    pub ended: DateTime<Utc>,
    /// By task and map index.
    pub instances: Vec<Seen>,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Position in `Dag::tasks`.
    pub task: usize,
    pub map_index: i32,
    pub state: TaskState,
    pub tries: i32,
    /// Why it stands so.
    pub reason: String,
    pub started: Option<DateTime<Utc>>,
    /// Of a service.
    pub ready: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    /// `{with, env}` of the last try.
    pub rendered: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub at: DateTime<Utc>,
    /// A task, with its map index; empty for the run itself.
    pub what: String,
    pub text: String,
}

impl Seen {
    pub(super) fn new(task: usize, map_index: i32, tries: i32) -> Self {
        Seen {
            task,
            map_index,
            state: TaskState::None,
            tries,
            reason: String::new(),
            started: None,
            ready: None,
            ended: None,
            rendered: None,
        }
    }
}

pub(super) fn name(dag: &Dag, task: usize, map_index: i32) -> String {
    let id = &dag.tasks[task].id;
    if map_index < 0 { id.clone() } else { format!("{id}[{map_index}]") }
}

/// `1h2m3s`, as durations are written in files.
pub fn span(span: TimeDelta) -> String {
    let milliseconds = span.num_milliseconds().max(0);
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = milliseconds;
    let mut text = String::new();
    for (unit, length) in units {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
