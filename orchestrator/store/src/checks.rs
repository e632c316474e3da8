//! Results of tests on data.

use crate::rows::clean;
use crate::{Error, Result, Store};
use chrono::{DateTime, Utc};
use model::{CheckResult, CheckStatus, Severity};

impl Store {
    /// Stores a result of an attempt, live or just ended; the same check again replaces it.
    pub async fn put_check(&self, attempt_id: i64, result: &CheckResult, now: DateTime<Utc>) -> Result<()> {
        let sample = serde_json::Value::Array(result.sample.clone()).to_string();
        let done = sqlx::query(
            "insert into checks (attempt_id, run, task, map_index, name, subject, severity, status, value, bounds, sample, sql, at)
             select a.id, a.run, a.task, a.map_index, $2, $3, $4, $5, $6, $7, $8::json, $9, $10
             from (select id, run, task, map_index from attempts where id = $1
                   union all
                   select id, run, task, map_index from attempt_history where id = $1) a
             limit 1
             on conflict (attempt_id, name) do update set
                subject = excluded.subject, severity = excluded.severity, status = excluded.status, value = excluded.value,
                bounds = excluded.bounds, sample = excluded.sample, sql = excluded.sql, at = excluded.at",
        )
        .bind(attempt_id)
        .bind(clean(&result.name))
        .bind(clean(&result.subject))
        .bind(match result.severity {
            Severity::Error => "error",
            Severity::Warn => "warn",
        })
        .bind(match result.status {
            CheckStatus::Pass => "pass",
            CheckStatus::Warn => "warn",
            CheckStatus::Fail => "fail",
        })
        .bind(result.value)
        .bind(clean(&result.bounds))
        .bind(sample)
        .bind(result.sql.as_deref().map(clean))
        .bind(now)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::NotFound { what: format!("attempt {attempt_id}") });
        }
        Ok(())
    }
}
