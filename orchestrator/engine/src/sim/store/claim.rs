//! Claims: queued attempts get a lease and a node, as `store::claim` gives them.

use super::{AttemptRow, Plant, Tables};
use chrono::{DateTime, Utc};
use model::{Dag, TaskState};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use store::Result;
use store::attempts::{Claim, Claimed};

impl Tables {
    pub fn claim(&mut self, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<Claimed>> {
        if !self.is_live_node(claim.node) {
            return Ok(Vec::new());
        }
        let mut room = Room::of(self);
        let mut taken = self.fitting(claim, false, claim.slots, &mut room);
        taken.extend(self.fitting(claim, true, claim.service_slots, &mut room));
        taken.sort_by_key(|(priority, id)| (std::cmp::Reverse(*priority), *id));
        taken.into_iter().map(|(_, id)| self.give(id, claim, now)).collect()
    }

    /// The first queued attempts of a class, as far as slots, pools and limits allow.
    fn fitting(&self, claim: &Claim, services: bool, slots: usize, room: &mut Room) -> Vec<(i32, i64)> {
        let takes_running = self.has(Plant::ClaimIgnoresTheState);
        let mut queued: Vec<&AttemptRow> = self
            .attempts
            .values()
            .filter(|attempt| attempt.is_service == services)
            .filter(|attempt| attempt.lease.is_none() || takes_running)
            .filter(|attempt| {
                let task = &self.run_row(attempt.run).dag.tasks[attempt.task];
                claim.queues.contains(&task.queue)
                    && task.route.as_ref().is_none_or(|route| claim.routes.contains(route))
            })
            .collect();
        let sign = if self.has(Plant::UrgencyIsUpsideDown) { 1 } else { -1 };
        queued.sort_by_key(|attempt| (sign * attempt.priority, attempt.id));
        let fits = queued.into_iter().filter(|attempt| room.take(attempt));
        fits.take(slots).map(|attempt| (attempt.priority, attempt.id)).collect()
    }

    fn give(&mut self, id: i64, claim: &Claim, now: DateTime<Utc>) -> Result<Claimed> {
        self.last_lease += 1;
        let lease = self.last_lease;
        let planted = self.has(Plant::ClaimIgnoresTheState);
        let attempt = self.attempts.get_mut(&id).expect("chosen from the table");
        attempt.lease = Some(lease);
        attempt.node = Some(claim.node);
        attempt.started_at = Some(now);
        let AttemptRow { run, task, map_index, try_number, .. } = *attempt;
        let row = self.change_run(run);
        if !planted || row.instances[&(task, map_index)].state.0 == TaskState::Queued {
            row.set_state((task, map_index), TaskState::Running, now)?;
        }
        let instance = row.instances.get_mut(&(task, map_index)).expect("it has just moved");
        let first_started_at = *instance.started_at.get_or_insert(now);
        let item = usize::try_from(map_index).ok().and_then(|index| {
            let items = row.dag.tasks[task].items().or(row.items.get(&task).map(Vec::as_slice));
            items?.get(index).cloned()
        });
        Ok(Claimed {
            attempt_id: id,
            lease,
            run,
            task,
            map_index,
            try_number,
            item,
            window: row.window,
            logical_date: row.logical_date,
            run_type: row.run_type.as_str().to_owned(),
            params: row.params.clone(),
            requested_by: row.requested_by.clone(),
            dag_id: row.dag_id.clone(),
            run_id: row.run_id.clone(),
            outputs: Value::Object(Map::new()),
            first_started_at,
            dag: row.dag.clone(),
        })
    }
}

/// What pools and limits have left.
struct Room {
    pools: BTreeMap<String, u32>,
    limits: BTreeMap<String, u32>,
}

impl Room {
    fn of(tables: &Tables) -> Room {
        let mut room = Room { pools: tables.pools.clone(), limits: BTreeMap::new() };
        for attempt in tables.attempts.values().filter(|attempt| attempt.lease.is_some()) {
            if let Some((pool, slots)) = &attempt.pool
                && let Some(left) = room.pools.get_mut(pool)
            {
                *left = left.saturating_sub(*slots);
            }
            if let Some((key, _)) = &attempt.limit {
                *room.limits.entry(key.clone()).or_default() += 1;
            }
        }
        room
    }

    /// Takes the places of an attempt, or leaves it in the queue.
    fn take(&mut self, attempt: &AttemptRow) -> bool {
        let pool_fits = attempt
            .pool
            .as_ref()
            .is_none_or(|(pool, slots)| self.pools.get(pool).is_some_and(|left| left >= slots));
        let limit_fits = attempt
            .limit
            .as_ref()
            .is_none_or(|(key, most)| self.limits.get(key).copied().unwrap_or_default() < *most);
        if pool_fits && limit_fits {
            if let Some((pool, slots)) = &attempt.pool
                && let Some(left) = self.pools.get_mut(pool)
            {
                *left -= slots;
            }
            if let Some((key, _)) = &attempt.limit {
                *self.limits.entry(key.clone()).or_default() += 1;
            }
        }
        pool_fits && limit_fits
    }
}

/// The attempt that stands for a task of a dag, still without an id.
pub(super) fn queued(dag: &Dag, run: i64, (task, map_index): (usize, i32), try_number: i32) -> AttemptRow {
    let def = &dag.tasks[task];
    AttemptRow {
        id: 0,
        run,
        task,
        map_index,
        try_number,
        lease: None,
        node: None,
        is_service: def.service.is_some(),
        priority: def.priority,
        pool: def.pool.clone().map(|pool| (pool, def.pool_slots)),
        limit: def.max_active.map(|most| (format!("{}/{}", dag.id, def.id), most)),
        started_at: None,
        ready: false,
        stop_requested: false,
        stop_reason: None,
    }
}
