//! Assets: which tasks write and read each, which dags it starts, and when it was written. All of it as a graph.

use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::error::PageError;
use crate::svg::graph::{self, Node};
use crate::ui::{self, Html};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use store::views::assets::{AssetEventRow, AssetRow};

/// A graph of more assets and dags is not drawn whole.
const NODES_MAX: usize = 200;
const LISTED: usize = 1_000;
const EVENTS: i64 = 50;

#[derive(Template)]
#[template(path = "lineage.html")]
struct ListPage {
    shell: Shell,
    count: String,
    rows: Vec<AssetLine>,
    svg: Option<Html>,
}

struct AssetLine {
    name: String,
    href: String,
    writers: Vec<Link>,
    readers: Vec<Link>,
    triggers: Vec<Link>,
    last: Html,
    by: String,
}

struct Link {
    name: String,
    href: String,
}

pub async fn page(State(app): State<Shared>, viewer: Viewer) -> Page {
    let assets = app.store.list_assets().await?;
    let now = app.clock.now();
    let nodes = nodes(&assets);
    show(&ListPage {
        shell: Shell::new(&app, viewer, "lineage", "Assets", "/lineage"),
        count: ui::plural(assets.len(), "asset", "assets"),
        svg: (nodes.len() <= NODES_MAX).then(|| graph::draw(&nodes)),
        rows: assets.iter().take(LISTED).map(|asset| line(asset, now)).collect(),
    })
}

fn asset_url(name: &str) -> String {
    format!("/lineage/{}", ui::enc(name))
}

fn tasks(pairs: &[(String, String)]) -> Vec<Link> {
    let link = |(dag, task): &(String, String)| Link {
        name: format!("{dag} · {task}"),
        href: format!("{}/graph", ui::dag_url(dag)),
    };
    pairs.iter().take(50).map(link).collect()
}

