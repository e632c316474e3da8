//! What must hold after each transaction, whatever has happened.

mod assets;
mod backfills;
mod deadlines;
mod order;
mod questions;

use super::store::{HistoryRow, RunRow, Tables};
use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Catchup, Schedule};
use model::{RunState, TaskState};
use std::collections::{BTreeMap, BTreeSet};
use store::runs::RunType;

/// An instance: run, task, map index.
pub(crate) type Key = (i64, usize, i32);
pub(crate) type Broken = Result<(), String>;

/// Clocks of nodes differ by so much at most once they follow the store's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(6);

/// What the rules remember of the transactions before.
#[derive(Default)]
pub(crate) struct Rules {
    runs: BTreeMap<i64, Shadow>,
    /// Failed tries since the last time that an instance began anew.
    failures: BTreeMap<Key, u32>,
    ended: BTreeSet<i64>,
    history_seen: usize,
    ticks_seen: usize,
    ticks: BTreeSet<(String, DateTime<Utc>)>,
    assets: assets::Seen,
    backfills: backfills::Seen,
    deadlines: deadlines::Seen,
    questions: questions::Seen,
    order: order::Seen,
    /// What executions said: by attempt.
    pub said: BTreeMap<i64, &'static str>,
}

/// The states of a run's instances, by task and map index.
type States = BTreeMap<(usize, i32), TaskState>;

struct Shadow {
    state: RunState,
    instances: States,
    used: BTreeMap<String, u32>,
}

impl Rules {
    /// `clears`: the transaction was a clear.
    pub fn after(
        &mut self,
        tables: &Tables,
        touched: &BTreeSet<i64>,
        clears: bool,
        now: DateTime<Utc>,
    ) -> Broken {
        one_live_attempt_for_each_instance(tables)?;
        let ends = &tables.history[self.history_seen..];
        self.attempts_end_once_and_only_by_their_lease(tables, ends)?;
        self.history_seen = tables.history.len();
        self.assets.after(tables, ends)?;
        self.backfills.after(tables, touched)?;
        self.deadlines.after(tables, touched)?;
        self.order.after(tables)?;
        for run in touched {
            let row = tables.run_row(*run);
            let before = self.runs.get(run).map(|shadow| &shadow.instances);
            order::past_holds(tables, row, before)?;
            order::items_are_sieved(row, before)?;
            self.questions.after(tables, row, before)?;
            self.ended_states_stay(row, clears)?;
            live_instances_have_attempts(tables, row)?;
            no_more_tasks_at_once_than_allowed(tables, row)?;
            self.no_more_tries_than_allowed(row)?;
        }
        if !touched.is_empty() {
            no_more_runs_at_once_than_allowed(tables)?;
        }
        pools_and_limits_hold(tables)?;
        self.ticks_are_recorded_once_and_in_time(tables, now)
    }

    fn attempts_end_once_and_only_by_their_lease(&mut self, tables: &Tables, ends: &[HistoryRow]) -> Broken {
        for past in ends {
            if !self.ended.insert(past.attempt) {
                return Err(format!("attempt {} has ended twice", past.attempt));
            }
            if past.shown != past.lease {
                return Err(format!(
                    "a stale report changed something: attempt {} was ended with lease {:?}, it had {:?}",
                    past.attempt, past.shown, past.lease
                ));
            }
            self.ends_say_what_happened(tables, past)?;
            if matches!(past.ending, "failed" | "failed_for_good" | "timed_out") {
                *self.failures.entry((past.run, past.task, past.map_index)).or_default() += 1;
            }
        }
        Ok(())
    }

    /// What counts as done was done.
    fn ends_say_what_happened(&self, tables: &Tables, past: &HistoryRow) -> Broken {
        let said = self.said.get(&past.attempt).copied();
        // An item that was cleared alone, not found anew, is judged by its try.
        let is_unwanted = past.map_index == super::dags::UNWANTED
            && tables.run_row(past.run).dag.tasks[past.task].condition.is_some();
        if past.ending == "skipped" && is_unwanted && said.is_none() {
            return Ok(());
        }
        if matches!(past.ending, "done" | "skipped" | "poke") && said != Some(past.ending) {
            return Err(format!(
                "attempt {} ended as {}, but its execution said {said:?}",
                past.attempt, past.ending
            ));
        }
        Ok(())
    }

