//! What becomes of an instance when an attempt has ended.

use crate::dag::{Restart, Service, TaskDef};
use crate::state::TaskState;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How an attempt ended, as the worker or the reaper saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ending")]
pub enum Ending {
    Done,
    Skipped,
    Poke {
        again_in: Duration,
    },
    /// The kind said that it may pass by itself.
    Failed,
    /// The kind said that it will not.
    FailedForGood,
    TimedOut,
    /// Stopped because it was asked to stop.
    Cancelled,
    /// Its node died or lost the lease; this is not the task's fault and costs no retry.
    Lost,
}

impl Ending {
    /// As rows and metrics call it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Skipped => "skipped",
            Ending::Poke { .. } => "poke",
            Ending::Failed => "failed",
            Ending::FailedForGood => "failed_for_good",
            Ending::TimedOut => "timed_out",
            Ending::Cancelled => "cancelled",
            Ending::Lost => "lost",
        }
    }
}

/// What earlier tries of the same instance came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub try_number: i32,
    /// Tries that failed or timed out, this one not counted.
    pub failures: u32,
    /// Tries that were lost, this one not counted.
    pub losses: u32,
    /// For a service: when its tries began, the newest `budget + 1` at most, this one included and lost ones not.
    pub starts: Vec<DateTime<Utc>>,
    /// The run was cancelled, or the service was drained because nothing needs it any more.
    pub drained: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    pub state: TaskState,
    pub next_at: Option<DateTime<Utc>>,
    /// Why, for people.
    pub reason: String,
}

/// Lost tries of one instance before it counts as failed: a task that kills its node must not do so for ever.
pub const LOSSES_MAX: u32 = 8;

/// The longest wait that is planned, whatever was asked for.
const WAIT_MAX: TimeDelta = TimeDelta::days(365);

/// The next state of an instance whose running attempt ended. `seed` makes the jitter of this instance deterministic.
pub fn after(ending: &Ending, task: &TaskDef, history: &History, now: DateTime<Utc>, seed: u64) -> Next {
    match (&task.service, history.drained) {
        (Some(_), true) => after_drained_service(ending),
        (Some(service), false) => after_service(ending, task, service, history, now, seed),
        (None, true) => after_cancelled_task(ending),
        (None, false) => after_task(ending, task, history, now, seed),
    }
}

fn after_task(ending: &Ending, task: &TaskDef, history: &History, now: DateTime<Utc>, seed: u64) -> Next {
    match ending {
        Ending::Done => Next::end(TaskState::Success, "done"),
        Ending::Skipped => Next::end(TaskState::Skipped, "skipped by the task"),
        Ending::Poke { again_in } => Next::poke(*again_in, now),
        Ending::Cancelled => Next::end(TaskState::Cancelled, "cancelled"),
        Ending::FailedForGood => {
            Next::end(TaskState::Failed, "failed with an error that a retry does not cure")
        }
        Ending::Failed | Ending::TimedOut => {
            let what = if *ending == Ending::TimedOut { "timed out" } else { "failed" };
            let failures = history.failures.saturating_add(1);
            if failures > task.retries.limit {
                return Next::end(TaskState::Failed, &format!("{what}, {} retries used", task.retries.limit));
            }
            let delay = task.retries.delay_after(failures, seed);
            Next::again(delay, now, format!("{what}, retry {failures} of {}", task.retries.limit))
        }
        Ending::Lost => {
            let losses = history.losses.saturating_add(1);
            if losses >= LOSSES_MAX {
                return Next::end(TaskState::Failed, &format!("its node was lost {losses} times"));
            }
            Next::again(Duration::ZERO, now, "its node was lost".to_owned())
        }
    }
}

