//! Backfills: those there are, how far one is, and the form that shows a plan before it is carried out.

use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::svg::share;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::views::backfills::{BackfillFilter, BackfillRow};
use store::views::runs::RunFilter;

const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "backfills.html")]
struct ListPage {
    shell: Shell,
    dag: String,
    rows: Vec<BackfillLine>,
    pager: Html,
}

struct BackfillLine {
    id: i64,
    dag: String,
    dag_href: String,
    from: Html,
    to: Html,
    state: Html,
    share: Html,
    done: String,
    planned: i32,
    taken: i32,
    reprocess: String,
    backwards: bool,
    max_active: i32,
    who: String,
    reason: String,
    created: Html,
    ended: Html,
    is_open: bool,
    is_paused: bool,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    dag: String,
    offset: Option<i64>,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer, Query(asked): Query<Asked>) -> Page {
    let paging = Paging::new(PAGE, asked.offset);
    let filter = BackfillFilter {
        dag_id: Some(asked.dag.clone()).filter(|dag| !dag.is_empty()),
        limit: paging.limit,
        offset: paging.offset,
        ..BackfillFilter::default()
    };
    let (rows, total) = app.store.list_backfills(&filter).await?;
    let now = app.clock.now();
    show(&ListPage {
        shell: Shell::new(&app, viewer, "backfills", "Backfills", "/backfills"),
        pager: paging.links(&format!("/backfills?dag={}&", ui::enc(&asked.dag)), rows.len(), total),
        rows: rows.iter().map(|row| line(row, now)).collect(),
        dag: asked.dag,
    })
}

fn line(row: &BackfillRow, now: DateTime<Utc>) -> BackfillLine {
    let done = row.success + row.failed + row.cancelled;
    let state = match row.state.as_str() {
        "running" => ui::badge("running"),
        "completed" => ui::badge(if row.failed > 0 { "failed" } else { "success" }),
        "paused" => Html(r#"<span class="badge s-queued"><i aria-hidden="true">‖</i>paused</span>"#.into()),
        other => ui::badge(other),
    };
    BackfillLine {
        id: row.id,
        dag_href: ui::dag_url(&row.dag_id),
        dag: row.dag_id.clone(),
        from: ui::minute(row.from_at),
        to: ui::minute(row.to_at),
        state,
        share: share::bar(&[
            ("success", row.success),
            ("failed", row.failed),
            ("cancelled", row.cancelled),
            ("running", row.running),
            ("queued", row.queued),
        ]),
        done: format!(
            "{} of {}",
            ui::number(done as f64),
            ui::number(f64::from(row.runs_planned - row.runs_taken))
        ),
        planned: row.runs_planned,
        taken: row.runs_taken,
        reprocess: match row.reprocess.as_str() {
            "none" => "gaps only".into(),
            "failed" => "gaps and what failed".into(),
            _ => "gaps and all that ended".into(),
        },
        backwards: row.run_backwards,
        max_active: row.max_active_runs,
        who: row.requested_by.clone(),
        reason: row.reason.clone(),
        created: ui::ago(row.created_at, now),
        ended: row.ended_at.map_or_else(ui::dash, |at| ui::ago(at, now)),
        is_open: row.ended_at.is_none(),
        is_paused: row.state == "paused",
    }
}

#[derive(Template)]
#[template(path = "backfill.html")]
struct OnePage {
    shell: Shell,
    b: BackfillLine,
    params: Vec<(String, String)>,
    runs: Vec<RunLine>,
    pager: Html,
}

struct RunLine {
    id: String,
    href: String,
    state: Html,
    window: Html,
    started: Html,
    duration: String,
}

#[derive(Deserialize)]
pub struct AskedOne {
    offset: Option<i64>,
}

pub async fn one(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(id): Path<i64>,
    Query(asked): Query<AskedOne>,
) -> Page {
    let row = app.store.backfill(id).await?;
    let row = row.ok_or_else(|| PageError::NotFound(format!("There is no backfill {id}.")))?;
    let paging = Paging::new(PAGE, asked.offset);
    let filter = RunFilter {
        dag_id: Some(row.dag_id.clone()),
        backfill: Some(id),
        ascending: !row.run_backwards,
        limit: paging.limit,
        offset: paging.offset,
        ..RunFilter::default()
    };
    let (runs, total) = app.store.list_runs(&filter).await?;
    let now = app.clock.now();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    show(&OnePage {
        shell: Shell::new(&app, viewer, "backfills", format!("Backfill {id}"), format!("/backfills/{id}")),
        b: line(&row, now),
        params: row.params.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect(),
        pager: paging.links_by(&format!("/backfills/{id}?offset="), ["Before", "After"], runs.len(), total),
        runs: runs
            .into_iter()
            .map(|run| RunLine {
                href: ui::run_url(&run.dag_id, &run.run_id),
                state: ui::badge(run.state.as_str()),
                window: ui::window(run.window),
                started: run.started_at.map_or_else(ui::dash, |at| ui::ago(at, now)),
                duration: ui::span_text(run.started_at, run.ended_at, now),
                id: run.run_id,
            })
            .collect(),
    })
}

#[derive(Deserialize)]
pub struct Change {
    csrf: String,
    action: String,
    #[serde(default)]
    reason: String,
}

pub async fn change(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(id): Path<i64>,
    Form(form): Form<Change>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    apply(&app, id, &form, &viewer.name).await?;
    Ok(Redirect::to(&format!("/backfills/{id}")))
}

async fn apply(app: &App, id: i64, form: &Change, who: &str) -> Result<(), PageError> {
    let (now, reason) = (app.clock.now(), form.reason.trim());
    match form.action.as_str() {
        "pause" => app.store.pause_backfill(id, true, who, reason, now).await?,
        "unpause" => app.store.pause_backfill(id, false, who, reason, now).await?,
        "cancel" => {
            app.store.cancel_backfill(id, who, reason, now).await?;
        }
        _ => return Err(PageError::Conflict("Choose pause, unpause or cancel.".into())),
    }
    Ok(())
}
