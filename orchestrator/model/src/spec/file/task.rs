//! The part of the format that is about tasks, groups and services.

use super::{DurationField, EnvValue, OneOrMany, RestartField, RetriesField, StopField};
use crate::trigger_rule::TriggerRule;
use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// What has tasks is a group.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum TaskOrGroup {
    Task(Box<TaskField>),
    Group(GroupField),
}

/// Tasks that belong together: group.task is the full id of each.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GroupField {
    /// What comes before all of it.
    pub needs: Option<OneOrMany>,
    /// For the tasks of it that need no other of it: a trigger rule or an expression.
    pub r#if: Option<IfField>,
    /// Beside an expression in if.
    pub trigger_rule: Option<TriggerRule>,
    /// When a task of it has failed and all are final, all of them run again.
    pub retries: Option<RetriesField>,
    pub tasks: BTreeMap<String, TaskOrGroup>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum IfField {
    Rule(TriggerRule),
    /// An expression such as params.full and tasks.probe.outputs.rows > 10; false skips the task.
    Expression(String),
    Constant(bool),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TaskField {
    /// The tasks and groups that come before this one.
    pub needs: Option<OneOrMany>,
    /// The kind of task.
    pub uses: String,
    /// What the kind takes. Texts may be {{ templates }}.
    pub with: Option<BTreeMap<String, Value>>,
    /// A trigger rule, or an expression. Default: all_success.
    pub r#if: Option<IfField>,
    /// Beside an expression in if. Default: all_success; of a teardown: all_done_setup_success.
    pub trigger_rule: Option<TriggerRule>,
    /// One instance for each item, which templates name item.
    pub for_each: Option<ForEachField>,
    pub retries: Option<RetriesField>,
    /// The longest that one try may take.
    pub timeout: Option<DurationField>,
    /// Not ended so long after the run should have started: told about, see notify.
    pub deadline: Option<DurationField>,
    /// Higher goes first. Default: 0.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: Option<i32>,
    /// Only workers of this queue take it. Default: default.
    pub queue: Option<String>,
    /// A limit over all dags: its name, or its name and how many slots are taken.
    pub pool: Option<PoolField>,
    /// Most attempts of this task at once, over all runs of the dag.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_active: Option<u32>,
    /// Starts only if it succeeded or was skipped in the run before.
    pub depends_on_past: Option<bool>,
    /// Makes what others need; cleared with them.
    pub setup: Option<bool>,
    /// Cleans up after what it needs, also if that failed; its own failure is not the run's.
    pub teardown: Option<bool>,
    /// Assets that it reads, for lineage.
    pub reads: Option<OneOrMany>,
    /// Assets that it writes: its success triggers the dags that wait for them.
    pub writes: Option<OneOrMany>,
    /// Names and types of the outputs that it must give.
    pub outputs: Option<BTreeMap<String, super::ParamType>>,
    pub env: Option<BTreeMap<String, EnvValue>>,
    /// The task does not end by itself: what needs it waits until it is ready.
    pub service: Option<ServiceField>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ForEachField {
    Items(Vec<Value>),
    /// One expression such as {{ tasks.list.outputs.files }}.
    Expression(String),
    Parts(ForEachParts),
}

/// One of items, windows.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ForEachParts {
    pub items: Option<ItemsField>,
    /// The run's window in pieces of this length: item.start, item.end.
    pub windows: Option<DurationField>,
    /// More items fail the task. Default: 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub max: Option<u32>,
    /// Most instances at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ItemsField {
    List(Vec<Value>),
    Expression(String),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PoolField {
    Name(String),
    Parts(PoolParts),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PoolParts {
    pub name: String,
    /// Default: 1.
    #[schemars(range(min = 1, max = 100_000))]
    pub slots: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServiceField {
    /// When it counts as ready. Default: the kind says so.
    pub ready: Option<ReadyField>,
    /// How to see that it still lives. Default: its process does.
    pub live: Option<LiveField>,
    /// Not ready within this time counts as a failure. Default: 60s.
    pub ready_timeout: Option<DurationField>,
    pub restart: Option<RestartField>,
    pub stop: Option<StopField>,
}

/// One of http, tcp, log, lag.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReadyField {
    /// A URL that answers a GET with 2xx.
    pub http: Option<String>,
    /// host:port takes a connection.
    pub tcp: Option<String>,
    /// A line of its log matches this regular expression.
    pub log: Option<String>,
    pub lag: Option<LagField>,
    /// Default: 1s.
    pub every: Option<DurationField>,
    /// Of one question. Default: 2s.
    pub timeout: Option<DurationField>,
}

/// One of http, tcp, lag.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LiveField {
    pub http: Option<String>,
    pub tcp: Option<String>,
    pub lag: Option<LagField>,
    /// Default: 10s.
    pub every: Option<DurationField>,
    /// Of one question. Default: 2s.
    pub timeout: Option<DurationField>,
    /// So many bad answers in a row, and it is restarted. Default: 3.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<u32>,
}

/// The lag in the service's own status.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LagField {
    pub at_most: u64,
}
