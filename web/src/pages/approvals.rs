//! Questions to people: what waits for an answer, and what was answered.

use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::approvals::ApprovalName;
use store::views::approvals::{ApprovalFilter, ApprovalRow};

const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    shell: Shell,
    open: Vec<Question>,
    open_words: String,
    decided: Vec<Question>,
    pager: Html,
}

/// Shown here, on the page of its task and on that of its run.
pub struct Question {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub item: String,
    pub run_href: String,
    pub href: String,
    pub prompt: String,
    pub asked: Html,
    pub decision: Html,
    pub by: String,
    pub at: Html,
    pub comment: String,
}

impl Question {
    pub fn new(row: ApprovalRow, now: DateTime<Utc>) -> Question {
        let class = match row.decision.as_deref() {
            Some("approved") => ("s-success", "✓", "approved"),
            Some(_) => ("s-failed", "✕", "rejected"),
            None => ("s-queued", "?", "open"),
        };
        Question {
            run_href: ui::run_url(&row.dag_id, &row.run_id),
            href: ui::task_url(&row.dag_id, &row.run_id, &row.task_id, row.map_index),
            item: if row.map_index < 0 { String::new() } else { format!(" [{}]", row.map_index) },
            asked: ui::ago(row.asked_at, now),
            decision: Html(format!(
                r#"<span class="badge {}"><i aria-hidden="true">{}</i>{}</span>"#,
                class.0, class.1, class.2
            )),
            by: row.decided_by.unwrap_or_default(),
            at: row.decided_at.map_or_else(ui::dash, |at| ui::ago(at, now)),
            prompt: row.prompt,
            comment: row.comment,
            dag_id: row.dag_id,
            run_id: row.run_id,
            task_id: row.task_id,
            map_index: row.map_index,
        }
    }
}

#[derive(Deserialize)]
pub struct Asked {
    offset: Option<i64>,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer, Query(asked): Query<Asked>) -> Page {
    let paging = Paging::new(PAGE, asked.offset);
    let open = ApprovalFilter { open: true, limit: PAGE * 4, ..ApprovalFilter::default() };
    let (open, total) = app.store.list_approvals(&open).await?;
    let all = ApprovalFilter { limit: paging.limit, offset: paging.offset, ..ApprovalFilter::default() };
    let (all, found) = app.store.list_approvals(&all).await?;
    let now = app.clock.now();
    let shown = all.len();
    show(&ApprovalsPage {
        shell: Shell::new(&app, viewer, "approvals", "Approvals", "/approvals"),
        open_words: ui::plural(total.max(0) as usize, "question waits", "questions wait"),
        open: open.into_iter().map(|row| Question::new(row, now)).collect(),
        decided: all
            .into_iter()
            .filter(|row| row.decision.is_some())
            .map(|row| Question::new(row, now))
            .collect(),
        pager: paging.links("/approvals?", shown, found),
    })
}

#[derive(Deserialize)]
pub struct Decision {
    csrf: String,
    dag: String,
    run: String,
    task: String,
    map_index: i32,
    decision: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    next: String,
}

pub async fn decide(
    State(app): State<Shared>,
    viewer: Viewer,
    Form(form): Form<Decision>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    let approved = match form.decision.as_str() {
        "approve" => true,
        "reject" => false,
        _ => return Err(PageError::Conflict("Choose approve or reject.".into())),
    };
    let name =
        ApprovalName { dag_id: &form.dag, run_id: &form.run, task_id: &form.task, map_index: form.map_index };
    app.store.decide_approval(name, approved, &viewer.name, form.comment.trim(), app.clock.now()).await?;
    let next = if form.next.is_empty() { "/approvals".into() } else { super::login::local_path(&form.next) };
    Ok(Redirect::to(&next))
}