/// The run is being cancelled: nothing is tried again, and what failed while it was stopped has still failed.
fn after_cancelled_task(ending: &Ending) -> Next {
    match ending {
        Ending::Done => Next::end(TaskState::Success, "done before it could be cancelled"),
        Ending::Skipped => Next::end(TaskState::Skipped, "skipped by the task"),
        Ending::Failed | Ending::FailedForGood => {
            Next::end(TaskState::Failed, "failed while it was cancelled")
        }
        Ending::TimedOut => Next::end(TaskState::Failed, "timed out while it was cancelled"),
        Ending::Poke { .. } | Ending::Cancelled | Ending::Lost => {
            Next::end(TaskState::Cancelled, "cancelled")
        }
    }
}

fn after_drained_service(ending: &Ending) -> Next {
    match ending {
        Ending::Failed | Ending::FailedForGood | Ending::TimedOut => {
            Next::end(TaskState::Failed, "failed while it was drained")
        }
        Ending::Skipped => Next::end(TaskState::Skipped, "skipped by the task"),
        Ending::Done | Ending::Cancelled | Ending::Poke { .. } | Ending::Lost => {
            Next::end(TaskState::Success, "drained")
        }
    }
}

fn after_service(
    ending: &Ending,
    task: &TaskDef,
    service: &Service,
    history: &History,
    now: DateTime<Utc>,
    seed: u64,
) -> Next {
    let (what, restarts) = match ending {
        Ending::Skipped => return Next::end(TaskState::Skipped, "skipped by the task"),
        Ending::Cancelled => return Next::end(TaskState::Cancelled, "cancelled"),
        Ending::Poke { again_in } => return Next::poke(*again_in, now),
        Ending::FailedForGood => {
            return Next::end(TaskState::Failed, "failed with an error that a restart does not cure");
        }
        Ending::Lost => return after_lost_service(task, history, now, seed),
        Ending::Done if service.restart != Restart::Always => return Next::end(TaskState::Success, "done"),
        Ending::Done => ("ended", true),
        Ending::Failed => ("failed", service.restart != Restart::Never),
        Ending::TimedOut => ("timed out", service.restart != Restart::Never),
    };
    if !restarts {
        return Next::end(TaskState::Failed, &format!("{what}, and is never restarted"));
    }
    let period = TimeDelta::from_std(service.period).unwrap_or(WAIT_MAX);
    let recent = history.starts.iter().filter(|start| now.signed_duration_since(**start) < period).count();
    let recent = u32::try_from(recent).unwrap_or(u32::MAX);
    if recent > service.budget {
        let reason =
            format!("{what}, and its {} restarts in {}s are used", service.budget, period.num_seconds());
        return Next::end(TaskState::Failed, &reason);
    }
    let delay = task.retries.delay_after(recent.max(1), seed);
    Next::again(delay, now, format!("{what}, restart {} of {}", recent.max(1), service.budget))
}

/// A lost service costs nothing of its budget and starts again at once. Only one that is lost again and again, which may be what
/// kills its nodes, waits longer and longer.
fn after_lost_service(task: &TaskDef, history: &History, now: DateTime<Utc>, seed: u64) -> Next {
    let delay = match history.losses.checked_sub(LOSSES_MAX) {
        None => Duration::ZERO,
        Some(excess) => task.retries.delay_after(excess.saturating_add(1), seed),
    };
    Next::again(delay, now, "its node was lost".to_owned())
}

impl Next {
    fn end(state: TaskState, reason: &str) -> Next {
        Next { state, next_at: None, reason: reason.to_owned() }
    }

    fn again(delay: Duration, now: DateTime<Utc>, reason: String) -> Next {
        Next { state: TaskState::UpForRetry, next_at: Some(later(now, delay)), reason }
    }

    fn poke(again_in: Duration, now: DateTime<Utc>) -> Next {
        let reason = "looks again later".to_owned();
        Next { state: TaskState::UpForReschedule, next_at: Some(later(now, again_in)), reason }
    }
}

fn later(now: DateTime<Utc>, delay: Duration) -> DateTime<Utc> {
    let delay = TimeDelta::from_std(delay).unwrap_or(WAIT_MAX).min(WAIT_MAX);
    now.checked_add_signed(delay).unwrap_or(now)
}

#[cfg(test)]
mod tests;
