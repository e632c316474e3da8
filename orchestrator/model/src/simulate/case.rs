//! What a test says: when and with what the run begins, what each task comes to, and what is expected of the run.

use crate::dag::Dag;
use crate::state::{RunState, TaskState};
use crate::window::Window;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    pub place: Place,
    /// The tick of the run, and when it begins.
    pub at: DateTime<Utc>,
    pub window: Option<Window>,
    /// Complete.
    pub params: Value,
    pub vars: Map<String, Value>,
    pub conns: Map<String, Value>,
    pub secrets: Map<String, Value>,
    /// The run is cancelled so long after it began.
    pub cancel_after: Option<Duration>,
    pub scripts: Vec<(Selector, Script)>,
    pub expect: Expect,
}

/// Where in the test file; counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// `load`, `load[1]`, or a group: all tasks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub id: String,
    pub map_index: Option<i32>,
}

/// What a task comes to; what is not said is as for a task that succeeds in a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// How long a try takes. A service ends after it; without it, it goes on.
    pub takes: Option<Duration>,
    pub end: Option<Finish>,
    /// So many tries fail first.
    pub fails: Option<u32>,
    /// So many tries are lost with their node first.
    pub loses: Option<u32>,
    /// So many looks say "not yet" first.
    pub pokes: Option<u32>,
    pub poke_every: Option<Duration>,
    pub outputs: Option<Map<String, Value>>,
    /// Of a service.
    pub ready_after: Option<Duration>,
    /// With `depends_on_past`: the run before was no success.
    pub held: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Success,
    Skipped,
    /// Each try fails; retries are used up.
    Failed,
    /// With an error that no retry cures.
    FailedForGood,
    /// By a person who was asked.
    Approved,
    /// Skipped, if its `with:` says `on_reject: skip`.
    Rejected,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    pub run: Option<(Place, RunState)>,
    pub tasks: Vec<(Place, Selector, ExpectTask)>,
    /// Each begins after the one before has ended (a service: is ready).
    pub order: Vec<(Place, Selector)>,
    pub not_started: Vec<(Place, Selector)>,
    pub at_least: Option<(Place, Duration)>,
    pub at_most: Option<(Place, Duration)>,
    /// `{with, env}` of the last try; only what is named is compared.
    pub rendered: Vec<(Place, Selector, Value)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectTask {
    /// Of all its instances.
    pub state: Option<TaskState>,
    pub tries: Option<i32>,
    /// How many there are.
    pub instances: Option<usize>,
    /// A part of why it stands as it does.
    pub reason: Option<String>,
}

impl Selector {
    pub fn matches(&self, dag: &Dag, task: usize, map_index: i32) -> bool {
        let is_named = dag.tasks[task].id == self.id || dag.is_in_group(task, &self.id);
        is_named && self.map_index.is_none_or(|index| index == map_index)
    }

    /// The longer the id, the fewer tasks it means.
    fn precision(&self) -> (usize, bool) {
        (self.id.len(), self.map_index.is_some())
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.map_index {
            Some(index) => write!(f, "{}[{index}]", self.id),
            None => f.write_str(&self.id),
        }
    }
}

impl Case {
    /// What the instance comes to: all that is said about it, the most precise word wins, then the last.
    pub(super) fn script(&self, dag: &Dag, task: usize, map_index: i32) -> Script {
        let mut said: Vec<&(Selector, Script)> =
            self.scripts.iter().filter(|(selector, _)| selector.matches(dag, task, map_index)).collect();
        said.sort_by_key(|(selector, _)| selector.precision());
        said.into_iter().fold(Script::default(), |less, (_, more)| more.clone().or(less))
    }
}

impl Script {
    fn or(self, less: Script) -> Script {
        Script {
            takes: self.takes.or(less.takes),
            end: self.end.or(less.end),
            fails: self.fails.or(less.fails),
            loses: self.loses.or(less.loses),
            pokes: self.pokes.or(less.pokes),
            poke_every: self.poke_every.or(less.poke_every),
            outputs: self.outputs.or(less.outputs),
            ready_after: self.ready_after.or(less.ready_after),
            held: self.held.or(less.held),
        }
    }
}
