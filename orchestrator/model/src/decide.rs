//! What should happen next in a run: a pure function of what is known about it.
//!
//! * An instance starts when its trigger rule says so about *all* instances of what it needs. A need on a service counts as success
//!   while the service is live and ready. A `for_each` over nothing counts as one skipped instance once it could have started.
//! * A mapped task whose items are not known yet stands as one instance until it could start; then it is expanded.
//! * What a branch did not choose is skipped, whatever its trigger rule.
//! * Services take no slot of `max_active_tasks`: they would keep it for ever.
//! * When all tasks that are no services are final, services are drained (`drain`).
//! * Groups and runs that failed are tried again (`retry`). How a run ends is in `outcome`.

mod branch;
mod drain;
mod outcome;
mod retry;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_exhaustive;
#[cfg(test)]
mod tests_groups;
#[cfg(test)]
mod tests_play;

pub use retry::{Retries, Used, retried, with_setups};

use crate::dag::{Dag, Role};
use crate::state::{RunState, TaskState};
use crate::trigger_rule::{Upstream, Verdict};
use chrono::{DateTime, Utc};

/// All that a decision about one run needs.
#[derive(Debug, Clone)]
pub struct RunSnapshot<'a> {
    pub dag: &'a Dag,
    /// Makes delays of one run differ from those of the next; its id, say.
    pub seed: u64,
    pub state: RunState,
    pub cancel_requested: bool,
    /// One for each instance: every map index of every task of the dag, in any order.
    pub tasks: Vec<TaskSnapshot>,
    pub retries: Retries,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TaskSnapshot {
    /// Position in `Dag::tasks`.
    pub task: usize,
    pub map_index: i32,
    pub state: TaskState,
    /// Tries so far.
    pub try_number: i32,
    /// When a waiting instance (up_for_retry, up_for_reschedule) is due.
    pub next_at: Option<DateTime<Utc>>,
    /// For a live service: it has said that it is ready.
    pub ready: bool,
    /// For a live attempt: it was told to stop.
    pub stopping: bool,
    /// For a branch that succeeded: the ids of tasks and groups that it chose.
    pub chosen: Option<Vec<String>>,
    /// `depends_on_past`: the same instance of the run before was no success yet, so it may not start.
    pub held: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start the next try: none, up_for_retry or up_for_reschedule -> queued.
    Queue {
        task: usize,
        map_index: i32,
    },
    /// End an instance without running it: skipped, upstream_failed, cancelled.
    Settle {
        task: usize,
        map_index: i32,
        state: TaskState,
        reason: String,
    },
    /// Ask the worker that holds the live attempt to stop it (cancelled run, drained service).
    Stop {
        task: usize,
        map_index: i32,
        reason: String,
    },
    /// Find the items of a mapped task, and put an instance for each in the place of the one that stands for them. Without items that
    /// one is skipped; if they cannot be told, it has failed.
    Expand {
        task: usize,
    },
    /// A group, or without one the run, is tried again: `reset` goes back to none, the instances of `late` give way to the one that
    /// stands for them, and `retried` gives the new ledger.
    Retry {
        group: Option<String>,
        used: u32,
        until: DateTime<Utc>,
        reset: Vec<(usize, i32)>,
        late: Vec<usize>,
    },
    FinishRun {
        state: RunState,
    },
    /// Nothing to do before this instant.
    WakeAt {
        at: DateTime<Utc>,
    },
}

impl TaskSnapshot {
    /// An instance that waits for what it needs.
    pub fn waiting(task: usize, map_index: i32) -> Self {
        TaskSnapshot {
            task,
            map_index,
            state: TaskState::None,
            try_number: 0,
            next_at: None,
            ready: false,
            stopping: false,
            chosen: None,
            held: false,
        }
    }
}

