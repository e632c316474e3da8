//! What needs what: names in `needs` resolved, groups taken apart into the tasks at their ends, circles named.
//!
//! A need on a group is one on its leaves (tasks of it that no other task of it needs); what a group needs, its roots need. Teardowns
//! are no leaves: whether a folder was cleaned up is nothing to those who come after.

use super::after::After;
use super::fields::Reader;
use super::tasks::Raw;
use super::yaml::Position;
use crate::dag::Role;
use crate::suggest;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Pairs of tasks of which one needs the other.
const PAIRS_MAX: usize = 4_000_000;
/// Circles that are told of one file.
const CIRCLES_MAX: usize = 20;
/// Steps for finding out whether tasks named in templates come before; beyond it they are believed.
const STEPS_MAX: usize = 20_000_000;

/// All positions are those of `Raw`s.
pub(super) struct Graph<'r, 'n> {
    pub raw: &'r [Raw<'n>],
    ids: HashMap<&'r str, usize>,
    /// Of tasks: the tasks that they need, ascending.
    pub needs: Vec<Vec<usize>>,
    /// Of groups: the tasks of it that need no other of it.
    pub roots: Vec<Vec<usize>>,
    /// The longest way from a task without needs.
    levels: Vec<usize>,
    has_circles: bool,
    steps: Cell<usize>,
}

/// Needs as written and found: the position of what is needed, and where it is said.
pub(super) type Said = Vec<Vec<(usize, Position)>>;

pub(super) fn build<'r, 'n>(reader: &mut Reader, raw: &'r [Raw<'n>]) -> Graph<'r, 'n> {
    let ids = raw.iter().enumerate().map(|(at, raw)| (raw.id.as_str(), at)).collect();
    let empty = || vec![Vec::new(); raw.len()];
    let mut graph = Graph {
        raw,
        ids,
        needs: empty(),
        roots: empty(),
        levels: vec![0; raw.len()],
        has_circles: false,
        steps: Cell::new(0),
    };
    let said = graph.said(reader);
    let ends = Ends::of(raw, &said);
    graph.roots = ends.roots;
    graph.connect(reader, &said, &ends.leaves);
    graph.find_levels();
    graph.report_circles(reader, &said, &ends.leaves);
    graph
}

