//! Who is told about what happens to a dag's runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One entry of `notify:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    pub on: Vec<Event>,
    pub to: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A run failed.
    Failure,
    /// A run succeeded.
    Success,
    /// A run succeeded and the scheduled run before it (by `run_after`) had failed.
    Recovery,
    /// A run or a task missed its deadline.
    Deadline,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Http {
        /// A template, rendered when it is sent (so that a secret in it is never stored).
        url: String,
        headers: std::collections::BTreeMap<String, String>,
        /// The body, with templates; null sends the notice itself as JSON.
        json: Value,
    },
    Email {
        to: Vec<String>,
        /// A template; empty for a subject that says the event, the dag and the run.
        subject: String,
    },
}

/// What is told: stored with the event, rendered and sent later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub id: i64,
    pub event: Event,
    pub dag_id: String,
    pub run_id: String,
    /// For a deadline of a task, or a service that failed while its run goes on.
    pub task_id: Option<String>,
    /// The run's state at the event.
    pub run_state: String,
    pub at: chrono::DateTime<chrono::Utc>,
    /// One line for people.
    pub text: String,
    /// Of a failure: the tasks that failed, the first few.
    #[serde(default)]
    pub failed: Vec<FailedTask>,
    /// The run's page.
    #[serde(default)]
    pub url: Option<String>,
    pub target: Target,
}

/// A task of a run that failed, and the first line of why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedTask {
    pub task_id: String,
    /// -1 for a plain task.
    pub map_index: i32,
    pub reason: String,
}

impl std::fmt::Display for FailedTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.task_id)?;
        if self.map_index >= 0 {
            write!(f, "[{}]", self.map_index)?;
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

impl Event {
    pub const ALL: [Event; 4] = [Event::Failure, Event::Success, Event::Recovery, Event::Deadline];

    pub fn as_str(self) -> &'static str {
        match self {
            Event::Failure => "failure",
            Event::Success => "success",
            Event::Recovery => "recovery",
            Event::Deadline => "deadline",
        }
    }
}
