//! Live attempts: claimed under a lease, finished exactly once.

use crate::runs::Advanced;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, Ending, Window};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// What a node can take now.
#[derive(Debug, Clone)]
pub struct Claim {
    pub node: Uuid,
    pub queues: Vec<String>,
    /// What this node owns, such as `warehouse`.
    pub routes: Vec<String>,
    /// Free slots for tasks.
    pub slots: usize,
    /// Free slots for services: they do not end, so they have their own.
    pub service_slots: usize,
}

/// An attempt that this node now holds.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub attempt_id: i64,
    /// The fencing token: each write for the attempt must show it.
    pub lease: i64,
    pub run: i64,
    pub dag: Arc<Dag>,
    pub dag_id: String,
    pub run_id: String,
    /// Position in `Dag::tasks`.
    pub task: usize,
    pub map_index: i32,
    pub try_number: i32,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_type: String,
    pub params: Value,
    pub requested_by: String,
    /// Outputs of the tasks that this one needs (directly or not), by task id; a mapped task's are an array.
    pub outputs: Value,
    /// When the first poke or this try began.
    pub first_started_at: DateTime<Utc>,
}

impl Store {
    /// Takes queued attempts, by priority then age, `skip locked`.
    pub async fn claim(&self, _claim: &Claim, _now: DateTime<Utc>) -> Result<Vec<Claimed>> {
        todo!()
    }

    /// Ends an attempt: history row, next state by `model::ending::after`, then one step of the run, all in one transaction.
    /// A lost lease is `Error::Stale` and changes nothing.
    #[expect(clippy::too_many_arguments, reason = "one call an attempt's end, every part needed")]
    pub async fn finish(
        &self,
        _attempt_id: i64,
        _lease: i64,
        _ending: Ending,
        _outputs: Option<Value>,
        _message: Option<String>,
        _now: DateTime<Utc>,
        _claim: Option<&Claim>,
    ) -> Result<Advanced> {
        todo!()
    }

    /// The service is ready; what needs it may start.
    pub async fn mark_ready(&self, _attempt_id: i64, _lease: i64, _now: DateTime<Utc>, _claim: Option<&Claim>) -> Result<Advanced> {
        todo!()
    }

    /// The newest figures that a service told of itself.
    pub async fn put_status(&self, _attempt_id: i64, _lease: i64, _status: &Value, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }
}
