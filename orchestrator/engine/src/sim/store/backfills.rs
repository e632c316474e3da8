//! Backfills, as in `store::backfills`: the plan, its runs, pause, cancel and the end. Starting the runs is part of promoting.

use super::{Plant, RunRow, Tables};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::RunState;
use model::dag::Schedule;
use std::collections::BTreeSet;
use store::backfills::Reprocess;
use store::runs::{NewRun, RunType};
use store::{Error, Result};

/// Ticks of one plan; the real one may have thousands.
const TICKS_MAX: usize = 12;

pub(crate) struct BackfillRow {
    pub dag_id: String,
    pub state: BackfillState,
    pub max_active_runs: u32,
    pub backwards: bool,
    /// What its plan was to run.
    pub plan: BTreeSet<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackfillState {
    Running,
    Paused,
    Completed,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub dag_id: String,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub reprocess: Reprocess,
    pub backwards: bool,
    pub max_active_runs: u32,
}

impl BackfillState {
    pub fn has_ended(self) -> bool {
        matches!(self, BackfillState::Completed | BackfillState::Cancelled)
    }
}

fn refused<T>(message: &str) -> Result<T> {
    Err(Error::Refused { message: message.to_owned() })
}

impl Tables {
    /// Plans and carries out, in one transaction.
    pub fn create_backfill(&mut self, wish: &Wish, now: DateTime<Utc>) -> Result<i64> {
        let dag = self.newest(&wish.dag_id);
        if !matches!(dag.schedule, Schedule::Every { .. } | Schedule::At { .. }) {
            return refused("no ticks to fill in");
        }
        if wish.backwards && dag.tasks.iter().any(|task| task.depends_on_past) {
            return refused("the runs cannot go backwards");
        }
        let instant = TimeDelta::nanoseconds(1);
        let ticks = dag.schedule.ticks(wish.from - instant, wish.to - instant, TICKS_MAX);
        let (mut gaps, mut again) = (Vec::new(), Vec::new());
        for tick in ticks {
            match self.run_of_tick(&wish.dag_id, tick) {
                None if tick <= now => gaps.push(tick),
                Some((run, state)) if again_wanted(wish.reprocess, state) => again.push((tick, run)),
                None | Some(_) => {}
            }
        }
        if gaps.is_empty() && again.is_empty() {
            return refused("nothing to do");
        }
        let id = self.backfills.len() as i64 + 1;
        let plan = gaps.iter().copied().chain(again.iter().map(|(tick, _)| *tick)).collect();
        let Wish { backwards, max_active_runs, .. } = *wish;
        let (dag_id, state) = (wish.dag_id.clone(), BackfillState::Running);
        self.backfills.insert(id, BackfillRow { dag_id, state, max_active_runs, backwards, plan });
        for tick in gaps {
            if let Some(run) = self.insert_run(run_of(self, wish, tick), now) {
                self.change_run(run).backfill = Some(id);
            }
        }
        for (_, run) in again {
            let keys: Vec<(usize, i32)> = self.run_row(run).instances.keys().copied().collect();
            self.reset_all(run, &keys)?;
            self.forget_items(run, |_| true);
            self.requeue(run, now);
            let row = self.change_run(run);
            (row.backfill, row.run_type) = (Some(id), RunType::Backfill);
        }
        self.ring("runs");
        Ok(id)
    }

    /// The newest run of a tick.
    fn run_of_tick(&self, dag_id: &str, tick: DateTime<Utc>) -> Option<(i64, RunState)> {
        if self.has(Plant::BackfillsSeeNoRuns) {
            return None;
        }
        let of_tick = |run: &&RunRow| run.dag_id == dag_id && run.logical_date == Some(tick);
        self.runs.values().rfind(of_tick).map(|run| (run.id, run.state))
    }

    pub fn pause_backfill(&mut self, id: i64, paused: bool) -> Result<()> {
        let row = self.backfills.get_mut(&id).expect("backfills are never deleted");
        if row.state.has_ended() {
            return refused("it has ended");
        }
        row.state = if paused { BackfillState::Paused } else { BackfillState::Running };
        self.ring("runs");
        Ok(())
    }

    pub fn cancel_backfill(&mut self, id: i64, now: DateTime<Utc>) -> Result<()> {
        if self.backfills[&id].state.has_ended() {
            return refused("it has ended");
        }
        let open = self.runs.values().filter(|run| run.backfill == Some(id) && !run.state.is_final());
        for run in open.map(|run| run.id).collect::<Vec<_>>() {
            self.request_cancel(run, now);
        }
        self.backfills.entry(id).and_modify(|row| row.state = BackfillState::Cancelled);
        self.ring("runs");
        Ok(())
    }

    /// Backfills without an open run are completed.
    pub fn complete_backfills(&mut self) -> usize {
        let runs = &self.runs;
        let open = |id: i64| runs.values().any(|run| run.backfill == Some(id) && !run.state.is_final());
        let ended = self.backfills.iter_mut().filter(|(id, row)| !row.state.has_ended() && !open(**id));
        ended.map(|(_, row)| row.state = BackfillState::Completed).count()
    }

    /// Runs of it that run.
    pub fn active_of_backfill(&self, id: i64) -> usize {
        let running = |run: &&RunRow| run.backfill == Some(id) && run.state == RunState::Running;
        self.runs.values().filter(running).count()
    }

    /// Its queued runs that find a place, in its order.
    pub fn due_of_backfill(&self, id: i64, now: DateTime<Utc>) -> Vec<i64> {
        let row = &self.backfills[&id];
        let held_back = row.state != BackfillState::Running && !self.has(Plant::PausedBackfillsStart);
        if held_back || row.state.has_ended() || self.dags[&row.dag_id].paused {
            return Vec::new();
        }
        let queued =
            |run: &&RunRow| run.backfill == Some(id) && run.state == RunState::Queued && run.run_after <= now;
        let mut due: Vec<&RunRow> = self.runs.values().filter(queued).collect();
        due.sort_by_key(|run| (run.run_after, run.id));
        if row.backwards {
            due.reverse();
        }
        let active = if self.has(Plant::BackfillsHaveNoBudget) { 0 } else { self.active_of_backfill(id) };
        let room = (row.max_active_runs as usize).saturating_sub(active);
        due.into_iter().take(room).map(|run| run.id).collect()
    }
}

fn again_wanted(reprocess: Reprocess, state: RunState) -> bool {
    match reprocess {
        Reprocess::None => false,
        Reprocess::Failed => matches!(state, RunState::Failed | RunState::Cancelled),
        Reprocess::Completed => state.is_final(),
    }
}

fn run_of(tables: &Tables, wish: &Wish, tick: DateTime<Utc>) -> NewRun {
    let name = format!("backfill__{}", tick.to_rfc3339_opts(SecondsFormat::AutoSi, false));
    let is_taken = tables.run_names.contains_key(&(wish.dag_id.clone(), name.clone()));
    NewRun {
        run_id: if is_taken { format!("{name}-again") } else { name },
        version_id: tables.dags[&wish.dag_id].version_id,
        dag_id: wish.dag_id.clone(),
        run_type: RunType::Backfill,
        window: None,
        logical_date: Some(tick),
        run_after: tick,
        params: serde_json::json!({}),
        requested_by: "people".to_owned(),
        note: None,
    }
}
