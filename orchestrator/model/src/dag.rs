//! A checked dag: acyclic, every name known, tasks in topological order. Only `spec` makes one from YAML.
//!
//! Stored as JSON with each version: a field added here has a default, so that versions stored before stay readable.

use crate::for_each::ForEach;
use crate::notify::Notify;
use crate::probe::{Liveness, Probe};
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
    /// Groups of tasks; `TaskDef::group` names one.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// A run that would fail is tried again: what failed, and what came after it, runs once more.
    #[serde(default)]
    pub retries: RetryPolicy,
    /// A run that has not ended so long after its `run_after` is told about.
    #[serde(default)]
    pub deadline: Option<Duration>,
    #[serde(default)]
    pub notify: Vec<Notify>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Only by hand.
    Manual,
    Once,
    /// The next run starts when the one before has ended.
    Continuous,
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
    /// When assets were written: each of them since the last run that was triggered so, or any.
    Assets {
        assets: Vec<String>,
        all: bool,
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

/// Tasks that belong together, written as a task with `tasks:` or made by a kind that expands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its tasks are `<id>.<task>`; a group in a group is `<outer>.<inner>`.
    pub id: String,
    /// When a task of it has failed for good and all of them are final, all of them run again.
    pub retries: RetryPolicy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDef {
    /// Unique in the dag; `group.id` for the tasks of a group.
    pub id: String,
    /// The innermost group that it is in.
    pub group: Option<String>,
    pub uses: String,
    /// With templates, not rendered.
    pub with: Value,
    pub env: BTreeMap<String, String>,
    /// Positions in `Dag::tasks`, ascending.
    pub needs: Vec<usize>,
    pub trigger_rule: TriggerRule,
    /// `if:` as an expression (without braces), judged when the task could start; false skips it.
    #[serde(default)]
    pub condition: Option<String>,
    /// One instance an item; `None` for a plain task.
    pub for_each: Option<ForEach>,
    pub retries: RetryPolicy,
    pub timeout: Option<Duration>,
    pub priority: i32,
    /// Which workers may take it; `default` if not said.
    pub queue: String,
    /// What only some nodes own, said by the kind.
    pub route: Option<String>,
    pub service: Option<Service>,
    /// The kind says which of the tasks after it run (`Task::is_branch`).
    #[serde(default)]
    pub branch: bool,
    #[serde(default)]
    pub role: Role,
    /// Starts only if its instance in the run before (by `run_after`) was a success or skipped.
    #[serde(default)]
    pub depends_on_past: bool,
    /// Most live attempts of it over all runs of the dag.
    #[serde(default)]
    pub max_active: Option<u32>,
    #[serde(default)]
    pub pool: Option<String>,
    #[serde(default = "one")]
    pub pool_slots: u32,
    /// Not final so long after the run's `run_after`: told about.
    #[serde(default)]
    pub deadline: Option<Duration>,
    /// Assets, for lineage.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Assets; its success is an event of each.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Names and JSON types of what it must give.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    Work,
    /// Cleared with what needs it.
    Setup,
    /// Runs once its setups succeeded and all else it needs is final; its failure is not the run's.
    Teardown,
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
    /// `None`: the kind says when it is ready.
    #[serde(default)]
    pub ready: Option<Probe>,
    #[serde(default)]
    pub live: Option<Liveness>,
    /// What its processes are sent first when it is stopped: TERM if not said.
    #[serde(default)]
    pub stop_signal: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

/// As in a file that says nothing but `uses`.
impl Default for TaskDef {
    fn default() -> Self {
        TaskDef {
            id: String::new(),
            group: None,
            uses: String::new(),
            with: Value::Object(Default::default()),
            env: BTreeMap::new(),
            needs: Vec::new(),
            trigger_rule: TriggerRule::AllSuccess,
            condition: None,
            for_each: None,
            retries: RetryPolicy::default(),
            timeout: None,
            priority: 0,
            queue: "default".to_owned(),
            route: None,
            service: None,
            branch: false,
            role: Role::Work,
            depends_on_past: false,
            max_active: None,
            pool: None,
            pool_slots: 1,
            deadline: None,
            reads: Vec::new(),
            writes: Vec::new(),
            outputs: BTreeMap::new(),
        }
    }
}

/// As in a file that says nothing but its name.
impl Default for Dag {
    fn default() -> Self {
        Dag {
            id: String::new(),
            description: String::new(),
            tags: Vec::new(),
            schedule: Schedule::Manual,
            window: WindowRule::None,
            start: None,
            catchup: Catchup::Latest,
            overlap: Overlap::Queue,
            max_active_runs: 1,
            max_active_tasks: 16,
            params: BTreeMap::new(),
            tasks: Vec::new(),
            paused: false,
            groups: Vec::new(),
            retries: RetryPolicy::default(),
            deadline: None,
            notify: Vec::new(),
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Service {
            restart: Restart::OnFailure,
            budget: 5,
            period: Duration::from_secs(600),
            stop_grace: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(60),
            ready: None,
            live: None,
            stop_signal: None,
        }
    }
}

impl TaskDef {
    /// The map indexes of the instances that a run begins with: `[-1]` for a plain task, and for one that expands late.
    pub fn map_indexes(&self) -> Vec<i32> {
        match self.items() {
            Some(items) if !self.expands_late() => (0..items.len() as i32).collect(),
            _ => vec![-1],
        }
    }

    /// The items of `for_each`, where the file says them.
    pub fn items(&self) -> Option<&[Value]> {
        self.for_each.as_ref()?.items()
    }

    /// What templates see of it when none of its instances gave outputs: failed, skipped, not run, or with nothing to give.
    pub fn nothing_given(&self) -> Value {
        match (&self.for_each, self.items()) {
            (None, _) => Value::Object(Default::default()),
            (Some(_), items) => Value::Array(vec![Value::Null; items.map_or(0, <[_]>::len)]),
        }
    }

    /// Its instances are made when it could start: only then its items are known, or which of them its `if` wants.
    pub fn expands_late(&self) -> bool {
        self.for_each.is_some() && (self.items().is_none() || self.condition.is_some())
    }
}

impl Dag {
    /// Whether the task is in the group, or in a group in it.
    pub fn is_in_group(&self, task: usize, group: &str) -> bool {
        self.tasks[task].group.as_deref().is_some_and(|own| {
            own == group || own.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
        })
    }
}