impl<'a> RunSnapshot<'a> {
    /// A run that has just become running.
    pub fn begun(dag: &'a Dag) -> Self {
        let instances = dag.tasks.iter().enumerate().flat_map(|(task, def)| {
            def.map_indexes().into_iter().map(move |map_index| TaskSnapshot::waiting(task, map_index))
        });
        RunSnapshot {
            dag,
            seed: 0,
            state: RunState::Running,
            cancel_requested: false,
            tasks: instances.collect(),
            retries: Retries::new(),
        }
    }
}

/// What should happen next; the commands are to be applied in their order. After that, deciding again at the same instant gives nothing
/// new (at most the same `WakeAt`), but for what follows from an `Expand` or a `Retry`.
pub fn decide(run: &RunSnapshot<'_>, now: DateTime<Utc>) -> Vec<Command> {
    match run.state {
        RunState::Queued | RunState::Running if run.cancel_requested => {
            let mut plan = Plan::new(run, now, false);
            plan.cancel();
            plan.finish_or_wake();
            plan.commands
        }
        RunState::Running => {
            let plan = Plan::advanced(run, now, true);
            // Groups that wait for each other's next try would do so for ever: then what has failed counts at once.
            if plan.is_stuck() { Plan::advanced(run, now, false).commands } else { plan.commands }
        }
        RunState::Queued | RunState::Success | RunState::Failed | RunState::Cancelled => Vec::new(),
    }
}

/// A decision in the making: `states` and `upstream` are the snapshot with the commands so far applied.
struct Plan<'a> {
    run: &'a RunSnapshot<'a>,
    now: DateTime<Utc>,
    /// As in `run.tasks`.
    states: Vec<TaskState>,
    instances: Instances,
    groups: retry::Groups<'a>,
    /// How each task counts for what needs it.
    upstream: Vec<Upstream>,
    /// The task judged last, and the sum over what it needs.
    counted: Option<(usize, Upstream)>,
    startable: Vec<usize>,
    commands: Vec<Command>,
}

/// For each task the positions of its instances in `RunSnapshot::tasks`.
struct Instances {
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

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, task: usize) -> &[usize] {
        &self.positions[self.starts[task]..self.starts[task + 1]]
    }
}

impl<'a> Plan<'a> {
    fn new(run: &'a RunSnapshot<'a>, now: DateTime<Utc>, hide_failures: bool) -> Self {
        let instances = Instances::new(run);
        Plan {
            run,
            now,
            states: run.tasks.iter().map(|instance| instance.state).collect(),
            upstream: vec![Upstream::default(); instances.len()],
            groups: retry::Groups::new(run, now, hide_failures),
            instances,
            counted: None,
            startable: Vec::new(),
            commands: Vec::new(),
        }
    }

    fn advanced(run: &'a RunSnapshot<'a>, now: DateTime<Utc>, hide_failures: bool) -> Self {
        let mut plan = Plan::new(run, now, hide_failures);
        plan.settle_and_find_startable();
        plan.retry_groups();
        plan.drain();
        plan.queue();
        plan.finish_or_wake();
        plan
    }

    /// Nothing will ever happen by itself after this decision.
    fn is_stuck(&self) -> bool {
        let moves = |position: usize| {
            self.states[position].is_live()
                || matches!(self.states[position], TaskState::UpForRetry | TaskState::UpForReschedule)
                || self.run.tasks[position].held
        };
        let settles = |command: &Command| matches!(command, Command::Settle { .. });
        self.groups.hide() && self.commands.iter().all(settles) && !(0..self.states.len()).any(moves)
    }

    fn cancel(&mut self) {
        for position in 0..self.states.len() {
            let waits = matches!(self.states[position], TaskState::UpForRetry | TaskState::UpForReschedule);
            let is_service = self.run.dag.tasks[self.run.tasks[position].task].service.is_some();
            if self.states[position].is_live() {
                self.stop(position, "the run is cancelled");
            } else if waits && is_service {
                self.settle(position, TaskState::Success, drain::DRAINED_WAITING.to_owned());
            } else if !self.states[position].is_final() {
                self.settle(position, TaskState::Cancelled, "the run is cancelled".to_owned());
            }
        }
    }

