//! `/checks`: the newest result of each test on data. Airflow has no such thing.

use super::Answer;
use crate::app::Shared;
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub async fn list(State(app): State<Shared>, _caller: Caller) -> Answer {
    let checks: Vec<Value> = app
        .store
        .newest_checks(1_000)
        .await?
        .iter()
        .map(|check| {
            let trend: Vec<Value> = check
                .trend
                .iter()
                .map(|p| json!({ "status": p.status, "value": p.value, "at": rfc3339(p.at) }))
                .collect();
            json!({
                "name": check.name,
                "subject": check.subject,
                "severity": check.severity,
                "status": check.status,
                "value": check.value,
                "bounds": check.bounds,
                "sample": check.sample,
                "sql": check.sql,
                "at": rfc3339(check.at),
                "dag_id": check.dag_id,
                "dag_run_id": check.run_id,
                "task_id": check.task_id,
                "map_index": check.map_index,
                "trend": trend,
            })
        })
        .collect();
    Ok(Json(json!({ "total_entries": checks.len(), "checks": checks })))
}
