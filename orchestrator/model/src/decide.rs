//! What should happen next in a run: a pure function of what is known about it.
//!
//! * An instance starts when its trigger rule says so about *all* instances of what it needs. A need on a service counts as success
//!   while the service is live and ready. A `for_each` over nothing counts as one skipped instance once it could have started.
//! * A mapped task whose items are not known yet stands as one instance until it could start; then it is expanded.
//! * What a branch did not choose is skipped, whatever its trigger rule.
//! * Services take no slot of `max_active_tasks`: they would keep it for ever.
//! * When all tasks that are no services are final, services are drained (`drain`).
//! * Groups and runs that failed are tried again (`retry`). How a run ends is in `outcome`.

mod board;
mod branch;
mod drain;
mod outcome;
mod progress;
mod retry;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_exhaustive;
#[cfg(test)]
mod tests_groups;
#[cfg(test)]
mod tests_play;
#[cfg(test)]
mod tests_progress;

pub use progress::Progress;
pub use retry::{Retries, Used, retried, with_setups};

use crate::dag::{Dag, Role};
use crate::state::{RunState, TaskState};
use crate::trigger_rule::{Upstream, Verdict};
use board::{Board, Startable};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::ops::Bound;

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
    Progress::default().decide(run, now)
}

/// A decision in the making.
struct Plan<'a> {
    run: &'a RunSnapshot<'a>,
    now: DateTime<Utc>,
    board: Box<Board>,
    groups: retry::Groups<'a>,
    /// The task judged last, and the sum over what it needs.
    counted: Option<(usize, Upstream)>,
    commands: Vec<Command>,
}

impl<'a> Plan<'a> {
    fn new(run: &'a RunSnapshot<'a>, now: DateTime<Utc>, hide_failures: bool, board: Box<Board>) -> Self {
        let groups = retry::Groups::new(run, now, hide_failures);
        Plan { run, now, board, groups, counted: None, commands: Vec::new() }
    }

