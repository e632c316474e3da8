//! The tick ledger: exactly one row for each time a dag should fire.

use crate::runs::NewRun;
use crate::{Result, Store};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone)]
pub enum TickDecision {
    Ran(NewRun),
    Skipped { reason: String },
    /// Taken together with a later tick.
    Merged { into: DateTime<Utc> },
}

impl Store {
    /// Writes ledger rows and the runs that they ask for in one transaction. Ticks that have a row already are left alone, so
    /// two planners do no harm. Returns the runs created (internal ids).
    pub async fn record_ticks(
        &self,
        _dag_id: &str,
        _ticks: &[(DateTime<Utc>, TickDecision)],
        _now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        todo!()
    }
}
