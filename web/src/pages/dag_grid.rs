//! The grid of a dag: its tasks by its newest runs.

use super::dag_head::{self, DagHead};
use super::dags::run_title;
use super::pager::Paging;
use super::shell::Shell;
use super::{Page, show};
use crate::app::{App, Shared};
use crate::auth::Viewer;
use crate::error::PageError;
use crate::fold::{self, Fold, Kind};
use crate::svg::bars::run_bar;
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use model::{Dag, TaskState};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use store::views::grid::Grid;
use store::views::runs::{RunFilter, RunRow};

const COLUMNS: i64 = 48;
/// A dag with more tasks has its groups closed; if those are still more, they are shown page by page.
const ROWS: usize = 150;
/// Instances that one page counts: a page of a large dag shows fewer runs.
const INSTANCES: usize = 400_000;

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
    task_pager: Html,
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
    /// The first row of a dag with many.
    task: Option<i64>,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let shell = Shell::new(&app, viewer, "dags", &dag, ui::dag_url(&dag));
    let now = app.clock.now();
    let large = row.dag.tasks.len() > ROWS;
    let tasks = Paging::new(ROWS as i64, asked.task);
    let shown = Shown::of(&row.dag, tasks.offset as usize, large);
    let paging = Paging::new(shown.columns, asked.offset);
    let runs = if large {
        shown.runs(&app, &dag, row.version_id, paging).await?
    } else {
        small_grid(&row.dag, app.store.grid(&dag, paging.limit, paging.offset).await?)
    };
    let seconds = |run: &RunRow| {
        ui::span(run.started_at, run.ended_at, now).map_or(0.0, |d| d.num_milliseconds() as f64 / 1000.0)
    };
    let longest = runs.runs.iter().map(&seconds).fold(0.0, f64::max);
    let mut day = String::new();
    let mut columns = Vec::with_capacity(runs.runs.len());
    for run in &runs.runs {
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
        task_pager: task_pager(&dag, tasks, &shown, large),
        rows: runs.rows,
        longest: ui::duration(chrono::TimeDelta::milliseconds((longest * 1000.0) as i64)),
        legend: TaskState::ALL
            .iter()
            .map(|s| (ui::state_class(s.as_str()), ui::glyph(s.as_str()), ui::state_words(s.as_str())))
            .collect(),
        pager: paging.links(&format!("{}?", ui::dag_url(&dag)), runs.runs.len(), runs.total),
        runs: columns,
        shell,
    })
}

/// The table: its runs, oldest first, and a row for each task or group.
struct Table {
    runs: Vec<RunRow>,
    total: i64,
    rows: Vec<GridRow>,
}

/// What a cell says: how many instances are in which state, and the most tries.
#[derive(Default)]
struct Counts {
    states: BTreeMap<TaskState, i64>,
    max_try: i32,
}

type Cells<'a> = HashMap<(i64, &'a str), Counts>;

/// The rows of a large dag on this page.
struct Shown {
    /// (name, whether it is a group)
    rows: Vec<(String, bool)>,
    all: usize,
    columns: i64,
}

impl Shown {
    fn of(dag: &Dag, first: usize, large: bool) -> Shown {
        if !large {
            return Shown { rows: Vec::new(), all: 0, columns: COLUMNS };
        }
        let fold = fold_of(dag);
        let (mut rows, mut instances) = (Vec::new(), 0);
        for part in fold.parts.iter().skip(first).take(ROWS) {
            instances +=
                part.tasks.iter().map(|&task| dag.tasks[task].items().map_or(1, <[_]>::len)).sum::<usize>();
            rows.push((part.name(dag), part.kind != Kind::Task));
        }
        let columns = (INSTANCES / instances.max(1)).clamp(1, COLUMNS as usize) as i64;
        Shown { rows, all: fold.parts.len(), columns }
    }

