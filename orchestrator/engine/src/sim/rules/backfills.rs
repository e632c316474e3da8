//! A backfill never has more runs at once than its budget, starts none while it is paused, and each tick has one run.

use super::Broken;
use crate::sim::store::{BackfillState, RunRow, Tables};
use model::RunState;
use std::collections::{BTreeMap, BTreeSet};
use store::runs::RunType;

#[derive(Default)]
pub(super) struct Seen {
    backfills: BTreeMap<i64, BackfillState>,
    running: BTreeSet<i64>,
}

impl Seen {
    pub fn after(&mut self, tables: &Tables, touched: &BTreeSet<i64>) -> Broken {
        if tables.backfills.is_empty() {
            return Ok(());
        }
        for row in touched.iter().map(|run| tables.run_row(*run)) {
            one_run_for_each_tick(tables, row)?;
            self.starts_are_allowed(row)?;
        }
        for (id, backfill) in &tables.backfills {
            let of_it = || tables.runs.values().filter(|run| run.backfill == Some(*id));
            let active = of_it().filter(|run| run.state == RunState::Running).count();
            if active > backfill.max_active_runs as usize {
                let most = backfill.max_active_runs;
                return Err(format!("backfill {id} has {active} runs at once, its budget is {most}"));
            }
            if backfill.state == BackfillState::Completed && of_it().any(|run| !run.state.is_final()) {
                return Err(format!("backfill {id} is completed, but has open runs"));
            }
            if self.backfills.insert(*id, backfill.state).is_none() {
                the_plan_is_carried_out(tables, *id)?;
            }
        }
        Ok(())
    }

    fn starts_are_allowed(&mut self, row: &RunRow) -> Broken {
        if row.state != RunState::Running {
            self.running.remove(&row.id);
            return Ok(());
        }
        let begins = self.running.insert(row.id);
        let state = row.backfill.and_then(|id| self.backfills.get(&id)).copied();
        match state.filter(|state| begins && *state != BackfillState::Running) {
            Some(state) => Err(format!("run '{}' was started, its backfill is {state:?}", row.run_id)),
            None => Ok(()),
        }
    }
}

fn one_run_for_each_tick(tables: &Tables, row: &RunRow) -> Broken {
    let of_tick = |run: &&RunRow| {
        run.dag_id == row.dag_id
            && run.logical_date == row.logical_date
            && matches!(run.run_type, RunType::Scheduled | RunType::Backfill)
    };
    if row.logical_date.is_none() || !of_tick(&row) {
        return Ok(());
    }
    let runs: Vec<&str> = tables.runs.values().filter(of_tick).map(|run| run.run_id.as_str()).collect();
    if runs.len() == 1 { Ok(()) } else { Err(format!("one tick of '{}' has the runs {runs:?}", row.dag_id)) }
}

/// In the transaction that made the backfill.
fn the_plan_is_carried_out(tables: &Tables, id: i64) -> Broken {
    let backfill = &tables.backfills[&id];
    for tick in &backfill.plan {
        let of_tick = |run: &&RunRow| run.dag_id == backfill.dag_id && run.logical_date == Some(*tick);
        let runs: Vec<Option<i64>> = tables.runs.values().filter(of_tick).map(|run| run.backfill).collect();
        if runs != [Some(id)] {
            return Err(format!("tick {tick} of the plan of backfill {id} has runs of {runs:?}"));
        }
    }
    Ok(())
}

/// Once nothing disturbs any more.
pub(super) fn none_is_left_open(tables: &Tables) -> Broken {
    let open = |id: i64| tables.runs.values().any(|run| run.backfill == Some(id) && !run.state.is_final());
    match tables.backfills.iter().find(|(id, row)| !row.state.has_ended() && !open(**id)) {
        Some((id, row)) => Err(format!("backfill {id} is {:?}, but all of its runs have ended", row.state)),
        None => Ok(()),
    }
}
