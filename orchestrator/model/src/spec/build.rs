//! From tasks as written to tasks as run: kinds asked, what they stand for put in their place, all in order.

use super::fields::Reader;
use super::graph::{self, Graph};
use super::names;
use super::task::RawTask;
use super::tasks::{Body, Raw, TASKS_MAX};
use super::yaml::{Node, Position};
use crate::dag::{Dag, Group, Role, TaskDef, WindowRule};
use crate::for_each::Over;
use crate::registry::Registry;
use crate::retry::RetryPolicy;
use crate::task::{ExpandedTask, WithProblem};
use crate::trigger_rule::TriggerRule;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Tasks that one dag may have after its kinds are expanded, and instances that a run may begin with.
const EXPANDED_MAX: usize = TASKS_MAX;

/// What kinds stand for, by the position of the task.
type Expanded = HashMap<usize, Vec<ExpandedTask>>;

/// Fills in tasks (in topological order) and groups; `None` if there is any problem.
pub(super) fn build(
    reader: &mut Reader,
    mut raw: Vec<Raw<'_>>,
    dag: &mut Dag,
    dag_dir: &Path,
    registry: &Registry,
) -> Option<()> {
    let mut expanded = Expanded::new();
    for (at, raw) in raw.iter().enumerate() {
        let Some(task) = raw.task() else { continue };
        check_windows(reader, task, raw.at, dag);
        if let Some(tasks) = check_kind(reader, task, raw.at, dag_dir, registry) {
            expanded.insert(at, tasks);
        }
    }
    let graph = graph::build(reader, &raw);
    names::check_all(reader, &graph, dag, &|at| expanded.contains_key(&at));
    if reader.has_problems() {
        return None;
    }
    let Graph { needs, roots, .. } = graph;
    apply_groups(&mut raw, &roots);
    let first = raw.first().map(|raw| raw.at)?;
    dag.groups = groups(&raw, &expanded);
    let flat = flatten(raw, needs, &expanded, registry);
    check_size(reader, &flat, first)?;
    let ordered = in_order(flat);
    if ordered.is_none() {
        reader.problem(first, "the tasks of a kind need each other in a circle".to_owned(), None);
    }
    dag.tasks = ordered?;
    Some(())
}

fn check_size(reader: &mut Reader, flat: &[TaskDef], at: Position) -> Option<()> {
    let instances: usize = flat.iter().map(|task| task.items().map_or(1, |items| items.len())).sum();
    for (count, what) in [(flat.len(), "tasks"), (instances, "instances of tasks")] {
        if count > EXPANDED_MAX {
            let message = format!("the dag has {count} {what}, at most {EXPANDED_MAX} are allowed");
            reader.problem(at, message, Some("split it into several dags".to_owned()));
            return None;
        }
    }
    Some(())
}

fn check_windows(reader: &mut Reader, task: &RawTask<'_>, at: Position, dag: &Dag) {
    let over_windows = task.def.for_each.as_ref().is_some_and(|each| matches!(each.over, Over::Windows(_)));
    if over_windows && dag.window == WindowRule::None {
        let hint = Some("add window: day (or hour, previous-tick, {every: 15m}) to the dag".to_owned());
        reader.problem(at, "'for_each' over windows in a dag without a window".to_owned(), hint);
    }
}

fn with_of(task: &RawTask<'_>) -> Value {
    task.with.as_deref().map_or_else(|| Value::Object(Map::new()), Node::to_json)
}

/// Asks the kind what is wrong, and for the tasks that it stands for.
fn check_kind(
    reader: &mut Reader,
    task: &RawTask<'_>,
    at: Position,
    dag_dir: &Path,
    registry: &Registry,
) -> Option<Vec<ExpandedTask>> {
    let kind = task.kind.as_ref()?;
    let with = with_of(task);
    let problems = kind.check(&with, dag_dir);
    report_with(reader, task, at, &problems);
    if !problems.is_empty() {
        return None;
    }
    let tasks = match kind.expand(&with, dag_dir) {
        Ok(tasks) => tasks?,
        Err(problems) => {
            report_with(reader, task, at, &problems);
            return None;
        }
    };
    let problems = check_expanded(task, &tasks, registry);
    report_with(reader, task, at, &problems);
    Some(tasks)
}

