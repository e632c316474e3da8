//! Clearing a run, as in `store::clear`.

use super::Tables;
use chrono::{DateTime, Utc};
use model::{RunState, TaskState};
use store::Result;

impl Tables {
    /// Puts what is final in a task and all that comes after it back to none, and a final run back to queued. Returns how many
    /// instances were cleared.
    pub fn clear(&mut self, run: i64, from: usize, now: DateTime<Utc>) -> Result<usize> {
        let row = self.change_run(run);
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
        for key in &found {
            row.reset(*key)?;
        }
        if row.state.is_final() {
            row.state = RunState::Queued;
            row.clears += 1;
            (row.queued_at, row.started_at, row.ended_at) = (now, None, None);
            (row.cancel_requested_at, row.wake_at) = (None, None);
        } else if row.state == RunState::Running {
            row.wake_at = Some(now);
        }
        self.ring("runs");
        Ok(found.len())
    }
}
