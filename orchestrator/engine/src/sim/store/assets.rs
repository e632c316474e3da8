//! Assets, as in `store::assets`: events, the queues of the dags that wait for them, and the runs that they start.

use super::{Plant, Tables, TickRow};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::dag::Schedule;
use model::{RunState, TaskState};
use std::collections::BTreeSet;
use store::runs::{NewRun, RunType};

pub(crate) struct EventRow {
    pub asset: String,
    /// The attempt whose success it is; `None`: told from outside.
    pub attempt: Option<i64>,
}

impl Tables {
    /// An asset was written: each dag that waits for it has the event in its queue.
    pub fn wrote(&mut self, asset: &str, attempt: Option<i64>) {
        let event = self.asset_events.len();
        self.asset_events.push(EventRow { asset: asset.to_owned(), attempt });
        for dag_id in self.waiting_for(asset) {
            self.asset_queue.entry(dag_id).or_default().insert(event);
        }
        self.ring("assets");
    }

    /// For a planted bug: the events of attempts that have succeeded, afterwards.
    pub fn write_late(&mut self, attempts: &[i64]) {
        let ended = self.history.iter().rev().take(50).filter(|past| attempts.contains(&past.attempt));
        let wrote = ended.filter(|past| past.next == TaskState::Success).flat_map(|past| {
            let writes = &self.runs[&past.run].dag.tasks[past.task].writes;
            writes.iter().map(|asset| (asset.clone(), past.attempt))
        });
        for (asset, attempt) in wrote.collect::<Vec<_>>() {
            self.wrote(&asset, Some(attempt));
        }
    }

    /// Dags that are triggered by the asset.
    pub fn waiting_for(&self, asset: &str) -> Vec<String> {
        let waits = |dag_id: &&String| match &self.newest(dag_id).schedule {
            Schedule::Assets { assets, .. } => assets.iter().any(|name| name == asset),
            _ => false,
        };
        self.dags.keys().filter(waits).cloned().collect()
    }

    /// Whether these events are enough for a run of the dag.
    pub fn are_enough(&self, dag_id: &str, events: &BTreeSet<usize>) -> bool {
        let dag = self.newest(dag_id);
        let Schedule::Assets { assets, all } = &dag.schedule else { return false };
        let written: BTreeSet<&str> = events.iter().map(|at| self.asset_events[*at].asset.as_str()).collect();
        let mut has = assets.iter().map(|asset| written.contains(asset.as_str()));
        if *all { has.all(|has| has) } else { has.any(|has| has) }
    }

    /// Dags whose queue is enough for a run.
    pub fn asset_dags(&self) -> Vec<String> {
        let due = self.asset_queue.iter().filter(|(dag_id, events)| self.are_enough(dag_id, events));
        due.map(|(dag_id, _)| dag_id.clone()).filter(|dag_id| !self.dags[dag_id].paused).collect()
    }

    /// The run of a dag whose assets were written, its row in the ledger, and its queue: one transaction.
    pub fn trigger_by_assets(&mut self, dag_id: &str, now: DateTime<Utc>) -> bool {
        let has_one = self.runs.values().any(|run| {
            run.dag_id == dag_id
                && run.state == RunState::Queued
                && run.run_type == RunType::AssetTriggered
                && run.clears == 0
        });
        let queue = self.asset_queue.get(dag_id).cloned().unwrap_or_default();
        let taken_before = self.has(Plant::AssetEventsAreTakenFirst);
        if has_one || self.dags[dag_id].paused || !(taken_before || self.are_enough(dag_id, &queue)) {
            return false;
        }
        let last = self.ticks.iter().filter(|tick| tick.dag_id == dag_id).map(|tick| tick.tick_at).max();
        let tick = last.map_or(now, |last| now.max(last + TimeDelta::microseconds(1)));
        let run = NewRun {
            run_id: format!("asset__{}", tick.to_rfc3339_opts(SecondsFormat::Micros, false)),
            version_id: self.dags[dag_id].version_id,
            dag_id: dag_id.to_owned(),
            run_type: RunType::AssetTriggered,
            window: None,
            logical_date: Some(now),
            run_after: tick,
            params: serde_json::json!({}),
            requested_by: "assets".to_owned(),
            note: None,
        };
        let run = self.insert_run(run, now);
        self.ticks.push(TickRow { dag_id: dag_id.to_owned(), first_at: tick, tick_at: tick, run, ran: true });
        if !self.has(Plant::AssetEventsStay) {
            self.asset_queue.remove(dag_id);
        }
        self.ring("runs");
        run.is_some()
    }
}
