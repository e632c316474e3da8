//! Task instances with what is known of their newest attempt.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::TaskState;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

#[derive(Debug, Clone)]
pub struct InstanceRow {
    /// `runs.id`.
    pub run: i64,
    pub dag_id: String,
    pub run_id: String,
    pub version_id: i64,
    /// Position in `Dag::tasks`.
    pub task: i32,
    pub task_id: String,
    pub map_index: i32,
    pub state: TaskState,
    pub try_number: i32,
    /// When a waiting instance is due.
    pub next_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub outputs: Option<Value>,
    pub message: Option<String>,
    /// Of the newest attempt, live or finished.
    pub attempt_id: Option<i64>,
    pub queued_at: Option<DateTime<Utc>>,
    pub ready_at: Option<DateTime<Utc>>,
    pub node: Option<String>,
}

impl FromRow<'_, PgRow> for InstanceRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(InstanceRow {
            run: row.try_get("run")?,
            dag_id: row.try_get("dag_id")?,
            run_id: row.try_get("run_id")?,
            version_id: row.try_get("version_id")?,
            task: row.try_get("task")?,
            task_id: row.try_get("task_id")?,
            map_index: row.try_get("map_index")?,
            state: super::parsed(row, "state")?,
            try_number: row.try_get("try_number")?,
            next_at: row.try_get("next_at")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            outputs: row.try_get("outputs")?,
            message: row.try_get("message")?,
            attempt_id: row.try_get("attempt_id")?,
            queued_at: row.try_get("queued_at")?,
            ready_at: row.try_get("ready_at")?,
            node: row.try_get("node")?,
        })
    }
}

#[derive(Debug, Clone, Default)]
pub struct InstanceFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    pub states: Vec<TaskState>,
    pub limit: i64,
    pub offset: i64,
}

impl Store {
    /// A page of instances, newest run first, in the order of the dag within a run; and how many there are in all.
    pub async fn list_instances(&self, filter: &InstanceFilter) -> Result<(Vec<InstanceRow>, i64)> {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let total: i64 = sqlx::query_scalar(
            "select count(*) from task_instances i join runs r on r.id = i.run
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2) and ($3::text is null or i.task_id = $3)
               and ($4::integer is null or i.map_index = $4) and (cardinality($5::text[]) = 0 or i.state = any($5))",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.task_id.as_deref())
        .bind(filter.map_index)
        .bind(&states)
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query_as(
            "select i.run, r.dag_id, r.run_id, r.version_id, i.task, i.task_id, i.map_index, i.state, i.try_number, i.next_at, i.started_at,
                    i.ended_at, i.outputs, i.message, coalesce(a.id, h.id) as attempt_id, coalesce(a.queued_at, h.queued_at) as queued_at,
                    case when a.id is null then h.ready_at else a.ready_at end as ready_at,
                    case when a.id is null then h.node_name else n.name end as node
             from task_instances i
             join runs r on r.id = i.run
             left join attempts a on (a.run, a.task, a.map_index) = (i.run, i.task, i.map_index)
             left join nodes n on n.id = a.node
             left join lateral (select h.id, h.queued_at, h.ready_at, h.node_name from attempt_history h
                                where (h.run, h.task, h.map_index) = (i.run, i.task, i.map_index)
                                order by h.id desc limit 1) h on true
             where ($1::text is null or r.dag_id = $1) and ($2::text is null or r.run_id = $2) and ($3::text is null or i.task_id = $3)
               and ($4::integer is null or i.map_index = $4) and (cardinality($5::text[]) = 0 or i.state = any($5))
             order by r.run_after desc, r.id desc, i.task, i.map_index
             limit $6 offset $7",
        )
        .bind(filter.dag_id.as_deref())
        .bind(filter.run_id.as_deref())
        .bind(filter.task_id.as_deref())
        .bind(filter.map_index)
        .bind(&states)
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }

    pub async fn instance(
        &self,
        dag_id: &str,
        run_id: &str,
        task_id: &str,
        map_index: i32,
    ) -> Result<Option<InstanceRow>> {
        let filter = InstanceFilter {
            dag_id: Some(dag_id.into()),
            run_id: Some(run_id.into()),
            task_id: Some(task_id.into()),
            map_index: Some(map_index),
            limit: 1,
            ..InstanceFilter::default()
        };
        Ok(self.list_instances(&filter).await?.0.pop())
    }
}