fn line(asset: &AssetRow, now: DateTime<Utc>) -> AssetLine {
    AssetLine {
        href: asset_url(&asset.name),
        writers: tasks(&asset.writers),
        readers: tasks(&asset.readers),
        triggers: asset
            .triggers
            .iter()
            .map(|dag| Link { name: dag.clone(), href: ui::dag_url(dag) })
            .collect(),
        last: asset.last.as_ref().map_or_else(ui::dash, |event| ui::ago(event.at, now)),
        by: asset.last.as_ref().map_or_else(String::new, |event| event.who.clone()),
        name: asset.name.clone(),
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing<'a> {
    Dag(&'a str),
    Asset(&'a str),
}

/// Dags and assets, each behind what it needs. Where they need each other in a circle, one of the arrows is left out.
fn nodes(assets: &[AssetRow]) -> Vec<Node> {
    let mut needs: BTreeMap<Thing, BTreeSet<Thing>> = BTreeMap::new();
    for asset in assets {
        let this = Thing::Asset(&asset.name);
        needs.entry(this.clone()).or_default();
        for (dag, _) in &asset.writers {
            needs.entry(Thing::Dag(dag)).or_default();
            needs.entry(this.clone()).or_default().insert(Thing::Dag(dag));
        }
        for dag in asset.readers.iter().map(|(dag, _)| dag).chain(&asset.triggers) {
            // A dag that reads what it writes is drawn with the arrow of the writing.
            if asset.writers.iter().all(|(writer, _)| writer != dag) {
                needs.entry(Thing::Dag(dag)).or_default().insert(this.clone());
            }
        }
    }
    let mut place: BTreeMap<Thing, usize> = BTreeMap::new();
    let mut nodes = Vec::new();
    while place.len() < needs.len() {
        let waiting = || needs.iter().filter(|(thing, _)| !place.contains_key(thing));
        let free = waiting().find(|(_, needs)| needs.iter().all(|need| place.contains_key(need)));
        let Some((thing, of)) = free.or_else(|| waiting().next()) else { break };
        let node = node(thing, assets, of.iter().filter_map(|need| place.get(need).copied()).collect());
        place.insert(thing.clone(), nodes.len());
        nodes.push(node);
    }
    nodes
}

fn node(thing: &Thing, assets: &[AssetRow], needs: Vec<usize>) -> Node {
    match thing {
        Thing::Dag(dag) => {
            let waits = assets.iter().filter(|asset| asset.triggers.iter().any(|other| other == dag)).count();
            Node {
                name: (*dag).into(),
                kind: if waits > 0 { "dag, runs when written".into() } else { "dag".into() },
                state: "dag".into(),
                words: "dag".into(),
                href: ui::dag_url(dag),
                needs,
                stacked: true,
            }
        }
        Thing::Asset(name) => {
            let written = assets.iter().any(|asset| asset.name == *name && asset.last.is_some());
            Node {
                name: (*name).into(),
                kind: "asset".into(),
                state: if written { "success" } else { "none" }.into(),
                words: if written { "written" } else { "never written" }.into(),
                href: asset_url(name),
                needs,
                stacked: false,
            }
        }
    }
}

#[derive(Template)]
#[template(path = "asset.html")]
struct AssetPage {
    shell: Shell,
    asset: AssetLine,
    events: Vec<EventLine>,
    older: Option<String>,
}

struct EventLine {
    id: i64,
    at: Html,
    ago: Html,
    who: String,
    href: Option<String>,
}

#[derive(Deserialize)]
pub struct Asked {
    before: Option<i64>,
}

pub async fn one(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let asset = app.store.list_assets().await?.into_iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| PageError::NotFound(format!("No dag knows an asset '{name}'.")))?;
    let events = app.store.asset_events(Some(&name), asked.before, EVENTS).await?;
    let now = app.clock.now();
    let url = asset_url(&name);
    let older = events.last().filter(|_| events.len() as i64 == EVENTS);
    show(&AssetPage {
        older: older.map(|last| format!("{url}?before={}", last.id)),
        asset: line(&asset, now),
        events: events.into_iter().map(|event| event_line(event, now)).collect(),
        shell: Shell::new(&app, viewer, "lineage", name, url),
    })
}

fn event_line(event: AssetEventRow, now: DateTime<Utc>) -> EventLine {
    let href = match (&event.dag_id, &event.run_id, &event.task_id) {
        (Some(dag), Some(run), Some(task)) => {
            Some(ui::task_url(dag, run, task, event.map_index.unwrap_or(-1)))
        }
        _ => None,
    };
    EventLine { id: event.id, at: ui::full(event.at), ago: ui::ago(event.at, now), who: event.who, href }
}

#[derive(Deserialize)]
pub struct Tell {
    csrf: String,
    #[serde(default)]
    reason: String,
}

/// Somebody says that something outside wrote it.
pub async fn tell(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(name): Path<String>,
    Form(form): Form<Tell>,
) -> Result<Redirect, PageError> {
    viewer.check_write(&form.csrf)?;
    app.store.tell_asset(&name, &viewer.name, form.reason.trim(), app.clock.now()).await?;
    Ok(Redirect::to(&asset_url(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str, writers: &[&str], readers: &[&str], triggers: &[&str]) -> AssetRow {
        let pairs = |dags: &[&str]| dags.iter().map(|dag| (dag.to_string(), "t".to_string())).collect();
        AssetRow {
            name: name.into(),
            writers: pairs(writers),
            readers: pairs(readers),
            triggers: triggers.iter().map(ToString::to_string).collect(),
            last: None,
        }
    }

    #[test]
    fn every_need_stands_before_and_a_circle_loses_one_arrow() {
        let all = [
            asset("x", &["a"], &["b"], &[]),
            asset("y", &["b"], &[], &["a"]),
            asset("z", &["c"], &["c"], &[]),
        ];
        let nodes = nodes(&all);
        assert_eq!(nodes.len(), 6);
        assert!(nodes.iter().enumerate().all(|(i, node)| node.needs.iter().all(|&need| need < i)));
        assert_eq!(nodes.iter().map(|node| node.needs.len()).sum::<usize>(), 4);
    }
}
