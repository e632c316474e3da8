//! One run: its state, its tasks on a time axis, what its checks found, what was asked and told about it.

use super::checks::CheckLine;
use super::run_tasks::{self, Asked, Tasks};
use super::run_told::{self, Told};
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::svg::gantt::Axis;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use model::CheckStatus;
use store::views::runs::RunRow;

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
    tasks: Tasks,
    told: Told,
    backfill: Option<i64>,
    checks: Vec<CheckLine>,
    check_words: String,
}

pub async fn find(app: &App, dag: &str, run: &str) -> Result<RunRow, PageError> {
    match app.store.run_row(dag, run).await? {
        Some(row) => Ok(row),
        None => Err(PageError::NotFound(match app.store.pruned_at(dag, run).await? {
            Some(at) => format!(
                "The run '{run}' of '{dag}' was pruned on {}: history is kept for as long as keep_runs_days says.",
                at.format("%Y-%m-%d")
            ),
            None => format!("The dag '{dag}' has no run '{run}'."),
        })),
    }
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Page {
    let run = find(&app, &dag_id, &run_id).await?;
    let dag = app.store.dag_version(run.version_id).await?;
    let checks = app.store.checks_of_run(run.id).await?;
    let now = app.clock.now();
    let axis = Axis { start: run.started_at.unwrap_or(run.queued_at), end: run.ended_at.unwrap_or(now) };
    let tasks = run_tasks::read(&app, &run, &dag, &axis, &asked, now).await?;
    let told = run_told::read(&app, &run, &dag, now).await?;
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
        tasks,
        told,
        backfill: run.backfill,
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