impl<'r> Graph<'r, '_> {
    /// What a task (or group) in this group means by the name: the nearest sibling, else the full id.
    pub fn find(&self, group: Option<usize>, name: &str) -> Option<usize> {
        let mut scope = group;
        while let Some(group) = scope {
            let full = format!("{}.{name}", self.raw[group].id);
            if let Some(found) = self.ids.get(full.as_str()) {
                return Some(*found);
            }
            scope = self.raw[group].group;
        }
        self.ids.get(name).copied()
    }

    fn is_in(&self, mut at: usize, group: usize) -> bool {
        while let Some(outer) = self.raw[at].group {
            if outer == group {
                return true;
            }
            at = outer;
        }
        false
    }

    fn said(&self, reader: &mut Reader) -> Said {
        let (mut said, mut unknown) = (Vec::with_capacity(self.raw.len()), Vec::new());
        for (at, raw) in self.raw.iter().enumerate() {
            let mut found = Vec::with_capacity(raw.needs.len());
            for (need, position) in &raw.needs {
                match self.find(raw.group, need) {
                    Some(from) if from == at => {
                        let message = format!("{} needs itself", shown(raw));
                        reader.problem(*position, message, None);
                    }
                    Some(from) if self.is_in(at, from) => {
                        let message = format!("{} needs the group that it is in", shown(raw));
                        reader.problem(*position, message, None);
                    }
                    Some(from) if self.is_in(from, at) => {
                        let message = format!("{} needs '{need}', which is in it", shown(raw));
                        reader.problem(*position, message, None);
                    }
                    Some(from) => found.push((from, *position)),
                    None => unknown.push((at, *need, *position)),
                }
            }
            said.push(found);
        }
        self.report_unknown(reader, &said, unknown);
        said
    }

    fn report_unknown(&self, reader: &mut Reader, said: &Said, unknown: Vec<(usize, &str, Position)>) {
        if unknown.is_empty() {
            return;
        }
        let after = After::new(self.raw, said);
        for (at, need, position) in unknown {
            let message = format!("{} needs '{need}', which does not exist", shown(&self.raw[at]));
            let hint = (!reader.is_full()).then(|| self.hint(at, need, &after.of(at))).flatten();
            reader.problem(position, message, hint);
        }
    }

    /// A name that could be meant: nothing that comes after the task itself, which would close a circle.
    fn hint(&self, at: usize, need: &str, after: &[bool]) -> Option<String> {
        let own = &self.raw[at];
        if let Some((group, _)) = need.rsplit_once('.')
            && let Some(whole) = self.find(own.group, group)
            && !self.raw[whole].is_group()
            && !after[whole]
        {
            return Some(format!("what '{group}' stands for is needed as a whole: needs: [{group}]"));
        }
        let others = || self.raw.iter().zip(after).filter(|(_, after)| !**after).map(|(raw, _)| raw);
        let siblings = others().filter(|raw| own.group.is_some() && raw.group == own.group);
        let short = siblings.filter_map(|raw| raw.id.rsplit('.').next());
        let full = others().map(|raw| raw.id.as_str());
        suggest::hint(need, short.chain(full))
    }

    fn connect(&mut self, reader: &mut Reader, said: &Said, leaves: &[Vec<usize>]) {
        let mut pairs = 0;
        for (at, raw) in self.raw.iter().enumerate() {
            for (from, position) in &said[at] {
                let single_from = [*from];
                let single_to = [at];
                let sources = if self.raw[*from].is_group() { &leaves[*from][..] } else { &single_from };
                let roots = self.roots[at].clone();
                let targets = if raw.is_group() { &roots[..] } else { &single_to };
                pairs += sources.len() * targets.len();
                if pairs > PAIRS_MAX {
                    let message = format!("the needs come to more than {PAIRS_MAX} pairs of tasks");
                    let hint = Some("put one task between groups that need each other".to_owned());
                    reader.problem(*position, message, hint);
                    return;
                }
                for target in targets {
                    self.needs[*target].extend_from_slice(sources);
                }
            }
        }
        for needs in &mut self.needs {
            needs.sort_unstable();
            needs.dedup();
        }
    }

    fn needed_by(&self) -> Vec<Vec<usize>> {
        let mut needed_by = vec![Vec::new(); self.needs.len()];
        for (at, needs) in self.needs.iter().enumerate() {
            needs.iter().for_each(|need| needed_by[*need].push(at));
        }
        needed_by
    }

    fn find_levels(&mut self) {
        let needed_by = self.needed_by();
        let mut open: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut free: Vec<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
        let mut done = 0;
        while let Some(at) = free.pop() {
            done += 1;
            for next in &needed_by[at] {
                self.levels[*next] = self.levels[*next].max(self.levels[at] + 1);
                open[*next] -= 1;
                if open[*next] == 0 {
                    free.push(*next);
                }
            }
        }
        self.has_circles = done < open.len();
    }

    /// Whether the one task is done when the other starts.
    pub fn is_before(&self, first: usize, task: usize) -> bool {
        if self.has_circles || self.needs[task].binary_search(&first).is_ok() {
            return true;
        }
        let mut seen = HashSet::new();
        let mut open = vec![task];
        while let Some(at) = open.pop() {
            for need in &self.needs[at] {
                if *need == first {
                    return true;
                }
                if self.levels[*need] > self.levels[first] && seen.insert(*need) {
                    open.push(*need);
                }
            }
            self.steps.set(self.steps.get() + self.needs[at].len() + 1);
            if self.steps.get() > STEPS_MAX {
                return true;
            }
        }
        false
    }

    /// The ids of the tasks that come before this one, near and far.
    pub fn all_before(&self, task: usize) -> Vec<&'r str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![task];
        while let Some(at) = open.pop() {
            open.extend(self.needs[at].iter().copied().filter(|need| seen.insert(*need)));
        }
        seen.remove(&task);
        seen.into_iter().map(|at| self.raw[at].id.as_str()).collect()
    }

    fn report_circles(&self, reader: &mut Reader, said: &Said, leaves: &[Vec<usize>]) {
        if !self.has_circles {
            return;
        }
        let pairs =
            self.needs.iter().enumerate().flat_map(|(at, needs)| needs.iter().map(move |need| (*need, at)));
        let mut graph = DiGraph::<(), ()>::with_capacity(self.raw.len(), self.raw.len());
        self.raw.iter().for_each(|_| {
            graph.add_node(());
        });
        graph.extend_with_edges(pairs.map(|(from, to)| (NodeIndex::new(from), NodeIndex::new(to))));
        let circles = kosaraju_scc(&graph).into_iter().filter(|component| component.len() > 1);
        for circle in circles.take(CIRCLES_MAX) {
            let Some(start) = circle.iter().min().copied() else { continue };
            let path = shortest_circle(&graph, start);
            let names: Vec<&str> = path.iter().map(|at| self.raw[at.index()].id.as_str()).collect();
            let last = path[path.len().saturating_sub(2)].index();
            let position = self.position_of(start.index(), last, said, leaves);
            let message = format!("the tasks need each other in a circle: {}", names.join(" -> "));
            let hint =
                "an arrow leads from a task to one that needs it; remove one of these needs".to_owned();
            reader.problem(position, message, Some(hint));
        }
    }

    /// Where it is said that the task needs the other one, by itself or by a group around it.
    fn position_of(&self, task: usize, need: usize, said: &Said, leaves: &[Vec<usize>]) -> Position {
        let mut at = Some(task);
        while let Some(own) = at {
            let found = said[own].iter().find(|(from, _)| *from == need || leaves[*from].contains(&need));
            if let Some((_, position)) = found {
                return *position;
            }
            at = self.raw[own].group;
        }
        self.raw[task].at
    }
}

