//! Plays runs to their end by nothing but decisions, and checks each of them: commands are legal, nothing starts before its needs, limits
//! hold, and a decision repeated says nothing new.

use super::*;
use crate::testing::utc;
use crate::trigger_rule::TriggerRule;
use std::collections::{BTreeSet, HashSet};

pub const OUTCOMES: [TaskState; 3] = [TaskState::Success, TaskState::Failed, TaskState::Skipped];
/// More decisions than any run of these tests needs.
const STEPS_MAX: usize = 4_000;

pub struct Game<'a> {
    run: RunSnapshot<'a>,
    now: DateTime<Utc>,
    /// What the decisions so far knew, and the instances as it was told of them.
    progress: Progress,
    told: Vec<TaskSnapshot>,
}

/// Applies the commands and checks that each was legal; returns the run's end.
pub fn apply(run: &mut RunSnapshot<'_>, commands: &[Command], what: &str) -> Option<RunState> {
    let mut touched = HashSet::new();
    let mut end = None;
    for command in commands {
        let (task, map_index, to) = match command {
            Command::Queue { task, map_index } => {
                // What waits between two tries has started once.
                if find(run, *task, *map_index).state == TaskState::None {
                    assert_may_start(run, *task, what);
                }
                (*task, *map_index, Some(TaskState::Queued))
            }
            Command::Settle { task, map_index, state, .. } => (*task, *map_index, Some(*state)),
            Command::Stop { task, map_index, .. } => (*task, *map_index, None),
            Command::FinishRun { state } => {
                assert!(end.is_none() && run.state.may_become(*state), "{what}: {} -> {state}", run.state);
                end = Some(*state);
                continue;
            }
            Command::Expand { task } => {
                expand(run, *task, what);
                continue;
            }
            Command::Retry { group, used, until, reset, late } => {
                retry(run, group.as_deref(), (*used, *until), reset, late, what);
                touched.clear();
                continue;
            }
            Command::WakeAt { .. } => continue,
        };
        assert!(touched.insert((task, map_index)), "{what}: two commands for {task}[{map_index}]");
        let instance = find(run, task, map_index);
        match to {
            Some(to) => {
                assert!(instance.state.may_become(to), "{what}: {} -> {to}", instance.state);
                assert!(to != TaskState::Queued || !instance.held, "{what}: starts before its past");
                instance.state = to;
                instance.try_number += i32::from(to == TaskState::Queued);
            }
            None => {
                assert!(instance.state.is_live() && !instance.stopping, "{what}: stops what is not live");
                instance.stopping = true;
            }
        }
    }
    if let Some(end) = end {
        assert!(run.tasks.iter().all(|i| i.state.is_final()), "{what}: ended with unfinished tasks");
        run.state = end;
    }
    end
}

fn find<'r>(run: &'r mut RunSnapshot<'_>, task: usize, map_index: i32) -> &'r mut TaskSnapshot {
    run.tasks.iter_mut().find(|i| i.task == task && i.map_index == map_index).expect("the instance is there")
}

/// As many items as its position says: none, one, two, or none that could be told.
fn expand(run: &mut RunSnapshot<'_>, task: usize, what: &str) {
    assert!(run.dag.tasks[task].expands_late(), "{what}: {task} has no late items");
    assert_may_start(run, task, what);
    let stands = find(run, task, -1);
    assert_eq!(stands.state, TaskState::None, "{what}: expanded late");
    match task % 4 {
        0 => stands.state = TaskState::Skipped,
        3 => stands.state = TaskState::Failed,
        count => {
            let held = stands.held;
            run.tasks.retain(|instance| instance.task != task);
            let instances = (0..count as i32)
                .map(|map_index| TaskSnapshot { held, ..TaskSnapshot::waiting(task, map_index) });
            run.tasks.extend(instances);
        }
    }
}

fn retry(
    run: &mut RunSnapshot<'_>,
    group: Option<&str>,
    (used, until): (u32, DateTime<Utc>),
    reset: &[(usize, i32)],
    late: &[usize],
    what: &str,
) {
    let limit = match group {
        None => run.dag.retries.limit,
        Some(id) => run.dag.groups.iter().find(|group| group.id == id).expect("a group").retries.limit,
    };
    assert!(used <= limit, "{what}: retry {used} of {limit}");
    assert!(
        !reset.is_empty() || !late.is_empty(),
        "{what}: nothing is tried again ({group:?}, {:?})",
        run.tasks
    );
    assert!(!run.cancel_requested, "{what}: a cancelled run is tried again");
    for (task, map_index) in reset {
        let instance = find(run, *task, *map_index);
        assert!(instance.state.may_become(TaskState::None), "{what}: {} -> none", instance.state);
        instance.state = TaskState::None;
        (instance.ready, instance.stopping, instance.chosen) = (false, false, None);
    }
    for task in late {
        let tries = run.tasks.iter().filter(|i| i.task == *task).map(|i| i.try_number).max().unwrap_or(0);
        assert!(
            run.tasks.iter().all(|i| i.task != *task || i.state.is_final()),
            "{what}: {task} is not final"
        );
        run.tasks.retain(|instance| instance.task != *task);
        run.tasks.push(TaskSnapshot { try_number: tries, ..TaskSnapshot::waiting(*task, -1) });
    }
    run.retries = retried(&run.retries, group, used, until);
}

