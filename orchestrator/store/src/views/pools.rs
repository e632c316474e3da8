//! Pools with what takes their slots now.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

#[derive(Debug, Clone, PartialEq, FromRow, serde::Serialize)]
pub struct PoolRow {
    pub name: String,
    /// `None`: attempts name it, and it does not exist: they wait.
    pub slots: Option<i32>,
    pub description: String,
    pub changed_at: Option<DateTime<Utc>>,
    /// Slots of running and of queued attempts, counted from those.
    pub running: i64,
    pub queued: i64,
}

impl Store {
    /// All pools, and those that live attempts name and that do not exist, by name.
    pub async fn list_pools(&self) -> Result<Vec<PoolRow>> {
        let rows = sqlx::query_as(
            "select coalesce(p.name, a.pool) as name, p.slots, coalesce(p.description, '') as description, p.changed_at,
                coalesce(a.running, 0) as running, coalesce(a.queued, 0) as queued
             from pools p
             full join (
                select pool, sum(pool_slots) filter (where state = 'running') as running, sum(pool_slots) filter (where state = 'queued') as queued
                from attempts where pool is not null group by pool
             ) a on a.pool = p.name
             order by 1 limit 10000",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
