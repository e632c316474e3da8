//! What a run promised and what was said about it: deadlines, questions to people, notices.

use super::approvals::Question;
use crate::app::App;
use crate::error::PageError;
use crate::ui::{self, Html};
use chrono::{DateTime, Utc};
use model::Dag;
use model::notify::FailedTask;
use std::collections::BTreeSet;
use store::views::approvals::ApprovalFilter;
use store::views::notifications::{NotificationFilter, NotificationRow};
use store::views::runs::RunRow;

const DEADLINES: i64 = 50;
const NOTICES: i64 = 50;
const QUESTIONS: i64 = 20;
const FAILED: i64 = 5;

pub struct Told {
    pub questions: Vec<Question>,
    pub missed: Vec<Deadline>,
    pub next: Option<Deadline>,
    pub notices: Vec<NoticeLine>,
    /// Of a run that goes on: what failed already and why, and how many there are.
    pub failed: (Vec<FailedTask>, i64),
    /// Pools that tasks of it wait for and that nobody has made.
    pub missing_pools: Vec<String>,
}

pub struct Deadline {
    pub of: String,
    pub due: Html,
}

pub struct NoticeLine {
    pub event: String,
    pub text: String,
    pub to: String,
    pub state: Html,
    pub when: Html,
    pub error: String,
}

pub async fn read(app: &App, run: &RunRow, dag: &Dag, now: DateTime<Utc>) -> Result<Told, PageError> {
    let open = ApprovalFilter {
        dag_id: Some(run.dag_id.clone()),
        run_id: Some(run.run_id.clone()),
        open: true,
        limit: QUESTIONS,
        offset: 0,
    };
    let questions = if run.state.is_final() { Vec::new() } else { app.store.list_approvals(&open).await?.0 };
    let deadlines = app.store.deadlines_of(run.id, DEADLINES).await?;
    let line = |task: i32, due: Html| Deadline {
        of: dag
            .tasks
            .get(usize::try_from(task).unwrap_or(usize::MAX))
            .map_or("the run".into(), |t| t.id.clone()),
        due,
    };
    let missed = deadlines.iter().filter(|deadline| deadline.missed_at.is_some());
    let next = deadlines.iter().find(|deadline| deadline.missed_at.is_none());
    let filter = NotificationFilter {
        dag_id: Some(run.dag_id.clone()),
        run_id: Some(run.run_id.clone()),
        limit: NOTICES,
        ..NotificationFilter::default()
    };
    let (notices, _) = app.store.list_notifications(&filter).await?;
    Ok(Told {
        questions: questions.into_iter().map(|row| Question::new(row, now)).collect(),
        missed: missed.map(|deadline| line(deadline.task, ui::full(deadline.due_at))).collect(),
        next: next.map(|deadline| line(deadline.task, ui::ago(deadline.due_at, now))),
        notices: notices.into_iter().map(|row| notice(row, now)).collect(),
        failed: if run.state.is_final() {
            (Vec::new(), 0)
        } else {
            app.store.failures_of(run.id, FAILED).await?
        },
        missing_pools: if run.state.is_final() { Vec::new() } else { missing_pools(app, dag).await? },
    })
}

async fn missing_pools(app: &App, dag: &Dag) -> Result<Vec<String>, PageError> {
    let named: BTreeSet<&String> = dag.tasks.iter().filter_map(|task| task.pool.as_ref()).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let pools = app.store.list_pools().await?;
    let is_there = |name: &str| pools.iter().any(|pool| pool.name == name && pool.slots.is_some());
    Ok(named.into_iter().filter(|name| !is_there(name)).cloned().collect())
}

fn notice(row: NotificationRow, now: DateTime<Utc>) -> NoticeLine {
    let (class, sign, word) = match row.state.as_str() {
        "sent" => ("s-success", "✓", "sent"),
        "dead" => ("s-failed", "✕", "given up"),
        _ => ("s-queued", "…", "waiting"),
    };
    let again = row.next_at.filter(|_| row.tries > 0).map(|at| format!(", again {}", ui::ago_text(at, now)));
    NoticeLine {
        event: row.event,
        text: row.text,
        to: target(&row.target),
        state: Html(format!(r#"<span class="badge {class}"><i aria-hidden="true">{sign}</i>{word}</span>"#)),
        when: ui::ago(row.sent_at.unwrap_or(row.created_at), now),
        error: row.error.map_or_else(String::new, |error| {
            format!(
                "{error} ({}{})",
                ui::plural(row.tries.max(0) as usize, "try", "tries"),
                again.unwrap_or_default()
            )
        }),
    }
}

/// Templates are not rendered, so there is no secret in it.
fn target(target: &serde_json::Value) -> String {
    let list = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_string)).collect()
    };
    if let Some(url) = target["http"]["url"].as_str() {
        return url.to_string();
    }
    list(&target["email"]["to"]).join(", ")
}
