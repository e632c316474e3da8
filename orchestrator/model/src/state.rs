//! The states of runs and task instances, with Airflow's names, and which may follow which.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Running,
    Success,
    Failed,
    Cancelled,
}

/// The state of one task instance in a run. Live attempts are rows of their own; an instance is `queued` or `running` exactly while
/// it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for what it needs.
    None,
    Queued,
    Running,
    UpForRetry,
    UpForReschedule,
    Success,
    Failed,
    Skipped,
    UpstreamFailed,
    /// The run was cancelled before or while it ran.
    Cancelled,
}

impl RunState {
    pub const ALL: [RunState; 5] =
        [RunState::Queued, RunState::Running, RunState::Success, RunState::Failed, RunState::Cancelled];

    pub fn is_final(self) -> bool {
        matches!(self, RunState::Success | RunState::Failed | RunState::Cancelled)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Success => "success",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }

    /// Whether `to` may follow. A cleared run goes back to `queued`.
    pub fn may_become(self, to: RunState) -> bool {
        use RunState::*;
        matches!(
            (self, to),
            (Queued, Running | Cancelled | Failed)
                | (Running, Success | Failed | Cancelled)
                | (Success | Failed | Cancelled, Queued)
        )
    }
}

impl TaskState {
    pub const ALL: [TaskState; 10] = [
        TaskState::None,
        TaskState::Queued,
        TaskState::Running,
        TaskState::UpForRetry,
        TaskState::UpForReschedule,
        TaskState::Success,
        TaskState::Failed,
        TaskState::Skipped,
        TaskState::UpstreamFailed,
        TaskState::Cancelled,
    ];

    pub fn is_final(self) -> bool {
        use TaskState::*;
        matches!(self, Success | Failed | Skipped | UpstreamFailed | Cancelled)
    }

    pub fn is_live(self) -> bool {
        matches!(self, TaskState::Queued | TaskState::Running)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::None => "none",
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::UpForRetry => "up_for_retry",
            TaskState::UpForReschedule => "up_for_reschedule",
            TaskState::Success => "success",
            TaskState::Failed => "failed",
            TaskState::Skipped => "skipped",
            TaskState::UpstreamFailed => "upstream_failed",
            TaskState::Cancelled => "cancelled",
        }
    }

    /// Whether `to` may follow. Clearing (back to `none`) is possible from each final state.
    pub fn may_become(self, to: TaskState) -> bool {
        use TaskState::*;
        match self {
            None => matches!(to, Queued | Success | Failed | Skipped | UpstreamFailed | Cancelled),
            Queued => matches!(to, Running | None | UpForRetry | Failed | Cancelled),
            Running => matches!(to, Success | Failed | Skipped | UpForRetry | UpForReschedule | Cancelled),
            UpForRetry | UpForReschedule => matches!(to, Queued | Success | Failed | Cancelled | None),
            Success | Failed | Skipped | UpstreamFailed | Cancelled => to == None,
        }
    }
}

macro_rules! text_form {
    ($state:ident) => {
        impl std::fmt::Display for $state {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $state {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL
                    .into_iter()
                    .find(|state| state.as_str() == text)
                    .ok_or_else(|| format!("'{text}' is no {}", stringify!($state)))
            }
        }
    };
}

text_form!(RunState);
text_form!(TaskState);
