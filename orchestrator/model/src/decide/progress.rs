//! Decisions about one run, one after the other: what the last one knew is kept, so that the next costs as much as has changed since.
//!
//! It must be told of each change (`touch`), and to `forget` when instances come or go. What it says is what `decide` says.

use super::board::Board;
use super::{Command, Plan, RunSnapshot};
use crate::state::RunState;
use chrono::{DateTime, Utc};

#[derive(Default)]
pub struct Progress {
    board: Option<Box<Board>>,
    touched: Vec<usize>,
}

impl Progress {
    /// The instance at this position of the run's may have changed.
    pub fn touch(&mut self, position: usize) {
        if self.board.is_some() {
            self.touched.push(position);
        }
    }

    /// Nothing known is good any more.
    pub fn forget(&mut self) {
        *self = Progress::default();
    }

    /// What should happen next in the run, which is the one of the decisions before.
    pub fn decide(&mut self, run: &RunSnapshot<'_>, now: DateTime<Utc>) -> Vec<Command> {
        let board = self.board.take();
        let touched = std::mem::take(&mut self.touched);
        match run.state {
            RunState::Queued | RunState::Running if run.cancel_requested => {
                let mut plan = Plan::new(run, now, false, Box::new(Board::new(run)));
                plan.cancel();
                plan.finish_or_wake();
                plan.commands
            }
            RunState::Running => {
                let board = board.filter(|_| run.retries.is_empty()).map_or_else(
                    || Box::new(Board::new(run)),
                    |mut board| {
                        board.catch_up(run, touched);
                        board
                    },
                );
                let mut plan = Plan::advanced(run, now, true, board);
                // Groups that wait for each other's next try would do so for ever: then what has failed counts at once.
                if plan.is_stuck() {
                    plan = Plan::advanced(run, now, false, Box::new(Board::new(run)));
                }
                let goes_on =
                    |command: &Command| !matches!(command, Command::Retry { .. } | Command::FinishRun { .. });
                self.board = (plan.board.keeps && plan.commands.iter().all(goes_on)).then_some(plan.board);
                plan.commands
            }
            RunState::Queued | RunState::Success | RunState::Failed | RunState::Cancelled => Vec::new(),
        }
    }
}

#[cfg(test)]
impl Progress {
    /// Tasks judged so far; `None` if nothing is kept.
    pub(super) fn judged(&self) -> Option<usize> {
        self.board.as_ref().map(|board| board.judged)
    }
}