fn shown(raw: &Raw<'_>) -> String {
    format!("{} '{}'", if raw.is_group() { "group" } else { "task" }, raw.id)
}

/// The tasks at the ends of each group.
struct Ends {
    roots: Vec<Vec<usize>>,
    leaves: Vec<Vec<usize>>,
}

impl Ends {
    fn of(raw: &[Raw<'_>], said: &Said) -> Ends {
        // Who needs something within this group, and what is needed within it, by anybody and by others than teardowns.
        let (mut needing, mut needed, mut needed_by_work) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (at, found) in said.iter().enumerate() {
            for (from, _) in found {
                if let Some(group) = common_group(raw, at, *from) {
                    needing.insert((at, group));
                    needed.insert((*from, group));
                    if !is_teardown(&raw[at]) {
                        needed_by_work.insert((*from, group));
                    }
                }
            }
        }
        let mut leaves = ends(raw, &needed_by_work, |raw| !is_teardown(raw));
        // A group of nothing but teardowns has them as its leaves.
        for (leaves, all) in leaves.iter_mut().zip(ends(raw, &needed, |_| true)) {
            if leaves.is_empty() {
                *leaves = all;
            }
        }
        Ends { roots: ends(raw, &needing, |_| true), leaves }
    }
}

fn is_teardown(raw: &Raw<'_>) -> bool {
    raw.task().is_some_and(|task| task.def.role == Role::Teardown)
}

/// The tasks of each group that neither they nor the groups around them are marked within it.
fn ends(
    raw: &[Raw<'_>],
    marked: &HashSet<(usize, usize)>,
    counts: impl Fn(&Raw<'_>) -> bool,
) -> Vec<Vec<usize>> {
    let mut ends = vec![Vec::new(); raw.len()];
    // Members stand after their group: those of inner groups are known first.
    for (at, own) in raw.iter().enumerate().rev() {
        if own.is_group() {
            ends[at].sort_unstable();
        }
        let Some(group) = own.group.filter(|group| !marked.contains(&(at, *group)) && counts(own)) else {
            continue;
        };
        if !own.is_group() {
            ends[group].push(at);
            continue;
        }
        let inner = ends[at].clone();
        let is_free = |task: &usize| {
            let mut around = Some(*task);
            while let Some(one) = around.filter(|one| *one != at) {
                if marked.contains(&(one, group)) {
                    return false;
                }
                around = raw[one].group;
            }
            true
        };
        ends[group].extend(inner.into_iter().filter(is_free));
    }
    ends
}

/// The innermost group that both are in.
fn common_group(raw: &[Raw<'_>], one: usize, other: usize) -> Option<usize> {
    let mut groups = HashSet::new();
    let mut at = raw[one].group;
    while let Some(group) = at {
        groups.insert(group);
        at = raw[group].group;
    }
    let mut at = raw[other].group;
    while let Some(group) = at {
        if groups.contains(&group) {
            return Some(group);
        }
        at = raw[group].group;
    }
    None
}

/// From `start` along the edges back to `start`, both ends included.
fn shortest_circle(graph: &DiGraph<(), ()>, start: NodeIndex) -> Vec<NodeIndex> {
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
