//! Backfills with how far they are.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct BackfillRow {
    pub id: i64,
    pub dag_id: String,
    pub from_at: DateTime<Utc>,
    pub to_at: DateTime<Utc>,
    /// none, failed, completed
    pub reprocess: String,
    pub max_active_runs: i32,
    pub run_backwards: bool,
    pub params: Value,
    /// running, paused, completed, cancelled
    pub state: String,
    pub requested_by: String,
    pub reason: String,
    /// How many runs it made or cleared.
    pub runs_planned: i32,
    /// How many of these a later backfill runs again: they are that one's now, and count there.
    pub runs_taken: i32,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Its runs by state.
    pub queued: i64,
    pub running: i64,
    pub success: i64,
    pub failed: i64,
    pub cancelled: i64,
}

#[derive(Debug, Clone, Default)]
pub struct BackfillFilter {
    pub id: Option<i64>,
    pub dag_id: Option<String>,
    /// Only running and paused ones.
    pub open: bool,
    pub limit: i64,
    pub offset: i64,
}

impl Store {
    /// A page of backfills, newest first, and how many there are in all. Their runs: `RunFilter::backfill`.
    pub async fn list_backfills(&self, filter: &BackfillFilter) -> Result<(Vec<BackfillRow>, i64)> {
        let total: i64 = sqlx::query_scalar(
            "select count(*) from backfills
             where ($1::int8 is null or id = $1) and ($2::text is null or dag_id = $2) and (not $3 or ended_at is null)",
        )
        .bind(filter.id)
        .bind(filter.dag_id.as_deref())
        .bind(filter.open)
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query_as(
            "select b.*, r.* from (
                select * from backfills
                where ($1::int8 is null or id = $1) and ($2::text is null or dag_id = $2) and (not $3 or ended_at is null)
                order by id desc limit $4 offset $5
             ) b
             cross join lateral (
                select count(*) filter (where r.state = 'queued') as queued, count(*) filter (where r.state = 'running') as running,
                    count(*) filter (where r.state = 'success') as success, count(*) filter (where r.state = 'failed') as failed,
                    count(*) filter (where r.state = 'cancelled') as cancelled
                from runs r where r.backfill = b.id
             ) r
             order by b.id desc",
        )
        .bind(filter.id)
        .bind(filter.dag_id.as_deref())
        .bind(filter.open)
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }

    pub async fn backfill(&self, id: i64) -> Result<Option<BackfillRow>> {
        let filter = BackfillFilter { id: Some(id), limit: 1, ..BackfillFilter::default() };
        Ok(self.list_backfills(&filter).await?.0.pop())
    }
}
