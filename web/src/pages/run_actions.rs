//! The forms that change a run: clear parts of it, say how tasks or the run ended, cancel it. Clearing and marking show first what they
//! would touch.

use super::run;
use super::run_scope::{self, Asked, Preview};
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use model::RunState;
use serde::Deserialize;
use store::audit::By;
use store::views::runs::RunRow;

#[derive(Template)]
#[template(path = "run_scope.html")]
struct ScopePage {
    shell: Shell,
    dag_id: String,
    dag_href: String,
    run_id: String,
    run_href: String,
    state: Html,
    /// clear or mark
    action: &'static str,
    title: &'static str,
    words: &'static str,
    names: Vec<String>,
    asked: Asked,
    hidden: Vec<(&'static str, String)>,
    may_write: bool,
    is_mark: bool,
    preview: Option<Preview>,
    problem: Option<String>,
}

type RunPath = Path<(String, String)>;

pub async fn clear_page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Query(asked): Query<Asked>,
) -> Page {
    scope_page(&app, viewer, &dag, &run, asked, false).await
}

pub async fn mark_page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Query(asked): Query<Asked>,
) -> Page {
    scope_page(&app, viewer, &dag, &run, asked, true).await
}

async fn scope_page(
    app: &App,
    viewer: Viewer,
    dag_id: &str,
    run_id: &str,
    asked: Asked,
    is_mark: bool,
) -> Page {
    let row = run::find(app, dag_id, run_id).await?;
    let dag = app.store.dag_version(row.version_id).await?;
    let run_href = ui::run_url(dag_id, run_id);
    let (action, title, words) = if is_mark {
        (
            "mark",
            "Mark tasks",
            "Say how tasks ended. What failed only because of them runs again, and the run goes on from there.",
        )
    } else {
        (
            "clear",
            "Clear tasks",
            "Cleared tasks run again, with the setups that they need. Running tasks are left alone.",
        )
    };
    let shell =
        Shell::new(app, viewer, "dags", format!("{title} · {run_id}"), format!("{run_href}/{action}"));
    let may_write = shell.may_write();
    let (mut preview, mut problem) = (None, None);
    if asked.preview && may_write {
        match touch(app, &row, &asked, is_mark, true, &shell.viewer.name).await {
            Ok(found) => preview = Some(found),
            Err(PageError::Conflict(message)) => problem = Some(message),
            Err(error) => return Err(error),
        }
    }
    show(&ScopePage {
        dag_id: dag_id.into(),
        dag_href: ui::dag_url(dag_id),
        run_id: run_id.into(),
        run_href,
        state: ui::badge(row.state.as_str()),
        action,
        title,
        words,
        names: run_scope::names(&dag),
        hidden: asked.hidden(),
        asked,
        may_write,
        is_mark,
        preview,
        problem,
        shell,
    })
}

async fn touch(
    app: &App,
    run: &RunRow,
    asked: &Asked,
    is_mark: bool,
    dry_run: bool,
    who: &str,
) -> Result<Preview, PageError> {
    if is_mark {
        run_scope::mark(app, run, asked, dry_run, who).await
    } else {
        run_scope::clear(app, run, asked, dry_run, who).await
    }
}

pub async fn clear(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Form(asked): Form<Asked>,
) -> Result<Redirect, PageError> {
    carry_out(&app, &viewer, &dag, &run, &asked, false).await
}

pub async fn mark(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Form(asked): Form<Asked>,
) -> Result<Redirect, PageError> {
    carry_out(&app, &viewer, &dag, &run, &asked, true).await
}

async fn carry_out(
    app: &App,
    viewer: &Viewer,
    dag: &str,
    run: &str,
    asked: &Asked,
    is_mark: bool,
) -> Result<Redirect, PageError> {
    viewer.check_write(&asked.csrf)?;
    let row = run::find(app, dag, run).await?;
    touch(app, &row, asked, is_mark, false, &viewer.name).await?;
    Ok(Redirect::to(&ui::run_url(dag, run)))
}

#[derive(Deserialize)]
pub struct RunForm {
    csrf: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    reason: String,
}

/// Says how the whole run ended.
pub async fn set_state(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Form(form): Form<RunForm>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    let state: Option<RunState> = form.state.parse().ok();
    let state = state.ok_or_else(|| PageError::Conflict("Choose success or failed.".into()))?;
    app.store.mark_run(&dag, &run, state, &viewer.name, form.reason.trim(), app.clock.now()).await?;
    Ok(Redirect::to(&ui::run_url(&dag, &run)))
}

pub async fn cancel(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag, run)): RunPath,
    Form(form): Form<RunForm>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    let by = By { who: &viewer.name, reason: form.reason.trim() };
    app.store.request_cancel(&dag, &run, by, app.clock.now()).await?;
    Ok(Redirect::to(&ui::run_url(&dag, &run)))
}
