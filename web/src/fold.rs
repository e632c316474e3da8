//! A dag as so many parts as fit on a page: its tasks, its groups, or, where those are too many, its steps with the tasks of one kind taken
//! together.

use model::Dag;
use std::collections::{BTreeMap, HashMap};

/// Parts of a graph. More would be neither drawn quickly nor read.
pub const PARTS_MAX: usize = 300;
/// Steps that a folded graph keeps apart.
const STEPS_MAX: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Task,
    /// The outermost group.
    Group(String),
    /// Tasks of one step, of one kind if it is said.
    Step {
        uses: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub struct Part {
    pub kind: Kind,
    /// Positions in the dag, ascending.
    pub tasks: Vec<usize>,
    /// Other parts that it needs; all before it.
    pub needs: Vec<usize>,
}

#[derive(Debug)]
pub struct Fold {
    pub parts: Vec<Part>,
}

/// Every task is a part.
pub fn open(dag: &Dag) -> Fold {
    let part =
        |task: usize| Part { kind: Kind::Task, tasks: vec![task], needs: dag.tasks[task].needs.clone() };
    Fold { parts: (0..dag.tasks.len()).map(part).collect() }
}

/// Every outermost group is a part, and every task outside. `None` if parts would need each other in a circle (a task between two of one
/// group).
pub fn groups(dag: &Dag) -> Option<Fold> {
    let mut parts: Vec<(Kind, Vec<usize>)> = Vec::new();
    let mut of_group: HashMap<&str, usize> = HashMap::new();
    for (position, task) in dag.tasks.iter().enumerate() {
        let Some(group) = task.group.as_deref().and_then(|group| group.split('.').next()) else {
            parts.push((Kind::Task, vec![position]));
            continue;
        };
        let part = *of_group.entry(group).or_insert_with(|| {
            parts.push((Kind::Group(group.to_string()), Vec::new()));
            parts.len() - 1
        });
        parts[part].1.push(position);
    }
    in_order(dag, parts)
}

/// For a graph that must be small: groups if they are few enough, else steps.
pub fn small(dag: &Dag) -> Fold {
    groups(dag).filter(|fold| fold.parts.len() <= PARTS_MAX).unwrap_or_else(|| steps(dag))
}

/// How deep each task lies, tasks of one depth and kind together; of many depths, neighbours together.
fn steps(dag: &Dag) -> Fold {
    let mut depth_of = vec![0_usize; dag.tasks.len()];
    for (position, task) in dag.tasks.iter().enumerate() {
        depth_of[position] = task.needs.iter().map(|&need| depth_of[need] + 1).max().unwrap_or(0);
    }
    let depths = depth_of.iter().max().map_or(1, |deepest| deepest + 1);
    let step = |position: usize| depth_of[position] * depths.min(STEPS_MAX) / depths;
    let mut by_kind: BTreeMap<(usize, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (position, task) in dag.tasks.iter().enumerate() {
        by_kind.entry((step(position), Some(task.uses.as_str()))).or_default().push(position);
    }
    // Where a step is several depths, its kinds could need each other.
    if depths > STEPS_MAX || by_kind.len() > PARTS_MAX {
        by_kind.clear();
        for position in 0..dag.tasks.len() {
            by_kind.entry((step(position), None)).or_default().push(position);
        }
    }
    let parts = by_kind.into_iter().map(|((_, uses), tasks)| {
        let uses = uses.map(str::to_string);
        (if tasks.len() == 1 { Kind::Task } else { Kind::Step { uses } }, tasks)
    });
    // A part needs only parts of earlier steps, so there is no circle.
    in_order(dag, parts.collect()).unwrap_or(Fold { parts: Vec::new() })
}

/// The parts with what each needs, in an order in which that stands before it.
fn in_order(dag: &Dag, parts: Vec<(Kind, Vec<usize>)>) -> Option<Fold> {
    let mut part_of = vec![0; dag.tasks.len()];
    for (part, (_, tasks)) in parts.iter().enumerate() {
        tasks.iter().for_each(|&task| part_of[task] = part);
    }
    let needs: Vec<Vec<usize>> = parts
        .iter()
        .enumerate()
        .map(|(part, (_, tasks))| {
            let of_tasks = tasks.iter().flat_map(|&task| &dag.tasks[task].needs).map(|&need| part_of[need]);
            let mut needs: Vec<usize> = of_tasks.filter(|&need| need != part).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); parts.len()];
    for (part, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|&need| after[need].push(part));
    }
    // The smallest first, so that the order of the file stays where it can.
    let mut free: std::collections::BTreeSet<usize> =
        (0..parts.len()).filter(|&part| open[part] == 0).collect();
    let mut place = vec![usize::MAX; parts.len()];
    let mut order = Vec::with_capacity(parts.len());
    while let Some(part) = free.pop_first() {
        place[part] = order.len();
        order.push(part);
        for &next in &after[part] {
            open[next] -= 1;
            if open[next] == 0 {
                free.insert(next);
            }
        }
    }
    if order.len() < parts.len() {
        return None;
    }
    let mut taken: Vec<Option<(Kind, Vec<usize>)>> = parts.into_iter().map(Some).collect();
    let part = |part: &usize| {
        let (kind, tasks) = taken[*part].take()?;
        Some(Part { kind, tasks, needs: needs[*part].iter().map(|&need| place[need]).collect() })
    };
    Some(Fold { parts: order.iter().filter_map(part).collect() })
}

impl Fold {
    /// (position of a task, its part), for the store to count by.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(part, of)| of.tasks.iter().map(move |&task| (task, part))).collect()
    }
}

