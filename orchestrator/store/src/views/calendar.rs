//! How the runs of a dag went, day by day.

use crate::{Result, Store};
use chrono::{DateTime, NaiveDate, Utc};
use model::RunState;

impl Store {
    /// Runs by local day of `run_after` (in `timezone`) and state, from `from` on and before `to`.
    pub async fn runs_by_day(
        &self,
        dag_id: &str,
        timezone: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<(NaiveDate, RunState, i64)>> {
        let rows: Vec<(NaiveDate, String, i64)> = sqlx::query_as(
            "select (run_after at time zone $2)::date as day, state, count(*) from runs
             where dag_id = $1 and run_after >= $3 and run_after < $4
             group by day, state order by day, state",
        )
        .bind(dag_id)
        .bind(timezone)
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|(day, state, count)| Ok((day, super::parse(&state)?, count))).collect()
    }
}
