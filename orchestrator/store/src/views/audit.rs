//! The audit log, newest first.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AuditRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub who: String,
    pub action: String,
    pub subject: String,
    pub details: Value,
}

impl Store {
    /// A page of entries (of one dag and its runs, if named), and how many there are in all.
    pub async fn list_audit(
        &self,
        dag_id: Option<&str>,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<AuditRow>, i64)> {
        let total: i64 = sqlx::query_scalar(
            "select count(*) from audit_log where $1::text is null or subject = $1 or starts_with(subject, $1 || '/')",
        )
        .bind(dag_id)
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query_as(
            "select id, at, who, action, subject, details from audit_log
             where $1::text is null or subject = $1 or starts_with(subject, $1 || '/')
             order by id desc limit $2 offset $3",
        )
        .bind(dag_id)
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }
}