    fn advanced(
        run: &'a RunSnapshot<'a>,
        now: DateTime<Utc>,
        hide_failures: bool,
        board: Box<Board>,
    ) -> Self {
        let mut plan = Plan::new(run, now, hide_failures, board);
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
            self.board.states[position].is_live()
                || self.board.is_waiting(position)
                || self.run.tasks[position].held
        };
        let settles = |command: &Command| matches!(command, Command::Settle { .. });
        self.groups.hide() && self.commands.iter().all(settles) && !(0..self.board.states.len()).any(moves)
    }

    fn cancel(&mut self) {
        for position in 0..self.board.states.len() {
            let is_service = self.run.dag.tasks[self.run.tasks[position].task].service.is_some();
            if self.board.states[position].is_live() {
                self.stop(position, "the run is cancelled");
            } else if self.board.is_waiting(position) && is_service {
                self.settle(position, TaskState::Success, drain::DRAINED_WAITING.to_owned());
            } else if !self.board.states[position].is_final() {
                self.settle(position, TaskState::Cancelled, "the run is cancelled".to_owned());
            }
        }
    }

    /// In topological order, so that what is settled here already counts for what comes after it.
    fn settle_and_find_startable(&mut self) {
        let run = self.run;
        self.board.wake(run, self.now);
        match self.board.stale.take() {
            None => {
                for task in 0..self.board.instances.len() {
                    self.look_at(task);
                }
            }
            Some(mut stale) => {
                while let Some(task) = stale.pop_first() {
                    if self.look_at(task) {
                        stale.extend(self.board.dependents(run.dag, task).iter().map(|task| *task as usize));
                    }
                }
            }
        }
        self.board.stale = Some(BTreeSet::new());
    }

    /// Returns whether the task counts in another way than before for what needs it.
    fn look_at(&mut self, task: usize) -> bool {
        let run = self.run;
        #[cfg(test)]
        (self.board.judged += 1);
        let undecided =
            self.board.instances.of(task).iter().any(|i| self.board.states[*i] == TaskState::None);
        let verdict = if undecided || self.board.instances.of(task).is_empty() {
            self.judge(task)
        } else {
            Verdict::Wait
        };
        let not_chosen = if undecided { self.not_chosen(task) } else { None };
        let late = run.dag.tasks[task].expands_late();
        for at in 0..self.board.instances.of(task).len() {
            let position = self.board.instances.of(task)[at];
            let instance = &run.tasks[position];
            match (self.board.states[position], verdict) {
                (TaskState::None, _) if not_chosen.is_some() => {
                    let reason = not_chosen.clone().unwrap_or_default();
                    self.settle(position, TaskState::Skipped, reason);
                }
                (TaskState::None, Verdict::Start) if late && instance.map_index < 0 => {
                    self.commands.push(Command::Expand { task });
                }
                (TaskState::None, Verdict::Start) if !instance.held => self.board.could_start(run, position),
                (TaskState::None, Verdict::Settle(state)) => {
                    let reason = self.why_not(task);
                    self.settle(position, state, reason);
                }
                (TaskState::None, _) => self.board.cannot_start(run, position),
                (TaskState::UpForRetry | TaskState::UpForReschedule, _) => match instance.next_at {
                    Some(at) if at > self.now => self.board.waits(position, at),
                    _ => self.board.could_start(run, position),
                },
                _ => {}
            }
        }
        let counts = self.count(task, verdict);
        std::mem::replace(&mut self.board.upstream[task], counts) != counts
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
                upstream.add(if hidden { self.undone(*need) } else { self.board.upstream[*need] });
            }
            (task, upstream)
        });
        self.counted = Some((task, upstream));
        def.trigger_rule.judge(&upstream)
    }

    /// A task whose group will be tried again: nothing of it is known yet.
    fn undone(&self, task: usize) -> Upstream {
        Upstream { total: self.board.upstream[task].total, ..Upstream::default() }
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
        for position in self.board.instances.of(task) {
            add(self.board.states[*position], self.run.tasks[*position].ready);
        }
        if self.board.instances.of(task).is_empty() {
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
            let counts = &self.board.upstream[*need];
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
        let run = self.run;
        let mut free = (run.dag.max_active_tasks.max(1) as usize).saturating_sub(self.board.live);
        let mut after = Bound::Unbounded;
        while let Some(next) = self.board.startable.range((after, Bound::Unbounded)).next().copied() {
            let Startable { task, map_index, position, .. } = next;
            let def = &run.dag.tasks[task];
            after = Bound::Excluded(next);
            let share = def.for_each.as_ref().and_then(|each| each.concurrency);
            if share.is_some_and(|share| self.board.live_of[task] >= share.max(1)) {
                after = Bound::Excluded(Startable { map_index: i32::MAX, position: usize::MAX, ..next });
                continue;
            }
            if def.service.is_none() {
                match (free, self.board.has_services) {
                    (0, true) => continue,
                    (0, false) => break,
                    _ => free -= 1,
                }
            }
            self.commands.push(Command::Queue { task, map_index });
            self.board.set(run, position, TaskState::Queued);
        }
    }

    fn finish_or_wake(&mut self) {
        if self.board.open == 0 {
            let state = outcome::of(self.run, &self.board.instances, &self.board.states);
            let retry = if state == RunState::Failed { self.retry_run() } else { None };
            self.commands.push(retry.unwrap_or(Command::FinishRun { state }));
            return;
        }
        let retries = self.run.retries.values().filter_map(|used| used.until).filter(|at| *at > self.now);
        let next = self.board.next_due().into_iter().chain(retries).min();
        self.commands.extend(next.map(|at| Command::WakeAt { at }));
    }

    fn settle(&mut self, position: usize, state: TaskState, reason: String) {
        let instance = &self.run.tasks[position];
        self.board.set(self.run, position, state);
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
