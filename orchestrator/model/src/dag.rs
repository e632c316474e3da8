//! A checked dag: acyclic, every name known, tasks in topological order. Only `spec` makes one from YAML.

use crate::retry::RetryPolicy;
use crate::trigger_rule::TriggerRule;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    pub id: String,
    pub description: String,
    pub tags: Vec<String>,
    pub schedule: Schedule,
    pub window: WindowRule,
    pub start: Option<DateTime<Utc>>,
    pub catchup: Catchup,
    pub overlap: Overlap,
    pub max_active_runs: u32,
    /// Most tasks of one run that are queued or running at once.
    pub max_active_tasks: u32,
    pub params: BTreeMap<String, Param>,
    /// In topological order; positions are used as references inside the dag.
    pub tasks: Vec<TaskDef>,
    /// Paused when first seen.
    pub paused: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Only by hand.
    Manual,
    Once,
    /// Cron expressions (5 fields) in one time zone (IANA name).
    Cron {
        expressions: Vec<String>,
        timezone: String,
    },
    Every {
        every: Duration,
    },
    At {
        instants: Vec<DateTime<Utc>>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowRule {
    /// Runs have no window.
    None,
    /// The last full hour at the tick.
    Hour,
    /// The last full day (in the schedule's time zone) at the tick.
    Day,
    /// The last full interval of this length, aligned to the epoch, that ended `lag` before the tick.
    Every { every: Duration, lag: Duration },
    /// From the previous tick to this one.
    PreviousTick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// Missed ticks are skipped; the next one that comes runs.
    None,
    /// Only the newest missed tick runs.
    Latest,
    All,
    Limit(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// A tick that comes while `max_active_runs` are active waits in the queue.
    Queue,
    Skip,
    /// The running ones are cancelled.
    Cancel,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// A JSON type: string, integer, number, boolean, array, object.
    pub r#type: String,
    pub default: Option<Value>,
    pub description: String,
    pub allowed: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDef {
    /// Unique in the dag; `group.id` for the tasks of a group.
    pub id: String,
    pub group: Option<String>,
    pub uses: String,
    /// With templates, not rendered.
    pub with: Value,
    pub env: BTreeMap<String, String>,
    /// Positions in `Dag::tasks`, ascending.
    pub needs: Vec<usize>,
    pub trigger_rule: TriggerRule,
    /// One instance an item; `None` for a plain task.
    pub for_each: Option<Vec<Value>>,
    pub retries: RetryPolicy,
    pub timeout: Option<Duration>,
    pub priority: i32,
    /// Which workers may take it; `default` if not said.
    pub queue: String,
    /// What only some nodes own, said by the kind.
    pub route: Option<String>,
    pub service: Option<Service>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub restart: Restart,
    /// Restarts within `period` before the service counts as failed.
    pub budget: u32,
    pub period: Duration,
    pub stop_grace: Duration,
    /// No readiness within this time counts as a failure.
    pub ready_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

impl TaskDef {
    /// The map indexes of its instances: `[-1]` for a plain task.
    pub fn map_indexes(&self) -> Vec<i32> {
        match &self.for_each {
            None => vec![-1],
            Some(items) => (0..items.len() as i32).collect(),
        }
    }
}
