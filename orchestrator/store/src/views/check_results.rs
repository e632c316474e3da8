//! Results of tests on data: the newest of each check with its trend, and those of one run.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{CheckStatus, Severity};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

#[derive(Debug, Clone)]
pub struct CheckRow {
    pub name: String,
    pub subject: String,
    pub severity: Severity,
    pub status: CheckStatus,
    pub value: f64,
    pub bounds: String,
    /// Failing rows, an array of objects.
    pub sample: Value,
    pub sql: Option<String>,
    pub at: DateTime<Utc>,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    /// The newest results, oldest first, this one last; only in the list of all checks.
    pub trend: Vec<CheckPoint>,
}

#[derive(Debug, Clone, serde::Deserialize)]
pub struct CheckPoint {
    pub status: CheckStatus,
    pub value: f64,
    pub at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for CheckRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let severity: String = row.try_get("severity")?;
        let status: String = row.try_get("status")?;
        let trend: Option<sqlx::types::Json<Vec<CheckPoint>>> = row.try_get("trend")?;
        Ok(CheckRow {
            name: row.try_get("name")?,
            subject: row.try_get("subject")?,
            severity: if severity == "warn" { Severity::Warn } else { Severity::Error },
            status: match status.as_str() {
                "pass" => CheckStatus::Pass,
                "warn" => CheckStatus::Warn,
                _ => CheckStatus::Fail,
            },
            value: row.try_get("value")?,
            bounds: row.try_get("bounds")?,
            sample: row.try_get("sample")?,
            sql: row.try_get("sql")?,
            at: row.try_get("at")?,
            dag_id: row.try_get("dag_id")?,
            run_id: row.try_get("run_id")?,
            task_id: row.try_get("task_id")?,
            map_index: row.try_get("map_index")?,
            trend: trend.map(|json| json.0).unwrap_or_default(),
        })
    }
}

impl Store {
    /// The newest result of each check, with its last 20; what is not well first, then by subject and name.
    /// The names are found by hopping along the index on (name, at), not by reading the history.
    pub async fn newest_checks(&self, limit: i64) -> Result<Vec<CheckRow>> {
        Ok(sqlx::query_as(
            "with recursive names as (
                 (select name from checks order by name limit 1)
                 union all
                 select (select c.name from checks c where c.name > names.name order by c.name limit 1) from names where names.name is not null
             )
             select c.name, c.subject, c.severity, c.status, c.value, c.bounds, c.sample, c.sql, c.at, c.map_index,
                    r.dag_id, r.run_id, i.task_id,
                    (select json_agg(json_build_object('status', p.status, 'value', p.value, 'at', p.at) order by p.at, p.id)
                     from (select * from checks p where p.name = names.name order by p.at desc, p.id desc limit 20) p) as trend
             from names
             cross join lateral (select * from checks c where c.name = names.name order by c.at desc, c.id desc limit 1) c
             join runs r on r.id = c.run
             join task_instances i on (i.run, i.task, i.map_index) = (c.run, c.task, c.map_index)
             order by case c.status when 'fail' then 0 when 'warn' then 1 else 2 end, c.subject, c.name
             limit $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    /// The results measured in one run (`runs.id`), what is not well first.
    pub async fn checks_of_run(&self, run: i64) -> Result<Vec<CheckRow>> {
        Ok(sqlx::query_as(
            "select c.name, c.subject, c.severity, c.status, c.value, c.bounds, c.sample, c.sql, c.at, c.map_index,
                    r.dag_id, r.run_id, i.task_id, null::json as trend
             from checks c
             join runs r on r.id = c.run
             join task_instances i on (i.run, i.task, i.map_index) = (c.run, c.task, c.map_index)
             where c.run = $1
             order by case c.status when 'fail' then 0 when 'warn' then 1 else 2 end, c.subject, c.name, c.id desc
             limit 1000",
        )
        .bind(run)
        .fetch_all(&self.pool)
        .await?)
    }
}