fn check_expanded(task: &RawTask<'_>, tasks: &[ExpandedTask], registry: &Registry) -> Vec<WithProblem> {
    let wrong = |message: String| WithProblem { key: String::new(), message, hint: None };
    let mut problems = Vec::new();
    if tasks.is_empty() {
        problems.push(wrong("expands to no tasks at all".to_owned()));
    }
    let def = &task.def;
    if def.for_each.is_some() || def.service.is_some() {
        problems
            .push(wrong("a kind that expands to tasks takes neither 'for_each' nor 'service'".to_owned()));
    }
    let refused = [
        ("setup", def.role == Role::Setup),
        ("teardown", def.role == Role::Teardown),
        ("outputs", !def.outputs.is_empty()),
        ("writes", !def.writes.is_empty()),
    ];
    for (key, _) in refused.iter().filter(|(_, given)| *given) {
        let hint = Some(format!("put '{key}' on a task of its own that needs this one, or that it needs"));
        let message = format!("a kind that expands to tasks takes no '{key}'");
        problems.push(WithProblem { hint, ..wrong(message) });
    }
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    if ids.len() < tasks.len() {
        problems.push(wrong("expands to two tasks with the same name".to_owned()));
    }
    for expanded in tasks {
        if registry.get(&expanded.uses).is_none() {
            problems.push(wrong(format!("'{}' uses the unknown kind '{}'", expanded.id, expanded.uses)));
        }
        for need in expanded.needs.iter().filter(|need| !ids.contains(need.as_str())) {
            problems.push(wrong(format!("'{}' needs '{need}', which does not exist", expanded.id)));
        }
    }
    problems
}

fn report_with(reader: &mut Reader, task: &RawTask<'_>, at: Position, problems: &[WithProblem]) {
    let custom = task.custom.as_ref().map_or_else(String::new, |custom| format!(", by {custom}"));
    for problem in problems {
        let at = task.with.as_deref().map_or(at, |with| with.find(&problem.key));
        let message = match problem.key.as_str() {
            "" => format!("task '{}'{custom}: {}", task.def.id, problem.message),
            key => format!("task '{}'{custom}, with.{key}: {}", task.def.id, problem.message),
        };
        reader.problem(at, message, problem.hint.clone());
    }
}

