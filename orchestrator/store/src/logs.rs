//! Lines of attempts, shipped while they run, in rows partitioned by day.

use crate::{Result, Store};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    pub attempt_id: i64,
    /// Counts from 0 within the attempt.
    pub seq: i32,
    pub at: DateTime<Utc>,
    /// stdout, stderr or system.
    pub stream: &'static str,
    pub line: String,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct StoredLine {
    pub seq: i32,
    pub at: DateTime<Utc>,
    pub stream: String,
    pub line: String,
}

impl Store {
    /// Appends a batch; a line that is there already (a repeated batch) is left alone. Rings `log` for each attempt.
    pub async fn append_logs(&self, _lines: &[LogLine]) -> Result<()> {
        todo!()
    }

    /// Lines after `after_seq` (-1 for all), oldest first, at most `limit`.
    pub async fn read_logs(&self, _attempt_id: i64, _after_seq: i32, _limit: i64) -> Result<Vec<StoredLine>> {
        todo!()
    }
}
