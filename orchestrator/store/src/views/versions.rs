//! The versions of a dag and their source.

use crate::{Result, Store};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct VersionRow {
    pub id: i64,
    pub version: i32,
    pub file: String,
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Newest first.
    pub async fn dag_versions(&self, dag_id: &str, limit: i64) -> Result<Vec<VersionRow>> {
        let sql = "select id, version, file, created_at from dag_versions where dag_id = $1 order by version desc limit $2";
        Ok(sqlx::query_as(sql).bind(dag_id).bind(limit).fetch_all(&self.pool).await?)
    }

    /// The YAML of one version.
    pub async fn dag_source(&self, dag_id: &str, version: i32) -> Result<Option<String>> {
        let sql = "select source from dag_versions where dag_id = $1 and version = $2";
        Ok(sqlx::query_scalar(sql).bind(dag_id).bind(version).fetch_optional(&self.pool).await?)
    }
}
