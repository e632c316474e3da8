//! The tick ledger of a dag, newest first.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct TickRow {
    pub tick_at: DateTime<Utc>,
    /// Of many that were skipped together the first; `tick_at` is the last. `None` for one tick.
    pub first_at: Option<DateTime<Utc>>,
    /// How many ticks these are.
    pub ticks: i64,
    /// ran, skipped, merged
    pub decision: String,
    /// The public id of the run it led to.
    pub run_id: Option<String>,
    pub run_state: Option<String>,
    pub reason: Option<String>,
    pub merged_into: Option<DateTime<Utc>>,
    pub decided_at: DateTime<Utc>,
}

impl Store {
    /// Ticks before `before` (all if `None`), newest first, at most `limit`.
    pub async fn ticks(
        &self,
        dag_id: &str,
        before: Option<DateTime<Utc>>,
        limit: i64,
    ) -> Result<Vec<TickRow>> {
        let rows = sqlx::query_as(
            "select t.tick_at, t.first_at, t.ticks, t.decision, r.run_id, r.state as run_state, t.reason, t.merged_into, t.decided_at
             from ticks t left join runs r on r.id = t.run
             where t.dag_id = $1 and ($2::timestamptz is null or t.tick_at < $2)
             order by t.tick_at desc limit $3",
        )
        .bind(dag_id)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
