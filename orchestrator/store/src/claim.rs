//! Claiming: the one place where a queued attempt gets a lease and a node.

use crate::attempts::{Claim, Claimed};
use crate::rows::parse_json;
use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::{Dag, Window};
use serde_json::{Map, Value};
use sqlx::{FromRow, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;

/// Purpose: take the first queued attempts that fit, tasks and services each up to their limit, and begin their instances.
/// Guard: `state = 'queued'` under a row lock (`skip locked`, so claimers do not wait for each other), and a node that is not given up.
/// Index: `attempts_claim_idx`, read in its order.
pub(crate) const CLAIM: &str = "
with tasks as materialized (
    select id from attempts
    where state = 'queued' and not is_service and queue = any($1) and (route is null or route = any($2))
        and exists (select 1 from nodes where id = $5 and ended_at is null)
    order by priority desc, id limit $3 for update skip locked
), services as materialized (
    select id from attempts
    where state = 'queued' and is_service and queue = any($1) and (route is null or route = any($2))
        and exists (select 1 from nodes where id = $5 and ended_at is null)
    order by priority desc, id limit $4 for update skip locked
), taken as (
    update attempts a set state = 'running', node = $5, lease = nextval('attempt_leases'), started_at = $6
    from (select id from tasks union all select id from services) f
    where a.id = f.id
    returning a.id, a.lease, a.run, a.task, a.map_index, a.try_number, a.priority
), begun as (
    update task_instances i set state = 'running', started_at = coalesce(i.started_at, $6)
    from taken t
    where i.run = t.run and i.task = t.task and i.map_index = t.map_index and task_may_become(i.state, 'running')
    returning i.run, i.task, i.map_index, i.started_at
)
select t.id as attempt_id, t.lease, t.run, t.task, t.map_index, t.try_number, b.started_at as first_started_at,
    r.dag_id, r.run_id, r.version_id, r.run_type, r.window_start, r.window_end, r.logical_date, r.params::text as params, r.requested_by
from taken t join runs r on r.id = t.run left join begun b on b.run = t.run and b.task = t.task and b.map_index = t.map_index
order by t.priority desc, t.id";

#[derive(FromRow)]
struct ClaimRow {
    attempt_id: i64,
    lease: i64,
    run: i64,
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
}

/// The outputs of a run: (task, map index, value), ascending.
type Outputs = Vec<(i32, i32, Value)>;

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
        let rows = sqlx::query_as::<_, ClaimRow>(CLAIM)
            .bind(&claim.queues)
            .bind(&claim.routes)
            .bind(i64::try_from(claim.slots).unwrap_or(i64::MAX))
            .bind(i64::try_from(claim.service_slots).unwrap_or(i64::MAX))
            .bind(claim.node)
            .bind(now)
            .fetch_all(&mut *conn)
            .await?;
        let outputs = outputs_of(conn, &rows).await?;
        let mut claimed = Vec::with_capacity(rows.len());
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
            claimed.push(row.into_claimed(dag, first_started_at, &outputs)?);
        }
        Ok(claimed)
    }
}

impl ClaimRow {
    fn into_claimed(
        self,
        dag: Arc<Dag>,
        first_started_at: DateTime<Utc>,
        outputs: &HashMap<i64, Outputs>,
    ) -> Result<Claimed> {
        let task = self.task as usize;
        let outputs = match outputs.get(&self.run) {
            Some(outputs) => upstream(&dag, task, outputs),
            None => Value::Object(Map::new()),
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
            first_started_at,
            dag,
        })
    }
}

/// All outputs of the runs of claimed attempts, read once a run and not once an attempt.
async fn outputs_of(conn: &mut PgConnection, rows: &[ClaimRow]) -> Result<HashMap<i64, Outputs>> {
    let mut runs: Vec<i64> = rows.iter().map(|row| row.run).collect();
    runs.dedup();
    let mut outputs: HashMap<i64, Outputs> = HashMap::new();
    if runs.is_empty() {
        return Ok(outputs);
    }
    let rows = sqlx::query_as::<_, (i64, i32, i32, String)>(
        "select run, task, map_index, outputs::text from task_instances
         where run = any($1) and outputs is not null
         order by run, task, map_index",
    )
    .bind(&runs)
    .fetch_all(conn)
    .await?;
    for (run, task, map_index, text) in rows {
        let value = parse_json("task_instances", "outputs", format!("run {run} task {task}"), &text)?;
        outputs.entry(run).or_default().push((task, map_index, value));
    }
    Ok(outputs)
}

/// What the tasks before `task` gave, by task id; a mapped task's is an array with null for those that gave nothing.
fn upstream(dag: &Dag, task: usize, outputs: &Outputs) -> Value {
    let ancestors = ancestors(dag, task);
    let mut found = Map::new();
    for (from, map_index, value) in outputs {
        let from = *from as usize;
        if !ancestors.get(from).copied().unwrap_or(false) {
            continue;
        }
        let def = &dag.tasks[from];
        match (def.items(), usize::try_from(*map_index)) {
            (Some(items), Ok(index)) => {
                let array = found
                    .entry(def.id.clone())
                    .or_insert_with(|| Value::Array(vec![Value::Null; items.len()]));
                if let Some(place) = array.get_mut(index) {
                    *place = value.clone();
                }
            }
            _ => {
                found.insert(def.id.clone(), value.clone());
            }
        }
    }
    Value::Object(found)
}

fn ancestors(dag: &Dag, task: usize) -> Vec<bool> {
    let mut is_ancestor = vec![false; dag.tasks.len()];
    let mut open = dag.tasks.get(task).map(|def| def.needs.clone()).unwrap_or_default();
    while let Some(need) = open.pop() {
        if !is_ancestor[need] {
            is_ancestor[need] = true;
            open.extend(&dag.tasks[need].needs);
        }
    }
    is_ancestor
}
