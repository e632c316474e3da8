//! Backfills: past ticks run (again) by plan, with a budget of their own.

use crate::{Result, Store};
use chrono::{DateTime, Utc};

impl Store {
    /// Backfills without an open run are completed. Returns how many were.
    pub async fn complete_backfills(&self, now: DateTime<Utc>) -> Result<usize> {
        let done = sqlx::query(
            "update backfills b set state = 'completed', ended_at = $1
             where b.ended_at is null
                and not exists (select 1 from runs r where r.dag_id = b.dag_id and r.state = 'queued' and r.backfill = b.id)
                and not exists (select 1 from runs r where r.dag_id = b.dag_id and r.state = 'running' and r.backfill = b.id)",
        )
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }
}
