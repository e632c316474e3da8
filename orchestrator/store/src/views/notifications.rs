//! What people were told, or will be.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct NotificationRow {
    pub id: i64,
    /// failure, success, recovery, deadline
    pub event: String,
    pub dag_id: String,
    pub run_id: String,
    pub text: String,
    /// With its templates, not rendered.
    pub target: Value,
    /// waiting, sent, dead
    pub state: String,
    pub tries: i32,
    pub next_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub state: Option<String>,
    pub limit: i64,
    pub offset: i64,
}

impl Store {
    /// A page of notifications, newest first, and how many there are in all.
    pub async fn list_notifications(
        &self,
        filter: &NotificationFilter,
    ) -> Result<(Vec<NotificationRow>, i64)> {
        let total: i64 = sqlx::query_scalar(
            "select count(*) from notifications n join runs r on r.id = n.run
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2) and ($3::text is null or n.state = $3)",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.state.as_deref())
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query_as(
            "select n.id, n.event, r.dag_id, r.run_id, coalesce(n.body->>'text', '') as text, n.target, n.state, n.tries, n.next_at, n.error,
                n.created_at, n.sent_at
             from notifications n join runs r on r.id = n.run
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2) and ($3::text is null or n.state = $3)
             order by n.id desc limit $4 offset $5",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.state.as_deref())
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }
}