    /// Final states change only by a clear, or when a group or the run is tried again.
    fn ended_states_stay(&mut self, row: &RunRow, clears: bool) -> Broken {
        let used = row.retries.iter().map(|(id, used)| (id.clone(), used.used)).collect();
        let shadow = self.runs.entry(row.id).or_insert_with(|| Shadow {
            state: RunState::Queued,
            instances: BTreeMap::new(),
            used: BTreeMap::new(),
        });
        let begins_anew = clears || shadow.used != used;
        if shadow.state.is_final() && shadow.state != row.state && !clears {
            return Err(format!("run {} was {} and is now {}", row.id, shadow.state, row.state));
        }
        for (key, before) in shadow.instances.iter().filter(|(_, before)| before.is_final() && !begins_anew) {
            let now = row.instances.get(key).map(|instance| instance.state.0);
            if now != Some(*before) {
                return Err(format!("run {} task {key:?} was {before} and is now {now:?}", row.id));
            }
        }
        if row.state.is_final() && row.instances.values().any(|instance| !instance.state.0.is_final()) {
            return Err(format!("run {} is {}, but not all of its tasks have ended", row.id, row.state));
        }
        if begins_anew {
            self.failures.retain(|(run, task, map_index), _| {
                *run != row.id
                    || row.instances.get(&(*task, *map_index)).is_some_and(|instance| instance.failures > 0)
            });
        }
        shadow.state = row.state;
        shadow.used = used;
        shadow.instances = row.instances.iter().map(|(key, instance)| (*key, instance.state.0)).collect();
        Ok(())
    }

    fn no_more_tries_than_allowed(&self, row: &RunRow) -> Broken {
        let of_run = self.failures.range((row.id, 0, i32::MIN)..(row.id + 1, 0, i32::MIN));
        for ((_, task, map_index), failures) in of_run {
            let def = &row.dag.tasks[*task];
            if def.service.is_none() && *failures > def.retries.limit + 1 {
                return Err(format!(
                    "task {task} [{map_index}] of run {} failed {failures} times, {} retries are allowed",
                    row.id, def.retries.limit
                ));
            }
        }
        Ok(())
    }

    fn ticks_are_recorded_once_and_in_time(&mut self, tables: &Tables, now: DateTime<Utc>) -> Broken {
        for tick in &tables.ticks[self.ticks_seen..] {
            if !self.ticks.insert((tick.dag_id.clone(), tick.tick_at)) {
                return Err(format!("tick {} of '{}' has two rows", tick.tick_at, tick.dag_id));
            }
            if tick.tick_at > now + CLOCKS_DIFFER {
                return Err(format!(
                    "tick {} of '{}' was recorded at {now}, too early",
                    tick.tick_at, tick.dag_id
                ));
            }
            if tick.ran && tick.run.is_none() {
                return Err(format!("tick {} of '{}' ran without a run", tick.tick_at, tick.dag_id));
            }
        }
        self.ticks_seen = tables.ticks.len();
        Ok(())
    }

    /// Once nothing disturbs any more: each tick has its row, and each scheduled run its tick.
    pub fn no_tick_is_lost(&self, tables: &Tables, until: DateTime<Utc>) -> Broken {
        for dag_id in tables.dags.keys() {
            let dag = tables.newest(dag_id);
            let has_no_times = matches!(
                dag.schedule,
                Schedule::Manual | Schedule::Once | Schedule::Continuous | Schedule::Assets { .. }
            );
            if has_no_times {
                continue;
            }
            let rows = tables.ticks.iter().filter(|tick| tick.dag_id == *dag_id);
            let mut recorded: Vec<(DateTime<Utc>, DateTime<Utc>)> =
                rows.map(|tick| (tick.first_at, tick.tick_at)).collect();
            recorded.sort_unstable();
            let whole = matches!(dag.catchup, Catchup::All | Catchup::None);
            let begins = recorded.first().filter(|_| !whole).map(|(first, _)| *first);
            let registered = tables.dags[dag_id].registered_at + TimeDelta::nanoseconds(1);
            let first = begins.unwrap_or(registered);
            if recorded.is_empty() && tables.dags[dag_id].paused {
                // A dag that was never seen unpaused has no ledger yet, if it is to catch up.
                continue;
            }
            let due = dag.schedule.ticks(first - TimeDelta::nanoseconds(1), until, usize::MAX);
            let told =
                |tick: &DateTime<Utc>| recorded.iter().any(|(first, last)| first <= tick && tick <= last);
            if let Some(missing) = due.iter().find(|tick| !told(tick)) {
                return Err(format!("tick {missing} of '{dag_id}' was lost; recorded are {recorded:?}"));
            }
        }
        let has_tick = |run: &&RunRow| matches!(run.run_type, RunType::Scheduled | RunType::AssetTriggered);
        for run in tables.runs.values().filter(has_tick) {
            let ticks = tables.ticks.iter().filter(|tick| tick.run == Some(run.id)).count();
            if ticks != 1 {
                return Err(format!("run '{}' has {ticks} ticks", run.run_id));
            }
        }
        assets::nothing_waits_that_is_enough(tables)?;
        backfills::none_is_left_open(tables)?;
        deadlines::all_are_looked_at(tables, until)
    }
}