    /// In topological order, so that what is settled here already counts for what comes after it.
    fn settle_and_find_startable(&mut self) {
        for task in 0..self.instances.len() {
            let undecided = self.instances.of(task).iter().any(|i| self.states[*i] == TaskState::None);
            let verdict = if undecided || self.instances.of(task).is_empty() {
                self.judge(task)
            } else {
                Verdict::Wait
            };
            let not_chosen = if undecided { self.not_chosen(task) } else { None };
            let late = self.run.dag.tasks[task].expands_late();
            for at in 0..self.instances.of(task).len() {
                let position = self.instances.of(task)[at];
                let instance = &self.run.tasks[position];
                let due = instance.next_at.is_none_or(|at| at <= self.now);
                match (self.states[position], verdict) {
                    (TaskState::None, _) if not_chosen.is_some() => {
                        let reason = not_chosen.clone().unwrap_or_default();
                        self.settle(position, TaskState::Skipped, reason);
                    }
                    (TaskState::None, Verdict::Start) if late && instance.map_index < 0 => {
                        self.commands.push(Command::Expand { task });
                    }
                    (TaskState::None, Verdict::Start) if !instance.held => self.startable.push(position),
                    (TaskState::None, Verdict::Settle(state)) => {
                        let reason = self.why_not(task);
                        self.settle(position, state, reason);
                    }
                    (TaskState::UpForRetry | TaskState::UpForReschedule, _) if due => {
                        self.startable.push(position)
                    }
                    _ => {}
                }
            }
            self.upstream[task] = self.count(task, verdict);
        }
    }

    fn judge(&mut self, task: usize) -> Verdict {
        if self.groups.on_hold(task) {
            return Verdict::Wait;
        }
        let def = &self.run.dag.tasks[task];
        // The tasks of one layer often need the same ones: count those once.
        let same = |other: usize| !self.groups.hide() && self.run.dag.tasks[other].needs == def.needs;
        let counted = self.counted.filter(|(other, _)| same(*other));
        let (_, upstream) = counted.unwrap_or_else(|| {
            let mut upstream = Upstream::default();
            for need in &def.needs {
                let hidden = self.groups.hidden(*need, task);
                upstream.add(if hidden { self.undone(*need) } else { self.upstream[*need] });
            }
            (task, upstream)
        });
        self.counted = Some((task, upstream));
        def.trigger_rule.judge(&upstream)
    }

    /// A task whose group will be tried again: nothing of it is known yet.
    fn undone(&self, task: usize) -> Upstream {
        Upstream { total: self.upstream[task].total, ..Upstream::default() }
    }

    fn count(&self, task: usize, verdict: Verdict) -> Upstream {
        let def = &self.run.dag.tasks[task];
        let is_service = def.service.is_some();
        let mut upstream = Upstream::default();
        let mut add = |state: TaskState, ready: bool| {
            upstream.total += 1;
            match state {
                TaskState::Success => upstream.success += 1,
                TaskState::Skipped => upstream.skipped += 1,
                TaskState::UpstreamFailed => upstream.upstream_failed += 1,
                TaskState::Queued | TaskState::Running if is_service && ready => upstream.success += 1,
                // Stopped before its first try began.
                TaskState::Cancelled if is_service => upstream.success += 1,
                TaskState::Failed | TaskState::Cancelled => upstream.failed += 1,
                _ => {}
            }
        };
        for position in self.instances.of(task) {
            add(self.states[*position], self.run.tasks[*position].ready);
        }
        if self.instances.of(task).is_empty() {
            let state = match verdict {
                Verdict::Wait => TaskState::None,
                Verdict::Start => TaskState::Skipped,
                Verdict::Settle(state) => state,
            };
            add(state, false);
        }
        if def.role == Role::Setup {
            upstream.setups = upstream.total;
            upstream.setups_success = upstream.success;
            upstream.setups_skipped = upstream.skipped;
        }
        upstream
    }

