//! The audit log: who did what, when, to what, and why.

use super::pager::Paging;
use super::shell::Shell;
use super::{Page, figures, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::views::audit::AuditRow;

const PAGE: i64 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    dag: String,
    total: String,
    rows: Vec<AuditLine>,
    pager: Html,
}

struct AuditLine {
    at: Html,
    ago: Html,
    who: String,
    action: String,
    subject: String,
    href: Option<String>,
    reason: String,
    details: Vec<(String, String)>,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    dag: String,
    offset: Option<i64>,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer, Query(asked): Query<Asked>) -> Page {
    let paging = Paging::new(PAGE, asked.offset);
    let dag = Some(asked.dag.trim()).filter(|dag| !dag.is_empty());
    let (rows, total) = app.store.list_audit(dag, paging.limit, paging.offset).await?;
    let now = app.clock.now();
    show(&AuditPage {
        pager: paging.links(&format!("/audit?dag={}&", ui::enc(&asked.dag)), rows.len(), total),
        rows: rows.into_iter().map(|row| line(row, now)).collect(),
        total: ui::plural(total.max(0) as usize, "entry", "entries"),
        dag: asked.dag,
        shell: Shell::new(&app, viewer, "audit", "Audit", "/audit"),
    })
}

fn line(row: AuditRow, now: DateTime<Utc>) -> AuditLine {
    let mut details = figures::flat(&row.details);
    let reason = details.iter().position(|(name, _)| name == "reason").map(|at| details.remove(at).1);
    AuditLine {
        href: subject_url(&row.action, &row.subject),
        at: ui::full(row.at),
        ago: ui::ago(row.at, now),
        who: row.who,
        action: row.action,
        subject: row.subject,
        reason: reason.filter(|reason| reason != "–").unwrap_or_default(),
        details: details.into_iter().filter(|(name, _)| !name.is_empty()).take(12).collect(),
    }
}

/// The page of what it was done to: subjects are `dag`, `dag/run`, `dag/run/task`, `dag/backfill/id`, a pool or an asset.
fn subject_url(action: &str, subject: &str) -> Option<String> {
    let (room, _) = action.split_once('.')?;
    let mut parts = subject.splitn(3, '/');
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    match (room, second, third) {
        ("backfill", Some("backfill"), Some(id)) => Some(format!("/backfills/{id}")),
        ("run" | "task" | "approval", Some(run), _) => Some(ui::run_url(first, run)),
        ("dag", ..) => Some(ui::dag_url(first)),
        ("pool", ..) => Some("/pools".into()),
        ("asset", ..) => Some(format!("/lineage/{}", ui::enc(subject))),
        _ => None,
    }
}