/// What a group says about when it starts holds for its roots: the innermost rule, and all conditions.
fn apply_groups(raw: &mut [Raw<'_>], roots: &[Vec<usize>]) {
    for at in (0..raw.len()).rev() {
        let Body::Group(group) = &raw[at].body else { continue };
        let (rule, condition) = (group.rule, group.condition.as_ref().map(|own| own.text.clone()));
        for root in &roots[at] {
            let Body::Task(task) = &mut raw[*root].body else { continue };
            if let Some(rule) = rule.filter(|_| !task.rule_said) {
                task.def.trigger_rule = rule;
                task.rule_said = true;
            }
            if let Some(outer) = &condition {
                let own = task.def.condition.take();
                task.def.condition =
                    Some(own.map_or_else(|| outer.clone(), |own| format!("({outer}) and ({own})")));
            }
        }
    }
}

fn groups(raw: &[Raw<'_>], expanded: &Expanded) -> Vec<Group> {
    let group = |(at, raw): (usize, &Raw<'_>)| {
        let retries = match &raw.body {
            Body::Group(group) => Some(group.retries.clone()),
            _ => expanded.contains_key(&at).then(RetryPolicy::default),
        };
        Some(Group { id: raw.id.clone(), retries: retries? })
    };
    raw.iter().enumerate().filter_map(group).collect()
}

/// All tasks with kinds expanded, in the order of the file. What needs an expanded one needs its leaves; its roots need what it needs.
fn flatten(
    raw: Vec<Raw<'_>>,
    needs: Vec<Vec<usize>>,
    expanded: &Expanded,
    registry: &Registry,
) -> Vec<TaskDef> {
    let mut last_of: Vec<Vec<usize>> = Vec::with_capacity(raw.len());
    let mut size = 0;
    for (at, raw) in raw.iter().enumerate() {
        let last = match expanded.get(&at) {
            _ if raw.is_group() => Vec::new(),
            None => vec![size],
            Some(tasks) => {
                let needed: BTreeSet<&str> =
                    tasks.iter().flat_map(|task| &task.needs).map(String::as_str).collect();
                let leaf = |at: &usize| !needed.contains(tasks[*at].id.as_str());
                (0..tasks.len()).filter(leaf).map(|at| size + at).collect()
            }
        };
        last_of.push(last);
        if !raw.is_group() {
            size += expanded.get(&at).map_or(1, Vec::len);
        }
    }
    let ids: Vec<String> = raw.iter().map(|raw| raw.id.clone()).collect();
    let mut flat = Vec::with_capacity(size);
    for (at, (raw, needs)) in raw.into_iter().zip(needs).enumerate() {
        let Body::Task(task) = raw.body else { continue };
        let mut outer: Vec<usize> = needs.iter().flat_map(|need| &last_of[*need]).copied().collect();
        outer.sort_unstable();
        let with = with_of(&task);
        let group = raw.group.map(|group| ids[group].clone());
        match expanded.get(&at) {
            None => flat.push(TaskDef { needs: outer, with, group, ..task.def }),
            Some(tasks) => expand_into(&mut flat, task.def, tasks, &outer, registry),
        }
    }
    flat
}

fn expand_into(
    flat: &mut Vec<TaskDef>,
    group: TaskDef,
    tasks: &[ExpandedTask],
    outer: &[usize],
    registry: &Registry,
) {
    let first = flat.len();
    let positions: HashMap<&str, usize> =
        tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), first + at)).collect();
    for task in tasks {
        let inner: BTreeSet<usize> = task.needs.iter().map(|need| positions[need.as_str()]).collect();
        let is_root = inner.is_empty();
        let kind = registry.get(&task.uses);
        flat.push(TaskDef {
            id: format!("{}.{}", group.id, task.id),
            group: Some(group.id.clone()),
            uses: task.uses.clone(),
            with: task.with.clone(),
            needs: if is_root { outer.to_vec() } else { inner.into_iter().collect() },
            trigger_rule: if is_root { group.trigger_rule } else { TriggerRule::AllSuccess },
            condition: group.condition.clone().filter(|_| is_root),
            route: kind.and_then(|kind| kind.route()).map(str::to_owned),
            branch: kind.is_some_and(|kind| kind.is_branch()),
            ..group.clone()
        });
    }
}

/// Topological order that keeps the order of the file where needs allow; `None` if there is a cycle.
fn in_order(tasks: Vec<TaskDef>) -> Option<Vec<TaskDef>> {
    let mut needed_by = vec![Vec::new(); tasks.len()];
    let mut open: Vec<usize> = tasks.iter().map(|task| task.needs.len()).collect();
    for (at, task) in tasks.iter().enumerate() {
        task.needs.iter().for_each(|need| needed_by[*need].push(at));
    }
    let mut free: BTreeSet<usize> = (0..tasks.len()).filter(|at| open[*at] == 0).collect();
    let mut position = vec![usize::MAX; tasks.len()];
    let mut order = Vec::with_capacity(tasks.len());
    while let Some(at) = free.pop_first() {
        position[at] = order.len();
        order.push(at);
        for next in &needed_by[at] {
            open[*next] -= 1;
            if open[*next] == 0 {
                free.insert(*next);
            }
        }
    }
    if order.len() < tasks.len() {
        return None;
    }
    let mut tasks: Vec<Option<TaskDef>> = tasks.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(tasks.len());
    for at in order {
        let mut task = tasks[at].take()?;
        task.needs.iter_mut().for_each(|need| *need = position[*need]);
        task.needs.sort_unstable();
        ordered.push(task);
    }
    Some(ordered)
}
