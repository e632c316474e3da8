//! Each event of an asset starts exactly one run of each dag that waits for it, with others or alone as its schedule says.

use super::Broken;
use crate::sim::store::{HistoryRow, RunRow, Tables};
use model::TaskState;
use model::dag::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use store::runs::RunType;

/// What should be in the queues, from what was seen to happen.
#[derive(Default)]
pub(super) struct Seen {
    events: usize,
    runs: i64,
    queue: BTreeMap<String, BTreeSet<usize>>,
}

impl Seen {
    pub fn after(&mut self, tables: &Tables, ends: &[HistoryRow]) -> Broken {
        let new = self.events..tables.asset_events.len();
        for past in ends.iter().filter(|past| past.next == TaskState::Success) {
            for asset in &tables.run_row(past.run).dag.tasks[past.task].writes {
                let told = tables.asset_events[new.clone()].iter();
                let told = told.filter(|event| event.attempt == Some(past.attempt) && event.asset == *asset);
                let count = told.count();
                if count != 1 {
                    return Err(format!(
                        "attempt {} wrote '{asset}', which has {count} events",
                        past.attempt
                    ));
                }
            }
        }
        let made: Vec<&RunRow> = tables.runs.range(self.runs + 1..).map(|(_, run)| run).collect();
        (self.events, self.runs) = (tables.asset_events.len(), tables.runs.len() as i64);
        if tables.asset_events.is_empty() {
            return Ok(());
        }
        for event in new {
            let waiting = tables.dags.keys().filter(|dag_id| {
                wanted(tables, dag_id)
                    .is_some_and(|(assets, _)| assets.contains(&tables.asset_events[event].asset))
            });
            for dag_id in waiting {
                self.queue.entry(dag_id.clone()).or_default().insert(event);
            }
        }
        for run in made.into_iter().filter(|run| run.run_type == RunType::AssetTriggered) {
            let taken = self.queue.remove(&run.dag_id).unwrap_or_default();
            if !is_enough(tables, &run.dag_id, &taken) {
                return Err(format!("'{}' was started by assets, but only {taken:?} waited", run.run_id));
            }
        }
        if self.queue != tables.asset_queue {
            let (is, should) = (&tables.asset_queue, &self.queue);
            return Err(format!(
                "an event is lost or will count twice: the queues are {is:?}, not {should:?}"
            ));
        }
        Ok(())
    }
}

fn wanted(tables: &Tables, dag_id: &str) -> Option<(Vec<String>, bool)> {
    match &tables.newest(dag_id).schedule {
        Schedule::Assets { assets, all } => Some((assets.clone(), *all)),
        _ => None,
    }
}

fn is_enough(tables: &Tables, dag_id: &str, events: &BTreeSet<usize>) -> bool {
    let Some((assets, all)) = wanted(tables, dag_id) else { return false };
    let written: BTreeSet<&String> = events.iter().map(|event| &tables.asset_events[*event].asset).collect();
    let missing = assets.iter().filter(|asset| !written.contains(asset)).count();
    if all { missing == 0 } else { missing < assets.len() }
}

/// Once nothing disturbs any more.
pub(super) fn nothing_waits_that_is_enough(tables: &Tables) -> Broken {
    for (dag_id, events) in tables.asset_queue.iter().filter(|(dag_id, _)| !tables.dags[*dag_id].paused) {
        if is_enough(tables, dag_id, events) {
            return Err(format!("'{dag_id}' was not started, though {events:?} wait for it"));
        }
    }
    Ok(())
}
