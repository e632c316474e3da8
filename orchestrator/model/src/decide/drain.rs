//! The end of services: when all tasks that are no services are final, nothing needs them any more. Only a service that comes after a
//! task, with no task after itself, is what the run is for, and goes on (with the services that it needs).

use super::Plan;
use crate::dag::Dag;
use crate::state::TaskState;

/// Between two tries there is no attempt to stop: it ends as one that was stopped.
pub(super) const DRAINED_WAITING: &str = "drained while it waited for its restart";

impl Plan<'_> {
    /// Ends the services that nothing needs any more.
    pub(super) fn drain(&mut self) {
        let dag = self.run.dag;
        let is_service = |task: usize| dag.tasks[task].service.is_some();
        let services: Vec<usize> = (0..self.board.instances.len()).filter(|task| is_service(*task)).collect();
        if services.is_empty() || services.len() == dag.tasks.len() {
            return;
        }
        let mut work =
            (0..self.board.states.len()).filter(|position| !is_service(self.run.tasks[*position].task));
        if !work.all(|position| self.board.states[position].is_final()) {
            return;
        }
        let goes_on = services_that_go_on(dag);
        for task in services.into_iter().filter(|task| !goes_on[*task]) {
            for at in 0..self.board.instances.of(task).len() {
                let position = self.board.instances.of(task)[at];
                let reason = "nothing needs it any more";
                match self.board.states[position] {
                    TaskState::Queued | TaskState::Running => self.stop(position, reason),
                    TaskState::None => self.settle(position, TaskState::Skipped, reason.to_owned()),
                    TaskState::UpForRetry | TaskState::UpForReschedule => {
                        self.settle(position, TaskState::Success, DRAINED_WAITING.to_owned());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The services that the run is for: after a task, with no task after themselves; and the services that those need.
fn services_that_go_on(dag: &Dag) -> Vec<bool> {
    let is_work = |task: usize| dag.tasks[task].service.is_none();
    let mut after_work = vec![false; dag.tasks.len()];
    for (task, def) in dag.tasks.iter().enumerate() {
        after_work[task] = def.needs.iter().any(|need| is_work(*need) || after_work[*need]);
    }
    let mut before_work = vec![false; dag.tasks.len()];
    let mut goes_on = vec![false; dag.tasks.len()];
    for (task, def) in dag.tasks.iter().enumerate().rev() {
        goes_on[task] |= !is_work(task) && after_work[task] && !before_work[task];
        for need in &def.needs {
            before_work[*need] |= is_work(task) || before_work[task];
            goes_on[*need] |= goes_on[task] && !is_work(*need);
        }
    }
    goes_on
}
