//! Questions to people.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct ApprovalRow {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub prompt: String,
    pub asked_at: DateTime<Utc>,
    /// approved or rejected; `None` while open.
    pub decision: Option<String>,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    pub comment: String,
}

#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    /// Only those that wait for an answer: undecided, and their task not final.
    pub open: bool,
    pub limit: i64,
    pub offset: i64,
}

impl Store {
    /// A page of questions, the oldest open one first, then the newest; and how many there are in all.
    pub async fn list_approvals(&self, filter: &ApprovalFilter) -> Result<(Vec<ApprovalRow>, i64)> {
        let total: i64 = sqlx::query_scalar(
            "select count(*) from approvals a join task_instances i using (run, task, map_index) join runs r on r.id = a.run
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2)
                and (not $3 or (a.decision is null and i.ended_at is null))",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.open)
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query_as(
            "select r.dag_id, r.run_id, i.task_id, a.map_index, a.prompt, a.asked_at, a.decision, a.decided_by, a.decided_at, a.comment
             from approvals a join task_instances i using (run, task, map_index) join runs r on r.id = a.run
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2)
                and (not $3 or (a.decision is null and i.ended_at is null))
             order by a.decision is not null, case when a.decision is null then a.asked_at end, a.decided_at desc, a.run, a.task, a.map_index
             limit $4 offset $5",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.open)
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }
}
