//! Questions to people, as in `store::approvals`.

use super::{Plant, Tables};
use chrono::{DateTime, Utc};
use model::platform::{Approval, Asker};
use model::{RunState, TaskState};
use store::{Error, Result};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApprovalRow {
    /// Whether it was approved, and by whom.
    pub decided: Option<(bool, String)>,
}

impl Tables {
    /// Asks, unless it was asked before; returns what is decided.
    pub fn ask_approval(&mut self, asker: &Asker) -> Approval {
        let row = self.approvals.entry((asker.run, asker.task, asker.map_index)).or_default();
        let comment = String::new();
        match row.decided.clone() {
            None => Approval::Waiting,
            Some((true, who)) => Approval::Approved { who, comment },
            Some((false, who)) => Approval::Rejected { who, comment },
        }
    }

    /// `false`: the task looks for an answer at this moment.
    pub fn decide_approval(
        &mut self,
        key: (i64, usize, i32),
        approved: bool,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (run, task, map_index) = key;
        let refused = |message: &str| Err(Error::Refused { message: message.to_owned() });
        let Some(row) = self.approvals.get(&key) else { return refused("nobody asks") };
        if row.decided.is_some() && !self.has(Plant::ApprovalsAreDecidedAgain) {
            return refused("it is decided");
        }
        let state = self.run_row(run).instances.get(&(task, map_index)).map(|instance| instance.state.0);
        match state {
            None => return refused("it is gone"),
            Some(state) if state.is_final() => return refused("it waits no more"),
            Some(TaskState::Running) => return Ok(false),
            Some(_) => {}
        }
        self.approvals.insert(key, ApprovalRow { decided: Some((approved, who.to_owned())) });
        if self.has(Plant::ApprovalsDoNotWake) {
            return Ok(true);
        }
        let row = self.change_run(run);
        let waits = row.instances.get_mut(&(task, map_index));
        if let Some(waits) = waits.filter(|waits| waits.state.0 == TaskState::UpForReschedule) {
            waits.next_at = waits.next_at.map(|at| at.min(now));
        }
        if row.state == RunState::Running {
            row.wake_at = Some(row.wake_at.map_or(now, |at| at.min(now)));
        }
        self.ring("runs");
        Ok(true)
    }

    /// What was asked for instances that begin anew.
    pub(super) fn forget_questions(&mut self, run: i64, keys: &[(usize, i32)]) {
        if !self.has(Plant::QuestionsOutliveAClear) {
            keys.iter().for_each(|(task, map_index)| {
                self.approvals.remove(&(run, *task, *map_index));
            });
        }
    }
}
