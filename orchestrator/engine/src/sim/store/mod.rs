//! The store of the simulator: the tables of `migrations/` in memory, and on them the same guarded transactions as the SQL of `store`.
//!
//! A method is one transaction: it runs without interruption, so of what Postgres does between transactions only the order is
//! modelled, not lock waits and snapshots (the tests of `store` and `cargo xtask chaos` have the real thing).

mod approvals;
mod assets;
mod backfills;
mod claim;
mod clear;
mod deadlines;
mod ends;
mod nodes;
mod past;
mod promote;
mod runs;
mod step;
mod ticks;

pub(crate) use approvals::ApprovalRow;
pub(crate) use assets::EventRow;
pub(crate) use backfills::{BackfillRow, BackfillState, Wish};
pub(crate) use deadlines::{DeadlineRow, NoticeRow};

use chrono::{DateTime, Utc};
use model::decide::Retries;
use model::{Dag, RunState, TaskState, Window};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::notify::Ring;
use store::runs::RunType;
use store::{Error, Result};
use uuid::Uuid;

/// A bug put in on purpose, to prove that the rules find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// An end counts for whatever attempt the instance has now.
    FinishIgnoresTheLease,
    /// A claim takes what runs already, too.
    ClaimIgnoresTheState,
    /// Nodes are given up after half of their lease.
    ReaperIsEarly,
    /// A tick that has a row gets a second one, and a second run.
    TicksAreRecordedTwice,
    /// Promotion does not count what runs.
    PromotionIgnoresTheLimit,
    /// What a dead node held is forgotten.
    LostAttemptsStay,
    /// A failed task has one retry too many.
    OneRetryTooMany,
    /// The attempt of an ended instance can be ended once more.
    EndsTwice,
    /// When a run must be looked at again is not kept.
    RetriesAreNotDue,
    /// The less urgent is claimed first.
    UrgencyIsUpsideDown,
    /// The `if` of a mapped task is not judged when its items are found.
    ItemsAreNotSieved,
    /// Events of assets leave the queue in a transaction before the one that makes the run.
    AssetEventsAreTakenFirst,
    /// Events of assets stay in the queue when their run is made.
    AssetEventsStay,
    /// The events of a success come in a transaction of their own.
    AssetEventsComeLate,
    /// A plan does not look at the runs that there are.
    BackfillsSeeNoRuns,
    /// The schedule runs a tick that a backfill has run.
    TicksRunWhatIsFilledIn,
    /// What runs of a backfill is not counted.
    BackfillsHaveNoBudget,
    PausedBackfillsStart,
    /// A second answer replaces the first.
    ApprovalsAreDecidedAgain,
    /// Who asked is not woken by the answer.
    ApprovalsDoNotWake,
    /// A clear leaves old answers.
    QuestionsOutliveAClear,
    /// `depends_on_past` holds nothing back.
    PastIsForgotten,
    /// The run after one that has ended is not looked at.
    NextRunsSleep,
    /// What is told of a deadline is not written down.
    DeadlinesAreToldAgain,
    DeadlinesAreAlwaysKept,
}

#[derive(Default)]
pub(crate) struct Tables {
    pub dags: BTreeMap<String, DagRow>,
    /// The id of a version is its position and one.
    pub versions: Vec<Arc<Dag>>,
    pub runs: BTreeMap<i64, RunRow>,
    pub run_names: BTreeMap<(String, String), i64>,
    pub attempts: BTreeMap<i64, AttemptRow>,
    pub history: Vec<HistoryRow>,
    pub ticks: Vec<TickRow>,
    pub nodes: BTreeMap<Uuid, NodeRow>,
    pub duties: BTreeMap<String, DutyRow>,
    pub pools: BTreeMap<String, u32>,
    /// The id of an event is its position.
    pub asset_events: Vec<EventRow>,
    /// By dag: events that it has not run for yet.
    pub asset_queue: BTreeMap<String, BTreeSet<usize>>,
    pub backfills: BTreeMap<i64, BackfillRow>,
    /// By run, task and map index.
    pub approvals: BTreeMap<(i64, usize, i32), ApprovalRow>,
    /// By run and task; -1 for the run itself.
    pub deadlines: BTreeMap<(i64, i32), DeadlineRow>,
    pub notices: BTreeMap<i64, NoticeRow>,
    pub last_attempt: i64,
    pub last_lease: i64,
    /// What is rung when the transaction commits.
    pub rings: BTreeSet<&'static str>,
    /// Runs that the transaction has changed.
    pub touched: BTreeSet<i64>,
    /// Ends that came with a lost lease.
    pub stale_ends: u64,
    pub plant: Option<Plant>,
}

pub(crate) struct DagRow {
    pub version_id: i64,
    pub paused: bool,
    pub registered_at: DateTime<Utc>,
}

