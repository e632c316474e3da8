//! The form that runs again what a run was about, as a new run with edited parameters. The old one stays as it is.

use super::dag_trigger::{self, Field, Typed};
use super::shell::Shell;
use super::{run, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value};
use store::rerun::RerunRequest;

#[derive(Template)]
#[template(path = "run_rerun.html")]
struct RerunPage {
    shell: Shell,
    dag_id: String,
    dag_href: String,
    run_id: String,
    run_href: String,
    window: Html,
    may_write: bool,
    problem: Option<String>,
    fields: Vec<Field>,
    new_id: String,
    same_version: bool,
    version: i32,
    reason: String,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): Path<(String, String)>,
) -> Result<Response, PageError> {
    form(&app, viewer, &dag, &run, None, None).await
}

async fn form(
    app: &App,
    viewer: Viewer,
    dag_id: &str,
    run_id: &str,
    typed: Option<&Typed>,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let row = run::find(app, dag_id, run_id).await?;
    let dag = newest(app, dag_id).await?;
    let run_href = ui::run_url(dag_id, run_id);
    let shell = Shell::new(app, viewer, "dags", format!("Run again · {run_id}"), format!("{run_href}/rerun"));
    let kept = |name: &str| typed.and_then(|t| t.get(name).cloned()).unwrap_or_default();
    let fields = dag.params.iter().map(|(name, param)| {
        let was = row.params.get(name).cloned();
        let param = model::dag::Param { default: was.or_else(|| param.default.clone()), ..param.clone() };
        dag_trigger::field(name, &param, typed)
    });
    show(&RerunPage {
        fields: fields.collect(),
        may_write: shell.may_write(),
        window: ui::window(row.window),
        dag_id: dag_id.into(),
        dag_href: ui::dag_url(dag_id),
        run_id: run_id.into(),
        run_href,
        problem,
        new_id: kept("run_id"),
        same_version: kept("same_version") == "true",
        version: row.version,
        reason: kept("reason"),
        shell,
    })
}

async fn newest(app: &App, dag_id: &str) -> Result<std::sync::Arc<model::Dag>, PageError> {
    let current = app.store.current_dag(dag_id).await?;
    current.map(|(_, dag)| dag).ok_or_else(|| {
        PageError::Conflict(format!("The file of the dag '{dag_id}' is gone: nothing of it can run."))
    })
}

pub async fn submit(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): Path<(String, String)>,
    Form(typed): Form<Typed>,
) -> Result<Response, PageError> {
    viewer.check_write(typed.get("csrf").map_or("", String::as_str))?;
    let problem = match request(&*newest(&app, &dag).await?, &typed) {
        Ok(request) => match app.store.rerun(&dag, &run, &request, &viewer.name, app.clock.now()).await {
            Ok(made) => return Ok(Redirect::to(&ui::run_url(&dag, &made.run_id)).into_response()),
            Err(error @ (store::Error::Duplicate { .. } | store::Error::Refused { .. })) => error.to_string(),
            Err(error) => return Err(error.into()),
        },
        Err(problem) => problem,
    };
    let page = form(&app, viewer, &dag, &run, Some(&typed), Some(problem)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

fn request(dag: &model::Dag, typed: &Typed) -> Result<RerunRequest, String> {
    let filled = |name: &str| typed.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let run_id = filled("run_id").map(str::to_string);
    if let Some(problem) = run_id.as_deref().and_then(crate::trigger::run_id_problem) {
        return Err(problem);
    }
    let mut params = Map::new();
    for (name, param) in &dag.params {
        let text = typed.get(&format!("p.{name}")).map(String::as_str);
        if let Some(value) = dag_trigger::value_of(name, param, text)? {
            params.insert(name.clone(), value);
        }
    }
    Ok(RerunRequest {
        run_id,
        params: Some(Value::Object(params)),
        same_version: filled("same_version") == Some("true"),
        reason: filled("reason").unwrap_or_default().to_string(),
    })
}
