//! All runs of a dag, newest first.

use super::dag_calendar;
use super::dag_head::{self, DagHead};
use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, NaiveDate, Utc};
use model::RunState;
use serde::Deserialize;
use store::views::runs::{RunFilter, RunRow};

const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "dag_runs.html")]
struct RunsPage {
    shell: Shell,
    head: DagHead,
    chips: Vec<Chip>,
    rows: Vec<RunLine>,
    pager: Html,
}

pub struct Chip {
    pub name: String,
    pub href: String,
    pub current: bool,
}

struct RunLine {
    id: String,
    href: String,
    note: Option<String>,
    state: Html,
    window: Html,
    run_after: Html,
    started: Html,
    duration: String,
    version: i32,
    who: String,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    state: String,
    /// A local day of the schedule, from the calendar.
    day: Option<NaiveDate>,
    offset: Option<i64>,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let paging = Paging::new(PAGE, asked.offset);
    let state: Option<RunState> = asked.state.parse().ok();
    let (from, to) = asked.day.map(|day| dag_calendar::day_bounds(&row.dag.schedule, day)).unzip();
    let filter = RunFilter {
        dag_id: Some(dag.clone()),
        states: state.into_iter().collect(),
        run_after_from: from,
        run_after_to: to,
        limit: paging.limit,
        offset: paging.offset,
        ..RunFilter::default()
    };
    let (runs, total) = app.store.list_runs(&filter).await?;
    let base = format!("{}/runs", ui::dag_url(&dag));
    let shell = Shell::new(&app, viewer, "dags", format!("{dag} runs"), base.clone());
    let day = asked.day.map_or_else(String::new, |day| format!("day={day}&"));
    let mut chips =
        vec![Chip { name: "all".into(), href: format!("{base}?{day}"), current: state.is_none() }];
    chips.extend(RunState::ALL.iter().map(|s| Chip {
        name: s.to_string(),
        href: format!("{base}?{day}state={s}"),
        current: state == Some(*s),
    }));
    if let Some(day) = asked.day {
        chips.push(Chip { name: format!("{day} ✕"), href: base.clone(), current: true });
    }
    let now = app.clock.now();
    show(&RunsPage {
        head: DagHead::new(&app, &shell, &row, "runs"),
        chips,
        pager: paging.links(
            &format!("{base}?{day}state={}&", state.map_or("", RunState::as_str)),
            runs.len(),
            total,
        ),
        rows: runs.into_iter().map(|run| line(run, now)).collect(),
        shell,
    })
}

fn line(run: RunRow, now: DateTime<Utc>) -> RunLine {
    RunLine {
        href: ui::run_url(&run.dag_id, &run.run_id),
        state: ui::badge(run.state.as_str()),
        window: ui::window(run.window),
        run_after: ui::minute(run.run_after),
        started: run.started_at.map_or_else(ui::dash, |at| ui::ago(at, now)),
        duration: ui::span_text(run.started_at, run.ended_at, now),
        version: run.version,
        who: run.requested_by,
        note: run.note,
        id: run.run_id,
    }
}
