//! One step of runs, as in `store::step`: `model::decide` says what follows, that is written, and then something is claimed.

use super::claim::queued;
use super::past::has_past;
use super::{InstanceRow, Plant, RunRow, State, Tables, inconsistent, missing};
use chrono::{DateTime, Utc};
use model::decide::{RunSnapshot, TaskSnapshot, retried};
use model::notify::Event;
use model::template::TemplateContext;
use model::{Command, RunState, TaskState, decide, for_each};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use store::Result;
use store::attempts::Claim;
use store::runs::Advanced;

impl Tables {
    /// The runs, ascending, each with what its step brought. `ended`: attempts have ended, and these are the runs in which it was one that
    /// depends on its past.
    pub(super) fn step(
        &mut self,
        runs: Vec<i64>,
        ended: Option<&BTreeSet<i64>>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        let mut advanced = Vec::with_capacity(runs.len());
        for run in runs {
            advanced.push((run, self.decide_until_still(run, now)?));
        }
        for (run, outcome) in &advanced {
            let concerns_next = outcome.finished.is_some() || ended.is_none_or(|runs| runs.contains(run));
            if concerns_next && has_past(&self.run_row(*run).dag) {
                self.wake_next(*run, now);
            }
        }
        let queued: usize = advanced.iter().map(|(_, advanced)| advanced.queued).sum();
        // An end may also make room in a pool.
        let claim = claim.filter(|_| queued > 0 || ended.is_some());
        let mut own = 0;
        for attempt in claim.map_or(Ok(Vec::new()), |claim| self.claim(claim, now))? {
            let position = advanced.iter().position(|(run, _)| *run == attempt.run);
            own += usize::from(position.is_some());
            advanced[position.unwrap_or(0)].1.claimed.push(attempt);
        }
        if own < queued {
            self.ring("work");
        }
        Ok(advanced)
    }

    fn decide_until_still(&mut self, run: i64, now: DateTime<Utc>) -> Result<Advanced> {
        let mut advanced = Advanced::default();
        if self.run_row(run).state != RunState::Running {
            return Ok(advanced);
        }
        let before = self.run_row(run).wake_at;
        for _ in 0..4 * self.run_row(run).instances.len() + 8 {
            let commands = decide(&self.snapshot(run), now);
            let mut moved = false;
            advanced.wake_at = None;
            for command in commands {
                match command {
                    Command::WakeAt { at } => advanced.wake_at = Some(at),
                    Command::FinishRun { state } => {
                        self.finish_run(run, state, now);
                        advanced.finished = Some(state);
                        advanced.wake_at = None;
                        return Ok(advanced);
                    }
                    Command::Queue { task, map_index } => {
                        self.queue(run, (task, map_index), now)?;
                        advanced.queued += 1;
                        moved = true;
                    }
                    other => {
                        self.apply(run, other, now)?;
                        moved = true;
                    }
                }
            }
            if !moved {
                if before != advanced.wake_at {
                    let late = self.has(Plant::RetriesAreNotDue);
                    self.change_run(run).wake_at = advanced.wake_at.filter(|_| !late);
                }
                return Ok(advanced);
            }
        }
        Err(inconsistent(run, (0, -1), "the decision about the run does not come to rest".to_owned()))
    }

