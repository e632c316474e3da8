//! The top of each page about one dag: what it is, when it runs, its switch and its tabs.

use super::shell::Shell;
use crate::app::App;
use crate::error::PageError;
use crate::schedule_words;
use crate::ui::{self, Html};
use chrono::{DateTime, Utc};
use model::dag::{Catchup, Schedule};
use std::sync::Arc;
use store::views::dags::DagRow;

pub struct TagLink {
    pub name: String,
    pub href: String,
    pub current: bool,
}

impl TagLink {
    pub fn new(name: &str) -> TagLink {
        TagLink { name: name.to_string(), href: format!("/?tag={}", ui::enc(name)), current: false }
    }
}

pub struct DagHead {
    pub id: String,
    pub href: String,
    pub tab: &'static str,
    pub description: String,
    pub state: Html,
    pub tags: Vec<TagLink>,
    pub switch: Html,
    pub may_trigger: bool,
    /// It has past ticks that could be filled in.
    pub has_ticks: bool,
    pub present: bool,
    pub file: String,
    pub schedule: String,
    pub schedule_exact: String,
    pub window: String,
    pub next: Html,
    pub max_active: u32,
    pub catchup: String,
    pub version: i32,
    /// What to do when there are no runs.
    pub empty_words: String,
}

type Tab = (&'static str, &'static str, &'static str);

impl DagHead {
    pub fn new(app: &App, shell: &Shell, row: &DagRow, tab: &'static str) -> DagHead {
        let dag = &row.dag;
        let href = ui::dag_url(&row.dag_id);
        let manual = matches!(dag.schedule, Schedule::Manual);
        let empty_words = match (row.paused, manual) {
            (true, _) => "The dag is paused: switch it on, or trigger a run.",
            (false, true) => "This dag runs only by hand: trigger a run.",
            (false, false) => "The first comes with the next tick; or trigger one now.",
        };
        DagHead {
            switch: switch(shell, row, &href),
            id: row.dag_id.clone(),
            tab,
            description: dag.description.clone(),
            state: if row.paused {
                Html(r#"<span class="badge s-queued"><i aria-hidden="true">‖</i>paused</span>"#.into())
            } else {
                Html::default()
            },
            tags: dag.tags.iter().map(|tag| TagLink::new(tag)).collect(),
            may_trigger: shell.may_write() && row.present,
            has_ticks: row.present
                && matches!(
                    dag.schedule,
                    Schedule::Cron { .. } | Schedule::Every { .. } | Schedule::At { .. }
                ),
            present: row.present,
            file: row.file.clone(),
            schedule: schedule_words::of(&dag.schedule),
            schedule_exact: schedule_words::exact(&dag.schedule),
            window: schedule_words::window(dag),
            next: next_run(row, app.clock.now()),
            max_active: dag.max_active_runs,
            catchup: catchup_words(dag.catchup),
            version: row.version,
            empty_words: empty_words.into(),
            href,
        }
    }

    pub fn tabs(&self) -> Vec<Tab> {
        vec![
            ("grid", "", "Grid"),
            ("graph", "/graph", "Graph"),
            ("runs", "/runs", "Runs"),
            ("calendar", "/calendar", "Calendar"),
            ("ticks", "/ticks", "Ticks"),
            ("code", "/code", "Code"),
            ("trigger", "/trigger", "Trigger"),
        ]
    }
}

pub async fn find(app: &App, dag: &str) -> Result<DagRow, PageError> {
    app.store.dag_row(dag).await?.ok_or_else(|| PageError::NotFound(format!("There is no dag '{dag}'.")))
}

/// The newest version, or that of a run when it is another.
pub async fn version_of(app: &App, row: &DagRow, version_id: i64) -> Result<Arc<model::Dag>, PageError> {
    if version_id == row.version_id {
        Ok(row.dag.clone())
    } else {
        Ok(app.store.dag_version(version_id).await?)
    }
}

/// The next tick, or the oldest that has not been dealt with yet.
pub fn next_tick(row: &DagRow, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if row.paused || !row.present {
        return None;
    }
    let not_before = row.dag.start.map_or(now, |start| now.max(start));
    row.dag.schedule.next(not_before)
}

pub fn next_run(row: &DagRow, now: DateTime<Utc>) -> Html {
    next_tick(row, now).map_or_else(ui::dash, |at| ui::ago(at, now))
}

fn catchup_words(catchup: Catchup) -> String {
    match catchup {
        Catchup::None => "none".into(),
        Catchup::Latest => "the newest".into(),
        Catchup::All => "all".into(),
        Catchup::Limit(n) => format!("the last {n}"),
    }
}

/// On or off; a form for those who may, a picture for others.
pub fn switch(shell: &Shell, row: &DagRow, next: &str) -> Html {
    let on = !row.paused;
    let label = if on { "on" } else { "paused" };
    if !shell.may_write() {
        return Html(format!(
            r#"<span class="switch" role="switch" aria-checked="{on}" aria-disabled="true" aria-label="{} is {label}"></span>"#,
            ui::esc(&row.dag_id)
        ));
    }
    Html(format!(
        r#"<form class="inline" method="post" action="{}/pause"><input type="hidden" name="csrf" value="{}"><input type="hidden" name="paused" value="{on}"><input type="hidden" name="next" value="{}"><button class="switch" role="switch" aria-checked="{on}" aria-label="{} is {label}" title="{}"></button></form>"#,
        ui::esc(&ui::dag_url(&row.dag_id)),
        shell.viewer.csrf,
        ui::esc(next),
        ui::esc(&row.dag_id),
        if on { "Pause" } else { "Switch on" }
    ))
}
