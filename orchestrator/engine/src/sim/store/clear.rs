//! Clearing a run, as in `store::clear`.

use super::Tables;
use super::backfills::BackfillState;
use chrono::{DateTime, Utc};
use model::{RunState, TaskState};
use store::Result;

impl Tables {
    /// Puts what is final in a task and all that comes after it back to none, and a final run back to queued. Returns how many
    /// instances were cleared.
    pub fn clear(&mut self, run: i64, from: usize, now: DateTime<Utc>) -> Result<usize> {
        let row = self.run_row(run);
        if row.state == RunState::Running && row.cancel_requested_at.is_some() {
            return Ok(0);
        }
        let dag = row.dag.clone();
        let mut chosen = vec![false; dag.tasks.len()];
        for (task, def) in dag.tasks.iter().enumerate() {
            chosen[task] = task == from || def.needs.iter().any(|need| chosen[*need]);
        }
        let is_open =
            |state: TaskState| matches!(state, TaskState::None | TaskState::Queued | TaskState::Running);
        let found: Vec<(usize, i32)> = row
            .instances
            .iter()
            .filter(|((task, _), instance)| chosen[*task] && !is_open(instance.state.0))
            .map(|(key, _)| *key)
            .collect();
        if found.is_empty() {
            return Ok(0);
        }
        self.reset_all(run, &found)?;
        self.forget_items(run, |task| {
            let def = &dag.tasks[task];
            chosen[task] && (def.condition.is_some() || def.needs.iter().any(|need| chosen[*need]))
        });
        self.requeue(run, now);
        self.ring("runs");
        Ok(found.len())
    }

    /// Instances go back to none, those that are so already excepted, and what people were asked for them is forgotten.
    pub(super) fn reset_all(&mut self, run: i64, keys: &[(usize, i32)]) -> Result<()> {
        self.forget_questions(run, keys);
        let row = self.change_run(run);
        for key in keys {
            if row.instances[key].state.0 != TaskState::None {
                row.reset(*key)?;
            }
        }
        Ok(())
    }

    /// Late tasks of which nothing has begun wait for their items anew.
    pub(super) fn forget_items(&mut self, run: i64, may_differ: impl Fn(usize) -> bool) {
        let row = self.change_run(run);
        let expanded: Vec<usize> = row.items.keys().copied().filter(|task| may_differ(*task)).collect();
        for task in expanded {
            let of_task = row.instances.range((task, i32::MIN)..=(task, i32::MAX));
            if of_task.into_iter().all(|(_, instance)| instance.state.0 == TaskState::None) {
                row.collapse(task);
            }
        }
    }

    /// A final run waits for its turn again, and its backfill with it; a running one is looked at soon.
    pub(super) fn requeue(&mut self, run: i64, now: DateTime<Utc>) {
        let row = self.change_run(run);
        row.retries = model::decide::Retries::new();
        if row.state == RunState::Running {
            row.wake_at = Some(now);
            return;
        }
        if !row.state.is_final() {
            return;
        }
        row.state = RunState::Queued;
        row.clears += 1;
        (row.queued_at, row.started_at, row.ended_at) = (now, None, None);
        (row.cancel_requested_at, row.wake_at) = (None, None);
        if let Some(backfill) = row.backfill.and_then(|id| self.backfills.get_mut(&id))
            && backfill.state.has_ended()
        {
            backfill.state = BackfillState::Running;
        }
    }
}