    /// Runs of one version are counted together; a part is the same over versions if its name is.
    async fn runs(&self, app: &App, dag: &str, newest: i64, paging: Paging) -> Result<Table, PageError> {
        let filter = RunFilter {
            dag_id: Some(dag.into()),
            limit: paging.limit,
            offset: paging.offset,
            ..RunFilter::default()
        };
        let (mut runs, total) = app.store.list_runs(&filter).await?;
        runs.reverse();
        let place: HashMap<&str, usize> =
            self.rows.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place)).collect();
        let mut of_version: BTreeMap<i64, Vec<i64>> = BTreeMap::from([(newest, Vec::new())]);
        for run in &runs {
            of_version.entry(run.version_id).or_default().push(run.id);
        }
        let mut cells: Cells = HashMap::new();
        for (version, ids) in of_version.iter().filter(|(_, ids)| !ids.is_empty()) {
            let dag = app.store.dag_version(*version).await?;
            let fold = fold_of(&dag);
            let shown: Vec<Option<usize>> =
                fold.parts.iter().map(|part| place.get(part.name(&dag).as_str()).copied()).collect();
            let pairs: Vec<(usize, usize)> =
                fold.pairs().into_iter().filter_map(|(task, part)| Some((task, shown[part]?))).collect();
            for count in app.store.parts(ids, &pairs).await? {
                let counts = cells.entry((count.run, self.rows[count.part].0.as_str())).or_default();
                *counts.states.entry(count.state).or_default() += count.instances;
                counts.max_try = counts.max_try.max(count.max_try);
            }
        }
        let row = |(name, is_group): &(String, bool)| {
            let class = if *is_group { "group" } else { "" };
            task_row(class, name, name, &runs, &cells)
        };
        let rows = self.rows.iter().map(row).collect();
        Ok(Table { rows, runs, total })
    }
}

fn fold_of(dag: &Dag) -> Fold {
    fold::groups(dag).unwrap_or_else(|| fold::open(dag))
}

fn task_pager(dag: &str, paging: Paging, shown: &Shown, large: bool) -> Html {
    if !large {
        return Html::default();
    }
    let base = format!("{}?task=", ui::dag_url(dag));
    paging.links_by(&base, ["Tasks before", "Tasks after"], shown.rows.len(), shown.all as i64)
}

/// The tasks of the newest version, each group under its own line; then those that only older versions had.
fn small_grid(dag: &Dag, grid: Grid) -> Table {
    let mut cells: Cells = HashMap::new();
    for cell in &grid.cells {
        let counts = cells.entry((cell.run, cell.task_id.as_str())).or_default();
        *counts.states.entry(cell.state).or_default() += cell.instances;
        counts.max_try = counts.max_try.max(cell.max_try);
    }
    let runs = &grid.runs;
    let mut rows = Vec::new();
    let mut groups_done: Vec<&str> = Vec::new();
    for task in &dag.tasks {
        match &task.group {
            None => rows.push(task_row("", &task.id, &task.id, runs, &cells)),
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
                    task_row("child", &member.id, short_name(&member.id, group), runs, &cells)
                }));
            }
        }
    }
    let mut gone: Vec<&str> = grid.cells.iter().map(|cell| cell.task_id.as_str()).collect();
    gone.sort_unstable();
    gone.dedup();
    gone.retain(|id| dag.tasks.iter().all(|task| task.id != *id));
    gone.truncate(ROWS);
    rows.extend(gone.into_iter().map(|id| task_row("gone", id, id, runs, &cells)));
    Table { rows, total: grid.total_runs, runs: grid.runs }
}

pub fn short_name<'a>(id: &'a str, group: &str) -> &'a str {
    id.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')).unwrap_or(id)
}

fn task_row(class: &'static str, id: &str, name: &str, runs: &[RunRow], cells: &Cells) -> GridRow {
    let of_run = |run: &RunRow| {
        cells.get(&(run.id, id)).map_or_else(Html::default, |counts| cell(run, id, counts, class == "group"))
    };
    let title = if class == "gone" { format!("{id} (not in the newest version)") } else { id.to_string() };
    GridRow { class, name: name.to_string(), title, cells: runs.iter().map(of_run).collect() }
}

/// One cell; of many instances the state that matters most is shown, with the counts in the title.
fn cell(run: &RunRow, task: &str, counts: &Counts, is_group: bool) -> Html {
    let worst = worst(counts.states.keys().copied());
    let instances: i64 = counts.states.values().sum();
    let words: Vec<String> = counts
        .states
        .iter()
        .map(|(state, count)| format!("{count} {}", ui::state_words(state.as_str())))
        .collect();
    let state = if instances > 1 { words.join(", ") } else { ui::state_words(worst.as_str()) };
    let tries = if counts.max_try > 1 { format!(", try {}", counts.max_try) } else { String::new() };
    let label = ui::esc(&format!("{task} · {}: {state}{tries}", run.run_id));
    let href = if instances > 1 || is_group {
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
