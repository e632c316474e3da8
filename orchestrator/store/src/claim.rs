//! Claiming: the one place where a queued attempt gets a lease and a node. The statement is `claim_attempts` in the migrations.

use crate::attempts::{Claim, Claimed};
use crate::outputs::{names_outputs, upstream};
use crate::rows::parse_json;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, Window};
use serde_json::{Map, Value};
use sqlx::{FromRow, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(FromRow)]
pub(crate) struct ClaimRow {
    attempt_id: i64,
    lease: i64,
    pub run: i64,
    task: i32,
    map_index: i32,
    try_number: i32,
    first_started_at: Option<DateTime<Utc>>,
    dag_id: String,
    run_id: String,
    version_id: i64,
    run_type: String,
    window_start: Option<DateTime<Utc>>,
    window_end: Option<DateTime<Utc>>,
    logical_date: Option<DateTime<Utc>>,
    params: String,
    requested_by: String,
    item: Option<String>,
}

impl Store {
    pub(crate) async fn claim_on(
        &self,
        conn: &mut PgConnection,
        claim: &Claim,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>> {
        if claim.slots + claim.service_slots == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as::<_, ClaimRow>("select * from claim_attempts($1, $2, $3, $4, $5, $6)")
            .bind(now)
            .bind(claim.node)
            .bind(&claim.queues)
            .bind(&claim.routes)
            .bind(i64::try_from(claim.slots).unwrap_or(i64::MAX))
            .bind(i64::try_from(claim.service_slots).unwrap_or(i64::MAX))
            .fetch_all(&mut *conn)
            .await?;
        self.claimed(conn, rows).await
    }

    /// What was claimed, with all that running it needs.
    pub(crate) async fn claimed(&self, conn: &mut PgConnection, rows: Vec<ClaimRow>) -> Result<Vec<Claimed>> {
        let mut claimed = Vec::with_capacity(rows.len());
        // Instances of one mapped task have the same before them.
        let mut outputs: HashMap<(i64, i32), Value> = HashMap::new();
        for row in rows {
            let Some(first_started_at) = row.first_started_at else {
                // A bug or a hand-made change. Refusing the claim would keep this row at the head of the queue, and all others behind it.
                tracing::error!(
                    attempt.id = row.attempt_id,
                    run = row.run,
                    "attempt was queued, its instance was not: not run"
                );
                continue;
            };
            let dag = self.version_on(conn, row.version_id).await?;
            let key = (row.run, row.task);
            let task = row.task.unsigned_abs() as usize;
            if !outputs.contains_key(&key) && dag.tasks.get(task).is_some_and(names_outputs) {
                outputs.insert(key, Value::Object(upstream(conn, row.run, &dag, task).await?));
            }
            let given = outputs.get(&key).cloned().unwrap_or_else(|| Value::Object(Map::new()));
            claimed.push(row.into_claimed(dag, first_started_at, given)?);
        }
        self.copies.claimed(&claimed);
        Ok(claimed)
    }
}

impl ClaimRow {
    fn into_claimed(self, dag: Arc<Dag>, first_started_at: DateTime<Utc>, outputs: Value) -> Result<Claimed> {
        let task = self.task.unsigned_abs() as usize;
        let late = self.item.as_deref().map(|item| parse_json("task_instances", "item", self.run, item));
        let item = match late.transpose()? {
            Some(item) => Some(item),
            None => usize::try_from(self.map_index)
                .ok()
                .and_then(|index| dag.tasks.get(task)?.items()?.get(index).cloned()),
        };
        Ok(Claimed {
            attempt_id: self.attempt_id,
            lease: self.lease,
            run: self.run,
            task,
            map_index: self.map_index,
            try_number: self.try_number,
            window: self.window_start.zip(self.window_end).map(|(start, end)| Window { start, end }),
            logical_date: self.logical_date,
            run_type: self.run_type,
            params: parse_json("runs", "params", self.run, &self.params)?,
            requested_by: self.requested_by,
            dag_id: self.dag_id,
            run_id: self.run_id,
            outputs,
            item,
            first_started_at,
            dag,
        })
    }
}
