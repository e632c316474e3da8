//! How a run ends, once all its instances are final.
//!
//! The rule: a run fails if a failure was left unanswered. A failure is answered by a task directly after it that ran to success
//! under a trigger rule that tolerates failures (such as `all_done` or `one_failed`); an `upstream_failed` in between passes the
//! failure on. A failed leaf is never answered. For Airflow's own cases (judged by leaves) this gives Airflow's result, except that
//! a failure which only made everything after it *skip* fails the run here. Teardowns do not count: they answer nothing, and their own
//! failure is not the run's.

use super::RunSnapshot;
use super::board::Instances;
use crate::dag::Role;
use crate::state::{RunState, TaskState};

pub fn of(run: &RunSnapshot<'_>, instances: &Instances, states: &[TaskState]) -> RunState {
    if run.cancel_requested {
        return RunState::Cancelled;
    }
    let dag = run.dag;
    let has = |task: usize, wanted: fn(TaskState) -> bool| {
        instances.of(task).iter().any(|position| wanted(states[*position]))
    };
    let mut answered = vec![false; instances.len()];
    for task in (0..instances.len()).rev() {
        let def = &dag.tasks[task];
        if def.role == Role::Teardown {
            continue;
        }
        let answers = def.trigger_rule.tolerates_failure() && has(task, |state| state == TaskState::Success)
            || answered[task] && has(task, |state| state == TaskState::UpstreamFailed);
        if answers {
            for need in &def.needs {
                answered[*need] = true;
            }
        }
        let failed = has(task, |state| matches!(state, TaskState::Failed | TaskState::UpstreamFailed))
            // A service that was drained before its first try began is cancelled, and that is no failure.
            || def.service.is_none() && has(task, |state| state == TaskState::Cancelled);
        if failed && !answered[task] {
            return RunState::Failed;
        }
    }
    RunState::Success
}
