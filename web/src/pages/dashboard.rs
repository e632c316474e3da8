//! The dashboard of the pipeline. Only the node that owns the warehouse can draw it; the others ask that node.

use super::dag_runs::Chip;
use super::shell::Shell;
use super::show;
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::dashboard::{Drawn, Kind, View};
use crate::error::PageError;
use crate::ui::{self, Html};
use askama::Template;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, TimeDelta};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    shell: Shell,
    heading: &'static str,
    period: String,
    filters: Vec<FilterField>,
    from: String,
    to: String,
    chips: Vec<Chip>,
    notice: Option<String>,
    panels: Vec<PanelCard>,
}

struct FilterField {
    name: String,
    title: String,
    all: String,
    options: Vec<FilterOption>,
}

struct FilterOption {
    value: String,
    label: String,
    selected: bool,
}

struct PanelCard {
    title: String,
    note: String,
    width: u8,
    body: Html,
}

#[derive(Template)]
#[template(path = "dashboard_elsewhere.html")]
struct ElsewherePage {
    shell: Shell,
    title: &'static str,
    message: String,
    url: Option<String>,
}

/// Marks a request that came through another node, which is not passed on again.
const HOP: &str = "x-streamify-hop";
const PATIENCE: Duration = Duration::from_secs(30);
const USUAL_DAYS: i64 = 7;

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Query(asked): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Response, PageError> {
    let Some(warehouse) = (app.warehouse)() else {
        return elsewhere(&app, viewer, request).await;
    };
    let today = app.clock.now().date_naive();
    let day = |name: &str| asked.get(name).and_then(|text| text.parse::<NaiveDate>().ok());
    let to = day("to").unwrap_or(today);
    let from = day("from").unwrap_or(to - TimeDelta::days(USUAL_DAYS - 1)).min(to);
    let names =
        app.dashboard.panels.iter().filter(|panel| panel.kind == Kind::Filter).map(|panel| &panel.name);
    let filters: BTreeMap<String, String> = names
        .filter_map(|name| Some((name.clone(), asked.get(name).filter(|value| !value.is_empty())?.clone())))
        .collect();
    let view = View { from, to, filters };
    let link = |name: &str, value: &str| address(&view, Some((name, value)), None);
    let drawn = app.dashboard.draw(warehouse.as_ref(), &view, app.clock.now(), &link).await;
    let shell = Shell::new(&app, viewer, "dashboard", "Dashboard", address(&view, None, None));
    show(&DashboardPage {
        heading: "Dashboard",
        period: format!("{} – {} UTC", from, to),
        filters: filter_fields(&app, &view, &drawn),
        from: from.to_string(),
        to: to.to_string(),
        chips: chips(&view, today),
        notice: notice(&app, &drawn),
        panels: drawn
            .panels
            .iter()
            .map(|p| PanelCard {
                title: p.title.clone(),
                note: p.note.clone(),
                width: p.width,
                body: p.body.clone(),
            })
            .collect(),
        shell,
    })
}

fn notice(app: &App, drawn: &Arc<Drawn>) -> Option<String> {
    if !app.dashboard.problems.is_empty() {
        return Some(format!("Some panels are left out. {}", app.dashboard.problems.join(" · ")));
    }
    if app.dashboard.panels.is_empty() {
        return Some(
            "There are no panels: put .sql files with a panel header into the pipeline's dashboard folder."
                .into(),
        );
    }
    drawn.is_filling.then(|| "The first hours are being loaded and modelled. This page fills by itself as soon as the first hourly run is done.".into())
}

/// The address of a view, with one filter or the period changed.
fn address(view: &View, filter: Option<(&str, &str)>, period: Option<(NaiveDate, NaiveDate)>) -> String {
    let (from, to) = period.unwrap_or((view.from, view.to));
    let mut filters = view.filters.clone();
    if let Some((name, value)) = filter {
        filters.insert(name.into(), value.into());
    }
    let mut address = format!("/dashboard?from={from}&to={to}");
    for (name, value) in filters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push_str(&format!("&{}={}", ui::enc(name), ui::enc(value)));
    }
    address
}

fn chips(view: &View, today: NaiveDate) -> Vec<Chip> {
    let chip = |name: &str, days: i64| {
        let period = (today - TimeDelta::days(days - 1), today);
        Chip {
            name: name.into(),
            href: address(view, None, Some(period)),
            current: (view.from, view.to) == period,
        }
    };
    vec![chip("today", 1), chip("2 days", 2), chip("7 days", 7), chip("30 days", 30), chip("a year", 365)]
}

fn filter_fields(app: &App, view: &View, drawn: &Drawn) -> Vec<FilterField> {
    let files = app.dashboard.panels.iter().filter(|panel| panel.kind == Kind::Filter);
    files
        .map(|file| {
            let picked = view.filters.get(&file.name);
            let choices = drawn.choices.get(&file.name).map_or(&[][..], Vec::as_slice);
            let mut options: Vec<FilterOption> = choices
                .iter()
                .map(|c| FilterOption {
                    value: c.value.clone(),
                    label: c.label.clone(),
                    selected: picked == Some(&c.value),
                })
                .collect();
            // A value that the warehouse does not know stays visible, so that it can be taken away.
            if let Some(picked) = picked.filter(|_| options.iter().all(|option| !option.selected)) {
                options.push(FilterOption { value: picked.clone(), label: picked.clone(), selected: true });
            }
            FilterField { name: file.name.clone(), title: file.title.clone(), all: file.all.clone(), options }
        })
        .collect()
}

/// Passes the request on to the node that owns the warehouse, or says what is the matter.
async fn elsewhere(app: &App, viewer: Viewer, request: Request) -> Result<Response, PageError> {
    let owner = app.store.duty_url("route:warehouse", app.clock.now()).await?;
    let path = request.uri().path_and_query().map_or("/dashboard", |path| path.as_str());
    let shell = Shell::new(app, viewer, "dashboard", "Dashboard", "/dashboard");
    let Some((_, base)) = owner else {
        let message =
            "No node has the warehouse at the moment. The dashboard is back as soon as one has.".into();
        let page = show(&ElsewherePage { shell, title: "The warehouse is not open", message, url: None })?;
        return Ok((StatusCode::SERVICE_UNAVAILABLE, page).into_response());
    };
    let url = format!("{}{path}", base.trim_end_matches('/'));
    if !request.headers().contains_key(HOP) {
        match pass_on(app, &url, request.headers()).await {
            Ok(response) => return Ok(response),
            Err(error) => tracing::warn!(%error, url, "the warehouse's node does not answer"),
        }
    }
    let message = "Another node has the warehouse, and did not answer us.".into();
    let page =
        show(&ElsewherePage { shell, title: "The dashboard is on another node", message, url: Some(url) })?;
    Ok((StatusCode::BAD_GATEWAY, page).into_response())
}

async fn pass_on(app: &App, url: &str, headers: &HeaderMap) -> Result<Response, reqwest::Error> {
    let mut request = app.client.get(url).timeout(PATIENCE).header(HOP, "1");
    // The session is in the shared database: the owner knows the viewer by it.
    if let Some(cookie) = headers.get(header::COOKIE) {
        request = request.header(header::COOKIE, cookie);
    }
    let answer = request.send().await?;
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}
