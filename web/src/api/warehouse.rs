//! `POST /warehouse/query`: one read-only query on the warehouse that this node owns, for our own commands on other nodes.

use super::body::Body;
use super::{Answer, ApiError};
use crate::app::Shared;
use crate::auth::Caller;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use store::auth::Role;
use warehouse::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    sql: String,
    /// Bound as text to `$1`, `$2`, ..
    #[serde(default)]
    params: Vec<String>,
}

pub async fn query(State(app): State<Shared>, caller: Caller, Body(query): Body<Query>) -> Answer {
    caller.check_write(Role::Admin)?;
    let warehouse = (app.warehouse)()
        .ok_or_else(|| ApiError::Conflict("this node does not have the warehouse".into()))?;
    let params: Vec<Value> = query.params.into_iter().map(Value::Text).collect();
    let rows = warehouse
        .query(&query.sql, &params)
        .await
        .map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    Ok(Json(json!({ "columns": rows.columns, "rows": rows.to_objects() })))
}