impl Part {
    pub fn name(&self, dag: &Dag) -> String {
        match &self.kind {
            Kind::Task => dag.tasks[self.tasks[0]].id.clone(),
            Kind::Group(group) => group.clone(),
            Kind::Step { uses } => {
                let count = crate::ui::number(self.tasks.len() as f64);
                format!("{count} × {}", uses.as_deref().unwrap_or("task"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::dag::TaskDef;

    fn dag(tasks: &[(&str, &str, &[usize])]) -> Dag {
        let task = |(id, uses, needs): &(&str, &str, &[usize])| TaskDef {
            id: (*id).into(),
            uses: (*uses).into(),
            group: id.rsplit_once('.').map(|(group, _)| group.into()),
            needs: needs.to_vec(),
            ..TaskDef::default()
        };
        Dag { tasks: tasks.iter().map(task).collect(), ..Dag::default() }
    }

    fn names(dag: &Dag, fold: &Fold) -> Vec<String> {
        fold.parts.iter().map(|part| part.name(dag)).collect()
    }

    #[test]
    fn a_nested_group_is_closed_with_the_one_around_it_and_every_need_stands_before() {
        let dag = dag(&[
            ("g.a", "process", &[]),
            ("x", "process", &[]),
            ("g.in.b", "process", &[0, 1]),
            ("y", "process", &[2]),
        ]);
        let fold = groups(&dag).unwrap();
        assert_eq!(names(&dag, &fold), ["x", "g", "y"]);
        assert_eq!(fold.parts[1].needs, [0]);
        assert_eq!(fold.parts[2].needs, [1]);
    }

    #[test]
    fn a_group_on_both_sides_of_a_task_cannot_be_closed() {
        assert!(groups(&dag(&[("g.a", "p", &[]), ("x", "p", &[0]), ("g.b", "p", &[1])])).is_none());
    }

    #[test]
    fn a_hundred_thousand_tasks_become_few_parts_that_hold_them_all() {
        let mut tasks = vec![TaskDef { id: "t0".into(), uses: "a".into(), ..TaskDef::default() }];
        for i in 1..100_000_usize {
            let needs = if i % 500 == 0 { vec![i - 500] } else { vec![i / 500 * 500] };
            let uses = if i % 3 == 0 { "process" } else { "http" };
            tasks.push(TaskDef { id: format!("t{i}"), uses: uses.into(), needs, ..TaskDef::default() });
        }
        let dag = Dag { tasks, ..Dag::default() };
        let fold = small(&dag);
        assert!(fold.parts.len() <= PARTS_MAX, "{}", fold.parts.len());
        assert_eq!(fold.parts.iter().map(|part| part.tasks.len()).sum::<usize>(), 100_000);
        let edges: usize = fold.parts.iter().map(|part| part.needs.len()).sum();
        assert!(
            edges > 0 && fold.parts.iter().enumerate().all(|(i, part)| part.needs.iter().all(|&n| n < i))
        );
    }
}
