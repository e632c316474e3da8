//! The graph of a dag's tasks with their states in one run.

use super::dag_grid::{short_name, worst};
use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::svg::graph::{self, Node};
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use model::{Dag, TaskState};
use serde::Deserialize;
use std::collections::HashMap;
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
    let (version, states) = match &run {
        Some(run) => (
            dag_head::version_of(&app, &row, run.version_id).await?,
            states(app.store.cells(&[run.id]).await?),
        ),
        None => (row.dag.clone(), HashMap::new()),
    };
    let can_fold = version.tasks.iter().any(|task| task.group.is_some());
    let open = !can_fold
        || asked.groups == "open"
        || (asked.groups != "closed" && version.tasks.len() <= FOLD_ABOVE);
    let nodes = nodes(&version, run.as_ref(), &states, open);
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

fn states(cells: Vec<store::views::grid::GridCell>) -> HashMap<String, Vec<TaskState>> {
    let mut states: HashMap<String, Vec<TaskState>> = HashMap::new();
    for cell in cells {
        states.entry(cell.task_id).or_default().push(cell.state);
    }
    states
}

/// One node a task, or one a group while groups are closed. A closed group takes the place of its first task; it needs what its tasks need.
fn nodes(dag: &Dag, run: Option<&RunRow>, states: &HashMap<String, Vec<TaskState>>, open: bool) -> Vec<Node> {
    let parts = parts(dag, open);
    let mut position = vec![0; dag.tasks.len()];
    for (i, part) in parts.iter().enumerate() {
        part.iter().for_each(|&task| position[task] = i);
    }
    let mut nodes = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let task = &dag.tasks[part[0]];
        let of_part = part.iter().filter_map(|&t| states.get(&dag.tasks[t].id)).flatten().copied();
        let mut needs: Vec<usize> = part
            .iter()
            .flat_map(|&t| &dag.tasks[t].needs)
            .map(|&n| position[n])
            .filter(|&n| n != i)
            .collect();
        needs.sort_unstable();
        needs.dedup();
        let closed = task.group.as_ref().filter(|_| !open);
        let items = task.items().map_or(1, <[_]>::len);
        let kind = match closed {
            Some(_) => ui::plural(part.len(), "task", "tasks"),
            None if items > 1 => format!("{} × {items}", task.uses),
            None => task.uses.clone(),
        };
        let name = match (closed, &task.group) {
            (Some(group), _) => group.clone(),
            (None, Some(group)) => short_name(&task.id, group).to_string(),
            (None, None) => task.id.clone(),
        };
        let href = match (run, closed, items) {
            (Some(_), Some(_), _) => "?groups=open".into(),
            (Some(run), None, 2..) => ui::run_url(&run.dag_id, &run.run_id),
            (Some(run), None, _) => ui::task_url(
                &run.dag_id,
                &run.run_id,
                &task.id,
                task.map_indexes().first().copied().unwrap_or(-1),
            ),
            (None, _, _) => format!("{}/code", ui::dag_url(&dag.id)),
        };
        nodes.push(Node {
            name,
            kind,
            state: worst(of_part).as_str().into(),
            href,
            needs,
            stacked: closed.is_some() || items > 1,
        });
    }
    nodes
}

/// The tasks that one node stands for, in an order in which each comes after what it needs.
fn parts(dag: &Dag, open: bool) -> Vec<Vec<usize>> {
    if open {
        return (0..dag.tasks.len()).map(|task| vec![task]).collect();
    }
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut of_group: HashMap<&str, usize> = HashMap::new();
    for (i, task) in dag.tasks.iter().enumerate() {
        match &task.group {
            Some(group) => match of_group.get(group.as_str()) {
                Some(&part) => parts[part].push(i),
                None => {
                    of_group.insert(group, parts.len());
                    parts.push(vec![i]);
                }
            },
            None => parts.push(vec![i]),
        }
    }
    in_order(dag, parts)
}

/// A task between two of one group may stand before the rest of what it needs; such a graph of parts is ordered again. Where parts need
/// each other in a circle (a group on both sides of a task), the groups are shown open.
fn in_order(dag: &Dag, parts: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut waiting = parts;
    let mut placed = vec![false; dag.tasks.len()];
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_free = |part: &Vec<usize>| {
            part.iter().flat_map(|&t| &dag.tasks[t].needs).all(|n| placed[*n] || part.contains(n))
        };
        let Some(next) = waiting.iter().position(is_free) else {
            return (0..dag.tasks.len()).map(|task| vec![task]).collect();
        };
        let part = waiting.remove(next);
        part.iter().for_each(|&task| placed[task] = true);
        ordered.push(part);
    }
    ordered
}
