//! The tasks of a run as its page lists them: all of a small run; of a large one how many are in which state, its groups, and one page.

use super::dag_grid::short_name;
use super::dag_runs::Chip;
use super::pager::Paging;
use crate::app::App;
use crate::error::PageError;
use crate::fold::{self, Fold, Kind};
use crate::svg::gantt::Axis;
use crate::svg::share;
use crate::ui::{self, Html};
use chrono::{DateTime, Utc};
use model::{Dag, TaskState};
use std::collections::BTreeMap;
use store::views::instances::{InstanceFilter, InstanceRow};
use store::views::parts::PartState;
use store::views::runs::RunRow;

/// A run with more instances is shown summed up, and page by page.
const ALL_MAX: i64 = 500;
const PAGE: i64 = 200;
/// Groups and tasks of a summary; a dag with more is summed up by state only.
const PARTS_MAX: usize = 200;

/// What part of the page is asked for.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Asked {
    #[serde(default)]
    state: String,
    offset: Option<i64>,
}

#[derive(Default)]
pub struct Tasks {
    pub lines: Vec<TaskLine>,
    /// Only of a large run: states with their counts, as filters.
    pub chips: Vec<Chip>,
    pub total: i64,
    pub share: Html,
    pub parts: Vec<PartLine>,
    pub pager: Html,
}

pub struct TaskLine {
    pub name: String,
    pub href: String,
    pub sub: String,
    pub state: Html,
    pub tries: i32,
    pub duration: String,
    pub class: String,
    pub bar: Html,
    pub node: String,
}

/// A group or mapped task of a large run.
pub struct PartLine {
    pub name: String,
    pub sub: String,
    pub state: Html,
    pub done: String,
    pub share: Html,
    pub duration: String,
}

pub async fn read(
    app: &App,
    run: &RunRow,
    dag: &Dag,
    axis: &Axis,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Tasks, PageError> {
    let counts = app.store.instance_counts(run.id).await?;
    let total: i64 = counts.values().sum();
    let large = total > ALL_MAX;
    let state: Option<TaskState> = asked.state.parse().ok();
    let paging = Paging::new(if large { PAGE } else { ALL_MAX }, asked.offset);
    let filter = InstanceFilter {
        dag_id: Some(run.dag_id.clone()),
        run_id: Some(run.run_id.clone()),
        states: state.into_iter().collect(),
        limit: paging.limit,
        offset: paging.offset,
        ..InstanceFilter::default()
    };
    let (rows, found) = app.store.list_instances(&filter).await?;
    let lines: Vec<TaskLine> = rows.iter().map(|row| task_line(row, dag, axis, now)).collect();
    if !large {
        return Ok(Tasks { lines, total, ..Tasks::default() });
    }
    let href = ui::run_url(&run.dag_id, &run.run_id);
    let base = format!("{href}?state={}&", state.map_or("", TaskState::as_str));
    Ok(Tasks {
        chips: chips(&href, &counts, total, state),
        share: share::bar(&shares(&counts)),
        parts: part_lines(app, run, dag, now).await?,
        pager: paging.links_by(&format!("{base}offset="), ["Before", "After"], lines.len(), found),
        lines,
        total,
    })
}

fn chips(href: &str, counts: &BTreeMap<TaskState, i64>, total: i64, asked: Option<TaskState>) -> Vec<Chip> {
    let chip = |name: &str, state: Option<TaskState>, count: i64| Chip {
        name: format!("{name} {}", ui::number(count as f64)),
        href: state.map_or_else(|| href.to_string(), |state| format!("{href}?state={state}")),
        current: asked == state,
    };
    let mut chips = vec![chip("all", None, total)];
    chips.extend(
        counts.iter().map(|(state, count)| chip(&ui::state_words(state.as_str()), Some(*state), *count)),
    );
    chips
}

fn shares(counts: &BTreeMap<TaskState, i64>) -> Vec<(&'static str, i64)> {
    counts.iter().map(|(state, count)| (state.as_str(), *count)).collect()
}

async fn part_lines(
    app: &App,
    run: &RunRow,
    dag: &Dag,
    now: DateTime<Utc>,
) -> Result<Vec<PartLine>, PageError> {
    let fold: Fold = fold::groups(dag).unwrap_or_else(|| fold::open(dag));
    if fold.parts.len() > PARTS_MAX {
        return Ok(Vec::new());
    }
    let mut of_part: BTreeMap<usize, Vec<PartState>> = BTreeMap::new();
    for state in app.store.parts(&[run.id], &fold.pairs()).await? {
        of_part.entry(state.part).or_default().push(state);
    }
    let line = |(part, states): (usize, Vec<PartState>)| {
        let of = &fold.parts[part];
        let counts: BTreeMap<TaskState, i64> = states.iter().map(|s| (s.state, s.instances)).collect();
        let total: i64 = counts.values().sum();
        let done: i64 = counts.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count).sum();
        let started = states.iter().filter_map(|s| s.started_at).min();
        let ended = states.iter().filter_map(|s| s.ended_at).max().filter(|_| done == total);
        PartLine {
            name: of.name(dag),
            sub: match &of.kind {
                Kind::Task => dag.tasks[of.tasks[0]].uses.clone(),
                _ => ui::plural(of.tasks.len(), "task", "tasks"),
            },
            state: ui::badge(super::dag_grid::worst(counts.keys().copied()).as_str()),
            done: format!("{} of {}", ui::number(done as f64), ui::number(total as f64)),
            share: share::bar(&shares(&counts)),
            duration: ui::span_text(started, ended, now),
        }
    };
    Ok(of_part.into_iter().map(line).collect())
}

