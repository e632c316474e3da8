//! What a task may ask of the platform that runs it. The engine answers; kinds see only this.

use crate::notify::Notice;
use crate::probe::Ask;
use crate::state::RunState;
use crate::window::Window;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::Duration;

/// The instance that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The run's internal id, as in `TaskContext::run`.
    pub run: i64,
    /// Position in the dag.
    pub task: usize,
    pub map_index: i32,
}

/// A run of another dag, asked for by a task. The same run id twice is the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRequest {
    pub dag_id: String,
    pub run_id: String,
    pub params: Value,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    /// `dag/run/task` of the one that asks, for `requested_by`.
    pub requested_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    Waiting,
    Approved { who: String, comment: String },
    Rejected { who: String, comment: String },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlatformError {
    /// May pass by itself: the store does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// Will not pass: no such dag, wrong params.
    #[error("{0}")]
    Refused(String),
}

#[async_trait]
pub trait Platform: Send + Sync {
    /// Creates the run, unless it exists already.
    async fn trigger(&self, request: TriggerRequest) -> Result<(), PlatformError>;

    /// `None`: there is no such run (yet).
    async fn run_state(&self, dag_id: &str, run_id: &str) -> Result<Option<RunState>, PlatformError>;

    /// The newest run of the dag with exactly this window, or with this `logical_date`.
    async fn run_for(
        &self,
        dag_id: &str,
        window: Option<Window>,
        logical_date: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>, PlatformError>;

    /// Asks people, once; the asker's instance is woken when somebody has decided.
    async fn approval(&self, asker: &Asker, prompt: &str) -> Result<Approval, PlatformError>;
}

/// What goes out of the house on behalf of the engine: notices and probes. Implemented where the HTTP client lives.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// `Err` is told to people and tried again.
    async fn send(&self, notice: &Notice) -> Result<(), String>;

    /// One question by http or tcp; the other kinds are answered by the worker itself.
    async fn probe(&self, ask: &Ask, timeout: Duration) -> Result<(), String>;
}
