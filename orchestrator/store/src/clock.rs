//! The clock of the database, which all nodes go by.

use crate::{Result, Store};
use chrono::{DateTime, Utc};

impl Store {
    /// The time of the database server at this moment.
    pub async fn clock(&self) -> Result<DateTime<Utc>> {
        Ok(sqlx::query_scalar("select clock_timestamp()").fetch_one(&self.pool).await?)
    }
}
