//! Is the system well, and if not, what is wrong.

use super::figures;
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::health;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::State;
use chrono::{DateTime, Utc};
use store::views::health::{Health, NodeHealth};

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    shell: Shell,
    overall: Html,
    parts: Vec<PartCard>,
    nodes: Vec<NodeLine>,
    duties: Vec<DutyLine>,
    /// Name, count, and whether it holds.
    invariants: Vec<(String, String, bool)>,
    tables: Vec<TableLine>,
    /// What went for its age, how many, and when some went last.
    pruned: Vec<(String, i64, Html)>,
    stats: Vec<(String, String)>,
}

struct PartCard {
    name: &'static str,
    state: Html,
    words: String,
}

struct NodeLine {
    name: String,
    href: Option<String>,
    state: Html,
    place: String,
    version: String,
    slots: String,
    since: Html,
    seen: Html,
    ended: String,
}

struct DutyLine {
    name: String,
    node: String,
    term: i64,
    state: Html,
}

struct TableLine {
    name: String,
    rows: String,
    dead: String,
    size: String,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer) -> Page {
    let now = app.clock.now();
    let found = app.store.health(now).await;
    let mut parts = match &found {
        Ok(found) => health::parts(found, now),
        Err(error) => vec![health::database_away(error)],
    };
    parts.extend((app.node_parts)());
    let word = |healthy: bool| if healthy { "healthy" } else { "unhealthy" };
    let stats = (app.stats)();
    let mut page = HealthPage {
        shell: Shell::new(&app, viewer, "health", "Health", "/health"),
        overall: ui::badge(word(parts.iter().all(|part| part.healthy))),
        parts: parts
            .into_iter()
            .map(|part| PartCard { name: part.name, state: ui::badge(word(part.healthy)), words: part.words })
            .collect(),
        nodes: Vec::new(),
        duties: Vec::new(),
        invariants: Vec::new(),
        tables: Vec::new(),
        pruned: Vec::new(),
        stats: if stats.as_object().is_some_and(serde_json::Map::is_empty) {
            Vec::new()
        } else {
            figures::flat(&stats)
        },
    };
    if let Ok(found) = &found {
        page.tell(found, now);
    }
    show(&page)
}

impl HealthPage {
    /// What only the store knows.
    fn tell(&mut self, found: &Health, now: DateTime<Utc>) {
        let invariants = serde_json::to_value(&found.invariants).unwrap_or_default();
        self.nodes = found.nodes.iter().map(|node| node_line(node, now)).collect();
        self.duties = duties(found, now);
        self.invariants = figures::flat(&invariants)
            .into_iter()
            .map(|(name, count)| {
                let holds = count == "0";
                (name.replace('_', " "), count, holds)
            })
            .collect();
        self.tables = tables(found);
        self.pruned = found.pruned.iter().map(|row| pruned_line(row, now)).collect();
    }
}

fn node_line(node: &NodeHealth, now: DateTime<Utc>) -> NodeLine {
    NodeLine {
        name: node.name.clone(),
        href: node.http_url.clone().filter(|_| node.ended_at.is_none()),
        state: Html(match node.ended_at {
            None => r#"<span class="badge s-healthy"><i aria-hidden="true">✓</i>live</span>"#.into(),
            Some(_) => r#"<span class="badge s-cancelled"><i aria-hidden="true">–</i>ended</span>"#.into(),
        }),
        place: format!("{} · {}", node.host, node.pid),
        version: node.version.clone(),
        slots: format!("{} + {}", node.used_slots, node.used_service_slots),
        since: ui::ago(node.registered_at, now),
        seen: ui::ago(node.last_seen_at, now),
        ended: node.ended_reason.clone().unwrap_or_default(),
    }
}

fn pruned_line(row: &store::retention::Pruning, now: DateTime<Utc>) -> (String, i64, Html) {
    (row.what.replace('_', " "), row.removed, ui::ago(row.last_at, now))
}

fn duties(health: &Health, now: DateTime<Utc>) -> Vec<DutyLine> {
    let line = |duty: &store::views::health::DutyHealth| DutyLine {
        name: duty.name.clone(),
        node: duty.node_name.clone().unwrap_or_else(|| "–".into()),
        term: duty.term,
        state: Html(if duty.expires_at > now {
            "held".into()
        } else {
            r#"<span class="muted">free</span>"#.into()
        }),
    };
    health.duties.iter().map(line).collect()
}

fn size(bytes: i64) -> String {
    match bytes {
        1_000_000.. => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{} kB", bytes / 1000),
    }
}

fn tables(health: &Health) -> Vec<TableLine> {
    let line = |table: &store::views::health::TableHealth| TableLine {
        name: table.name.clone(),
        rows: ui::number(table.rows as f64),
        dead: ui::number(table.dead_rows as f64),
        size: size(table.bytes),
    };
    health.tables.iter().map(line).collect()
}
