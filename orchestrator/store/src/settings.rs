//! What nodes on one database share: where Kafka, the lake and the warehouse are.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

impl Store {
    /// The newest word counts: a node that embeds a server knows where it is.
    pub async fn put_setting(&self, name: &str, value: &str, now: DateTime<Utc>) -> Result<()> {
        sqlx::query(
            "insert into settings (name, value, updated_at) values ($1, $2, $3)
             on conflict (name) do update set value = excluded.value, updated_at = excluded.updated_at
             where settings.value <> excluded.value",
        )
        .bind(name)
        .bind(value)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What tells this database from all others, made when somebody first asks for it.
    pub async fn platform_id(&self, now: DateTime<Utc>) -> Result<String> {
        sqlx::query(
            "insert into settings (name, value, updated_at) values ('platform_id', gen_random_uuid()::text, $1)
             on conflict (name) do nothing",
        )
        .bind(now)
        .execute(&self.pool)
        .await?;
        let id = sqlx::query_scalar("select value from settings where name = 'platform_id'");
        Ok(id.fetch_one(&self.pool).await?)
    }

    pub async fn settings(&self) -> Result<BTreeMap<String, String>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select name, value from settings order by name").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }
}