fn assert_may_start(run: &RunSnapshot<'_>, task: usize, what: &str) {
    use TriggerRule::*;
    let def = &run.dag.tasks[task];
    let early = matches!(def.trigger_rule, Always | OneSuccess | OneFailed | OneDone);
    let done = |need: &usize| {
        let mut instances = run.tasks.iter().filter(|i| i.task == *need);
        instances.all(|i| i.state.is_final() || (i.ready && i.state.is_live()))
    };
    assert!(early || def.needs.iter().all(done), "{what}: {} before its needs", def.id);
}

impl<'a> Game<'a> {
    pub fn new(dag: &'a Dag) -> Self {
        let mut run = RunSnapshot::begun(dag);
        for instance in &mut run.tasks {
            instance.held = dag.tasks[instance.task].depends_on_past;
        }
        Game { run, now: utc("2026-03-01T12:00:00Z"), progress: Progress::default(), told: Vec::new() }
    }

    /// `outcome` says how the instance at a position ends in a try, `pick` which of the live ones is next.
    pub fn play(
        mut self,
        outcome: impl Fn(usize, i32) -> TaskState,
        pick: &mut dyn FnMut(usize) -> usize,
        what: &str,
    ) -> RunState {
        for _ in 0..STEPS_MAX {
            let (end, wake_at) = self.decide_until_still(what);
            if let Some(end) = end {
                return end;
            }
            if self.a_service_is_ready() {
                continue;
            }
            let live: Vec<usize> =
                (0..self.run.tasks.len()).filter(|i| self.run.tasks[*i].state.is_live()).collect();
            self.assert_limits(&live, what);
            match (live.is_empty(), wake_at) {
                (false, _) => self.end_one(live[pick(live.len()) % live.len()], &outcome, pick),
                (true, Some(at)) => self.now = at,
                (true, None) => {
                    let held = self.run.tasks.iter().position(|i| i.held);
                    let held = held.unwrap_or_else(|| panic!("{what}: stuck in {:?}", self.run.tasks));
                    let task = self.run.tasks[held].task;
                    self.run.tasks.iter_mut().filter(|i| i.task == task).for_each(|i| i.held = false);
                }
            }
        }
        panic!("{what}: did not end");
    }

    fn decide_until_still(&mut self, what: &str) -> (Option<RunState>, Option<DateTime<Utc>>) {
        for _ in 0..STEPS_MAX {
            let commands = decide(&self.run, self.now);
            self.assert_the_same_with_what_is_known(&commands, what);
            let end = apply(&mut self.run, &commands, what);
            let wake_at = commands.iter().find_map(|command| match command {
                Command::WakeAt { at } => Some(*at),
                _ => None,
            });
            assert!(wake_at.is_none_or(|at| at > self.now), "{what}: wakes in the past");
            if commands.iter().any(|c| matches!(c, Command::Expand { .. } | Command::Retry { .. })) {
                continue;
            }
            let same: Vec<Command> = wake_at.map(|at| Command::WakeAt { at }).into_iter().collect();
            let again = decide(&self.run, self.now);
            assert_eq!(again, same, "{what}: decided twice");
            self.assert_the_same_with_what_is_known(&again, what);
            return (end, wake_at);
        }
        panic!("{what}: the decision does not come to rest");
    }

    /// A decision that begins where the last one ended says what one says that begins from nothing.
    fn assert_the_same_with_what_is_known(&mut self, commands: &[Command], what: &str) {
        let place = |instance: &TaskSnapshot| (instance.task, instance.map_index);
        if self.told.iter().map(place).ne(self.run.tasks.iter().map(place)) {
            self.progress.forget();
        } else {
            let pairs = self.told.iter().zip(&self.run.tasks).enumerate();
            pairs
                .filter(|(_, (told, is))| told != is)
                .for_each(|(position, _)| self.progress.touch(position));
        }
        self.told.clone_from(&self.run.tasks);
        assert_eq!(self.progress.decide(&self.run, self.now), commands, "{what}: from what was known");
    }

    fn a_service_is_ready(&mut self) -> bool {
        let tasks = &self.run.dag.tasks;
        let unready = self
            .run
            .tasks
            .iter_mut()
            .find(|i| i.state.is_live() && !i.ready && !i.stopping && tasks[i.task].service.is_some());
        unready.map(|service| service.ready = true).is_some()
    }

    fn end_one(
        &mut self,
        position: usize,
        outcome: &impl Fn(usize, i32) -> TaskState,
        pick: &mut dyn FnMut(usize) -> usize,
    ) {
        let dag = self.run.dag;
        let instance = &mut self.run.tasks[position];
        let end = if instance.stopping { TaskState::Success } else { outcome(position, instance.try_number) };
        instance.state = end;
        (instance.ready, instance.stopping) = (false, false);
        if dag.tasks[instance.task].branch && end == TaskState::Success {
            let after: BTreeSet<&String> = dag
                .tasks
                .iter()
                .filter(|def| def.needs.contains(&instance.task))
                .map(|def| def.group.as_ref().unwrap_or(&def.id))
                .collect();
            let chosen = after.into_iter().filter(|_| pick(2) == 0).cloned().collect();
            instance.chosen = Some(chosen);
        }
    }

    fn assert_limits(&self, live: &[usize], what: &str) {
        let tasks = &self.run.dag.tasks;
        let used = live.iter().filter(|i| tasks[self.run.tasks[**i].task].service.is_none()).count();
        assert!(used <= self.run.dag.max_active_tasks as usize, "{what}: {used} at once");
        for (task, def) in tasks.iter().enumerate() {
            let limit = def.for_each.as_ref().and_then(|each| each.concurrency);
            let at_once = live.iter().filter(|i| self.run.tasks[**i].task == task).count();
            assert!(limit.is_none_or(|limit| at_once <= limit as usize), "{what}: {at_once} of {task}");
        }
    }
}
