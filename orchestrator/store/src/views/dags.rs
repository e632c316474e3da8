//! Dags as the list and the API show them.

use super::runs::RunRow;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, RunState};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct DagRow {
    pub dag_id: String,
    pub file: String,
    pub paused: bool,
    pub present: bool,
    pub registered_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub version_id: i64,
    pub version: i32,
    /// The newest version.
    pub dag: Arc<Dag>,
    /// The newest tick in the ledger.
    pub last_tick: Option<DateTime<Utc>>,
    /// The newest runs, oldest first.
    pub recent: Vec<RunRow>,
}

#[derive(Debug, Clone, Default)]
pub struct DagFilter {
    /// Words in the id, description or tags; all must be there.
    pub search: Option<String>,
    pub dag_id: Option<String>,
    /// Any of these.
    pub tags: Vec<String>,
    pub paused: Option<bool>,
    /// The state of the newest run.
    pub last_state: Option<RunState>,
    pub include_absent: bool,
    pub descending: bool,
    /// How many recent runs of each.
    pub recent: i64,
    pub limit: i64,
    pub offset: i64,
}

#[derive(sqlx::FromRow)]
struct Found {
    dag_id: String,
    file: String,
    paused: bool,
    present: bool,
    registered_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    version_id: i64,
    version: i32,
    last_tick: Option<DateTime<Utc>>,
    total: i64,
}

impl Store {
    /// A page of dags by id, and how many there are in all.
    pub async fn list_dags(&self, filter: &DagFilter) -> Result<(Vec<DagRow>, i64)> {
        let words: Vec<String> = filter.search.iter().flat_map(|s| s.split_whitespace()).map(like).collect();
        let found: Vec<Found> = sqlx::query_as(
            "select d.dag_id, d.file, d.paused, d.present, d.registered_at, d.changed_at, v.id as version_id, v.version,
                    (select max(t.tick_at) from ticks t where t.dag_id = d.dag_id) as last_tick, count(*) over () as total
             from dags d
             join dag_versions v on v.id = d.version_id
             where ($1 or d.present)
               and ($2::text is null or d.dag_id = $2)
               and not exists (select from unnest($3::text[]) as word
                               where d.dag_id || ' ' || d.description || ' ' || array_to_string(d.tags, ' ') not ilike word)
               and (cardinality($4::text[]) = 0 or d.tags && $4)
               and ($5::boolean is null or d.paused = $5)
               and ($6::text is null or $6 = (select r.state from runs r where r.dag_id = d.dag_id order by run_after desc, id desc limit 1))
             order by case when $7 then null else d.dag_id end asc, d.dag_id desc
             limit $8 offset $9",
        )
        .bind(filter.include_absent)
        .bind(filter.dag_id.as_deref())
        .bind(&words)
        .bind(&filter.tags)
        .bind(filter.paused)
        .bind(filter.last_state.map(RunState::as_str))
        .bind(filter.descending)
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(&self.pool)
        .await?;
        let total = found.first().map_or(0, |dag| dag.total);
        let ids: Vec<String> = found.iter().map(|dag| dag.dag_id.clone()).collect();
        let mut recent: HashMap<String, Vec<RunRow>> = HashMap::new();
        if filter.recent > 0 {
            for run in self.recent_runs(&ids, filter.recent).await? {
                recent.entry(run.dag_id.clone()).or_default().push(run);
            }
        }
        let mut rows = Vec::with_capacity(found.len());
        for dag in found {
            rows.push(DagRow {
                recent: recent.remove(&dag.dag_id).unwrap_or_default(),
                dag: self.dag_version(dag.version_id).await?,
                dag_id: dag.dag_id,
                file: dag.file,
                paused: dag.paused,
                present: dag.present,
                registered_at: dag.registered_at,
                changed_at: dag.changed_at,
                version_id: dag.version_id,
                version: dag.version,
                last_tick: dag.last_tick,
            });
        }
        Ok((rows, total))
    }

    /// One dag, also one whose file is gone.
    pub async fn dag_row(&self, dag_id: &str) -> Result<Option<DagRow>> {
        let filter =
            DagFilter { dag_id: Some(dag_id.into()), include_absent: true, limit: 1, ..DagFilter::default() };
        Ok(self.list_dags(&filter).await?.0.pop())
    }

    /// The tags of present dags, with how many have each.
    pub async fn dag_tags(&self) -> Result<Vec<(String, i64)>> {
        let sql = "select tag, count(*) from dags, unnest(tags) as tag where present group by tag order by tag limit 200";
        Ok(sqlx::query_as(sql).fetch_all(&self.pool).await?)
    }
}

/// A pattern that finds the word anywhere; its own wildcards are ordinary characters.
fn like(word: &str) -> String {
    format!("%{}%", word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}
