//! The attempts of one task instance, live and finished.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AttemptRow {
    pub id: i64,
    pub try_number: i32,
    /// queued or running while live; how it ended (done, skipped, poke, failed, failed_for_good, timed_out, cancelled, lost) afterwards.
    pub state: String,
    /// The state that the instance took by its end; null while live.
    pub next_state: Option<String>,
    pub is_service: bool,
    pub node: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ready_at: Option<DateTime<Utc>>,
    pub stop_requested_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub message: Option<String>,
    pub outputs: Option<Value>,
}

impl AttemptRow {
    pub fn is_live(&self) -> bool {
        self.ended_at.is_none()
    }
}

impl Store {
    /// The newest `limit` attempts of an instance, oldest first. `run` is `runs.id`, `task` the position in the dag.
    pub async fn attempts_of(
        &self,
        run: i64,
        task: i32,
        map_index: i32,
        limit: i64,
    ) -> Result<Vec<AttemptRow>> {
        let mut rows: Vec<AttemptRow> = sqlx::query_as(
            "(select a.id, a.try_number, a.state, null::text as next_state, a.is_service, n.name as node, a.queued_at, a.started_at,
                     a.ready_at, a.stop_requested_at, null::timestamptz as ended_at, a.stop_reason as message, null::json as outputs
              from attempts a left join nodes n on n.id = a.node
              where (a.run, a.task, a.map_index) = ($1, $2, $3))
             union all
             (select h.id, h.try_number, h.ending, h.next_state, h.is_service, h.node_name, h.queued_at, h.started_at,
                     h.ready_at, h.stop_requested_at, h.ended_at, h.message, h.outputs
              from attempt_history h
              where (h.run, h.task, h.map_index) = ($1, $2, $3)
              order by h.id desc limit $4)
             order by id desc limit $4",
        )
        .bind(run)
        .bind(task)
        .bind(map_index)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.reverse();
        Ok(rows)
    }

    /// Whether the attempt still lives; `None` if there never was one.
    pub async fn attempt_is_live(&self, attempt_id: i64) -> Result<Option<bool>> {
        let row: (bool, bool) = sqlx::query_as(
            "select exists (select from attempts where id = $1), exists (select from attempt_history where id = $1)",
        )
        .bind(attempt_id)
        .fetch_one(&self.pool)
        .await?;
        Ok(match row {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        })
    }
}
