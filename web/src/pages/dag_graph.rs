//! The graph of a dag's tasks with their states in one run. A dag of many tasks is shown folded.

use super::dag_grid::{short_name, worst};
use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::fold::{self, Fold, Kind, Part};
use crate::svg::graph::{self, Node};
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use model::{Dag, TaskState};
use serde::Deserialize;
use std::collections::HashMap;
use store::views::parts::PartState;
use store::views::runs::{RunFilter, RunRow};

/// A dag with more tasks is shown with its groups closed.
const FOLD_ABOVE: usize = 30;

#[derive(Template)]
#[template(path = "dag_graph.html")]
struct GraphPage {
    shell: Shell,
    head: DagHead,
    runs: Vec<RunOption>,
    run: Option<RunLink>,
    can_fold: bool,
    open: bool,
    /// How many tasks were too many to be drawn one by one.
    folded: Option<String>,
    svg: Html,
}

struct RunOption {
    id: String,
    label: String,
    selected: bool,
}

struct RunLink {
    id: String,
    href: String,
    state: Html,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    run: String,
    #[serde(default)]
    groups: String,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let newest = RunFilter { dag_id: Some(dag.clone()), limit: 40, ..RunFilter::default() };
    let (runs, _) = app.store.list_runs(&newest).await?;
    let run = if asked.run.is_empty() {
        runs.first().cloned()
    } else {
        app.store.run_row(&dag, &asked.run).await?
    };
    let version = match &run {
        Some(run) => dag_head::version_of(&app, &row, run.version_id).await?,
        None => row.dag.clone(),
    };
    let too_many = version.tasks.len() > fold::PARTS_MAX;
    let can_fold = !too_many && version.tasks.iter().any(|task| task.group.is_some());
    let wants_open = asked.groups == "open"
        || (asked.groups != "closed" && version.tasks.len() <= FOLD_ABOVE)
        || !can_fold;
    let (fold, open) = match fold::groups(&version) {
        _ if too_many => (fold::small(&version), false),
        Some(closed) if !wants_open => (closed, false),
        _ => (fold::open(&version), true),
    };
    let counts = match &run {
        Some(run) => app.store.parts(&[run.id], &fold.pairs()).await?,
        None => Vec::new(),
    };
    let nodes = nodes(&version, run.as_ref(), &fold, &counts);
    let shell =
        Shell::new(&app, viewer, "dags", format!("{dag} graph"), format!("{}/graph", ui::dag_url(&dag)));
    show(&GraphPage {
        head: DagHead::new(&app, &shell, &row, "graph"),
        runs: runs.iter().map(|r| option(r, &asked.run)).collect(),
        run: run.map(|run| RunLink {
            href: ui::run_url(&dag, &run.run_id),
            state: ui::badge(run.state.as_str()),
            id: run.run_id,
        }),
        can_fold,
        open,
        folded: too_many.then(|| ui::number(version.tasks.len() as f64)),
        svg: graph::draw(&nodes),
        shell,
    })
}

fn option(run: &RunRow, selected: &str) -> RunOption {
    RunOption {
        label: format!("{} ({})", run.run_id, run.state),
        selected: run.run_id == selected,
        id: run.run_id.clone(),
    }
}

fn nodes(dag: &Dag, run: Option<&RunRow>, fold: &Fold, counts: &[PartState]) -> Vec<Node> {
    let mut states: HashMap<usize, Vec<&PartState>> = HashMap::new();
    for count in counts {
        states.entry(count.part).or_default().push(count);
    }
    let node = |(place, part): (usize, &Part)| {
        let of_part = states.get(&place).map_or(&[][..], Vec::as_slice);
        node(dag, run, part, of_part)
    };
    fold.parts.iter().enumerate().map(node).collect()
}

fn node(dag: &Dag, run: Option<&RunRow>, part: &Part, states: &[&PartState]) -> Node {
    let task = &dag.tasks[part.tasks[0]];
    let instances: i64 = states.iter().map(|count| count.instances).sum();
    let items = (instances as usize).max(task.items().map_or(1, <[_]>::len));
    let one = part.kind == Kind::Task;
    let failed: i64 = states.iter().filter(|s| s.state == TaskState::Failed).map(|s| s.instances).sum();
    let mut kind = match &part.kind {
        Kind::Task if items > 1 => format!("{} × {items}", task.uses),
        Kind::Task => task.uses.clone(),
        Kind::Group(_) => ui::plural(part.tasks.len(), "task", "tasks"),
        Kind::Step { .. } => format!("{} of {} done", done(states), ui::number(part.tasks.len() as f64)),
    };
    if failed > 0 && (!one || items > 1) {
        kind.push_str(&format!(", {failed} failed"));
    }
    let name = match (one, &task.group) {
        (true, Some(group)) => short_name(&task.id, group).to_string(),
        _ => part.name(dag),
    };
    let href = match (run, &part.kind) {
        (Some(_), Kind::Group(_)) => "?groups=open".into(),
        (Some(run), Kind::Task) if items == 1 => ui::task_url(
            &run.dag_id,
            &run.run_id,
            &task.id,
            task.map_indexes().first().copied().unwrap_or(-1),
        ),
        (Some(run), _) => ui::run_url(&run.dag_id, &run.run_id),
        (None, _) => format!("{}/code", ui::dag_url(&dag.id)),
    };
    let state = worst(states.iter().map(|count| count.state));
    Node {
        name,
        kind,
        words: ui::state_words(state.as_str()),
        state: state.as_str().into(),
        href,
        needs: part.needs.clone(),
        stacked: !one || items > 1,
    }
}

fn done(states: &[&PartState]) -> String {
    let done: i64 = states.iter().filter(|count| count.state.is_final()).map(|count| count.instances).sum();
    ui::number(done as f64)
}
