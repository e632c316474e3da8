//! Deadlines of a run and its tasks: which are missed, and which are still to be kept.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DeadlineRow {
    /// Position in the dag; -1 for the run itself.
    pub task: i32,
    pub due_at: DateTime<Utc>,
    /// `None`: it may still be kept.
    pub missed_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Those of a run (`runs.id`), missed ones first, at most `limit`. Kept ones are not remembered.
    pub async fn deadlines_of(&self, run: i64, limit: i64) -> Result<Vec<DeadlineRow>> {
        let sql = "select task, due_at, missed_at from deadlines where run = $1 order by missed_at is null, due_at, task limit $2";
        Ok(sqlx::query_as(sql).bind(run).bind(limit).fetch_all(&self.pool).await?)
    }
}
