//! One task instance: its tries, and the log of one of them, which grows while it runs.

use super::approvals::Question;
use super::figures;
use super::log::{self, line_html};
use super::run;
use super::run_tasks;
use super::shell::Shell;
use super::status;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use model::{Dag, TaskState};
use serde::Deserialize;
use store::views::approvals::ApprovalFilter;
use store::views::attempts::AttemptRow;
use store::views::instances::{InstanceFilter, InstanceRow};

/// How many lines a page shows at first.
const LINES: i64 = 2_000;
const ATTEMPTS: i64 = 200;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    shell: Shell,
    dag_id: String,
    dag_href: String,
    run_id: String,
    run_href: String,
    task_id: String,
    name: String,
    state: Html,
    message: Option<String>,
    bad: bool,
    may_act: bool,
    /// The item, as the forms want it.
    item: String,
    questions: Vec<Question>,
    kind: String,
    window: Html,
    facts: Vec<(&'static str, Html)>,
    siblings: Vec<Sibling>,
    tries: Vec<Try>,
    attempt: Option<AttemptLog>,
    lines_shown: i64,
    waiting_words: String,
    outputs: Option<String>,
    status: Option<Html>,
    with: String,
}

struct Sibling {
    name: String,
    href: String,
    current: bool,
    class: String,
    glyph: &'static str,
}

struct Try {
    name: String,
    href: String,
    current: bool,
    class: String,
    badge: Html,
}

struct AttemptLog {
    line: String,
    is_live: bool,
    is_empty: bool,
    cut: bool,
    lines: Html,
    raw_href: String,
    stream_href: String,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default = "plain")]
    pub map_index: i32,
    pub r#try: Option<i32>,
}

fn plain() -> i32 {
    -1
}

/// The instance; a mapped task asked for without an index gives its first item.
pub async fn find(
    app: &App,
    dag: &str,
    run: &str,
    task: &str,
    map_index: i32,
) -> Result<InstanceRow, PageError> {
    if let Some(instance) = app.store.instance(dag, run, task, map_index).await? {
        return Ok(instance);
    }
    let first = if map_index < 0 { app.store.instance(dag, run, task, 0).await? } else { None };
    first.ok_or_else(|| {
        PageError::NotFound(format!("The run '{run}' of '{dag}' has no task '{task}' (item {map_index})."))
    })
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Page {
    let run = run::find(&app, &dag_id, &run_id).await?;
    let instance = find(&app, &dag_id, &run_id, &task_id, asked.map_index).await?;
    let dag = app.store.dag_version(run.version_id).await?;
    let now = app.clock.now();
    let attempts = app.store.attempts_of(instance.run, instance.task, instance.map_index, ATTEMPTS).await?;
    let newest = newest_of_each_try(&attempts);
    let chosen = match asked.r#try {
        Some(number) => newest.iter().find(|a| a.try_number == number).copied(),
        None => newest.last().copied(),
    };
    let attempt = match chosen {
        Some(attempt) => Some(attempt_log(&app, &instance, attempt, now).await?),
        None => None,
    };
    let status = match chosen {
        Some(attempt) if attempt.is_service => app.store.service_status(attempt.id).await?,
        _ => None,
    };
    let task = dag.tasks.get(instance.task as usize);
    let base = ui::task_url(&dag_id, &run_id, &task_id, instance.map_index);
    let shell = Shell::new(&app, viewer, "dags", format!("{task_id} · {run_id}"), base.clone());
    show(&TaskPage {
        name: run_tasks::instance_name(&dag, &instance),
        state: ui::badge(instance.state.as_str()),
        message: message(&instance, chosen),
        bad: chosen.is_some_and(|a| matches!(a.next_state.as_deref(), Some("failed" | "up_for_retry"))),
        may_act: shell.may_write(),
        item: if instance.map_index < 0 { String::new() } else { instance.map_index.to_string() },
        questions: questions(&app, &instance, now).await?,
        kind: task.map_or_else(String::new, |task| task.uses.clone()),
        window: ui::window(run.window),
        facts: facts(&instance, chosen, now),
        siblings: siblings(&app, &dag, &instance).await?,
        tries: newest.iter().map(|a| try_tab(a, &base, chosen)).collect(),
        attempt,
        lines_shown: LINES,
        waiting_words: waiting_words(&dag, &instance, now),
        outputs: chosen.and_then(|a| a.outputs.as_ref()).or(instance.outputs.as_ref()).map(figures::pretty),
        status: status.map(|(value, _)| status::draw(&value, "status", now).html),
        with: task.map_or_else(String::new, |task| figures::pretty(&task.with)),
        dag_href: ui::dag_url(&dag_id),
        run_href: ui::run_url(&dag_id, &run_id),
        dag_id,
        run_id,
        task_id,
        shell,
    })
}

/// What is worth saying about the end: a success needs no words.
fn message(instance: &InstanceRow, attempt: Option<&AttemptRow>) -> Option<String> {
    match attempt {
        Some(attempt) if attempt.next_state.as_deref() == Some("success") => None,
        Some(attempt) => attempt.message.clone(),
        None => instance.message.clone(),
    }
}

/// A wait that looks again and again makes one attempt a look; its try shows the newest.
fn newest_of_each_try(attempts: &[AttemptRow]) -> Vec<&AttemptRow> {
    let mut newest: Vec<&AttemptRow> = Vec::new();
    for attempt in attempts {
        match newest.last_mut() {
            Some(last) if last.try_number == attempt.try_number => *last = attempt,
            _ => newest.push(attempt),
        }
    }
    newest
}

