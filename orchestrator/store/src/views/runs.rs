//! Runs as lists and pages show them: with the version's number, filtered, ordered and paged.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{RunState, Window};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub version_id: i64,
    pub version: i32,
    pub version_created_at: DateTime<Utc>,
    /// scheduled, manual, backfill or asset_triggered.
    pub run_type: String,
    pub state: RunState,
    pub window: Option<Window>,
    /// The start of its window; without one the tick, or the date that was given.
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub params: Value,
    pub requested_by: String,
    pub note: Option<String>,
    pub clears: i32,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// The backfill that made it or cleared it.
    pub backfill: Option<i64>,
}

impl FromRow<'_, PgRow> for RunRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let start: Option<DateTime<Utc>> = row.try_get("window_start")?;
        let end: Option<DateTime<Utc>> = row.try_get("window_end")?;
        Ok(RunRow {
            id: row.try_get("id")?,
            dag_id: row.try_get("dag_id")?,
            run_id: row.try_get("run_id")?,
            version_id: row.try_get("version_id")?,
            version: row.try_get("version")?,
            version_created_at: row.try_get("version_created_at")?,
            run_type: row.try_get("run_type")?,
            state: super::parsed(row, "state")?,
            window: start.zip(end).map(|(start, end)| Window { start, end }),
            logical_date: row.try_get("logical_date")?,
            run_after: row.try_get("run_after")?,
            params: row.try_get("params")?,
            requested_by: row.try_get("requested_by")?,
            note: row.try_get("note")?,
            clears: row.try_get("clears")?,
            queued_at: row.try_get("queued_at")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            cancel_requested_at: row.try_get("cancel_requested_at")?,
            backfill: row.try_get("backfill")?,
        })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunOrder {
    #[default]
    RunAfter,
    LogicalDate,
    StartedAt,
    EndedAt,
    State,
    RunId,
    Id,
}

#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub dag_id: Option<String>,
    pub states: Vec<RunState>,
    pub run_type: Option<String>,
    pub backfill: Option<i64>,
    pub run_after_from: Option<DateTime<Utc>>,
    pub run_after_to: Option<DateTime<Utc>>,
    pub logical_date_from: Option<DateTime<Utc>>,
    pub logical_date_to: Option<DateTime<Utc>>,
    pub order: RunOrder,
    pub ascending: bool,
    pub limit: i64,
    pub offset: i64,
}

const COLUMNS: &str = "r.id, r.dag_id, r.run_id, r.version_id, v.version, v.created_at as version_created_at, r.run_type, r.state, r.window_start, r.window_end, \
    coalesce(r.window_start, r.logical_date) as logical_date, r.run_after, r.params, r.requested_by, r.note, r.clears, r.queued_at, r.started_at, r.ended_at, r.cancel_requested_at, r.backfill";

impl Store {
    /// A page of runs and how many there are in all.
    pub async fn list_runs(&self, filter: &RunFilter) -> Result<(Vec<RunRow>, i64)> {
        let mut count = QueryBuilder::<Postgres>::new("select count(*) from runs r where true");
        push_conditions(&mut count, filter);
        let total: i64 = count.build_query_scalar().fetch_one(&self.pool).await?;
        let mut query = QueryBuilder::<Postgres>::new("select ");
        query.push(COLUMNS).push(" from runs r join dag_versions v on v.id = r.version_id where true");
        push_conditions(&mut query, filter);
        let column = match filter.order {
            RunOrder::RunAfter => "r.run_after",
            RunOrder::LogicalDate => "coalesce(r.window_start, r.logical_date)",
            RunOrder::StartedAt => "r.started_at",
            RunOrder::EndedAt => "r.ended_at",
            RunOrder::State => "r.state",
            RunOrder::RunId => "r.run_id",
            RunOrder::Id => "r.id",
        };
        let direction = if filter.ascending { " asc" } else { " desc" };
        query.push(" order by ").push(column).push(direction).push(", r.id").push(direction);
        query.push(" limit ").push_bind(filter.limit).push(" offset ").push_bind(filter.offset);
        Ok((query.build_query_as().fetch_all(&self.pool).await?, total))
    }

    pub async fn run_row(&self, dag_id: &str, run_id: &str) -> Result<Option<RunRow>> {
        let mut query = QueryBuilder::<Postgres>::new("select ");
        query.push(COLUMNS).push(" from runs r join dag_versions v on v.id = r.version_id where r.dag_id = ");
        query.push_bind(dag_id).push(" and r.run_id = ").push_bind(run_id);
        Ok(query.build_query_as().fetch_optional(&self.pool).await?)
    }

    /// The newest `each` runs of each of the dags, oldest first within a dag.
    pub async fn recent_runs(&self, dag_ids: &[String], each: i64) -> Result<Vec<RunRow>> {
        let mut query = QueryBuilder::<Postgres>::new("select ");
        query.push(COLUMNS).push(" from unnest(").push_bind(dag_ids);
        query.push("::text[]) as wanted (dag_id) cross join lateral (select * from runs where runs.dag_id = wanted.dag_id");
        query.push(" order by run_after desc, id desc limit ").push_bind(each);
        query.push(") r join dag_versions v on v.id = r.version_id order by r.dag_id, r.run_after, r.id");
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// How many runs each dag has in each state; all dags if none is named.
    pub async fn run_counts(&self, dag_ids: &[String]) -> Result<Vec<(String, RunState, i64)>> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "select dag_id, state, count(*) from runs
             where cardinality($1::text[]) = 0 or dag_id = any($1)
             group by dag_id, state order by dag_id, state",
        )
        .bind(dag_ids)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|(dag, state, count)| Ok((dag, super::parse(&state)?, count))).collect()
    }
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &RunFilter) {
    if let Some(dag_id) = &filter.dag_id {
        query.push(" and r.dag_id = ").push_bind(dag_id.clone());
    }
    if !filter.states.is_empty() {
        let states: Vec<String> = filter.states.iter().map(ToString::to_string).collect();
        query.push(" and r.state = any(").push_bind(states).push(")");
    }
    if let Some(run_type) = &filter.run_type {
        query.push(" and r.run_type = ").push_bind(run_type.clone());
    }
    if let Some(backfill) = filter.backfill {
        query.push(" and r.backfill = ").push_bind(backfill);
    }
    let bounds = [
        (" and r.run_after >= ", filter.run_after_from),
        (" and r.run_after <= ", filter.run_after_to),
        (" and coalesce(r.window_start, r.logical_date) >= ", filter.logical_date_from),
        (" and coalesce(r.window_start, r.logical_date) <= ", filter.logical_date_to),
    ];
    for (condition, bound) in bounds {
        if let Some(bound) = bound {
            query.push(condition).push_bind(bound);
        }
    }
}
