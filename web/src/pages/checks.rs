//! Tests on data: the newest result of each, with its trend.

use super::dag_runs::Chip;
use super::figures;
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::svg::spark::{self, Point};
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use model::{CheckStatus, Severity};
use serde::Deserialize;
use store::views::check_results::CheckRow;

#[derive(Template)]
#[template(path = "checks.html")]
struct ChecksPage {
    shell: Shell,
    summary: String,
    chips: Vec<Chip>,
    filtered: bool,
    rows: Vec<CheckLine>,
}

/// A row of a table of checks.
pub struct CheckLine {
    pub name: String,
    /// For the page to keep an opened row open.
    pub key: String,
    pub subject: String,
    pub warn_only: bool,
    pub status: Html,
    pub value: String,
    pub bounds: String,
    pub trend: Html,
    pub at: Html,
    pub href: String,
    pub run_id: String,
    pub sql: Option<String>,
    pub sample: Html,
    pub has_details: bool,
    pub summary: String,
}

pub fn status_word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "fail",
    }
}

impl CheckLine {
    pub fn new(check: CheckRow, now: DateTime<Utc>) -> CheckLine {
        let points: Vec<Point> =
            check.trend.iter().map(|p| Point { value: p.value, status: status_word(p.status) }).collect();
        let failing = check.sample.as_array().map_or(0, Vec::len);
        let key: String =
            check.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        CheckLine {
            key: format!("check-{key}"),
            status: ui::badge(status_word(check.status)),
            warn_only: check.severity == Severity::Warn,
            value: ui::number(check.value),
            trend: if points.is_empty() { ui::dash() } else { spark::draw(&points) },
            at: ui::ago(check.at, now),
            href: ui::task_url(&check.dag_id, &check.run_id, &check.task_id, check.map_index),
            sample: figures::table(&check.sample),
            has_details: failing > 0 || check.sql.is_some(),
            summary: if failing > 0 {
                ui::plural(failing, "failing row", "failing rows")
            } else {
                "query".into()
            },
            name: check.name,
            subject: check.subject,
            bounds: check.bounds,
            run_id: check.run_id,
            sql: check.sql,
        }
    }
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    status: String,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer, Query(asked): Query<Asked>) -> Page {
    let all = app.store.newest_checks(1_000).await?;
    let count = |status: CheckStatus| all.iter().filter(|check| check.status == status).count();
    let (passed, warned, failed) =
        (count(CheckStatus::Pass), count(CheckStatus::Warn), count(CheckStatus::Fail));
    let chip = |word: &str, n: usize| Chip {
        name: format!("{word} {n}"),
        href: if word == "all" { "/checks".into() } else { format!("/checks?status={word}") },
        current: asked.status == word || (word == "all" && asked.status.is_empty()),
    };
    let now = app.clock.now();
    let shown =
        all.iter().filter(|check| asked.status.is_empty() || status_word(check.status) == asked.status);
    show(&ChecksPage {
        shell: Shell::new(&app, viewer, "checks", "Checks", "/checks"),
        summary: ui::plural(all.len(), "test on data", "tests on data"),
        chips: vec![chip("all", all.len()), chip("fail", failed), chip("warn", warned), chip("pass", passed)],
        filtered: !asked.status.is_empty(),
        rows: shown.map(|check| CheckLine::new(check.clone(), now)).collect(),
    })
}
