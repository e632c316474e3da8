//! One run: its state, its tasks on a time axis, what its checks found; and the buttons that cancel or clear it.

use super::checks::CheckLine;
use super::dag_grid::short_name;
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::svg::gantt::Axis;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use model::{CheckStatus, Dag, TaskState};
use serde::Deserialize;
use store::views::instances::{InstanceFilter, InstanceRow};
use store::views::runs::RunRow;

/// A run with more instances shows the first of them.
const INSTANCES: i64 = 1_000;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    shell: Shell,
    dag_id: String,
    dag_href: String,
    run_id: String,
    href: String,
    state: Html,
    is_final: bool,
    cancelling: bool,
    may_write: bool,
    note: Option<String>,
    window: Html,
    started: Html,
    duration: String,
    run_after: Html,
    who: String,
    run_type: String,
    version: i32,
    clears: i32,
    params: Vec<(String, String)>,
    scale: Html,
    tasks: Vec<TaskLine>,
    shortened: i64,
    checks: Vec<CheckLine>,
    check_words: String,
}

struct TaskLine {
    name: String,
    href: String,
    sub: String,
    state: Html,
    tries: i32,
    duration: String,
    class: String,
    bar: Html,
    node: String,
}

pub async fn find(app: &App, dag: &str, run: &str) -> Result<RunRow, PageError> {
    app.store
        .run_row(dag, run)
        .await?
        .ok_or_else(|| PageError::NotFound(format!("The dag '{dag}' has no run '{run}'.")))
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Page {
    let run = find(&app, &dag_id, &run_id).await?;
    let dag = app.store.dag_version(run.version_id).await?;
    let filter = InstanceFilter {
        dag_id: Some(dag_id.clone()),
        run_id: Some(run_id.clone()),
        limit: INSTANCES,
        ..InstanceFilter::default()
    };
    let (instances, total) = app.store.list_instances(&filter).await?;
    let checks = app.store.checks_of_run(run.id).await?;
    let now = app.clock.now();
    let axis = Axis { start: run.started_at.unwrap_or(run.queued_at), end: run.ended_at.unwrap_or(now) };
    let href = ui::run_url(&dag_id, &run_id);
    let shell = Shell::new(&app, viewer, "dags", format!("{dag_id} · {run_id}"), href.clone());
    let failed = checks.iter().filter(|check| check.status != CheckStatus::Pass).count();
    show(&RunPage {
        state: ui::badge(run.state.as_str()),
        is_final: run.state.is_final(),
        cancelling: run.cancel_requested_at.is_some() && !run.state.is_final(),
        may_write: shell.may_write(),
        window: ui::window(run.window),
        started: run.started_at.map_or_else(ui::dash, ui::full),
        duration: ui::span_text(run.started_at, run.ended_at, now),
        run_after: ui::full(run.run_after),
        who: run.requested_by.clone(),
        run_type: run.run_type.clone(),
        version: run.version,
        clears: run.clears,
        params: params(&run),
        scale: axis.scale(),
        shortened: (total - instances.len() as i64).max(0),
        tasks: instances.iter().map(|instance| task_line(instance, &dag, &axis, now)).collect(),
        check_words: format!("{} passed, {failed} not", checks.len() - failed),
        checks: checks.into_iter().map(|check| CheckLine::new(check, now)).collect(),
        note: run.note.clone(),
        dag_href: ui::dag_url(&dag_id),
        dag_id,
        run_id,
        href,
        shell,
    })
}

fn params(run: &RunRow) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    run.params.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// `load` for a plain task, `load · orders` for an item of a mapped one.
pub fn instance_name(dag: &Dag, instance: &InstanceRow) -> String {
    let item = dag
        .tasks
        .get(instance.task as usize)
        .and_then(|task| task.items()?.get(instance.map_index.max(0) as usize));
    match item {
        Some(serde_json::Value::String(item)) => format!("{} · {item}", instance.task_id),
        Some(item) => format!("{} · {item}", instance.task_id),
        None => instance.task_id.clone(),
    }
}

fn task_line(instance: &InstanceRow, dag: &Dag, axis: &Axis, now: DateTime<Utc>) -> TaskLine {
    let task = dag.tasks.get(instance.task as usize);
    let kind = task.map_or("", |task| task.uses.as_str());
    let name = instance_name(dag, instance);
    let group = task.and_then(|task| task.group.as_deref()).unwrap_or_default();
    let sub = match (&instance.message, instance.next_at) {
        (_, Some(next)) => format!("{kind} · again {}", ui::ago_text(next, now)),
        (Some(message), None) if instance.state != TaskState::Success => {
            format!("{kind} · {}", first_line(message))
        }
        _ => kind.to_string(),
    };
    let ended = instance.ended_at.unwrap_or(now);
    TaskLine {
        href: ui::task_url(&instance.dag_id, &instance.run_id, &instance.task_id, instance.map_index),
        sub: if group.is_empty() { sub } else { format!("{group} · {sub}") },
        name: short_name(&name, group).to_string(),
        state: if instance.ready_at.is_some() && instance.state == TaskState::Running {
            ui::badge("ready")
        } else {
            ui::badge(instance.state.as_str())
        },
        tries: instance.try_number,
        duration: ui::span_text(instance.started_at, instance.ended_at, now),
        class: ui::state_class(instance.state.as_str()),
        bar: axis.row(
            instance.queued_at.filter(|_| instance.state != TaskState::None),
            instance.started_at,
            ended,
        ),
        node: instance.node.clone().unwrap_or_default(),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 160 {
        line.chars().take(159).chain(['…']).collect()
    } else {
        line.to_string()
    }
}

#[derive(Deserialize)]
pub struct Cancel {
    csrf: String,
}

pub async fn cancel(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): Path<(String, String)>,
    Form(form): Form<Cancel>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    app.store.request_cancel(&dag, &run, &viewer.name, app.clock.now()).await?;
    Ok(Redirect::to(&ui::run_url(&dag, &run)))
}

#[derive(Deserialize)]
pub struct Clear {
    csrf: String,
    #[serde(default)]
    only_failed: bool,
    task: Option<String>,
}

pub async fn clear(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): Path<(String, String)>,
    Form(form): Form<Clear>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    let tasks = form.task.map(|task| vec![task]);
    app.store
        .clear(&dag, &run, tasks.as_deref(), form.only_failed, false, &viewer.name, app.clock.now())
        .await?;
    Ok(Redirect::to(&ui::run_url(&dag, &run)))
}
