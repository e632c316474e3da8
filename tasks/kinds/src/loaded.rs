//! The warehouse as kinds use it: this node's, errors turned into task errors, JSON into bound values, and what `staging._loads` says.

use crate::env::Env;
use crate::load::Digests;
use chrono::{DateTime, Utc};
use model::{TaskContext, TaskError};
use serde_json::Value;
use std::sync::Arc;
use warehouse::Warehouse;

pub const LOADS_SCHEMA: &str = "staging";
pub const LOADS_TABLE: &str = "_loads";

pub fn warehouse(env: &Env) -> Result<Arc<dyn Warehouse>, TaskError> {
    (env.warehouse)().map_err(TaskError::Retry)
}

/// Runs work on the warehouse with the dag, run and task written on what it asks, for whoever looks at costs.
pub async fn labelled<T>(ctx: &TaskContext, work: impl Future<Output = T>) -> T {
    let labels = [("dag", ctx.dag_id.as_str()), ("run", ctx.run_id.as_str()), ("task", ctx.task_id.as_str())];
    warehouse::labelled(&labels, work).await
}

pub fn failed(error: warehouse::Error) -> TaskError {
    if error.is_retryable() {
        TaskError::Retry(error.to_string())
    } else {
        TaskError::Fail(error.to_string())
    }
}

pub fn bound(value: &Value) -> warehouse::Value {
    match value {
        Value::Null => warehouse::Value::Null,
        Value::Bool(value) => warehouse::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => warehouse::Value::Int(integer),
            None => warehouse::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => warehouse::Value::Text(text.clone()),
        other => warehouse::Value::Text(other.to_string()),
    }
}

/// What hours of a topic in `[since, until)` were loaded from; empty before the first load.
pub async fn digests(
    warehouse: &dyn Warehouse,
    topic: &str,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Digests, TaskError> {
    if warehouse.relation(LOADS_SCHEMA, LOADS_TABLE).await.map_err(failed)?.is_none() {
        return Ok(Digests::new());
    }
    let sql = "select hour, digest from staging._loads where topic = $1 and hour >= $2 and hour < $3";
    let rows = warehouse.query(sql, &[topic.into(), since.into(), until.into()]).await.map_err(failed)?;
    rows.rows
        .iter()
        .map(|row| match row.as_slice() {
            [Value::String(hour), Value::String(digest)] => DateTime::parse_from_rfc3339(hour)
                .map(|hour| (hour.to_utc(), digest.clone()))
                .map_err(|error| TaskError::Fail(format!("staging._loads: hour {hour}: {error}"))),
            other => Err(TaskError::Fail(format!("staging._loads: unexpected row {other:?}"))),
        })
        .collect()
}
