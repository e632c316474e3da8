//! `depends_on_past`, as in `store::past`.

use super::{Plant, RunRow, Tables};
use chrono::{DateTime, Utc};
use model::{Dag, RunState, TaskState};
use store::runs::RunType;

pub(super) fn has_past(dag: &Dag) -> bool {
    dag.tasks.iter().any(|task| task.depends_on_past)
}

impl Tables {
    /// The runs that follow each other: those of the schedule, of backfills and of people.
    fn in_order(&self, dag_id: &str) -> impl Iterator<Item = &RunRow> {
        let counts = move |run: &&RunRow| run.dag_id == dag_id && run.run_type != RunType::AssetTriggered;
        self.runs.values().filter(counts)
    }

    /// The run before this one.
    pub fn before(&self, run: i64) -> Option<&RunRow> {
        let row = self.run_row(run);
        let earlier = self.in_order(&row.dag_id).filter(|other| other.place() < row.place());
        earlier.max_by_key(|other| other.place())
    }

    /// Whether the run before holds back the instance.
    pub(super) fn is_held(&self, run: i64, key: (usize, i32)) -> bool {
        let row = self.run_row(run);
        if !row.dag.tasks[key.0].depends_on_past || self.has(Plant::PastIsForgotten) {
            return false;
        }
        let Some(before) = self.before(run) else { return false };
        let is_done = |state: TaskState| matches!(state, TaskState::Success | TaskState::Skipped);
        let past = before.instances.get(&key).or_else(|| before.instances.get(&(key.0, -1)));
        before.instances.is_empty() || past.is_some_and(|instance| !is_done(instance.state.0))
    }

    /// The running runs whose run before is this one are looked at again.
    pub(super) fn wake_next(&mut self, run: i64, now: DateTime<Utc>) {
        let dag_id = &self.run_row(run).dag_id;
        let running =
            self.runs.values().filter(|next| next.state == RunState::Running && next.dag_id == *dag_id);
        let next = running.filter(|next| self.before(next.id).is_some_and(|before| before.id == run));
        let next: Vec<i64> = next.map(|next| next.id).filter(|_| !self.has(Plant::NextRunsSleep)).collect();
        for next in next {
            self.change_run(next).wake_at = Some(now);
            self.ring("runs");
        }
    }
}

impl RunRow {
    fn place(&self) -> (DateTime<Utc>, i64) {
        (self.run_after, self.id)
    }
}
