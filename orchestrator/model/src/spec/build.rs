//! From tasks as written to tasks as run: needs resolved, cycles named, kinds and templates asked, groups expanded, all in order.

use super::fields::Reader;
use super::tasks::RawTask;
use super::yaml::Node;
use crate::dag::{Dag, Service, TaskDef, WindowRule};
use crate::registry::Registry;
use crate::suggest;
use crate::task::{ExpandedTask, WithProblem};
use crate::template::{self, Names};
use crate::trigger_rule::TriggerRule;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;

/// Tasks that one dag may have after its groups are expanded.
const EXPANDED_MAX: usize = 20_000;

/// Edges go from a task to what needs it.
type Graph = DiGraph<(), ()>;

/// All tasks in topological order; `None` if there is any problem.
pub(super) fn build(
    reader: &mut Reader,
    raw: Vec<(String, Option<RawTask<'_>>)>,
    dag: &Dag,
    dag_dir: &Path,
    registry: &Registry,
) -> Option<Vec<TaskDef>> {
    let ids: HashMap<&str, usize> = raw.iter().enumerate().map(|(at, (id, _))| (id.as_str(), at)).collect();
    let graph = graph_of(reader, &raw, &ids);
    report_cycles(reader, &raw, &graph);
    let mut groups = BTreeMap::new();
    for (at, (_, task)) in raw.iter().enumerate() {
        let Some(task) = task else { continue };
        check_templates(reader, task, dag, || before(&graph, at).map(|i| raw[i].0.clone()).collect());
        if let Some(tasks) = check_kind(reader, task, dag_dir, registry) {
            groups.insert(task.id.clone(), tasks);
        }
    }
    if reader.has_problems() {
        return None;
    }
    let tasks: Vec<RawTask<'_>> = raw.into_iter().filter_map(|(_, task)| task).collect();
    let first = tasks.first().map(|task| task.at)?;
    let flat = flatten(tasks, &groups, registry);
    if flat.len() > EXPANDED_MAX {
        reader.problem(
            first,
            format!("the dag has {} tasks, at most {EXPANDED_MAX} are allowed", flat.len()),
            None,
        );
        return None;
    }
    let ordered = in_order(flat);
    if ordered.is_none() {
        reader.problem(first, "the tasks of a group need each other in a circle".to_owned(), None);
    }
    ordered
}

/// The graph of the tasks as written; unknown needs are reported.
fn graph_of(reader: &mut Reader, raw: &[(String, Option<RawTask<'_>>)], ids: &HashMap<&str, usize>) -> Graph {
    let mut graph = Graph::with_capacity(raw.len(), raw.len());
    raw.iter().for_each(|_| {
        graph.add_node(());
    });
    for (at, (id, task)) in raw.iter().enumerate() {
        for (need, position) in task.iter().flat_map(|task| &task.needs) {
            match ids.get(need.as_str()) {
                Some(from) if *from == at => {
                    reader.problem(*position, format!("task '{id}' needs itself"), None);
                }
                Some(from) => {
                    graph.update_edge(NodeIndex::new(*from), NodeIndex::new(at), ());
                }
                None => {
                    let others = raw.iter().map(|(other, _)| other.as_str()).filter(|other| other != id);
                    let message = format!("task '{id}' needs '{need}', which does not exist");
                    reader.problem(*position, message, suggest::hint(need, others));
                }
            }
        }
    }
    graph
}

fn report_cycles(reader: &mut Reader, raw: &[(String, Option<RawTask<'_>>)], graph: &Graph) {
    for circle in tarjan_scc(graph).into_iter().filter(|component| component.len() > 1) {
        let Some(start) = circle.iter().min().copied() else { continue };
        let name = |task: &NodeIndex| raw[task.index()].0.as_str();
        let path: Vec<&str> = shortest_circle(graph, start).iter().map(name).collect();
        let Some(task) = &raw[start.index()].1 else { continue };
        let position = task.needs.iter().find(|(need, _)| Some(&need.as_str()) == path.iter().rev().nth(1));
        let message = format!("the tasks need each other in a circle: {}", path.join(" -> "));
        let hint =
            Some("an arrow leads from a task to one that needs it; remove one of these needs".to_owned());
        reader.problem(position.map_or(task.at, |(_, at)| *at), message, hint);
    }
}

/// From `start` along the edges back to `start`, both ends included.
fn shortest_circle(graph: &Graph, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(node).collect();
        next.sort_unstable();
        for neighbor in next {
            if neighbor == start {
                let mut path = vec![start, node];
                while path.last() != Some(&start) {
                    path.push(came_from[&path[path.len() - 1]]);
                }
                path.reverse();
                return path;
            }
            came_from.entry(neighbor).or_insert_with(|| {
                queue.push_back(neighbor);
                node
            });
        }
    }
    vec![start]
}

/// The tasks that come before this one, near and far.
fn before(graph: &Graph, task: usize) -> impl Iterator<Item = usize> {
    let mut seen = BTreeSet::new();
    let mut queue = vec![NodeIndex::new(task)];
    while let Some(node) = queue.pop() {
        let earlier = graph.neighbors_directed(node, petgraph::Direction::Incoming);
        queue.extend(earlier.filter(|earlier| seen.insert(earlier.index())));
    }
    seen.remove(&task);
    seen.into_iter()
}

/// Templates in the dag's `env:`, which apply to each task.
pub(super) fn check_env(reader: &mut Reader, node: &Node, dag: &Dag) {
    let names = names_of(dag, false, BTreeSet::new());
    check_texts(reader, node, &names);
}

fn check_templates(
    reader: &mut Reader,
    task: &RawTask<'_>,
    dag: &Dag,
    before: impl Fn() -> BTreeSet<String>,
) {
    let nodes = [task.with, task.env_node];
    let mut texts = Vec::new();
    nodes.iter().flatten().for_each(|node| node.texts(&mut texts));
    if !texts.iter().any(|(_, text)| template::is_template(text)) {
        return;
    }
    let names_tasks = texts.iter().any(|(_, text)| text.contains("tasks"));
    let before = if names_tasks { before() } else { BTreeSet::new() };
    let names = names_of(dag, task.for_each.is_some(), before);
    nodes.iter().flatten().for_each(|node| check_texts(reader, node, &names));
}

fn names_of(dag: &Dag, has_item: bool, tasks: BTreeSet<String>) -> Names {
    let params = dag.params.keys().cloned().collect();
    Names { params, tasks, has_item, has_window: dag.window != WindowRule::None }
}

fn check_texts(reader: &mut Reader, node: &Node, names: &Names) {
    let mut texts = Vec::new();
    node.texts(&mut texts);
    for (node, text) in texts {
        for problem in template::check(text, names) {
            reader.problem(node.position_in_text(text, problem.offset), problem.message, problem.hint);
        }
    }
}

fn with_of(task: &RawTask<'_>) -> Value {
    task.with.map_or_else(|| Value::Object(Map::new()), Node::to_json)
}

/// Asks the kind what is wrong, and for the tasks that it stands for.
fn check_kind(
    reader: &mut Reader,
    task: &RawTask<'_>,
    dag_dir: &Path,
    registry: &Registry,
) -> Option<Vec<ExpandedTask>> {
    let with = with_of(task);
    let problems = task.kind.check(&with, dag_dir);
    report_with(reader, task, &problems);
    if !problems.is_empty() {
        return None;
    }
    let tasks = match task.kind.expand(&with, dag_dir) {
        Ok(tasks) => tasks?,
        Err(problems) => {
            report_with(reader, task, &problems);
            return None;
        }
    };
    let wrong = |message: String| WithProblem { key: String::new(), message, hint: None };
    let mut problems = Vec::new();
    if tasks.is_empty() {
        problems.push(wrong("expands to no tasks at all".to_owned()));
    }
    if task.for_each.is_some() || task.service.is_some() {
        problems
            .push(wrong("a kind that expands to tasks takes neither 'for_each' nor 'service'".to_owned()));
    }
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    if ids.len() < tasks.len() {
        problems.push(wrong("expands to two tasks with the same name".to_owned()));
    }
    for expanded in &tasks {
        if registry.get(&expanded.uses).is_none() {
            problems.push(wrong(format!("'{}' uses the unknown kind '{}'", expanded.id, expanded.uses)));
        }
        for need in expanded.needs.iter().filter(|need| !ids.contains(need.as_str())) {
            problems.push(wrong(format!("'{}' needs '{need}', which does not exist", expanded.id)));
        }
    }
    report_with(reader, task, &problems);
    Some(tasks)
}

fn report_with(reader: &mut Reader, task: &RawTask<'_>, problems: &[WithProblem]) {
    for problem in problems {
        let at = task.with.map_or(task.at, |with| with.find(&problem.key));
        let message = match problem.key.as_str() {
            "" => format!("task '{}': {}", task.id, problem.message),
            key => format!("task '{}', with.{key}: {}", task.id, problem.message),
        };
        reader.problem(at, message, problem.hint.clone());
    }
}

/// All tasks with groups expanded, in the order of the file. What needs a group needs its leaves; its roots need what it needs.
fn flatten(
    raw: Vec<RawTask<'_>>,
    groups: &BTreeMap<String, Vec<ExpandedTask>>,
    registry: &Registry,
) -> Vec<TaskDef> {
    let mut last_of: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut size = 0;
    for task in &raw {
        let group = groups.get(&task.id);
        let last = match group {
            None => vec![size],
            Some(tasks) => {
                let needed: BTreeSet<&str> =
                    tasks.iter().flat_map(|task| &task.needs).map(String::as_str).collect();
                let leaf = |at: &usize| !needed.contains(tasks[*at].id.as_str());
                (0..tasks.len()).filter(leaf).map(|at| size + at).collect()
            }
        };
        last_of.insert(&task.id, last);
        size += group.map_or(1, Vec::len);
    }
    let mut flat = Vec::with_capacity(size);
    for task in &raw {
        let outer: BTreeSet<usize> =
            task.needs.iter().flat_map(|(need, _)| &last_of[need.as_str()]).copied().collect();
        let outer: Vec<usize> = outer.into_iter().collect();
        match groups.get(&task.id) {
            None => flat.push(task_def(task, outer)),
            Some(tasks) => expand_into(&mut flat, task, tasks, &outer, registry),
        }
    }
    flat
}

fn expand_into(
    flat: &mut Vec<TaskDef>,
    group: &RawTask<'_>,
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
        flat.push(TaskDef {
            id: format!("{}.{}", group.id, task.id),
            group: Some(group.id.clone()),
            uses: task.uses.clone(),
            with: task.with.clone(),
            needs: if is_root { outer.to_vec() } else { inner.into_iter().collect() },
            trigger_rule: if is_root { group.trigger_rule } else { TriggerRule::AllSuccess },
            route: registry.get(&task.uses).and_then(|kind| kind.route()).map(str::to_owned),
            ..task_def(group, Vec::new())
        });
    }
}

fn task_def(task: &RawTask<'_>, needs: Vec<usize>) -> TaskDef {
    let service: Option<Service> = task.service.clone();
    TaskDef {
        id: task.id.clone(),
        group: None,
        uses: task.kind.kind().to_owned(),
        with: with_of(task),
        env: task.env.clone(),
        needs,
        trigger_rule: task.trigger_rule,
        for_each: task.for_each.clone(),
        retries: task.retries.clone(),
        timeout: task.timeout,
        priority: task.priority,
        queue: task.queue.clone(),
        route: task.kind.route().map(str::to_owned),
        service,
        branch: task.kind.is_branch(),
        ..TaskDef::default()
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
