//! Services: is each ready, since when, how often restarted, and what it tells of itself.

use super::run_tasks::instance_name;
use super::shell::Shell;
use super::status;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::error::PageError;
use crate::schedule_words::length;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::State;
use chrono::{DateTime, Utc};
use model::dag::TaskDef;
use model::probe::Ask;
use model::{Dag, TaskState};
use store::views::services::ServiceRow;

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    shell: Shell,
    rows: Vec<ServiceCard>,
}

struct ServiceCard {
    name: String,
    dag: String,
    href: String,
    state: Html,
    figures: Html,
    is_wide: bool,
    uptime: String,
    restarts: i64,
    node: String,
    told: Html,
    message: Option<String>,
    /// How it is asked whether it is ready, and whether it lives.
    probes: Vec<(&'static str, String)>,
    ready_since: Option<Html>,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer) -> Page {
    let mut rows = Vec::new();
    for service in app.store.services().await? {
        let dag = app.store.dag_version(service.instance.version_id).await.map_err(PageError::from)?;
        rows.push(card(service, &dag, app.clock.now()));
    }
    show(&ServicesPage { shell: Shell::new(&app, viewer, "services", "Services", "/services"), rows })
}

/// A running service is either ready or still starting.
pub fn state_word(service: &ServiceRow) -> &'static str {
    match service.instance.state {
        TaskState::Running if service.ready_at().is_some() => "ready",
        TaskState::Running => "starting",
        other => other.as_str(),
    }
}

fn card(service: ServiceRow, dag: &Dag, now: DateTime<Utc>) -> ServiceCard {
    let instance = &service.instance;
    let id = format!("{}-{}-{}", instance.dag_id, instance.task_id, instance.map_index);
    let told = service.status.as_ref().map(|(status, _)| status::draw(status, &id, now)).unwrap_or_default();
    ServiceCard {
        name: instance_name(dag, instance),
        href: ui::task_url(&instance.dag_id, &instance.run_id, &instance.task_id, instance.map_index),
        state: ui::badge(state_word(&service)),
        figures: told.html,
        is_wide: told.is_wide,
        uptime: ui::span_text(service.live_since, None, now),
        restarts: service.restarts,
        node: instance.node.clone().unwrap_or_else(|| "–".into()),
        told: service.status.as_ref().map_or_else(|| Html("none yet".into()), |(_, at)| ui::ago(*at, now)),
        message: instance.message.clone(),
        probes: dag.tasks.get(instance.task as usize).map(probes).unwrap_or_default(),
        ready_since: service.ready_at().map(|at| ui::ago(at, now)),
        dag: instance.dag_id.clone(),
    }
}

fn probes(task: &TaskDef) -> Vec<(&'static str, String)> {
    let Some(service) = &task.service else { return Vec::new() };
    let mut probes = Vec::new();
    if let Some(probe) = &service.ready {
        probes.push(("Ready if", format!("{}, asked every {}", words(&probe.ask), length(probe.every))));
    }
    if let Some(live) = &service.live {
        let asked = length(live.probe.every);
        probes.push((
            "Live if",
            format!(
                "{}, asked every {asked}; restarted after {} bad answers",
                words(&live.probe.ask),
                live.failures
            ),
        ));
    }
    probes
}

fn words(ask: &Ask) -> String {
    match ask {
        Ask::Http(url) => format!("GET {url} answers 2xx"),
        Ask::Tcp(place) => format!("{place} takes a connection"),
        Ask::Log(pattern) => format!("a line of its log matches {pattern}"),
        Ask::Lag(most) => format!("its lag is at most {most}"),
    }
}