    fn snapshot(&self, run: i64) -> RunSnapshot<'_> {
        let row = self.run_row(run);
        let of = |(&(task, map_index), instance): (&(usize, i32), &InstanceRow)| {
            let live = instance.attempt.and_then(|attempt| self.attempts.get(&attempt));
            TaskSnapshot {
                task,
                map_index,
                state: instance.state.0,
                try_number: instance.try_number,
                next_at: instance.next_at,
                ready: live.is_some_and(|live| live.ready),
                stopping: live.is_some_and(|live| live.stop_requested),
                chosen: row.dag.tasks[task].branch.then(|| chosen(instance)).flatten(),
                held: instance.state.0 == TaskState::None && self.is_held(run, (task, map_index)),
            }
        };
        RunSnapshot {
            dag: &row.dag,
            seed: run as u64,
            state: row.state,
            cancel_requested: row.cancel_requested_at.is_some(),
            tasks: row.instances.iter().map(of).collect(),
            retries: row.retries.clone(),
        }
    }

    fn queue(&mut self, run: i64, key: (usize, i32), now: DateTime<Utc>) -> Result<()> {
        self.last_attempt += 1;
        let id = self.last_attempt;
        let row = self.change_run(run);
        let fresh =
            row.instances.get(&key).is_some_and(|instance| instance.state.0 != TaskState::UpForReschedule);
        row.set_state(key, TaskState::Queued, now)?;
        let dag = row.dag.clone();
        let instance = row.instances.get_mut(&key).ok_or_else(|| missing(run, key))?;
        instance.try_number += i32::from(fresh);
        instance.next_at = None;
        if fresh {
            instance.started_at = None;
        }
        if let Some(live) = instance.attempt.replace(id) {
            return Err(inconsistent(run, key, format!("attempt {live} is live already")));
        }
        let attempt = queued(&dag, run, key, instance.try_number);
        self.attempts.insert(id, super::AttemptRow { id, ..attempt });
        Ok(())
    }

    fn apply(&mut self, run: i64, command: Command, now: DateTime<Utc>) -> Result<()> {
        match command {
            Command::Settle { task, map_index, state, .. } => {
                let row = self.change_run(run);
                row.set_state((task, map_index), state, now)?;
                row.instances.entry((task, map_index)).and_modify(|instance| instance.next_at = None);
                Ok(())
            }
            Command::Stop { task, map_index, reason } => self.stop(run, (task, map_index), reason, now),
            Command::Expand { task } => self.expand(run, task, now),
            Command::Retry { group, used, until, reset, late } => {
                self.reset_all(run, &reset)?;
                let row = self.change_run(run);
                row.retries = retried(&row.retries, group.as_deref(), used, until);
                late.into_iter().for_each(|task| row.collapse(task));
                Ok(())
            }
            Command::Queue { .. } | Command::FinishRun { .. } | Command::WakeAt { .. } => {
                unreachable!("applied by the caller")
            }
        }
    }

    /// A queued attempt ends at once, a running one is asked to.
    fn stop(&mut self, run: i64, key: (usize, i32), reason: String, now: DateTime<Utc>) -> Result<()> {
        let id = self.run_row(run).instances.get(&key).and_then(|instance| instance.attempt);
        let Some(attempt) = id.and_then(|id| self.attempts.get_mut(&id)) else {
            return Err(inconsistent(run, key, "there is no attempt to stop".to_owned()));
        };
        if attempt.lease.is_some() {
            attempt.stop_requested = true;
            attempt.stop_reason.get_or_insert(reason);
            self.ring("stop");
            return Ok(());
        }
        let id = attempt.id;
        self.attempts.remove(&id);
        self.history.push(super::HistoryRow {
            attempt: id,
            lease: None,
            shown: None,
            run,
            task: key.0,
            map_index: key.1,
            ending: "cancelled",
            next: TaskState::Cancelled,
            started_at: None,
        });
        let row = self.change_run(run);
        row.instances.entry(key).and_modify(|instance| instance.attempt = None);
        row.set_state(key, TaskState::Cancelled, now)
    }

    fn expand(&mut self, run: i64, task: usize, now: DateTime<Utc>) -> Result<()> {
        let sieves = !self.has(Plant::ItemsAreNotSieved);
        let row = self.change_run(run);
        let outputs: BTreeMap<String, Value> = (row.instances.iter())
            .filter_map(|((task, _), instance)| {
                Some((row.dag.tasks[*task].id.clone(), instance.outputs.clone()?))
            })
            .collect();
        let context = TemplateContext { outputs, window: row.window, ..TemplateContext::default() };
        let dag = row.dag.clone();
        let each = dag.tasks[task].for_each.as_ref().expect("only mapped tasks are expanded");
        let placeholder = (task, -1);
        match for_each::items(each, &context) {
            Err(_) => row.set_state(placeholder, TaskState::Failed, now),
            Ok(items) if items.is_empty() => row.set_state(placeholder, TaskState::Skipped, now),
            Ok(items) => {
                row.instances.remove(&placeholder);
                for index in 0..items.len() as i32 {
                    row.instances.insert((task, index), InstanceRow::default());
                }
                let unwanted = for_each::unwanted(&dag.tasks[task], &context, &items, |_| 1);
                row.items.insert(task, items);
                let mut skipped = unwanted.into_iter().map(|(index, _)| (task, index)).filter(|_| sieves);
                skipped.try_for_each(|key| row.set_state(key, TaskState::Skipped, now))
            }
        }
    }

    fn finish_run(&mut self, run: i64, state: RunState, now: DateTime<Utc>) {
        let row = self.change_run(run);
        row.state = state;
        row.ended_at = Some(now);
        row.wake_at = None;
        let dag_id = row.dag_id.clone();
        if self.runs.values().any(|row| row.dag_id == dag_id && row.state == RunState::Queued) {
            self.ring("runs");
        }
        self.ring("assets");
        if state == RunState::Failed {
            self.tell(Event::Failure, run, None, now);
        }
    }
}

impl RunRow {
    /// A final instance goes back to none.
    pub(super) fn reset(&mut self, key: (usize, i32)) -> Result<()> {
        self.set_state(key, TaskState::None, DateTime::UNIX_EPOCH)?;
        self.instances.entry(key).and_modify(|instance| {
            let try_number = instance.try_number;
            *instance = InstanceRow { state: State(TaskState::None), try_number, ..InstanceRow::default() };
        });
        Ok(())
    }

    /// The instances of a late `for_each` give way to the one that stands for them.
    pub(super) fn collapse(&mut self, task: usize) {
        self.instances.retain(|(of, _), _| *of != task);
        self.items.remove(&task);
        self.instances.insert((task, -1), InstanceRow::default());
    }
}

fn chosen(instance: &InstanceRow) -> Option<Vec<String>> {
    if instance.state.0 != TaskState::Success {
        return None;
    }
    let chosen = instance.outputs.as_ref()?.get("chosen")?.as_array()?;
    Some(chosen.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
