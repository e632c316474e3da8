//! The list of dags: what runs when, and how it went lately. Problems of files come first.

use super::dag_head::{self, TagLink};
use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use chrono::{DateTime, Utc};
use model::RunState;
use serde::Deserialize;
use store::views::dags::{DagFilter, DagRow};
use store::views::problems::FileProblem;
use store::views::runs::RunRow;

const RECENT: i64 = 14;
const PAGE: i64 = 100;

#[derive(Template)]
#[template(path = "dags.html")]
struct DagsPage {
    shell: Shell,
    count: String,
    problems: Vec<ProblemLine>,
    problem_count: String,
    q: String,
    tag: String,
    paused: String,
    states: Vec<(&'static str, bool)>,
    tags: Vec<TagLink>,
    filtered: bool,
    recent: i64,
    rows: Vec<DagLine>,
    pager: Html,
}

struct ProblemLine {
    place: String,
    message: String,
    hint: Option<String>,
}

struct DagLine {
    id: String,
    href: String,
    description: String,
    tags: Vec<TagLink>,
    schedule: String,
    schedule_exact: String,
    last: Html,
    last_when: Html,
    bars: Vec<Bar>,
    next: Html,
    switch: Html,
    /// What the search as you type looks through.
    text: String,
}

struct Bar {
    class: String,
    href: String,
    title: String,
    bar: Html,
}

#[derive(Deserialize, Default)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    paused: String,
    offset: Option<i64>,
}

pub async fn to_root() -> Redirect {
    Redirect::permanent("/")
}

pub async fn page(State(app): State<Shared>, viewer: Viewer, Query(asked): Query<Asked>) -> Page {
    let paging = Paging::new(PAGE, asked.offset);
    let filter = DagFilter {
        search: Some(asked.q.clone()).filter(|q| !q.trim().is_empty()),
        tags: Some(asked.tag.clone()).filter(|tag| !tag.is_empty()).into_iter().collect(),
        paused: asked.paused.parse().ok(),
        last_state: asked.state.parse().ok(),
        recent: RECENT,
        limit: paging.limit,
        offset: paging.offset,
        ..DagFilter::default()
    };
    let (rows, total) = app.store.list_dags(&filter).await?;
    let (problems, problem_total) = app.store.list_problems(50, 0).await?;
    let tags = app.store.dag_tags().await?;
    let shell = Shell::new(&app, viewer, "dags", "Dags", "/");
    let base = format!(
        "/?q={}&tag={}&state={}&paused={}&",
        ui::enc(&asked.q),
        ui::enc(&asked.tag),
        ui::enc(&asked.state),
        ui::enc(&asked.paused)
    );
    let now = app.clock.now();
    show(&DagsPage {
        count: ui::plural(total.max(0) as usize, "dag", "dags"),
        problems: problems.into_iter().map(problem_line).collect(),
        problem_count: ui::plural(problem_total.max(0) as usize, "problem", "problems"),
        states: RunState::ALL.iter().map(|s| (s.as_str(), s.as_str() == asked.state)).collect(),
        tags: tag_links(tags, &asked.tag),
        filtered: filter.search.is_some()
            || !filter.tags.is_empty()
            || filter.paused.is_some()
            || filter.last_state.is_some(),
        recent: RECENT,
        pager: paging.links(&base, rows.len(), total),
        rows: rows.into_iter().map(|row| dag_line(&app, &shell, row, now)).collect(),
        q: asked.q,
        tag: asked.tag,
        paused: asked.paused,
        shell,
    })
}

fn problem_line(found: FileProblem) -> ProblemLine {
    let problem = found.problem;
    let place = match problem.line {
        0 => problem.file,
        line => format!("{}:{line}:{}", problem.file, problem.column),
    };
    ProblemLine { place, message: problem.message, hint: problem.hint }
}

/// Each tag is a filter; the current one leads back to all.
fn tag_links(tags: Vec<(String, i64)>, current: &str) -> Vec<TagLink> {
    let link = |(name, _): (String, i64)| {
        let is_current = name == current;
        let href = if is_current { "/".into() } else { format!("/?tag={}", ui::enc(&name)) };
        TagLink { name, href, current: is_current }
    };
    tags.into_iter().map(link).collect()
}

fn dag_line(app: &App, shell: &Shell, row: DagRow, now: DateTime<Utc>) -> DagLine {
    let last = row.recent.last();
    let seconds = |run: &RunRow| {
        ui::span(run.started_at, run.ended_at, now).map_or(0.0, |d| d.num_milliseconds() as f64 / 1000.0)
    };
    let longest = row.recent.iter().map(&seconds).fold(0.0, f64::max);
    let bars = row.recent.iter().map(|run| Bar {
        class: ui::state_class(run.state.as_str()),
        href: ui::run_url(&run.dag_id, &run.run_id),
        title: run_title(run, now),
        bar: ui::bar(seconds(run), longest),
    });
    let tags = row.dag.tags.iter().map(|tag| TagLink::new(tag)).collect::<Vec<_>>();
    DagLine {
        href: ui::dag_url(&row.dag_id),
        description: row.dag.description.clone(),
        schedule: crate::schedule_words::of(&row.dag.schedule),
        schedule_exact: crate::schedule_words::exact(&row.dag.schedule),
        last: last.map_or_else(ui::dash, |run| ui::badge(run.state.as_str())),
        last_when: last
            .map_or_else(Html::default, |run| ui::ago(run.started_at.unwrap_or(run.queued_at), now)),
        bars: bars.collect(),
        next: dag_head::next_run(&row, app.clock.now()),
        switch: dag_head::switch(shell, &row, "/"),
        text: format!("{} {} {}", row.dag_id, row.dag.description, row.dag.tags.join(" ")).to_lowercase(),
        tags,
        id: row.dag_id,
    }
}

/// State, duration and window of a run, for titles.
pub fn run_title(run: &RunRow, now: DateTime<Utc>) -> String {
    let window = run.window.map(|w| format!(", window {}", ui::window_text(w))).unwrap_or_default();
    format!("{}: {}, {}{window}", run.run_id, run.state, ui::span_text(run.started_at, run.ended_at, now))
}

#[derive(Deserialize)]
pub struct PauseForm {
    csrf: String,
    paused: bool,
    next: String,
}

pub async fn pause(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Form(form): Form<PauseForm>,
) -> Result<impl IntoResponse, PageError> {
    viewer.check_write(&form.csrf)?;
    app.store.set_paused(&dag, form.paused, &viewer.name, app.clock.now()).await?;
    Ok(Redirect::to(&super::login::local_path(&form.next)))
}
