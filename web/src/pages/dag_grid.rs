//! The grid of a dag: its tasks by its newest runs.

use super::dag_head::{self, DagHead};
use super::dags::run_title;
use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::svg::bars::run_bar;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use model::{Dag, TaskState};
use serde::Deserialize;
use std::collections::HashMap;
use store::views::grid::{Grid, GridCell};
use store::views::runs::RunRow;

const COLUMNS: i64 = 48;

#[derive(Template)]
#[template(path = "dag_grid.html")]
struct GridPage {
    shell: Shell,
    head: DagHead,
    runs: Vec<RunColumn>,
    rows: Vec<GridRow>,
    longest: String,
    legend: Vec<(String, &'static str, String)>,
    pager: Html,
}

struct RunColumn {
    class: String,
    href: String,
    title: String,
    bar: Html,
    day: Html,
}

struct GridRow {
    class: &'static str,
    name: String,
    title: String,
    cells: Vec<Html>,
}

#[derive(Deserialize)]
pub struct Asked {
    offset: Option<i64>,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let paging = Paging::new(COLUMNS, asked.offset);
    let grid = app.store.grid(&dag, paging.limit, paging.offset).await?;
    let shell = Shell::new(&app, viewer, "dags", &dag, ui::dag_url(&dag));
    let now = app.clock.now();
    let seconds = |run: &RunRow| {
        ui::span(run.started_at, run.ended_at, now).map_or(0.0, |d| d.num_milliseconds() as f64 / 1000.0)
    };
    let longest = grid.runs.iter().map(&seconds).fold(0.0, f64::max);
    let mut day = String::new();
    let mut columns = Vec::with_capacity(grid.runs.len());
    for run in &grid.runs {
        let this_day = run.run_after.format("%b %d").to_string();
        let label = if this_day == day { Html::default() } else { Html(this_day.clone()) };
        day = this_day;
        columns.push(RunColumn {
            class: ui::state_class(run.state.as_str()),
            href: ui::run_url(&run.dag_id, &run.run_id),
            title: run_title(run, now),
            bar: run_bar(seconds(run), longest, 20, 64),
            day: label,
        });
    }
    show(&GridPage {
        head: DagHead::new(&app, &shell, &row, "grid"),
        rows: rows(&row.dag, &grid),
        longest: ui::duration(chrono::TimeDelta::milliseconds((longest * 1000.0) as i64)),
        legend: TaskState::ALL
            .iter()
            .map(|s| (ui::state_class(s.as_str()), ui::glyph(s.as_str()), ui::state_words(s.as_str())))
            .collect(),
        pager: paging.links(&format!("{}?", ui::dag_url(&dag)), grid.runs.len(), grid.total_runs),
        runs: columns,
        shell,
    })
}

/// The tasks of the newest version, each group under its own line; then those that only older versions had.
fn rows(dag: &Dag, grid: &Grid) -> Vec<GridRow> {
    let mut cells: HashMap<(i64, &str), Vec<&GridCell>> = HashMap::new();
    for cell in &grid.cells {
        cells.entry((cell.run, cell.task_id.as_str())).or_default().push(cell);
    }
    let mut rows = Vec::new();
    let mut groups_done: Vec<&str> = Vec::new();
    for task in &dag.tasks {
        match &task.group {
            None => rows.push(task_row("", &task.id, &task.id, grid, &cells)),
            Some(group) if groups_done.contains(&group.as_str()) => {}
            Some(group) => {
                groups_done.push(group);
                rows.push(GridRow {
                    class: "group",
                    name: group.clone(),
                    title: format!("group {group}"),
                    cells: Vec::new(),
                });
                let members = dag.tasks.iter().filter(|member| member.group.as_ref() == Some(group));
                rows.extend(members.map(|member| {
                    task_row("child", &member.id, short_name(&member.id, group), grid, &cells)
                }));
            }
        }
    }
    let mut gone: Vec<&str> = grid.cells.iter().map(|cell| cell.task_id.as_str()).collect();
    gone.sort_unstable();
    gone.dedup();
    gone.retain(|id| dag.tasks.iter().all(|task| task.id != *id));
    rows.extend(gone.into_iter().map(|id| task_row("gone", id, id, grid, &cells)));
    rows
}

pub fn short_name<'a>(id: &'a str, group: &str) -> &'a str {
    id.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')).unwrap_or(id)
}

fn task_row(
    class: &'static str,
    id: &str,
    name: &str,
    grid: &Grid,
    cells: &HashMap<(i64, &str), Vec<&GridCell>>,
) -> GridRow {
    let of_run =
        |run: &RunRow| cells.get(&(run.id, id)).map_or_else(Html::default, |states| cell(run, id, states));
    let title = if class == "gone" { format!("{id} (not in the newest version)") } else { id.to_string() };
    GridRow { class, name: name.to_string(), title, cells: grid.runs.iter().map(of_run).collect() }
}

/// One cell; a mapped task shows the state that matters most, with the counts in the title.
fn cell(run: &RunRow, task: &str, states: &[&GridCell]) -> Html {
    let worst = worst(states.iter().map(|cell| cell.state));
    let instances: i64 = states.iter().map(|cell| cell.instances).sum();
    let tries = states.iter().map(|cell| cell.max_try).max().unwrap_or(0);
    let counts: Vec<String> = states
        .iter()
        .map(|cell| format!("{} {}", cell.instances, ui::state_words(cell.state.as_str())))
        .collect();
    let state = if instances > 1 { counts.join(", ") } else { ui::state_words(worst.as_str()) };
    let tries = if tries > 1 { format!(", try {tries}") } else { String::new() };
    let label = ui::esc(&format!("{task} · {}: {state}{tries}", run.run_id));
    let href = if instances > 1 {
        ui::run_url(&run.dag_id, &run.run_id)
    } else {
        ui::task_url(&run.dag_id, &run.run_id, task, -1)
    };
    Html(format!(
        r#"<a class="c {}" href="{}" title="{label}" aria-label="{label}">{}</a>"#,
        ui::state_class(worst.as_str()),
        ui::esc(&href),
        ui::glyph(worst.as_str())
    ))
}

/// What a person wants to know first of several states.
pub fn worst(states: impl Iterator<Item = TaskState>) -> TaskState {
    use TaskState::*;
    const ORDER: [TaskState; 10] = [
        Failed,
        UpstreamFailed,
        Cancelled,
        Running,
        UpForRetry,
        UpForReschedule,
        Queued,
        None,
        Success,
        Skipped,
    ];
    let rank = |state: &TaskState| ORDER.iter().position(|known| known == state).unwrap_or(ORDER.len());
    states.min_by_key(rank).unwrap_or(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_states_the_one_that_needs_a_person_is_shown() {
        use TaskState::*;
        assert_eq!(worst([Success, Failed, Running].into_iter()), Failed);
        assert_eq!(worst([Success, Running].into_iter()), Running);
        assert_eq!(worst([Success, Skipped].into_iter()), Success);
        assert_eq!(worst([].into_iter()), None);
    }
}
