//! Dags and their immutable versions.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, Problem};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Registered {
    pub version_id: i64,
    /// Counts from 1 within the dag.
    pub version: i32,
    /// Whether this call made a new version.
    pub is_new: bool,
}

/// A dag as the planner sees it.
#[derive(Debug, Clone)]
pub struct ScheduledDag {
    pub dag_id: String,
    pub version_id: i64,
    pub dag: Arc<Dag>,
    pub paused: bool,
    /// When the dag was first seen: the ledger begins here at the latest.
    pub registered_at: DateTime<Utc>,
    /// The newest tick in the ledger.
    pub last_tick: Option<DateTime<Utc>>,
}

impl Store {
    /// Stores a version unless the newest has the same content hash, and marks the dag present. `source` is the YAML text.
    /// A dag id that another present file holds is refused with `Error::Refused` naming that file.
    pub async fn register_dag(&self, _file: &str, _dag: &Dag, _source: &str, _now: DateTime<Utc>) -> Result<Registered> {
        todo!()
    }

    /// Marks dags whose file is not among `files` as absent (their history stays; they are not scheduled), and forgets those files' problems.
    /// Returns the ids that went absent.
    pub async fn forget_files(&self, _files: &[String], _now: DateTime<Utc>) -> Result<Vec<String>> {
        todo!()
    }

    /// Replaces what is known to be wrong with a file; an empty slice clears it.
    pub async fn put_problems(&self, _file: &str, _problems: &[Problem], _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }

    pub async fn dag_version(&self, _version_id: i64) -> Result<Arc<Dag>> {
        todo!()
    }

    /// The newest version id and dag of a present dag.
    pub async fn current_dag(&self, _dag_id: &str) -> Result<Option<(i64, Arc<Dag>)>> {
        todo!()
    }

    /// Present dags with a schedule, paused ones too (their ticks are recorded as skipped).
    pub async fn scheduled_dags(&self) -> Result<Vec<ScheduledDag>> {
        todo!()
    }

    /// `who` is recorded in the audit log.
    pub async fn set_paused(&self, _dag_id: &str, _paused: bool, _who: &str, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }
}
