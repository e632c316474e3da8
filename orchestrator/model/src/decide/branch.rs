//! What a branch did not choose is skipped.

use super::Plan;
use crate::state::TaskState;

impl Plan<'_> {
    /// Why the task is not run, if a branch that it needs has ended and chose neither it nor a group that it is in. A mapped branch has
    /// chosen what any of its instances has.
    pub(super) fn not_chosen(&self, task: usize) -> Option<String> {
        let dag = self.run.dag;
        let needs = dag.tasks[task].needs.iter().filter(|need| dag.tasks[**need].branch);
        for need in needs.filter(|need| !self.groups.hidden(**need, task)) {
            let positions = self.board.instances.of(*need);
            if !positions.iter().all(|position| self.board.states[*position].is_final()) {
                continue;
            }
            let succeeded =
                positions.iter().filter(|position| self.board.states[**position] == TaskState::Success);
            let chosen: Vec<&Vec<String>> =
                succeeded.filter_map(|position| self.run.tasks[*position].chosen.as_ref()).collect();
            let is_chosen = |id: &String| *id == dag.tasks[task].id || dag.is_in_group(task, id);
            if !chosen.is_empty() && !chosen.iter().copied().flatten().any(is_chosen) {
                return Some(format!("not chosen by '{}'", dag.tasks[*need].id));
            }
        }
        None
    }
}