    fn why_not(&self, task: usize) -> String {
        let def = &self.run.dag.tasks[task];
        let standing = |need: &usize| {
            let id = &self.run.dag.tasks[*need].id;
            let counts = &self.upstream[*need];
            [
                (counts.failed, "failed"),
                (counts.upstream_failed, "was not run"),
                (counts.skipped, "was skipped"),
                (counts.success, "succeeded"),
            ]
            .into_iter()
            .enumerate()
            .find(|(_, (count, _))| *count > 0)
            .map(|(rank, (_, words))| (rank, format!("'{id}' {words}")))
        };
        let cause = def.needs.iter().filter_map(standing).min_by_key(|(rank, _)| *rank);
        let cause = cause.map_or_else(|| "nothing it needs ran".to_owned(), |(_, words)| words);
        format!("{} cannot be met: {cause}", def.trigger_rule)
    }

    /// Fills the free slots, the highest priority first, then in the order of the dag. A mapped task takes no more than its own share.
    fn queue(&mut self) {
        let tasks = &self.run.dag.tasks;
        let def = |position: usize| &tasks[self.run.tasks[position].task];
        let takes_slot = |position: usize| def(position).service.is_none();
        let live = (0..self.states.len()).filter(|i| self.states[*i].is_live() && takes_slot(*i)).count();
        let mut free = (self.run.dag.max_active_tasks.max(1) as usize).saturating_sub(live);
        let mut startable = std::mem::take(&mut self.startable);
        startable.sort_by_key(|position| {
            let instance = &self.run.tasks[*position];
            (std::cmp::Reverse(tasks[instance.task].priority), instance.task, instance.map_index)
        });
        // The share left to the mapped task looked at last: its instances stand together.
        let mut share: Option<(usize, usize)> = None;
        for position in startable {
            let instance = &self.run.tasks[position];
            let limit = def(position).for_each.as_ref().and_then(|each| each.concurrency);
            if let Some(limit) = limit {
                let left = share.filter(|(task, _)| *task == instance.task).map_or_else(
                    || {
                        let positions = self.instances.of(instance.task).iter();
                        let live = positions.filter(|i| self.states[**i].is_live()).count();
                        (limit.max(1) as usize).saturating_sub(live)
                    },
                    |(_, left)| left,
                );
                share = Some((instance.task, left));
                if left == 0 {
                    continue;
                }
            }
            if takes_slot(position) {
                if free == 0 {
                    continue;
                }
                free -= 1;
            }
            if let (Some(_), Some((_, left))) = (limit, &mut share) {
                *left -= 1;
            }
            self.commands.push(Command::Queue { task: instance.task, map_index: instance.map_index });
            self.states[position] = TaskState::Queued;
        }
    }

    fn finish_or_wake(&mut self) {
        let now = self.now;
        if self.states.iter().all(|state| state.is_final()) {
            let state = outcome::of(self.run, &self.instances, &self.states);
            let retry = if state == RunState::Failed { self.retry_run() } else { None };
            self.commands.push(retry.unwrap_or(Command::FinishRun { state }));
            return;
        }
        let waiting = (0..self.states.len()).filter(|position| {
            matches!(self.states[*position], TaskState::UpForRetry | TaskState::UpForReschedule)
        });
        let next = waiting.filter_map(|position| self.run.tasks[position].next_at);
        let next = next.chain(self.run.retries.values().filter_map(|used| used.until));
        let next = next.filter(|at| *at > now).min();
        self.commands.extend(next.map(|at| Command::WakeAt { at }));
    }

    fn settle(&mut self, position: usize, state: TaskState, reason: String) {
        let instance = &self.run.tasks[position];
        self.states[position] = state;
        self.commands.push(Command::Settle {
            task: instance.task,
            map_index: instance.map_index,
            state,
            reason,
        });
    }

    fn stop(&mut self, position: usize, reason: &str) {
        let instance = &self.run.tasks[position];
        if !instance.stopping {
            self.commands.push(Command::Stop {
                task: instance.task,
                map_index: instance.map_index,
                reason: reason.to_owned(),
            });
        }
    }
}
