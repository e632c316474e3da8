//! The ledger of a dag: one row for each time it should have fired, and what was decided.

use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::views::ticks::TickRow;

const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "dag_ticks.html")]
struct TicksPage {
    shell: Shell,
    head: DagHead,
    rows: Vec<TickLine>,
    pager: Html,
}

struct TickLine {
    at: Html,
    /// How many ticks it is about, and since when, if there are several.
    since: Option<(i64, Html)>,
    decision: Html,
    /// Address and id of the run.
    run: Option<(String, String)>,
    reason: Html,
    decided: Html,
}

#[derive(Deserialize)]
pub struct Asked {
    before: Option<DateTime<Utc>>,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let mut ticks = app.store.ticks(&dag, asked.before, PAGE as i64 + 1).await?;
    let more = ticks.len() > PAGE;
    ticks.truncate(PAGE);
    let base = format!("{}/ticks", ui::dag_url(&dag));
    let older = ticks
        .last()
        .filter(|_| more)
        .map(|last| format!("{base}?before={}", ui::enc(&ui::rfc3339(last.tick_at))));
    let shell = Shell::new(&app, viewer, "dags", format!("{dag} ticks"), base.clone());
    let now = app.clock.now();
    show(&TicksPage {
        head: DagHead::new(&app, &shell, &row, "ticks"),
        rows: ticks.into_iter().map(|tick| line(&dag, tick, now)).collect(),
        pager: pager(&base, asked.before.is_some(), older),
        shell,
    })
}

fn pager(base: &str, paged: bool, older: Option<String>) -> Html {
    let newest =
        if paged { format!(r#"<a class="btn" href="{}">Newest</a>"#, ui::esc(base)) } else { String::new() };
    let older = older.map_or_else(String::new, |href| {
        format!(r#"<a class="btn" rel="next" href="{}">Older</a>"#, ui::esc(&href))
    });
    if newest.is_empty() && older.is_empty() {
        Html::default()
    } else {
        Html(format!(r#"<nav class="pager" aria-label="Pages">{newest}{older}</nav>"#))
    }
}

fn line(dag: &str, tick: TickRow, now: DateTime<Utc>) -> TickLine {
    let reason = match (tick.merged_into, tick.reason) {
        (Some(later), _) => Html(format!("taken together with {}", ui::minute(later))),
        (None, Some(reason)) => Html(ui::esc(&reason)),
        (None, None) => tick.run_state.as_deref().map_or_else(Html::default, ui::badge),
    };
    TickLine {
        at: ui::full(tick.tick_at),
        since: tick.first_at.map(|first| (tick.ticks, ui::full(first))),
        decision: ui::badge(&tick.decision),
        run: tick.run_id.map(|id| (ui::run_url(dag, &id), id)),
        reason,
        decided: ui::ago(tick.decided_at, now),
    }
}
