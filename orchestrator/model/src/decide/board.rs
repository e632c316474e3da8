//! Where a run stands while it is decided about, and between two decisions: what could start, what waits, and which tasks are to be judged.
//!
//! A decision about a run that stands on a board already looks only at the tasks that something has changed for, however many the run has.

use super::RunSnapshot;
use crate::dag::Dag;
use crate::state::TaskState;
use crate::trigger_rule::Upstream;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// An instance that could start; in the order in which they get free slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Startable {
    pub priority: Reverse<i32>,
    pub task: usize,
    pub map_index: i32,
    pub position: usize,
}

pub(super) struct Board {
    /// As in `RunSnapshot::tasks`, with the commands so far applied.
    pub states: Vec<TaskState>,
    pub instances: Instances,
    /// How each task counts for what needs it.
    pub upstream: Vec<Upstream>,
    pub startable: BTreeSet<Startable>,
    /// Instances between two tries or pokes, by when they are due.
    waiting: BTreeSet<(DateTime<Utc>, usize)>,
    /// Queued or running, services not counted.
    pub live: usize,
    /// The same for each task, services counted.
    pub live_of: Vec<u32>,
    /// Not final.
    pub open: usize,
    pub has_services: bool,
    /// What is decided depends on nothing but the instances that change, so that the board is good for the next decision.
    pub keeps: bool,
    /// Tasks to be judged; `None` means all.
    pub stale: Option<BTreeSet<usize>>,
    dependents: Option<Dependents>,
    /// Tasks that were judged.
    #[cfg(test)]
    pub judged: usize,
}

impl Board {
    pub fn new(run: &RunSnapshot<'_>) -> Self {
        let dag = run.dag;
        let instances = Instances::new(run);
        let mut board = Board {
            states: run.tasks.iter().map(|instance| instance.state).collect(),
            upstream: vec![Upstream::default(); instances.len()],
            live_of: vec![0; instances.len()],
            instances,
            startable: BTreeSet::new(),
            waiting: BTreeSet::new(),
            live: 0,
            open: 0,
            has_services: dag.tasks.iter().any(|task| task.service.is_some()),
            keeps: false,
            stale: None,
            dependents: None,
            #[cfg(test)]
            judged: 0,
        };
        let groups_retry = dag.groups.iter().any(|group| group.retries.limit > 0);
        let has_past = dag.tasks.iter().any(|task| task.depends_on_past);
        board.keeps = !board.has_services && !groups_retry && !has_past;
        for (position, state) in run.tasks.iter().map(|instance| instance.state).enumerate() {
            board.open += usize::from(!state.is_final());
            board.count_live(run, position, state, 1);
        }
        board
    }

    fn count_live(&mut self, run: &RunSnapshot<'_>, position: usize, state: TaskState, by: i32) {
        if !state.is_live() {
            return;
        }
        let task = run.tasks[position].task;
        self.live_of[task] = self.live_of[task].saturating_add_signed(by);
        if run.dag.tasks[task].service.is_none() {
            self.live = self.live.saturating_add_signed(by as isize);
        }
    }

    pub fn set(&mut self, run: &RunSnapshot<'_>, position: usize, state: TaskState) {
        let before = std::mem::replace(&mut self.states[position], state);
        self.count_live(run, position, before, -1);
        self.count_live(run, position, state, 1);
        self.open += usize::from(!state.is_final());
        self.open -= usize::from(!before.is_final());
        if state.is_live() || state.is_final() {
            self.startable.remove(&startable(run, position));
        }
    }

    pub fn could_start(&mut self, run: &RunSnapshot<'_>, position: usize) {
        self.startable.insert(startable(run, position));
    }

    pub fn cannot_start(&mut self, run: &RunSnapshot<'_>, position: usize) {
        self.startable.remove(&startable(run, position));
    }

    pub fn waits(&mut self, position: usize, until: DateTime<Utc>) {
        self.waiting.insert((until, position));
    }

    /// What has waited long enough could start.
    pub fn wake(&mut self, run: &RunSnapshot<'_>, now: DateTime<Utc>) {
        while let Some((_, position)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.pop_first();
            let is_due = run.tasks[position].next_at.is_none_or(|at| at <= now);
            if self.is_waiting(position) && is_due {
                self.could_start(run, position);
            }
        }
    }

    pub fn is_waiting(&self, position: usize) -> bool {
        matches!(self.states[position], TaskState::UpForRetry | TaskState::UpForReschedule)
    }

    /// When the next of those that wait is due.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.waiting.iter().find(|(_, position)| self.is_waiting(*position)).map(|(at, _)| *at)
    }

    /// Takes over what has happened to these instances since the last decision.
    pub fn catch_up(&mut self, run: &RunSnapshot<'_>, touched: Vec<usize>) {
        let mut stale = self.stale.take().unwrap_or_default();
        for position in touched {
            let state = run.tasks[position].state;
            if self.states[position] != state {
                self.set(run, position, state);
                stale.insert(run.tasks[position].task);
            }
        }
        self.stale = Some(stale);
    }

    /// The tasks that need this one.
    pub fn dependents(&mut self, dag: &Dag, task: usize) -> &[u32] {
        self.dependents.get_or_insert_with(|| Dependents::new(dag)).of(task)
    }
}

fn startable(run: &RunSnapshot<'_>, position: usize) -> Startable {
    let instance = &run.tasks[position];
    let priority = Reverse(run.dag.tasks[instance.task].priority);
    Startable { priority, task: instance.task, map_index: instance.map_index, position }
}

/// For each task the positions of its instances in `RunSnapshot::tasks`.
pub(super) struct Instances {
    starts: Vec<usize>,
    positions: Vec<usize>,
}

impl Instances {
    fn new(run: &RunSnapshot<'_>) -> Self {
        let mut starts = vec![0; run.dag.tasks.len() + 1];
        run.tasks.iter().for_each(|instance| starts[instance.task + 1] += 1);
        for task in 1..starts.len() {
            starts[task] += starts[task - 1];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; run.tasks.len()];
        for (position, instance) in run.tasks.iter().enumerate() {
            positions[next[instance.task]] = position;
            next[instance.task] += 1;
        }
        Instances { starts, positions }
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn of(&self, task: usize) -> &[usize] {
        &self.positions[self.starts[task]..self.starts[task + 1]]
    }
}

/// For each task those that need it.
struct Dependents {
    starts: Vec<usize>,
    tasks: Vec<u32>,
}

impl Dependents {
    fn new(dag: &Dag) -> Self {
        let mut starts = vec![0; dag.tasks.len() + 1];
        dag.tasks.iter().flat_map(|task| &task.needs).for_each(|need| starts[need + 1] += 1);
        for task in 1..starts.len() {
            starts[task] += starts[task - 1];
        }
        let mut next = starts.clone();
        let mut tasks = vec![0; starts[dag.tasks.len()]];
        for (task, def) in (0u32..).zip(&dag.tasks) {
            for need in &def.needs {
                tasks[next[*need]] = task;
                next[*need] += 1;
            }
        }
        Dependents { starts, tasks }
    }

    fn of(&self, task: usize) -> &[u32] {
        &self.tasks[self.starts[task]..self.starts[task + 1]]
    }
}