/// The colour of an attempt: that of the state it led to.
fn attempt_state(attempt: &AttemptRow) -> &str {
    match attempt.state.as_str() {
        "lost" => "lost",
        state => attempt.next_state.as_deref().unwrap_or(state),
    }
}

fn try_tab(attempt: &AttemptRow, base: &str, chosen: Option<&AttemptRow>) -> Try {
    let join = if base.contains('?') { '&' } else { '?' };
    let state = attempt_state(attempt);
    Try {
        name: format!("Try {}", attempt.try_number),
        href: format!("{base}{join}try={}", attempt.try_number),
        current: chosen.is_some_and(|c| c.id == attempt.id),
        class: ui::state_class(state),
        badge: Html(format!(
            r#"<span class="badge {}"><i aria-hidden="true">{}</i>{}</span>"#,
            ui::state_class(state),
            ui::glyph(state),
            ending_words(attempt)
        )),
    }
}

fn ending_words(attempt: &AttemptRow) -> String {
    match attempt.state.as_str() {
        "done" => "success".into(),
        "failed_for_good" => "failed, no retry".into(),
        "poke" => "looked".into(),
        other => ui::esc(&ui::state_words(other)),
    }
}

fn facts(
    instance: &InstanceRow,
    attempt: Option<&AttemptRow>,
    now: DateTime<Utc>,
) -> Vec<(&'static str, Html)> {
    let mut facts = Vec::new();
    if let Some(attempt) = attempt {
        facts.push(("Queued", ui::full(attempt.queued_at)));
        if let Some(started) = attempt.started_at {
            facts.push(("Started", ui::full(started)));
            facts.push(("Waited", Html(ui::duration(started - attempt.queued_at))));
            facts.push(("Duration", Html(ui::span_text(Some(started), attempt.ended_at, now))));
        }
        if let Some(ready) = attempt.ready_at {
            facts.push(("Ready", ui::full(ready)));
        }
        facts.push(("Node", Html(ui::esc(attempt.node.as_deref().unwrap_or("–")))));
        facts.push(("Attempt", Html(attempt.id.to_string())));
    }
    if let Some(next) = instance.next_at {
        facts.push(("Again", ui::ago(next, now)));
    }
    facts
}

/// The question that it asks, while it waits for the answer.
async fn questions(
    app: &App,
    instance: &InstanceRow,
    now: DateTime<Utc>,
) -> Result<Vec<Question>, PageError> {
    if instance.state != TaskState::UpForReschedule {
        return Ok(Vec::new());
    }
    let filter = ApprovalFilter {
        dag_id: Some(instance.dag_id.clone()),
        run_id: Some(instance.run_id.clone()),
        open: true,
        limit: 1_000,
        offset: 0,
    };
    let (mut rows, _) = app.store.list_approvals(&filter).await?;
    rows.retain(|row| row.task_id == instance.task_id && row.map_index == instance.map_index);
    Ok(rows.into_iter().map(|row| Question::new(row, now)).collect())
}

async fn siblings(app: &App, dag: &Dag, instance: &InstanceRow) -> Result<Vec<Sibling>, PageError> {
    if instance.map_index < 0 {
        return Ok(Vec::new());
    }
    let filter = InstanceFilter {
        dag_id: Some(instance.dag_id.clone()),
        run_id: Some(instance.run_id.clone()),
        task_id: Some(instance.task_id.clone()),
        limit: 200,
        ..InstanceFilter::default()
    };
    let (rows, _) = app.store.list_instances(&filter).await?;
    let prefix = format!("{} · ", instance.task_id);
    Ok(rows
        .iter()
        .map(|row| Sibling {
            name: run_tasks::instance_name(dag, row).trim_start_matches(&prefix).to_string(),
            href: ui::task_url(&row.dag_id, &row.run_id, &row.task_id, row.map_index),
            current: row.map_index == instance.map_index,
            class: ui::state_class(row.state.as_str()),
            glyph: ui::glyph(row.state.as_str()),
        })
        .collect())
}

fn waiting_words(dag: &Dag, instance: &InstanceRow, now: DateTime<Utc>) -> String {
    let needs = dag.tasks.get(instance.task as usize).map_or(&[][..], |task| &task.needs);
    let names: Vec<&str> =
        needs.iter().filter_map(|&n| dag.tasks.get(n)).map(|task| task.id.as_str()).collect();
    match (instance.state, instance.next_at) {
        (TaskState::None, _) if !names.is_empty() => format!("It waits for {}.", names.join(", ")),
        (_, Some(next)) => format!("It is tried again {}.", ui::ago_text(next, now)),
        (state, _) => format!("It is {}.", ui::state_words(state.as_str())),
    }
}

async fn attempt_log(
    app: &App,
    instance: &InstanceRow,
    attempt: &AttemptRow,
    now: DateTime<Utc>,
) -> Result<AttemptLog, PageError> {
    let lines = app.store.log_tail(attempt.id, LINES).await?;
    let after = lines.last().map_or(-1, |line| line.seq);
    let base = format!(
        "{}/tasks/{}/log",
        ui::run_url(&instance.dag_id, &instance.run_id),
        ui::enc(&instance.task_id)
    );
    let query = format!("map_index={}&attempt={}", instance.map_index, attempt.id);
    let words = match attempt.ended_at {
        Some(ended) => format!("{}, {}", ending_words(attempt), ui::ago_text(ended, now)),
        None => attempt.state.clone(),
    };
    Ok(AttemptLog {
        line: words,
        is_live: attempt.is_live(),
        is_empty: lines.is_empty(),
        cut: lines.first().is_some_and(|line| line.seq > 0),
        lines: Html(lines.iter().map(line_html).collect()),
        raw_href: format!("{base}/raw?{query}"),
        stream_href: log::stream_href(&base, &query, after),
    })
}
