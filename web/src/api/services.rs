//! `/services`: tasks that do not end. Airflow has no such thing.

use super::Answer;
use crate::app::Shared;
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub async fn list(State(app): State<Shared>, _caller: Caller) -> Answer {
    let services: Vec<Value> = app
        .store
        .services()
        .await?
        .iter()
        .map(|service| {
            let instance = &service.instance;
            json!({
                "dag_id": instance.dag_id,
                "dag_run_id": instance.run_id,
                "task_id": instance.task_id,
                "map_index": instance.map_index,
                "state": instance.state,
                "ready": service.ready_at().is_some(),
                "ready_at": service.ready_at().map(rfc3339),
                "start_date": service.live_since.map(rfc3339),
                "restarts": service.restarts,
                "try_number": instance.try_number,
                "hostname": instance.node,
                "status": service.status.as_ref().map(|(status, _)| status),
                "status_at": service.status.as_ref().map(|(_, at)| rfc3339(*at)),
            })
        })
        .collect();
    Ok(Json(json!({ "total_entries": services.len(), "services": services })))
}
