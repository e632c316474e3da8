//! The form that starts a run, with a field of the right type for each parameter.

use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::show;
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::trigger::{Refusal, Wish, trigger};
use crate::ui;
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, NaiveDateTime, Utc};
use model::dag::{Param, WindowRule};
use model::schedule::window_at;
use model::{Dag, Window};
use serde_json::{Map, Value};
use std::collections::HashMap;

#[derive(Template)]
#[template(path = "dag_trigger.html")]
struct TriggerPage {
    shell: Shell,
    head: DagHead,
    problem: Option<String>,
    fields: Vec<Field>,
    has_window: bool,
    window_start: String,
    window_end: String,
    run_id: String,
    note: String,
}

pub struct Field {
    pub name: String,
    pub kind: String,
    pub value: String,
    pub allowed: Vec<String>,
    pub hint: String,
}

/// What was typed, by field name; the parameters' begin with `p.`.
pub type Typed = HashMap<String, String>;

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
) -> Result<Response, PageError> {
    form(&app, viewer, &dag, None, None).await
}

async fn form(
    app: &App,
    viewer: Viewer,
    dag_id: &str,
    typed: Option<&Typed>,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let row = dag_head::find(app, dag_id).await?;
    let shell = Shell::new(
        app,
        viewer,
        "dags",
        format!("Trigger {dag_id}"),
        format!("{}/trigger", ui::dag_url(dag_id)),
    );
    let window = window_at(&row.dag.window, &row.dag.schedule, app.clock.now());
    let kept = |name: &str, default: String| typed.and_then(|t| t.get(name).cloned()).unwrap_or(default);
    let local = |at: Option<DateTime<Utc>>| {
        at.map_or_else(String::new, |at| at.format("%Y-%m-%dT%H:%M:%S").to_string())
    };
    show(&TriggerPage {
        head: DagHead::new(app, &shell, &row, "trigger"),
        problem,
        fields: row.dag.params.iter().map(|(name, param)| field(name, param, typed)).collect(),
        has_window: row.dag.window != WindowRule::None,
        window_start: kept("window_start", local(window.map(|w| w.start))),
        window_end: kept("window_end", local(window.map(|w| w.end))),
        run_id: kept("run_id", String::new()),
        note: kept("note", String::new()),
        shell,
    })
}

pub fn field(name: &str, param: &Param, typed: Option<&Typed>) -> Field {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let default = param.default.as_ref().map_or_else(String::new, text);
    let value = match typed {
        // A box that is not ticked is not sent.
        Some(typed) => typed.get(&format!("p.{name}")).cloned().unwrap_or_default(),
        None => default,
    };
    let required = if param.default.is_none() { " Required." } else { "" };
    Field {
        name: name.into(),
        kind: param.r#type.clone(),
        value,
        allowed: param.allowed.iter().map(text).collect(),
        hint: format!("{} ({}).{required}", param.description, param.r#type),
    }
}

pub async fn submit(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, PageError> {
    viewer.check_write(typed.get("csrf").map_or("", String::as_str))?;
    let row = dag_head::find(&app, &dag).await?;
    let outcome = match wish(&row.dag, &typed) {
        Ok(wish) => trigger(&app, &dag, wish, &viewer.name).await,
        Err(problem) => Err(Refusal::Invalid(vec![problem])),
    };
    let (status, problem) = match outcome {
        Ok(run) => return Ok(Redirect::to(&ui::run_url(&dag, &run.run_id)).into_response()),
        Err(Refusal::NoDag(dag)) => return Err(PageError::NotFound(format!("There is no dag '{dag}'."))),
        Err(refusal @ Refusal::Invalid(_)) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()),
        Err(Refusal::Store(error @ (store::Error::Duplicate { .. } | store::Error::Refused { .. }))) => {
            (StatusCode::CONFLICT, error.to_string())
        }
        Err(Refusal::Store(error)) => return Err(error.into()),
    };
    let page = form(&app, viewer, &dag, Some(&typed), Some(problem)).await?;
    Ok((status, page).into_response())
}

fn wish(dag: &Dag, typed: &Typed) -> Result<Wish, String> {
    let filled = |name: &str| typed.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let mut params = Map::new();
    for (name, param) in &dag.params {
        let text = typed.get(&format!("p.{name}")).map(String::as_str);
        if let Some(value) = value_of(name, param, text)? {
            params.insert(name.clone(), value);
        }
    }
    let instant = |name: &str| filled(name).map(|text| read_instant(text, name)).transpose();
    let window = match (instant("window_start")?, instant("window_end")?) {
        (Some(start), Some(end)) => Some(Window { start, end }),
        (None, None) => None,
        _ => return Err("give both ends of the window, or none".into()),
    };
    Ok(Wish {
        run_id: filled("run_id").map(str::to_string),
        // A window of its own is about that interval: its end is the date of the run.
        logical_date: None,
        window,
        run_after: None,
        params: Value::Object(params),
        note: filled("note").map(str::to_string),
        reason: String::new(),
    })
}

/// The typed text as the parameter's type; an empty field means the default, an unticked box means false.
pub fn value_of(name: &str, param: &Param, text: Option<&str>) -> Result<Option<Value>, String> {
    if param.r#type == "boolean" && param.allowed.is_empty() {
        return Ok(Some(Value::Bool(text == Some("true"))));
    }
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if param.r#type == "string" {
        return Ok(Some(Value::String(text.into())));
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| format!("the param '{name}' must be a JSON {}", param.r#type))
}

pub fn read_instant(text: &str, field: &str) -> Result<DateTime<Utc>, String> {
    const FORMS: [&str; 2] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
    let parsed = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    parsed.map(|naive| naive.and_utc()).ok_or_else(|| format!("{field} is not a date and time: {text}"))
}
