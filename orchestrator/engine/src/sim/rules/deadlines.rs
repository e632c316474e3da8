//! Each deadline that was missed is told once, one that was kept never; each failed run is told once.

use super::Broken;
use crate::sim::store::Tables;
use chrono::{DateTime, Utc};
use model::RunState;
use model::notify::Event;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Seen {
    notices: i64,
    /// Not looked at yet: by run and task.
    open: BTreeMap<(i64, i32), DateTime<Utc>>,
    told: BTreeSet<(i64, i32)>,
    failed: BTreeSet<i64>,
}

impl Seen {
    pub fn after(&mut self, tables: &Tables, touched: &BTreeSet<i64>) -> Broken {
        let new = || tables.notices.range(self.notices + 1..).map(|(_, row)| row);
        let failures: Vec<i64> = new().filter(|row| row.event == Event::Failure).map(|row| row.run).collect();
        let missed = new().filter(|row| row.event == Event::Deadline);
        let missed: Vec<(i64, i32)> =
            missed.map(|row| (row.run, row.task.map_or(-1, |task| task as i32))).collect();
        self.notices = tables.notices.len() as i64;
        for run in touched {
            let has_failed = tables.run_row(*run).state == RunState::Failed;
            let before = if has_failed { !self.failed.insert(*run) } else { !self.failed.remove(run) };
            let expected = usize::from(has_failed && !before);
            let told = failures.iter().filter(|of| *of == run).count();
            if told != expected {
                return Err(format!("run {run} has {told} notices of a failure, not {expected}"));
            }
        }
        self.deadlines(tables, &missed)
    }

    fn deadlines(&mut self, tables: &Tables, missed: &[(i64, i32)]) -> Broken {
        if tables.deadlines.is_empty() && self.open.is_empty() {
            return Ok(());
        }
        for key in missed {
            if !self.told.insert(*key) {
                return Err(format!("the deadline of {key:?} was told twice"));
            }
            let Some(due_at) = self.open.get(key) else {
                return Err(format!("a deadline of {key:?} was told, it has none"));
            };
            if was_kept(tables, *key, *due_at) {
                return Err(format!("the deadline of {key:?} was told, though it was kept"));
            }
        }
        for (key, due_at) in &self.open {
            let row = tables.deadlines.get(key);
            let is_open = row.is_some_and(|row| row.missed_at.is_none());
            if !is_open && !self.told.contains(key) && !was_kept(tables, *key, *due_at) {
                return Err(format!("the deadline of {key:?} was missed, and nobody was told"));
            }
        }
        let open = tables.deadlines.iter().filter(|(_, row)| row.missed_at.is_none());
        self.open = open.map(|(key, row)| (*key, row.due_at)).collect();
        Ok(())
    }
}

fn was_kept(tables: &Tables, (run, task): (i64, i32), due_at: DateTime<Utc>) -> bool {
    let row = tables.run_row(run);
    if row.ended_at.is_some_and(|ended| ended <= due_at) {
        return true;
    }
    let mut ends = row.instances.iter().filter(|((of, _), _)| *of as i32 == task).map(|(_, i)| i.ended_at);
    let has_any = row.instances.keys().any(|(of, _)| *of as i32 == task);
    has_any && ends.all(|ended| ended.is_some_and(|ended| ended <= due_at))
}

/// Once nothing disturbs any more.
pub(super) fn all_are_looked_at(tables: &Tables, until: DateTime<Utc>) -> Broken {
    let mut late = tables.deadlines.iter().filter(|(_, row)| row.missed_at.is_none() && row.due_at < until);
    if let Some((key, row)) = late.next() {
        return Err(format!("the deadline of {key:?} came at {} and was never looked at", row.due_at));
    }
    match tables.notices.iter().find(|(_, row)| row.next_at.is_some_and(|at| at < until)) {
        Some((id, row)) => Err(format!("notice {id} of run {} was due and never sent", row.run)),
        None => Ok(()),
    }
}
