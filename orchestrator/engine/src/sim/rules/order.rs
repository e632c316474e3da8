//! What must not come before what: the urgent first, nothing before its past, and nothing that its `if` does not want at all.

use super::{Broken, States};
use crate::sim::dags::UNWANTED;
use crate::sim::store::{AttemptRow, RunRow, Tables};
use model::TaskState;
use store::runs::RunType;

#[derive(Default)]
pub(super) struct Seen {
    last_lease: i64,
}

impl Seen {
    /// What waits for a place that is there is no more urgent than what was given one just now.
    pub fn after(&mut self, tables: &Tables) -> Broken {
        let new = |attempt: &&AttemptRow| attempt.lease.is_some_and(|lease| lease > self.last_lease);
        let least = |services: bool| {
            let claimed =
                tables.attempts.values().filter(new).filter(|claimed| claimed.is_service == services);
            claimed.min_by_key(|claimed| claimed.priority)
        };
        for claimed in [least(false), least(true)].into_iter().flatten() {
            let waits = tables.attempts.values().find(|queued| {
                queued.lease.is_none()
                    && queued.is_service == claimed.is_service
                    && queued.priority > claimed.priority
                    && fits(tables, queued)
            });
            if let Some(waits) = waits {
                return Err(format!(
                    "attempt {} was claimed before {}, which is more urgent",
                    claimed.id, waits.id
                ));
            }
        }
        self.last_lease = tables.last_lease;
        Ok(())
    }
}

fn fits(tables: &Tables, queued: &AttemptRow) -> bool {
    let running = || tables.attempts.values().filter(|attempt| attempt.lease.is_some());
    let pool_fits = queued.pool.as_ref().is_none_or(|(pool, slots)| {
        let of_pool = running().filter_map(|attempt| attempt.pool.as_ref()).filter(|(name, _)| name == pool);
        let used: u32 = of_pool.map(|(_, slots)| slots).sum();
        tables.pools.get(pool).is_some_and(|all| all.saturating_sub(used) >= *slots)
    });
    let limit_fits = queued.limit.as_ref().is_none_or(|(key, most)| {
        let same = running().filter(|attempt| attempt.limit.as_ref().is_some_and(|(of, _)| of == key));
        same.count() < *most as usize
    });
    pool_fits && limit_fits
}

/// A task that depends on its past starts only when the same one in the run before was a success or skipped.
pub(super) fn past_holds(tables: &Tables, row: &RunRow, before: Option<&States>) -> Broken {
    for (key, instance) in row.instances.iter().filter(|((task, _), _)| row.dag.tasks[*task].depends_on_past)
    {
        let was = before.and_then(|before| before.get(key)).copied().unwrap_or(TaskState::None);
        if was != TaskState::None || !instance.state.0.is_live() {
            continue;
        }
        let place = |run: &RunRow| (run.run_after, run.id);
        let earlier = tables.runs.values().filter(|run| {
            run.dag_id == row.dag_id && run.run_type != RunType::AssetTriggered && place(run) < place(row)
        });
        let Some(past) = earlier.max_by_key(|run| place(run)) else { continue };
        let item = past.instances.get(key).or_else(|| past.instances.get(&(key.0, -1)));
        let state = item.map(|instance| instance.state.0);
        let is_done = matches!(state, None | Some(TaskState::Success | TaskState::Skipped));
        if past.instances.is_empty() || !is_done {
            return Err(format!(
                "task {key:?} of run {} has started, but in run {} before it is {state:?}",
                row.id, past.id
            ));
        }
    }
    Ok(())
}

/// Items that the `if` of their task does not want are skipped as soon as they are found.
pub(super) fn items_are_sieved(row: &RunRow, before: Option<&States>) -> Broken {
    for (key, instance) in row.instances.iter().filter(|((_, map_index), _)| *map_index == UNWANTED) {
        let is_new = before.is_none_or(|before| !before.contains_key(key));
        let is_sieved = row.dag.tasks[key.0].condition.is_some();
        if is_new && is_sieved && instance.state.0 != TaskState::Skipped {
            return Err(format!("item {key:?} of run {} is {}, its `if` is false", row.id, instance.state.0));
        }
    }
    Ok(())
}
