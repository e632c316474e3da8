//! What should happen next in a run: a pure function of what is known about it.
//!
//! * An instance starts when its trigger rule says so about *all* instances of what it needs. A need on a service counts as success
//!   while the service is live and ready. A `for_each` over nothing counts as one skipped instance once it could have started.
//! * Services take no slot of `max_active_tasks`: they would keep it for ever.
//! * When all tasks that are no services are final, services are drained. Only a service that comes after a task, with no task after
//!   itself, is what the run is for, and goes on (with the services that it needs).
//! * How a run ends is in `outcome`.

mod outcome;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_exhaustive;

use crate::dag::Dag;
use crate::state::{RunState, TaskState};
use crate::trigger_rule::{Upstream, Verdict};
use chrono::{DateTime, Utc};

/// All that a decision about one run needs.
#[derive(Debug, Clone)]
pub struct RunSnapshot<'a> {
    pub dag: &'a Dag,
    pub state: RunState,
    pub cancel_requested: bool,
    /// One for each instance: every map index of every task of the dag, in any order.
    pub tasks: Vec<TaskSnapshot>,
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
    FinishRun {
        state: RunState,
    },
    /// Nothing to do before this instant.
    WakeAt {
        at: DateTime<Utc>,
    },
}

/// What should happen next. After the commands are applied, deciding again at the same instant gives nothing new (at most the same
/// `WakeAt`).
pub fn decide(run: &RunSnapshot<'_>, now: DateTime<Utc>) -> Vec<Command> {
    let mut plan = Plan::new(run);
    match run.state {
        RunState::Queued | RunState::Running if run.cancel_requested => plan.cancel(),
        RunState::Running => {
            plan.settle_and_find_startable(now);
            plan.drain();
            plan.queue();
        }
        RunState::Queued | RunState::Success | RunState::Failed | RunState::Cancelled => return Vec::new(),
    }
    plan.finish_or_wake(now);
    plan.commands
}

/// A decision in the making: `states` and `upstream` are the snapshot with the commands so far applied.
struct Plan<'a> {
    run: &'a RunSnapshot<'a>,
    /// As in `run.tasks`.
    states: Vec<TaskState>,
    /// For each task the positions of its instances in `run.tasks`.
    instances: Vec<Vec<usize>>,
    /// How each task counts for what needs it.
    upstream: Vec<Upstream>,
    /// The task judged last, and the sum over what it needs.
    counted: Option<(usize, Upstream)>,
    startable: Vec<usize>,
    commands: Vec<Command>,
}

impl<'a> Plan<'a> {
    fn new(run: &'a RunSnapshot<'a>) -> Self {
        let mut instances = vec![Vec::new(); run.dag.tasks.len()];
        for (position, instance) in run.tasks.iter().enumerate() {
            instances[instance.task].push(position);
        }
        Plan {
            run,
            states: run.tasks.iter().map(|instance| instance.state).collect(),
            upstream: vec![Upstream::default(); instances.len()],
            instances,
            counted: None,
            startable: Vec::new(),
            commands: Vec::new(),
        }
    }

    fn cancel(&mut self) {
        for position in 0..self.states.len() {
            if self.states[position].is_live() {
                self.stop(position, "the run is cancelled");
            } else if !self.states[position].is_final() {
                self.settle(position, TaskState::Cancelled, "the run is cancelled".to_owned());
            }
        }
    }