fn one_live_attempt_for_each_instance(tables: &Tables) -> Broken {
    let mut seen = BTreeMap::new();
    let mut leases = BTreeSet::new();
    for attempt in tables.attempts.values() {
        let key = (attempt.run, attempt.task, attempt.map_index);
        if let Some(other) = seen.insert(key, attempt.id) {
            return Err(format!("attempts {other} and {} of {key:?} are live at once", attempt.id));
        }
        if attempt.lease.is_some_and(|lease| !leases.insert(lease)) {
            return Err(format!("the lease of attempt {} is not its own", attempt.id));
        }
    }
    Ok(())
}

fn live_instances_have_attempts(tables: &Tables, row: &RunRow) -> Broken {
    for (key, instance) in &row.instances {
        let attempt = instance.attempt.and_then(|attempt| tables.attempts.get(&attempt));
        let expected = match attempt {
            None => !instance.state.0.is_live(),
            Some(attempt) if attempt.lease.is_some() => instance.state.0 == TaskState::Running,
            Some(_) => instance.state.0 == TaskState::Queued,
        };
        if !expected {
            return Err(format!(
                "run {} task {key:?} is {} with attempt {attempt:?}",
                row.id, instance.state.0
            ));
        }
    }
    let live = tables.attempts.values().filter(|attempt| attempt.run == row.id).count();
    let held = row.instances.values().filter(|instance| instance.attempt.is_some()).count();
    if live != held {
        return Err(format!("run {} has {live} live attempts for {held} live tasks", row.id));
    }
    Ok(())
}

fn no_more_tasks_at_once_than_allowed(tables: &Tables, row: &RunRow) -> Broken {
    let live: Vec<_> =
        tables.attempts.values().filter(|attempt| attempt.run == row.id && !attempt.is_service).collect();
    if live.len() > row.dag.max_active_tasks as usize {
        let most = row.dag.max_active_tasks;
        return Err(format!("run {} has {} tasks at once, {most} are allowed", row.id, live.len()));
    }
    for (task, def) in row.dag.tasks.iter().enumerate() {
        let Some(most) = def.for_each.as_ref().and_then(|each| each.concurrency) else { continue };
        let count = live.iter().filter(|attempt| attempt.task == task).count();
        if count > most as usize {
            return Err(format!(
                "task {task} of run {} has {count} items at once, {most} are allowed",
                row.id
            ));
        }
    }
    Ok(())
}

fn no_more_runs_at_once_than_allowed(tables: &Tables) -> Broken {
    let mut running: BTreeMap<&str, u32> = BTreeMap::new();
    let of_dag = |run: &&RunRow| run.state == RunState::Running && run.backfill.is_none();
    for run in tables.runs.values().filter(of_dag) {
        *running.entry(run.dag_id.as_str()).or_default() += 1;
    }
    for (dag_id, count) in running {
        let most = tables.newest(dag_id).max_active_runs;
        if count > most {
            return Err(format!("'{dag_id}' has {count} runs at once, {most} are allowed"));
        }
    }
    Ok(())
}

fn pools_and_limits_hold(tables: &Tables) -> Broken {
    let mut pools: BTreeMap<&str, u32> = BTreeMap::new();
    let mut limits: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for attempt in tables.attempts.values().filter(|attempt| attempt.lease.is_some()) {
        if let Some((pool, slots)) = &attempt.pool {
            *pools.entry(pool).or_default() += slots;
        }
        if let Some((key, most)) = &attempt.limit {
            limits.entry(key).or_insert((0, *most)).0 += 1;
        }
    }
    for (pool, used) in pools {
        let slots = tables.pools.get(pool).copied().unwrap_or_default();
        if used > slots {
            return Err(format!("pool '{pool}' has {slots} slots, {used} are used"));
        }
    }
    match limits.into_iter().find(|(_, (used, most))| used > most) {
        Some((key, (used, most))) => Err(format!("{used} attempts of '{key}' at once, {most} are allowed")),
        None => Ok(()),
    }
}
