//! Questions to people: as Airflow's `hitlDetails` (options Approve and Reject), and as `/approvals`.

use super::body::{Body, Query};
use super::paging::Paging;
use super::{Answer, ApiError, instances, runs, shapes};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::ui::rfc3339;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use store::approvals::ApprovalName;
use store::auth::Role;
use store::views::approvals::{ApprovalFilter, ApprovalRow};

const APPROVE: &str = "Approve";
const REJECT: &str = "Reject";
/// Questions of one run that are looked through.
const OF_A_RUN: i64 = 10_000;

#[derive(Deserialize)]
pub struct Wanted {
    dag_id: Option<String>,
    dag_run_id: Option<String>,
    #[serde(default = "yes")]
    open: bool,
}

fn yes() -> bool {
    true
}

pub async fn list(
    State(app): State<Shared>,
    _caller: Caller,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let filter = ApprovalFilter {
        dag_id: wanted.dag_id,
        run_id: wanted.dag_run_id,
        open: wanted.open,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    let (rows, total) = app.store.list_approvals(&filter).await?;
    let told: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "dag_id": row.dag_id,
                "dag_run_id": row.run_id,
                "task_id": row.task_id,
                "map_index": row.map_index,
                "prompt": row.prompt,
                "asked_at": rfc3339(row.asked_at),
                "decision": row.decision,
                "decided_by": row.decided_by,
                "decided_at": row.decided_at.map(rfc3339),
                "comment": row.comment,
            })
        })
        .collect();
    Ok(Json(json!({ "approvals": told, "total_entries": total })))
}

type MappedPath = (String, String, String, i32);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    approved: bool,
    #[serde(default, alias = "reason")]
    comment: String,
}

pub async fn decide(
    State(app): State<Shared>,
    caller: Caller,
    Path(path): Path<MappedPath>,
    Body(decision): Body<Decision>,
) -> Answer {
    answer(&app, &caller, &path, decision.approved, &decision.comment).await?;
    Ok(Json(json!({ "decision": if decision.approved { "approved" } else { "rejected" } })))
}

async fn answer(
    app: &App,
    caller: &Caller,
    (dag_id, run_id, task_id, map_index): &MappedPath,
    approved: bool,
    comment: &str,
) -> Result<(), ApiError> {
    caller.check_write(Role::Operator)?;
    let name = ApprovalName { dag_id, run_id, task_id, map_index: *map_index };
    Ok(app.store.decide_approval(name, approved, &caller.name, comment, app.clock.now()).await?)
}

pub async fn hitl_list(
    State(app): State<Shared>,
    _caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(paging): Query<Paging>,
) -> Answer {
    let filter = ApprovalFilter {
        dag_id: runs::named(&dag_id),
        run_id: runs::named(&run_id),
        open: false,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    let (rows, total) = app.store.list_approvals(&filter).await?;
    let mut told = Vec::with_capacity(rows.len());
    for row in &rows {
        told.push(detail(&app, row).await?);
    }
    Ok(Json(json!({ "hitl_details": told, "total_entries": total })))
}

pub async fn hitl(State(app): State<Shared>, _caller: Caller, Path(path): Path<MappedPath>) -> Answer {
    Ok(Json(detail(&app, &find(&app, &path).await?).await?))
}

async fn find(app: &App, (dag, run, task, map_index): &MappedPath) -> Result<ApprovalRow, ApiError> {
    let filter = ApprovalFilter {
        dag_id: Some(dag.clone()),
        run_id: Some(run.clone()),
        limit: OF_A_RUN,
        ..ApprovalFilter::default()
    };
    let (rows, _) = app.store.list_approvals(&filter).await?;
    let found = rows.into_iter().find(|row| row.task_id == *task && row.map_index == *map_index);
    found.ok_or_else(|| {
        ApiError::NotFound(format!(
            "Human-in-the-loop detail does not exist for Task Instance with dag_id {dag}, run_id {run}, task_id {task} and map_index {map_index}"
        ))
    })
}

async fn detail(app: &App, row: &ApprovalRow) -> Result<Value, ApiError> {
    let run = runs::find(app, &row.dag_id, &row.run_id).await?;
    let instance = instances::find(app, &row.dag_id, &row.run_id, &row.task_id, row.map_index).await?;
    let dag = app.store.dag_version(run.version_id).await?;
    let chosen = row.decision.as_deref().map(|word| [if word == "approved" { APPROVE } else { REJECT }]);
    let user = row.decided_by.as_ref().map(|name| json!({ "id": name, "name": name }));
    Ok(json!({
        "task_instance": shapes::instance(&instance, &dag, Some(&run)),
        "options": [APPROVE, REJECT],
        "subject": row.prompt,
        "body": null,
        "defaults": null,
        "multiple": false,
        "params": {},
        "assigned_users": [],
        "created_at": rfc3339(row.asked_at),
        "responded_by_user": user,
        "responded_at": row.decided_at.map(rfc3339),
        "chosen_options": chosen,
        "params_input": {},
        "response_received": row.decision.is_some(),
    }))
}

/// Airflow's `UpdateHITLDetailPayload`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    chosen_options: Vec<String>,
    #[serde(default)]
    params_input: Value,
    #[serde(default)]
    comment: String,
}

pub async fn hitl_respond(
    State(app): State<Shared>,
    caller: Caller,
    Path(path): Path<MappedPath>,
    Body(response): Body<Response>,
) -> Answer {
    let approved = match response.chosen_options.as_slice() {
        [option] if option == APPROVE => true,
        [option] if option == REJECT => false,
        _ => {
            let detail = format!("chosen_options must be one of [\"{APPROVE}\"] and [\"{REJECT}\"]");
            return Err(ApiError::Unprocessable(detail));
        }
    };
    if response.params_input.as_object().is_some_and(|params| !params.is_empty()) {
        return Err(ApiError::Unprocessable("params_input must be empty: an approval has no params".into()));
    }
    caller.check_write(Role::Operator)?;
    find(&app, &path).await?;
    answer(&app, &caller, &path, approved, &response.comment).await?;
    let row = find(&app, &path).await?;
    Ok(Json(json!({
        "responded_by": row.decided_by.map(|name| json!({ "id": name, "name": name })),
        "responded_at": row.decided_at.map(rfc3339),
        "chosen_options": response.chosen_options,
        "params_input": {},
    })))
}