    /// In topological order, so that what is settled here already counts for what comes after it.
    fn settle_and_find_startable(&mut self, now: DateTime<Utc>) {
        for task in 0..self.instances.len() {
            let undecided = self.instances[task].iter().any(|i| self.states[*i] == TaskState::None);
            let verdict =
                if undecided || self.instances[task].is_empty() { self.judge(task) } else { Verdict::Wait };
            for at in 0..self.instances[task].len() {
                let position = self.instances[task][at];
                let due = self.run.tasks[position].next_at.is_none_or(|at| at <= now);
                match (self.states[position], verdict) {
                    (TaskState::None, Verdict::Start) => self.startable.push(position),
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
        let def = &self.run.dag.tasks[task];
        // The tasks of one layer often need the same ones: count those once.
        let counted = self.counted.filter(|(other, _)| self.run.dag.tasks[*other].needs == def.needs);
        let (_, upstream) = counted.unwrap_or_else(|| {
            let mut upstream = Upstream::default();
            def.needs.iter().for_each(|need| upstream.add(self.upstream[*need]));
            (task, upstream)
        });
        self.counted = Some((task, upstream));
        def.trigger_rule.judge(&upstream)
    }

    fn count(&self, task: usize, verdict: Verdict) -> Upstream {
        let is_service = self.run.dag.tasks[task].service.is_some();
        let mut upstream = Upstream::default();
        let mut add = |state: TaskState, ready: bool| {
            upstream.total += 1;
            match state {
                TaskState::Success => upstream.success += 1,
                TaskState::Skipped => upstream.skipped += 1,
                TaskState::UpstreamFailed => upstream.upstream_failed += 1,
                TaskState::Queued | TaskState::Running if is_service && ready => upstream.success += 1,
                // Settled while it was drained, between two of its tries.
                TaskState::Cancelled if is_service => upstream.success += 1,
                TaskState::Failed | TaskState::Cancelled => upstream.failed += 1,
                _ => {}
            }
        };
        for position in &self.instances[task] {
            add(self.states[*position], self.run.tasks[*position].ready);
        }
        if self.instances[task].is_empty() {
            let state = match verdict {
                Verdict::Wait => TaskState::None,
                Verdict::Start => TaskState::Skipped,
                Verdict::Settle(state) => state,
            };
            add(state, false);
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

    /// Ends the services that nothing needs any more.
    fn drain(&mut self) {
        let dag = self.run.dag;
        let has_work = dag.tasks.iter().any(|task| task.service.is_none());
        let work_is_done = (0..self.instances.len())
            .filter(|task| dag.tasks[*task].service.is_none())
            .all(|task| self.instances[task].iter().all(|position| self.states[*position].is_final()));
        if !has_work || !work_is_done {
            return;
        }
        let goes_on = services_that_go_on(dag);
        for task in
            (0..self.instances.len()).filter(|task| dag.tasks[*task].service.is_some() && !goes_on[*task])
        {
            for at in 0..self.instances[task].len() {
                let position = self.instances[task][at];
                let reason = "nothing needs it any more";
                match self.states[position] {
                    TaskState::Queued | TaskState::Running => self.stop(position, reason),
                    TaskState::None => self.settle(position, TaskState::Skipped, reason.to_owned()),
                    TaskState::UpForRetry | TaskState::UpForReschedule => {
                        self.settle(position, TaskState::Cancelled, reason.to_owned());
                    }
                    _ => {}
                }
            }
        }
        let states = &self.states;
        self.startable.retain(|position| !states[*position].is_final());
    }

    /// Fills the free slots, the highest priority first, then in the order of the dag.
    fn queue(&mut self) {
        let tasks = &self.run.dag.tasks;
        let takes_slot = |position: usize| tasks[self.run.tasks[position].task].service.is_none();
        let live = (0..self.states.len()).filter(|i| self.states[*i].is_live() && takes_slot(*i)).count();
        let mut free = (self.run.dag.max_active_tasks.max(1) as usize).saturating_sub(live);
        let mut startable = std::mem::take(&mut self.startable);
        startable.sort_by_key(|position| {
            let instance = &self.run.tasks[*position];
            (std::cmp::Reverse(tasks[instance.task].priority), instance.task, instance.map_index)
        });
        for position in startable {
            if takes_slot(position) {
                if free == 0 {
                    continue;
                }
                free -= 1;
            }
            let instance = &self.run.tasks[position];
            self.commands.push(Command::Queue { task: instance.task, map_index: instance.map_index });
            self.states[position] = TaskState::Queued;
        }
    }

    fn finish_or_wake(&mut self, now: DateTime<Utc>) {
        if self.states.iter().all(|state| state.is_final()) {
            let state = outcome::of(self.run, &self.instances, &self.states);
            self.commands.push(Command::FinishRun { state });
            return;
        }
        let waiting = (0..self.states.len()).filter(|position| {
            matches!(self.states[*position], TaskState::UpForRetry | TaskState::UpForReschedule)
        });
        let next =
            waiting.filter_map(|position| self.run.tasks[position].next_at).filter(|at| *at > now).min();
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

/// The services that the run is for: after a task, with no task after themselves; and the services that those need.
fn services_that_go_on(dag: &Dag) -> Vec<bool> {
    let is_work = |task: usize| dag.tasks[task].service.is_none();
    let mut after_work = vec![false; dag.tasks.len()];
    for (task, def) in dag.tasks.iter().enumerate() {
        after_work[task] = def.needs.iter().any(|need| is_work(*need) || after_work[*need]);
    }
    let mut before_work = vec![false; dag.tasks.len()];
    let mut goes_on = vec![false; dag.tasks.len()];
    for (task, def) in dag.tasks.iter().enumerate().rev() {
        goes_on[task] |= !is_work(task) && after_work[task] && !before_work[task];
        for need in &def.needs {
            before_work[*need] |= is_work(task) || before_work[task];
            goes_on[*need] |= goes_on[task] && !is_work(*need);
        }
    }
    goes_on
}