/// `load` for a plain task, `load · orders` for an item of a mapped one.
pub fn instance_name(dag: &Dag, instance: &InstanceRow) -> String {
    let item = dag
        .tasks
        .get(instance.task as usize)
        .and_then(|task| task.items()?.get(instance.map_index.max(0) as usize));
    match item {
        Some(serde_json::Value::String(item)) => format!("{} · {item}", instance.task_id),
        Some(item) => format!("{} · {item}", instance.task_id),
        // Items that were told while the run went on.
        None if instance.map_index >= 0 => format!("{} · {}", instance.task_id, instance.map_index),
        None => instance.task_id.clone(),
    }
}

fn task_line(instance: &InstanceRow, dag: &Dag, axis: &Axis, now: DateTime<Utc>) -> TaskLine {
    let task = dag.tasks.get(instance.task as usize);
    let kind = task.map_or("", |task| task.uses.as_str());
    let name = instance_name(dag, instance);
    let group = task.and_then(|task| task.group.as_deref()).unwrap_or_default();
    let sub = match (&instance.message, instance.next_at) {
        (_, Some(next)) => format!("{kind} · again {}", ui::ago_text(next, now)),
        (Some(message), None) if instance.state != TaskState::Success => {
            format!("{kind} · {}", first_line(message))
        }
        _ => kind.to_string(),
    };
    let ended = instance.ended_at.unwrap_or(now);
    TaskLine {
        href: ui::task_url(&instance.dag_id, &instance.run_id, &instance.task_id, instance.map_index),
        sub: if group.is_empty() { sub } else { format!("{group} · {sub}") },
        name: short_name(&name, group).to_string(),
        state: if instance.ready_at.is_some() && instance.state == TaskState::Running {
            ui::badge("ready")
        } else {
            ui::badge(instance.state.as_str())
        },
        tries: instance.try_number,
        duration: ui::span_text(instance.started_at, instance.ended_at, now),
        class: ui::state_class(instance.state.as_str()),
        bar: axis.row(
            instance.queued_at.filter(|_| instance.state != TaskState::None),
            instance.started_at,
            ended,
        ),
        node: instance.node.clone().unwrap_or_default(),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 160 {
        line.chars().take(159).chain(['…']).collect()
    } else {
        line.to_string()
    }
}
