//! Which file holds which dag, for the one who reads the files: an id belongs to one file until that file lets go of it.

use crate::tx::ring;
use crate::{Result, Store};
use chrono::{DateTime, Utc};

impl Store {
    /// (file, dag) of all dags that are present.
    pub async fn dags_by_file(&self) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query_as("select file, dag_id from dags where present order by file, dag_id");
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Takes dags off the schedule that their file does not define any more. Their history stays.
    pub async fn release_dags(&self, dag_ids: &[String], now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        let released =
            sqlx::query("update dags set present = false, absent_at = $2 where dag_id = any($1) and present")
                .bind(dag_ids)
                .bind(now)
                .execute(&mut *tx)
                .await?;
        if released.rows_affected() > 0 {
            ring(&mut tx, "dags").await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
