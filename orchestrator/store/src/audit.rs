//! Who did what, when, and to what.

use crate::rows::clean;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// Who asks for something, and why, if that is said.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    pub who: &'a str,
    pub reason: &'a str,
}

impl<'a> From<&'a str> for By<'a> {
    fn from(who: &'a str) -> Self {
        By { who, reason: "" }
    }
}

impl<'a> From<&'a String> for By<'a> {
    fn from(who: &'a String) -> Self {
        By { who, reason: "" }
    }
}

impl Store {
    /// `action` such as `run.trigger`; `subject` such as `hourly/manual__1`.
    pub async fn audit(
        &self,
        who: &str,
        action: &str,
        subject: &str,
        details: Value,
        now: DateTime<Utc>,
    ) -> Result<()> {
        record(&mut *self.pool.acquire().await?, who, action, subject, &details, now).await
    }
}

pub(crate) async fn record(
    conn: &mut PgConnection,
    who: &str,
    action: &str,
    subject: &str,
    details: &Value,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into audit_log (at, who, action, subject, details) values ($1, $2, $3, $4, $5::json)",
    )
    .bind(now)
    .bind(clean(who))
    .bind(clean(action))
    .bind(clean(subject))
    .bind(details.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// The details of a request with why it was made, if that was said.
pub fn because(mut details: Value, reason: &str) -> Value {
    if !reason.is_empty() {
        details["reason"] = Value::from(reason);
    }
    details
}
