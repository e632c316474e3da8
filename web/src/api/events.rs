//! `/importErrors` and `/eventLogs`.

use super::Answer;
use super::body::Query;
use super::paging::Paging;
use crate::app::Shared;
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

pub async fn import_errors(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
) -> Answer {
    let (rows, total) = app.store.list_problems(paging.limit(), paging.offset()).await?;
    let errors: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            json!({
                "import_error_id": paging.offset() + i as i64 + 1,
                "timestamp": rfc3339(row.found_at),
                "filename": row.problem.file,
                "bundle_name": "dags-folder",
                "stack_trace": row.problem.to_string(),
                "line": row.problem.line,
                "column": row.problem.column,
                "message": row.problem.message,
                "hint": row.problem.hint,
            })
        })
        .collect();
    Ok(Json(json!({ "import_errors": errors, "total_entries": total })))
}

#[derive(Deserialize)]
pub struct Wanted {
    dag_id: Option<String>,
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let (rows, total) =
        app.store.list_audit(wanted.dag_id.as_deref(), paging.limit(), paging.offset()).await?;
    let logs: Vec<Value> = rows
        .iter()
        .map(|row| {
            // Subjects are `dag`, `dag/run`, `dag/run/task` and `dag/backfill/id`; of pools and assets their names.
            let about_dag = ["dag.", "run.", "task.", "approval.", "backfill."]
                .iter()
                .any(|room| row.action.starts_with(room));
            let mut parts = row.subject.splitn(3, '/');
            let (dag, run, task) = (parts.next(), parts.next(), parts.next());
            let is_run = about_dag && !row.action.starts_with("backfill.");
            json!({
                "event_log_id": row.id,
                "when": rfc3339(row.at),
                "dag_id": dag.filter(|_| about_dag),
                "dag_display_name": dag.filter(|_| about_dag),
                "run_id": run.filter(|_| is_run),
                "task_id": task.filter(|_| is_run),
                "task_display_name": task.filter(|_| is_run),
                "map_index": row.details.get("map_index"),
                "try_number": null,
                "event": row.action,
                "logical_date": null,
                "owner": row.who,
                "extra": row.details.to_string(),
            })
        })
        .collect();
    Ok(Json(json!({ "event_logs": logs, "total_entries": total })))
}
