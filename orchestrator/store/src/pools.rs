//! Pools: limits over all dags. What one uses is counted from live attempts, never kept.

use crate::rows::clean;
use crate::tx::ring;
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, Utc};
use serde_json::json;

impl Store {
    /// Makes a pool, or changes it. Fewer slots than are in use hold back what comes next; nothing is stopped.
    pub async fn put_pool(
        &self,
        name: &str,
        slots: u32,
        description: &str,
        who: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::Refused { message: "a pool needs a name".to_owned() });
        }
        let mut tx = self.begin().await?;
        let was = sqlx::query_scalar::<_, i32>("select slots from pools where name = $1 for update")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        sqlx::query(
            "insert into pools (name, slots, description, changed_at) values ($1, $2, $3, $4)
             on conflict (name) do update set slots = excluded.slots, description = excluded.description, changed_at = excluded.changed_at",
        )
        .bind(clean(name))
        .bind(i32::try_from(slots).unwrap_or(i32::MAX))
        .bind(clean(description))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let details = audit::because(json!({ "slots": slots, "was": was }), reason);
        audit::record(&mut tx, who, "pool.set", name, &details, now).await?;
        ring(&mut tx, "work").await?;
        tx.commit().await?;
        Ok(())
    }

    /// A pool that queued or running attempts name is refused: they would wait for ever.
    pub async fn delete_pool(&self, name: &str, who: &str, reason: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        let slots = sqlx::query_scalar::<_, i32>("select slots from pools where name = $1 for update")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| Error::NotFound { what: format!("pool '{name}'") })?;
        let live = sqlx::query_scalar::<_, i64>("select count(*) from attempts where pool = $1")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        if live > 0 {
            let message = format!(
                "{live} queued or running tasks take slots of pool '{name}': set its slots to 0 to stop it"
            );
            return Err(Error::Refused { message });
        }
        sqlx::query("delete from pools where name = $1").bind(name).execute(&mut *tx).await?;
        let details = audit::because(json!({ "slots": slots }), reason);
        audit::record(&mut tx, who, "pool.delete", name, &details, now).await?;
        tx.commit().await?;
        Ok(())
    }
}
