//! Starting queued runs, one dag a transaction, as in `store::promote`.

use super::{Plant, RunRow, Tables};
use chrono::{DateTime, Utc};
use model::RunState;
use model::dag::Overlap;
use store::Result;
use store::attempts::Claim;
use store::runs::{Advanced, RunType};

impl Tables {
    /// Dags with a due run and either a free place or an overlap rule to apply, the longest waiting first.
    pub fn dags_to_promote(&self, now: DateTime<Utc>, limit: usize) -> Vec<String> {
        let plain = self
            .dags
            .keys()
            .filter_map(|dag_id| Some((self.due(dag_id, now).first()?.run_after, dag_id)))
            .filter(|(_, dag_id)| {
                let dag = self.newest(dag_id);
                dag.overlap != Overlap::Queue || self.active(dag_id) < dag.max_active_runs as usize
            });
        let of_backfill = |id: i64| self.due_of_backfill(id, now).into_iter().next();
        let back = self
            .backfills
            .iter()
            .filter_map(|(id, row)| Some((self.run_row(of_backfill(*id)?).run_after, &row.dag_id)));
        let mut dags: Vec<(DateTime<Utc>, &String)> = plain.chain(back).collect();
        dags.sort();
        let mut chosen: Vec<String> = Vec::new();
        for (_, dag_id) in dags {
            if !chosen.contains(dag_id) {
                chosen.push(dag_id.clone());
            }
        }
        chosen.truncate(limit);
        chosen
    }

    /// The due runs that get free places: the dag and each of its backfills take turns.
    fn picked(&self, dag_id: &str, room: usize, limit: usize, now: DateTime<Utc>) -> Vec<i64> {
        let plain = self.due(dag_id, now).into_iter().take(room).map(|run| run.id).collect();
        let of_dag = self.backfills.iter().filter(|(_, row)| row.dag_id == dag_id);
        let back = of_dag.map(|(id, _)| self.due_of_backfill(*id, now));
        let sources: Vec<Vec<i64>> = std::iter::once(plain).chain(back).collect();
        let longest = sources.iter().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| sources.iter().filter_map(move |runs| runs.get(turn)));
        turns.copied().take(limit).collect()
    }

    /// Queued runs whose time has come, and that may start, oldest first.
    fn due(&self, dag_id: &str, now: DateTime<Utc>) -> Vec<&RunRow> {
        let paused = self.dags[dag_id].paused;
        let mut due: Vec<&RunRow> = self
            .runs
            .values()
            .filter(|run| run.dag_id == dag_id && run.state == RunState::Queued && run.run_after <= now)
            .filter(|run| run.backfill.is_none() && (!paused || run.run_type == RunType::Manual))
            .collect();
        due.sort_by_key(|run| (run.run_after, run.id));
        due
    }

    fn active(&self, dag_id: &str) -> usize {
        if self.has(Plant::PromotionIgnoresTheLimit) {
            return 0;
        }
        let running =
            |run: &&RunRow| run.dag_id == dag_id && run.state == RunState::Running && run.backfill.is_none();
        self.runs.values().filter(running).count()
    }

    /// Whether the dag has as many runs as it may.
    pub fn is_full(&self, dag_id: &str) -> bool {
        self.active(dag_id) >= self.newest(dag_id).max_active_runs as usize
    }

    pub fn promote_dag(
        &mut self,
        dag_id: &str,
        limit: usize,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        let dag = self.newest(dag_id);
        let most = dag.max_active_runs as usize;
        let overlap = if self.dags[dag_id].paused { Overlap::Queue } else { dag.overlap };
        if overlap == Overlap::Cancel {
            let due = self.due_scheduled(dag_id, now);
            self.drop_runs(&due[due.len().min(most)..], now);
        }
        let active = self.active(dag_id);
        let room = most.saturating_sub(active).min(limit);
        let mut started = self.picked(dag_id, room, limit, now);
        started.sort_unstable();
        for run in &started {
            let row = self.change_run(*run);
            row.state = RunState::Running;
            row.started_at = Some(now);
            row.make_instances();
            self.make_deadlines(*run);
        }
        let plain = started.iter().filter(|run| self.run_row(**run).backfill.is_none()).count();
        match overlap {
            Overlap::Skip if active + plain >= most => {
                let due = self.due_scheduled(dag_id, now);
                self.drop_runs(&due, now);
            }
            Overlap::Cancel => self.make_room(dag_id, most, now),
            Overlap::Queue | Overlap::Skip => {}
        }
        if started.is_empty() { Ok(Vec::new()) } else { self.step(started, None, now, claim) }
    }

    /// Due scheduled runs that were never cleared, the newest first.
    fn due_scheduled(&self, dag_id: &str, now: DateTime<Utc>) -> Vec<i64> {
        let mut due: Vec<&RunRow> = self
            .runs
            .values()
            .filter(|run| run.dag_id == dag_id && run.state == RunState::Queued && run.run_after <= now)
            .filter(|run| run.run_type == RunType::Scheduled && run.clears == 0 && run.backfill.is_none())
            .collect();
        due.sort_by_key(|run| std::cmp::Reverse((run.run_after, run.id)));
        due.into_iter().map(|run| run.id).collect()
    }

    fn drop_runs(&mut self, runs: &[i64], now: DateTime<Utc>) {
        for run in runs {
            self.cancel_queued(*run, now);
            for tick in self.ticks.iter_mut().filter(|tick| tick.run == Some(*run)) {
                tick.ran = false;
            }
        }
    }

    /// As many running scheduled runs are asked to end as the waiting ones still need places.
    fn make_room(&mut self, dag_id: &str, most: usize, now: DateTime<Utc>) {
        let waiting = self.due_scheduled(dag_id, now).len();
        if waiting == 0 {
            return;
        }
        let running =
            |run: &&RunRow| run.dag_id == dag_id && run.state == RunState::Running && run.backfill.is_none();
        let mut active: Vec<&RunRow> = self.runs.values().filter(running).collect();
        active.sort_by_key(|run| (run.started_at, run.id));
        let staying = active.iter().filter(|run| run.cancel_requested_at.is_none()).count();
        let free = most.saturating_sub(staying);
        let cancelled: Vec<i64> = active
            .iter()
            .filter(|run| run.run_type == RunType::Scheduled && run.cancel_requested_at.is_none())
            .map(|run| run.id)
            .take(waiting.saturating_sub(free))
            .collect();
        for run in &cancelled {
            let row = self.change_run(*run);
            (row.cancel_requested_at, row.wake_at) = (Some(now), Some(now));
        }
        if !cancelled.is_empty() {
            self.ring("runs");
        }
    }
}

impl RunRow {
    /// One for each task and item; a cleared run has them already.
    fn make_instances(&mut self) {
        let dag = self.dag.clone();
        for (task, def) in dag.tasks.iter().enumerate() {
            if def.expands_late() && self.items.contains_key(&task) {
                continue;
            }
            for map_index in def.map_indexes() {
                self.instances.entry((task, map_index)).or_default();
            }
        }
    }
}
