//! The end of an attempt's log, as a page shows it first.

use crate::logs::StoredLine;
use crate::{Result, Store};
use chrono::{DateTime, Utc};

impl Store {
    /// The last `lines` lines, oldest first.
    pub async fn log_tail(&self, attempt_id: i64, lines: i64) -> Result<Vec<StoredLine>> {
        let rows: Vec<(i32, DateTime<Utc>, String, String)> = sqlx::query_as(
            "select seq, at, stream, line from logs where attempt_id = $1 order by seq desc limit $2",
        )
        .bind(attempt_id)
        .bind(lines)
        .fetch_all(&self.pool)
        .await?;
        let first = rows.last().map_or(i32::MAX, |(seq, ..)| *seq);
        let wanted = usize::try_from(lines).unwrap_or_default();
        let rows = rows.into_iter().rev().map(|(seq, at, stream, line)| StoredLine { seq, at, stream, line });
        let rows: Vec<StoredLine> = rows.collect();
        if first == 0 || rows.len() >= wanted {
            return Ok(rows);
        }
        let missing = wanted - rows.len();
        let old = self.archived_before(attempt_id, first, missing).await?;
        let skipped = old.len().saturating_sub(missing);
        Ok(old.into_values().skip(skipped).chain(rows).collect())
    }
}
