//! Task instances with what is known of their newest attempt.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::TaskState;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

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
    /// Positions in the dag version; empty for all.
    pub tasks: Vec<i32>,
    pub map_index: Option<i32>,
    pub states: Vec<TaskState>,
    pub limit: i64,
    pub offset: i64,
}

impl Store {
    /// A page of instances, newest run first, in the order of the dag within a run; and how many there are in all. Of a named run, only the
    /// page is read, in the order of the primary key; what is known of attempts is looked up for the page alone.
    pub async fn list_instances(&self, filter: &InstanceFilter) -> Result<(Vec<InstanceRow>, i64)> {
        let run = match (&filter.dag_id, &filter.run_id) {
            (Some(dag_id), Some(run_id)) => match self.run_number(dag_id, run_id).await? {
                Some(run) => Some(run),
                None => return Ok((Vec::new(), 0)),
            },
            _ => None,
        };
        let mut count =
            QueryBuilder::new("select count(*) from task_instances i join runs r on r.id = i.run where true");
        push_conditions(&mut count, filter, run);
        let total: i64 = count.build_query_scalar().fetch_one(&self.pool).await?;
        let mut query = QueryBuilder::new(PAGE_BEGINS);
        push_conditions(&mut query, filter, run);
        query.push(if run.is_some() {
            " order by i.task, i.map_index"
        } else {
            " order by r.run_after desc, r.id desc, i.task, i.map_index"
        });
        query.push(" limit ").push_bind(filter.limit).push(" offset ").push_bind(filter.offset);
        query.push(PAGE_ENDS);
        Ok((query.build_query_as().fetch_all(&self.pool).await?, total))
    }

    async fn run_number(&self, dag_id: &str, run_id: &str) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar("select id from runs where dag_id = $1 and run_id = $2")
            .bind(dag_id)
            .bind(run_id)
            .fetch_optional(&self.pool)
            .await?)
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

const PAGE_BEGINS: &str = "
with page as (
    select i.*, r.dag_id, r.run_id, r.version_id, r.run_after
    from task_instances i join runs r on r.id = i.run where true";

const PAGE_ENDS: &str = ")
select i.run, i.dag_id, i.run_id, i.version_id, i.task, i.task_id, i.map_index, i.state, i.try_number, i.next_at, i.started_at,
    i.ended_at, i.outputs, i.message, coalesce(a.id, h.id) as attempt_id, coalesce(a.queued_at, h.queued_at) as queued_at,
    case when a.id is null then h.ready_at else a.ready_at end as ready_at,
    case when a.id is null then h.node_name else n.name end as node
from page i
left join attempts a on (a.run, a.task, a.map_index) = (i.run, i.task, i.map_index)
left join nodes n on n.id = a.node
left join lateral (select h.id, h.queued_at, h.ready_at, h.node_name from attempt_history h
                   where (h.run, h.task, h.map_index) = (i.run, i.task, i.map_index)
                   order by h.id desc limit 1) h on true
order by i.run_after desc, i.run desc, i.task, i.map_index";

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &InstanceFilter, run: Option<i64>) {
    if let Some(run) = run {
        query.push(" and i.run = ").push_bind(run);
    } else {
        if let Some(dag_id) = &filter.dag_id {
            query.push(" and r.dag_id = ").push_bind(dag_id.clone());
        }
        if let Some(run_id) = &filter.run_id {
            query.push(" and r.run_id = ").push_bind(run_id.clone());
        }
    }
    if let Some(task_id) = &filter.task_id {
        query.push(" and i.task_id = ").push_bind(task_id.clone());
    }
    if !filter.tasks.is_empty() {
        query.push(" and i.task = any(").push_bind(filter.tasks.clone()).push(")");
    }
    if let Some(map_index) = filter.map_index {
        query.push(" and i.map_index = ").push_bind(map_index);
    }
    if !filter.states.is_empty() {
        let states: Vec<&'static str> = filter.states.iter().map(|state| state.as_str()).collect();
        query.push(" and i.state = any(").push_bind(states).push(")");
    }
}
