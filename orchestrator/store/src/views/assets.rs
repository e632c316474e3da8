//! Assets: who writes, reads and waits for each, and what was written when.

use crate::assets::DISTINCT_ASSETS;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AssetRow {
    pub name: String,
    /// (dag, task) of present dags.
    pub writers: Vec<(String, String)>,
    pub readers: Vec<(String, String)>,
    /// Dags that run when it is written.
    pub triggers: Vec<String>,
    pub last: Option<AssetEventRow>,
}

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct AssetEventRow {
    pub id: i64,
    pub asset: String,
    /// Of the run that wrote it, if a task did and the run is still known.
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    /// `dag/run/task`, or the user who told it.
    pub who: String,
    pub at: DateTime<Utc>,
}

impl Store {
    /// All assets that present dags use or that were ever written, by name.
    pub async fn list_assets(&self) -> Result<Vec<AssetRow>> {
        let mut uses = self.asset_uses().await?;
        let written: Vec<String> = sqlx::query_scalar(DISTINCT_ASSETS).fetch_all(&self.pool).await?;
        for name in written {
            uses.entry(name).or_default();
        }
        let names: Vec<&str> = uses.keys().map(String::as_str).collect();
        let last: Vec<AssetEventRow> = sqlx::query_as(
            "select e.id, e.asset, r.dag_id, r.run_id, i.task_id, e.map_index, e.who, e.at
             from unnest($1::text[]) as n(asset)
             cross join lateral (select * from asset_events e where e.asset = n.asset order by e.id desc limit 1) e
             left join runs r on r.id = e.run
             left join task_instances i on i.run = e.run and i.task = e.task and i.map_index = e.map_index",
        )
        .bind(names)
        .fetch_all(&self.pool)
        .await?;
        let mut last: BTreeMap<String, AssetEventRow> =
            last.into_iter().map(|event| (event.asset.clone(), event)).collect();
        let rows = uses.into_iter().map(|(name, used)| AssetRow {
            last: last.remove(&name),
            name,
            writers: used.writers,
            readers: used.readers,
            triggers: used.triggers,
        });
        Ok(rows.collect())
    }

    /// Events (of one asset, if named) before the one with the id `before`, newest first.
    pub async fn asset_events(
        &self,
        asset: Option<&str>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AssetEventRow>> {
        let rows = sqlx::query_as(
            "select e.id, e.asset, r.dag_id, r.run_id, i.task_id, e.map_index, e.who, e.at
             from (
                select * from asset_events where ($1::text is null or asset = $1) and ($2::int8 is null or id < $2) order by id desc limit $3
             ) e
             left join runs r on r.id = e.run
             left join task_instances i on i.run = e.run and i.task = e.task and i.map_index = e.map_index
             order by e.id desc",
        )
        .bind(asset)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
