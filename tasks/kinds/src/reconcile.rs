//! Each hour of the window must have as many rows in the lake's log as in staging and in the model built from it.

use crate::check::status;
use crate::env::Env;
use crate::loaded;
use chrono::{DurationRound, TimeDelta};
use model::{CheckResult, Severity, TaskContext, TaskError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warehouse::{Warehouse, quote_identifier};

pub async fn check(
    env: &Env,
    ctx: &TaskContext,
    topics: &BTreeMap<String, String>,
    warehouse: &dyn Warehouse,
) -> Result<Vec<CheckResult>, TaskError> {
    let window = ctx
        .window
        .ok_or_else(|| TaskError::Fail("the dag has no `window`, so no hours to compare".to_string()))?;
    let mut results = Vec::new();
    for (topic, model) in topics {
        let mut wrong = Vec::new();
        let mut hour = window.start.duration_trunc(TimeDelta::hours(1)).unwrap_or(window.start);
        let mut hours = 0;
        while hour < window.end {
            let lake =
                env.lake.hour(topic, hour).await.map_err(|error| TaskError::Retry(error.to_string()))?.rows;
            let staging = count(warehouse, "staging", topic, hour).await?;
            let built = count(warehouse, "prod", model, hour).await?;
            if lake != staging || staging != built {
                wrong.push(json!({ "hour": hour, "lake": lake, "staging": staging, "model": built }));
            }
            hours += 1;
            hour += TimeDelta::hours(1);
        }
        results.push(CheckResult {
            name: format!("reconcile_{topic}"),
            subject: model.clone(),
            severity: Severity::Error,
            status: status(Severity::Error, wrong.is_empty()),
            value: wrong.len() as f64,
            bounds: format!("= 0 of {hours} hours"),
            sample: wrong,
            sql: None,
        });
    }
    Ok(results)
}

async fn count(
    warehouse: &dyn Warehouse,
    schema: &str,
    table: &str,
    hour: chrono::DateTime<chrono::Utc>,
) -> Result<u64, TaskError> {
    let sql = format!(
        "select count(*) as n from {}.{} where hour = $1",
        quote_identifier(schema),
        quote_identifier(table)
    );
    let rows = warehouse.query(&sql, &[hour.into()]).await.map_err(loaded::failed)?;
    Ok(rows.get(0, "n").and_then(Value::as_u64).unwrap_or(0))
}
