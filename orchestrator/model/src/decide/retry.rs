//! Groups and runs that failed are tried again.
//!
//! A group in which a task has failed for good, and that has retries left, *will* be tried again: what is outside sees nothing of its
//! ends until then. Once all its tasks are final, they go back to none and wait out the delay. What lies between two tasks of a group,
//! though outside it, goes with the group. Services that are live go on. The run itself is tried again when it would fail: what failed
//! and all that comes after it.

use super::{Command, Plan, RunSnapshot};
use crate::dag::{Dag, Group, Role};
use crate::state::TaskState;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// By the id of the group; the run's own under the empty id.
pub type Retries = BTreeMap<String, Used>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub used: u32,
    /// Nothing of it starts before.
    pub until: Option<DateTime<Utc>>,
}

/// The ledger after a `Command::Retry`: groups inside begin with all their retries again.
pub fn retried(retries: &Retries, group: Option<&str>, used: u32, until: DateTime<Utc>) -> Retries {
    let outer = group.unwrap_or_default();
    let inside =
        |id: &String| outer.is_empty() || id.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    let mut ledger: Retries = retries.clone();
    ledger.retain(|id, _| !inside(id));
    ledger.insert(outer.to_owned(), Used { used, until: Some(until) });
    ledger
}

/// Adds what belongs to the tasks of `chosen` when they run again: the setups that they need, and those setups' teardowns.
pub fn with_setups(dag: &Dag, chosen: &mut [bool]) {
    for task in (0..dag.tasks.len()).rev().filter(|task| chosen[*task]).collect::<Vec<_>>() {
        mark_setups(dag, task, chosen);
    }
    for (task, def) in dag.tasks.iter().enumerate() {
        let is_setup = |need: &usize| dag.tasks[*need].role == Role::Setup && chosen[*need];
        chosen[task] |= def.role == Role::Teardown && def.needs.iter().any(is_setup);
    }
}

fn mark_setups(dag: &Dag, task: usize, chosen: &mut [bool]) {
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for need in &dag.tasks[task].needs {
            if dag.tasks[*need].role == Role::Setup && !chosen[*need] {
                chosen[*need] = true;
                open.push(*need);
            }
        }
    }
}

/// The groups that matter to this decision.
pub(super) struct Groups<'a> {
    /// Those that will be tried again, the innermost first.
    doomed: Vec<Member<'a>>,
    /// Those whose delay is not over.
    waiting: Vec<Vec<bool>>,
    run_waits: bool,
    hide: bool,
}

struct Member<'a> {
    group: &'a Group,
    used: u32,
    tasks: Vec<bool>,
}

impl<'a> Groups<'a> {
    pub fn new(run: &RunSnapshot<'a>, now: DateTime<Utc>, hide: bool) -> Self {
        let used = |id: &str| run.retries.get(id).copied().unwrap_or_default();
        let waits = |id: &str| used(id).until.is_some_and(|until| until > now);
        let mut groups = Groups { doomed: Vec::new(), waiting: Vec::new(), run_waits: waits(""), hide };
        if run.cancel_requested || !run.dag.groups.iter().any(|group| group.retries.limit > 0) {
            return groups;
        }
        let failed = run.tasks.iter().filter(|instance| instance.state == TaskState::Failed);
        let failed: Vec<usize> = failed.map(|instance| instance.task).collect();
        for group in run.dag.groups.iter().filter(|group| group.retries.limit > 0) {
            if waits(&group.id) {
                groups.waiting.push(closure(run.dag, &group.id));
            }
            let used = used(&group.id).used;
            if used < group.retries.limit && failed.iter().any(|task| run.dag.is_in_group(*task, &group.id)) {
                groups.doomed.push(Member { group, used, tasks: closure(run.dag, &group.id) });
            }
        }
        groups.doomed.sort_by_key(|member| std::cmp::Reverse(member.group.id.len()));
        groups
    }

    /// Whether some ends are not seen from outside yet.
    pub fn hide(&self) -> bool {
        self.hide && !self.doomed.is_empty()
    }

    pub fn hidden(&self, from: usize, to: usize) -> bool {
        self.hide && self.doomed.iter().any(|member| member.tasks[from] && !member.tasks[to])
    }

    pub fn on_hold(&self, task: usize) -> bool {
        self.run_waits || self.waiting.iter().any(|tasks| tasks[task])
    }
}

/// The tasks of a group, and those that come after one of them and before another.
fn closure(dag: &Dag, group: &str) -> Vec<bool> {
    let count = dag.tasks.len();
    let member: Vec<bool> = (0..count).map(|task| dag.is_in_group(task, group)).collect();
    let mut after = member.clone();
    for task in 0..count {
        after[task] |= dag.tasks[task].needs.iter().any(|need| after[*need]);
    }
    let mut before = member;
    for task in (0..count).rev() {
        if before[task] {
            dag.tasks[task].needs.iter().for_each(|need| before[*need] = true);
        }
    }
    (0..count).map(|task| after[task] && before[task]).collect()
}