pub(crate) struct RunRow {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub version_id: i64,
    pub dag: Arc<Dag>,
    pub run_type: RunType,
    pub state: RunState,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub params: Value,
    pub requested_by: String,
    pub backfill: Option<i64>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
    pub wake_at: Option<DateTime<Utc>>,
    pub clears: u32,
    pub retries: Retries,
    /// Items of late `for_each`, by task.
    pub items: BTreeMap<usize, Vec<Value>>,
    /// By task and map index.
    pub instances: BTreeMap<(usize, i32), InstanceRow>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct InstanceRow {
    pub state: State,
    pub try_number: i32,
    pub failures: u32,
    pub losses: u32,
    pub next_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub outputs: Option<Value>,
    /// The attempt that stands for it while it is queued or running.
    pub attempt: Option<i64>,
}

/// `TaskState` with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(pub TaskState);

impl Default for State {
    fn default() -> Self {
        State(TaskState::None)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct AttemptRow {
    pub id: i64,
    pub run: i64,
    pub task: usize,
    pub map_index: i32,
    pub try_number: i32,
    /// With the lease: running.
    pub lease: Option<i64>,
    pub node: Option<Uuid>,
    pub is_service: bool,
    pub priority: i32,
    pub pool: Option<(String, u32)>,
    pub limit: Option<(String, u32)>,
    pub started_at: Option<DateTime<Utc>>,
    pub ready: bool,
    pub stop_requested: bool,
    pub stop_reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct HistoryRow {
    pub attempt: i64,
    pub lease: Option<i64>,
    /// The lease that the report showed.
    pub shown: Option<i64>,
    pub run: i64,
    pub task: usize,
    pub map_index: i32,
    pub ending: &'static str,
    /// What became of its instance.
    pub next: TaskState,
    pub started_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TickRow {
    pub dag_id: String,
    /// The first of those that share the row.
    pub first_at: DateTime<Utc>,
    pub tick_at: DateTime<Utc>,
    pub run: Option<i64>,
    pub ran: bool,
}

pub(crate) struct NodeRow {
    pub last_seen_at: DateTime<Utc>,
    pub ended: bool,
}

pub(crate) struct DutyRow {
    pub node: Uuid,
    pub term: i64,
    pub expires_at: DateTime<Utc>,
}

impl Tables {
    pub fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    pub fn ring(&mut self, name: &'static str) {
        self.rings.insert(name);
    }

    pub fn take_rings(&mut self) -> Vec<Ring> {
        let rings = std::mem::take(&mut self.rings);
        let ring = |name| match name {
            "work" => Ring::Work,
            "runs" => Ring::Runs,
            "dags" => Ring::Dags,
            "assets" => Ring::Assets,
            "deadlines" => Ring::Deadlines,
            "notify" => Ring::Notify,
            _ => Ring::Stop,
        };
        rings.into_iter().map(ring).collect()
    }

    pub fn run_row(&self, run: i64) -> &RunRow {
        &self.runs[&run]
    }

    pub fn change_run(&mut self, run: i64) -> &mut RunRow {
        self.touched.insert(run);
        self.runs.get_mut(&run).expect("runs are never deleted")
    }

    pub fn is_live_node(&self, node: Uuid) -> bool {
        self.nodes.get(&node).is_some_and(|node| !node.ended)
    }

    /// Adds a dag or a new version of it.
    pub fn register(&mut self, dag: Dag, now: DateTime<Utc>) {
        let (id, paused) = (dag.id.clone(), dag.paused);
        self.versions.push(Arc::new(dag));
        let version_id = self.versions.len() as i64;
        let row = self.dags.entry(id).or_insert(DagRow { version_id, paused, registered_at: now });
        row.version_id = version_id;
        self.ring("dags");
    }

    pub fn version(&self, version_id: i64) -> Arc<Dag> {
        self.versions[version_id as usize - 1].clone()
    }

    /// The newest version of a dag.
    pub fn newest(&self, dag_id: &str) -> Arc<Dag> {
        self.version(self.dags[dag_id].version_id)
    }
}

impl RunRow {
    /// Moves an instance, if the table of states allows it.
    pub fn set_state(&mut self, key: (usize, i32), to: TaskState, now: DateTime<Utc>) -> Result<()> {
        let id = self.id;
        let instance = self.instances.get_mut(&key).ok_or_else(|| missing(id, key))?;
        if !instance.state.0.may_become(to) {
            return Err(inconsistent(id, key, format!("{} may not become {to}", instance.state.0)));
        }
        instance.state = State(to);
        instance.ended_at = to.is_final().then_some(now);
        Ok(())
    }
}

pub(crate) fn missing(run: i64, key: (usize, i32)) -> Error {
    inconsistent(run, key, "there is no such instance".to_owned())
}

pub(crate) fn inconsistent(run: i64, (task, map_index): (usize, i32), message: String) -> Error {
    Error::Inconsistent {
        table: "task_instances",
        id: format!("run {run} task {task} map index {map_index}"),
        column: "state",
        message,
    }
}
