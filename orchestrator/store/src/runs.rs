//! Runs: created, promoted, advanced, finished.

use crate::attempts::{Claim, Claimed};
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{RunState, Window};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunType {
    Scheduled,
    Manual,
    Backfill,
}

/// A run to be; it starts `queued`.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub dag_id: String,
    /// `scheduled__2026-11-22T10:05:00+00:00`, `manual__...`, or the caller's own.
    pub run_id: String,
    pub version_id: i64,
    pub run_type: RunType,
    pub window: Option<Window>,
    /// The tick, or the caller's logical date.
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    /// Checked against the dag's params by the caller (`model::params`).
    pub params: Value,
    pub requested_by: String,
    pub note: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub version_id: i64,
    pub run_type: RunType,
    pub state: RunState,
    pub window: Option<Window>,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub params: Value,
    pub requested_by: String,
    pub note: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
}

/// What one step of a run brought.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Attempts queued by this step.
    pub queued: usize,
    /// Attempts claimed by this node in the same transaction.
    pub claimed: Vec<Claimed>,
    pub finished: Option<RunState>,
    /// When the run must be looked at again (retry, poke) if nothing happens before.
    pub wake_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Creates a run and rings the bell. The same run id of the same dag twice is `Error::Duplicate`.
    pub async fn trigger(&self, _run: NewRun, _now: DateTime<Utc>) -> Result<Run> {
        todo!()
    }

    pub async fn run(&self, _dag_id: &str, _run_id: &str) -> Result<Option<Run>> {
        todo!()
    }

    /// Asks for the end of a run; a queued one is cancelled at once. Final runs: `Error::Refused`.
    pub async fn request_cancel(&self, _dag_id: &str, _run_id: &str, _who: &str, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }

    /// Puts instances of a run (all, or those named, with everything downstream) back to `none` and a final run back to `queued`. Returns what
    /// was cleared; with `dry_run` only says so.
    pub async fn clear(
        &self,
        _dag_id: &str,
        _run_id: &str,
        _tasks: Option<&[String]>,
        _only_failed: bool,
        _dry_run: bool,
        _who: &str,
        _now: DateTime<Utc>,
    ) -> Result<Vec<(String, i32)>> {
        todo!()
    }

    /// Starts queued runs whose `run_after` has come, oldest first within a dag, as far as `max_active_runs` allows (never more, whatever the
    /// number of nodes), makes their task instances, and advances them. Overlap `skip` and `cancel` are applied here.
    pub async fn promote(&self, _now: DateTime<Utc>, _limit: usize, _claim: Option<&Claim>) -> Result<Vec<(i64, Advanced)>> {
        todo!()
    }

    /// One step of one run: lock, snapshot, `model::decide`, apply, and claim what fits, in one transaction.
    pub async fn advance(&self, _run: i64, _now: DateTime<Utc>, _claim: Option<&Claim>) -> Result<Advanced> {
        todo!()
    }

    /// Running runs that have something due (retry or poke time come, cancel requested, an end that nobody followed up), and the next instant at
    /// which one will have.
    pub async fn due_runs(&self, _now: DateTime<Utc>, _limit: usize) -> Result<(Vec<i64>, Option<DateTime<Utc>>)> {
        todo!()
    }

    /// The next `run_after` of a queued run in the future, for the timer.
    pub async fn next_run_after(&self, _now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        todo!()
    }
}