impl Plan<'_> {
    pub(super) fn retry_groups(&mut self) {
        for at in 0..self.groups.doomed.len() {
            let Member { group, used, tasks } = &self.groups.doomed[at];
            let work = (0..self.board.states.len()).filter(|position| {
                let task = self.run.tasks[*position].task;
                tasks[task] && self.run.dag.tasks[task].service.is_none()
            });
            if !work.into_iter().all(|position| self.board.states[position].is_final()) {
                continue;
            }
            let chosen = tasks.clone();
            let until = self.after(group.retries.delay_after(used + 1, self.run.seed));
            let (id, used) = (group.id.clone(), used + 1);
            let (reset, late) = self.reset(&chosen, &chosen, |_| true);
            // What could start has seen ends that are being taken back: the next decision says whether it still can.
            self.board.startable.retain(|startable| !chosen[startable.task]);
            if !self.groups.hide {
                self.board.startable.clear();
                self.commands.retain(|command| !matches!(command, Command::Expand { .. }));
            }
            self.commands.push(Command::Retry { group: Some(id), used, until, reset, late });
        }
    }

    pub(super) fn retry_run(&mut self) -> Option<Command> {
        let dag = self.run.dag;
        let used = self.run.retries.get("").map_or(0, |used| used.used);
        if used >= dag.retries.limit {
            return None;
        }
        let failed = |state: TaskState| {
            matches!(state, TaskState::Failed | TaskState::UpstreamFailed | TaskState::Cancelled)
        };
        let mut itself = vec![false; dag.tasks.len()];
        for (instance, _) in
            self.run.tasks.iter().zip(&self.board.states).filter(|(_, state)| failed(**state))
        {
            itself[instance.task] |= true;
        }
        let mut whole = vec![false; dag.tasks.len()];
        for (task, def) in dag.tasks.iter().enumerate() {
            whole[task] = def.needs.iter().any(|need| itself[*need] || whole[*need]);
        }
        let begun: Vec<bool> = (0..dag.tasks.len()).map(|task| itself[task] || whole[task]).collect();
        let mut with = begun.clone();
        with_setups(dag, &mut with);
        // Services have been drained: what runs again needs them again.
        for task in (0..dag.tasks.len()).rev().filter(|task| begun[*task]).collect::<Vec<_>>() {
            mark_services(dag, task, &mut with);
        }
        for task in 0..dag.tasks.len() {
            whole[task] |= with[task] && !begun[task];
        }
        let until = self.after(dag.retries.delay_after(used + 1, self.run.seed));
        let states = self.board.states.clone();
        let (reset, late) = self.reset(&with, &whole, |position| {
            whole[self.run.tasks[position].task] || failed(states[position])
        });
        Some(Command::Retry { group: None, used: used + 1, until, reset, late })
    }

    /// The final instances of the `chosen` tasks that are wanted, and of those tasks the ones that run again as a `whole` and are to be
    /// expanded anew.
    fn reset(
        &mut self,
        chosen: &[bool],
        whole: &[bool],
        wanted: impl Fn(usize) -> bool,
    ) -> (Vec<(usize, i32)>, Vec<usize>) {
        let (mut reset, mut late) = (Vec::new(), Vec::new());
        for task in (0..chosen.len()).filter(|task| chosen[*task]) {
            let of_task = self.board.instances.of(task);
            let collapses = self.run.dag.tasks[task].expands_late() && whole[task];
            if collapses {
                late.push(task);
            }
            for position in of_task.iter().filter(|position| wanted(**position)) {
                if self.board.states[*position].is_final() && !collapses {
                    reset.push((task, self.run.tasks[*position].map_index));
                }
            }
        }
        for position in 0..self.board.states.len() {
            if chosen[self.run.tasks[position].task]
                && self.board.states[position].is_final()
                && wanted(position)
            {
                self.board.set(self.run, position, TaskState::None);
            }
        }
        (reset, late)
    }

    /// As Postgres keeps it, so that what is decided now is what will be read later.
    fn after(&self, delay: std::time::Duration) -> DateTime<Utc> {
        let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::days(365)).min(TimeDelta::days(365));
        self.now.checked_add_signed(delay).unwrap_or(self.now).trunc_subsecs(6)
    }
}

fn mark_services(dag: &Dag, task: usize, marked: &mut [bool]) {
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for need in &dag.tasks[task].needs {
            if dag.tasks[*need].service.is_some() && !marked[*need] {
                marked[*need] = true;
                open.push(*need);
            }
        }
    }
}
