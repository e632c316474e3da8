//! The format of a dag file, as types that only document it: the JSON Schema for editors is made of them. The reader reads the same
//! keys; a test compares the two.

mod task;

pub use task::*;

use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// A dag: a named graph of tasks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DagFile {
    /// The name of the dag, unique on this installation.
    pub dag: String,
    pub description: Option<String>,
    pub tags: Option<OneOrMany>,
    /// When the dag fires. Without it: only by hand.
    pub schedule: Option<ScheduleField>,
    /// The interval of data that a run is about. Templates name it window.start and window.end.
    pub window: Option<WindowField>,
    /// No tick before this date or instant runs: 2026-01-31 or 2026-01-31T06:00:00Z.
    pub start: Option<String>,
    /// What becomes of ticks that were missed. Default: latest.
    pub catchup: Option<CatchupField>,
    /// What becomes of a tick while max_active_runs runs are active. Default: queue.
    pub overlap: Option<OverlapField>,
    /// Runs of this dag at once. Default: 16.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_active_runs: Option<u32>,
    /// Tasks of one run at once; services do not count. Default: 16.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_active_tasks: Option<u32>,
    /// What a person can choose when starting a run. Templates name it params.<name>.
    pub params: Option<BTreeMap<String, ParamField>>,
    /// For all tasks that do not say otherwise.
    pub defaults: Option<DefaultsField>,
    /// Environment of all tasks.
    pub env: Option<BTreeMap<String, EnvValue>>,
    /// Paused when it is first seen.
    pub paused: Option<bool>,
    /// A run that has not ended so long after it should have started is told about, see notify.
    pub deadline: Option<DurationField>,
    /// A run that failed is tried again: what failed, and all that comes after it.
    pub retries: Option<RetriesField>,
    /// Who is told about runs.
    pub notify: Option<OneOrManyNotices>,
    /// Tasks and groups by their names.
    pub tasks: BTreeMap<String, TaskOrGroup>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum OneOrManyNotices {
    One(NotifyField),
    Many(Vec<NotifyField>),
}

/// One of http, email.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NotifyField {
    pub on: OneOrManyEvents,
    pub http: Option<NotifyHttp>,
    pub email: Option<NotifyEmail>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum OneOrManyEvents {
    One(EventWord),
    Many(Vec<EventWord>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum EventWord {
    /// A run failed.
    Failure,
    /// A run succeeded.
    Success,
    /// A run succeeded and the one before it had failed.
    Recovery,
    /// A run or a task missed its deadline.
    Deadline,
}

/// A POST. Texts are templates over dag, run, var, secret, conn, event and notice.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NotifyHttp {
    pub url: String,
    pub headers: Option<BTreeMap<String, EnvValue>>,
    /// The body. Default: the notice.
    pub json: Option<Value>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NotifyEmail {
    pub to: OneOrMany,
    /// A template. Default: the event, the dag and the run.
    pub subject: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ScheduleField {
    /// A cron expression such as "5 * * * *", or @hourly, @daily, @weekly, @monthly, @yearly, @once, @continuous, manual.
    Text(String),
    Parts(ScheduleParts),
}

/// One of cron, every, at, once, continuous, assets.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ScheduleParts {
    /// Minute, hour, day of the month, month, day of the week. Several expressions as a list.
    pub cron: Option<OneOrMany>,
    pub every: Option<DurationField>,
    /// Instants such as 2026-01-31T06:00:00Z.
    pub at: Option<OneOrMany>,
    pub once: Option<bool>,
    /// The next run starts when the one before has ended.
    pub continuous: Option<bool>,
    /// When assets were written; a list means all of them.
    pub assets: Option<AssetsField>,
    /// Of cron: an IANA name such as Europe/Zurich. Default: UTC.
    pub timezone: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum AssetsField {
    Names(OneOrMany),
    Parts(AssetsParts),
}

/// One of all, any.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AssetsParts {
    /// Each of them was written since the last run that they triggered.
    pub all: Option<OneOrMany>,
    /// One of them was written.
    pub any: Option<OneOrMany>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum WindowField {
    Word(WindowWord),
    Parts(WindowParts),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum WindowWord {
    None,
    /// The last full hour at the tick.
    Hour,
    /// The last full day at the tick, in the schedule's time zone.
    Day,
    /// From the previous tick to this one.
    PreviousTick,
}

/// The last full interval of this length that ended lag before the tick.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WindowParts {
    pub every: DurationField,
    pub lag: Option<DurationField>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum CatchupField {
    Word(CatchupWord),
    Parts(CatchupParts),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum CatchupWord {
    /// Missed ticks are skipped.
    None,
    /// The newest missed tick runs.
    Latest,
    /// All missed ticks since start run.
    All,
}

/// The newest so many missed ticks run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CatchupParts {
    #[schemars(range(max = 100_000))]
    pub limit: u32,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum OverlapField {
    Queue,
    Skip,
    /// The active runs are cancelled.
    Cancel,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ParamField {
    Full(ParamParts),
    /// The default alone.
    Default(Value),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ParamParts {
    pub r#type: Option<ParamType>,
    /// Without a default the param is required.
    pub default: Option<Value>,
    pub description: Option<String>,
    /// The only values allowed.
    pub allowed: Option<Vec<Value>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ParamType {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DefaultsField {
    pub retries: Option<RetriesField>,
    pub timeout: Option<DurationField>,
    pub priority: Option<i32>,
    pub queue: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum RetriesField {
    /// The limit alone.
    Limit(#[schemars(range(max = 1000))] u32),
    Parts(RetriesParts),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RetriesParts {
    /// Retries after the first try. Default: 0.
    #[schemars(range(max = 1000))]
    pub limit: Option<u32>,
    /// Before the first retry. Default: 10s.
    pub delay: Option<DurationField>,
    /// Each delay is so many times the one before. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub backoff: Option<f64>,
    /// Default: 5m.
    pub max_delay: Option<DurationField>,
}

/// A duration such as 10s, 5m, 2h, 1d, 1h30m.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct DurationField(#[schemars(regex(pattern = r"^([0-9]+(ms|s|m|h|d|w) ?)+$"))] pub String);

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum EnvValue {
    Text(String),
    Number(f64),
    Boolean(bool),
    Empty(()),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum RestartField {
    Policy(RestartPolicy),
    Parts(RestartParts),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RestartParts {
    /// Default: on-failure.
    pub policy: Option<RestartPolicy>,
    /// Restarts in a time before the service counts as failed. Default: 5 in 10m.
    #[schemars(regex(pattern = r"^[0-9]+ in [0-9a-z ]+$"))]
    pub budget: Option<String>,
    /// Before the first restart; doubles each time. Default: 1s.
    pub backoff: Option<DurationField>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StopField {
    /// What its processes are sent first. Default: TERM.
    pub signal: Option<SignalWord>,
    /// Time to finish after it was asked to stop. Default: 10s.
    pub grace: Option<DurationField>,
}

#[derive(JsonSchema)]
pub enum SignalWord {
    #[schemars(rename = "TERM")]
    Term,
    #[schemars(rename = "INT")]
    Int,
    #[schemars(rename = "HUP")]
    Hup,
    #[schemars(rename = "QUIT")]
    Quit,
}
