//! Copies of runs that this process has stepped, so that the next step need not read them: a copy is good while the row's revision is the
//! one that it was made at. Thrown away at any time.
//!
//! A run's copy is lent to one step at a time: steps of one run in one process queue up here, not at the row's lock, and the second begins
//! where the first ended. The locks are taken in the order of the runs' ids, before those of rows.

use crate::attempts::Claimed;
use crate::snapshot::LockedRun;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedMutexGuard;

/// Instances of all copies together: some tens of megabytes.
const INSTANCES_MAX: usize = 400_000;
/// Claimed attempts remembered; more than any node holds.
const ATTEMPTS_MAX: usize = 100_000;

/// Where an attempt's instance stands: run, task, map index.
pub(crate) type Place = (i64, i32, i32);
type Slot = Arc<tokio::sync::Mutex<Option<LockedRun>>>;

#[derive(Default)]
pub(crate) struct Copies {
    runs: Mutex<HashMap<i64, Slot>>,
    /// Of the attempts that this process has claimed.
    attempts: Mutex<HashMap<i64, Place>>,
    /// Instances kept since room was made last.
    kept: AtomicUsize,
}

/// The copies of some runs, lent to one step.
#[derive(Default)]
pub(crate) struct Lent(Mutex<HashMap<i64, OwnedMutexGuard<Option<LockedRun>>>>);

impl Copies {
    pub fn claimed(&self, claimed: &[Claimed]) {
        let mut attempts = self.attempts.lock().expect("no holder panics");
        if attempts.len() + claimed.len() > ATTEMPTS_MAX {
            attempts.clear();
        }
        attempts.extend(claimed.iter().map(|attempt| {
            let task = i32::try_from(attempt.task).unwrap_or(i32::MAX);
            (attempt.attempt_id, (attempt.run, task, attempt.map_index))
        }));
    }

    pub fn ended(&self, ids: impl IntoIterator<Item = i64>) {
        let mut attempts = self.attempts.lock().expect("no holder panics");
        for id in ids {
            attempts.remove(&id);
        }
    }

    /// `None` if one of them was not claimed here.
    pub fn places(&self, ids: impl IntoIterator<Item = i64>) -> Option<Vec<Place>> {
        let attempts = self.attempts.lock().expect("no holder panics");
        ids.into_iter().map(|id| attempts.get(&id).copied()).collect()
    }

    /// Waits for other steps of these runs in this process.
    pub async fn lend(&self, runs: BTreeSet<i64>) -> Lent {
        let mut lent = HashMap::with_capacity(runs.len());
        for run in runs {
            let slot = self.slot(run);
            lent.insert(run, slot.lock_owned().await);
        }
        Lent(Mutex::new(lent))
    }

    fn slot(&self, run: i64) -> Slot {
        self.runs.lock().expect("no holder panics").entry(run).or_default().clone()
    }

    /// Keeps what a committed step has left; of runs that have ended, nothing.
    pub fn keep(&self, lent: &Lent, runs: Vec<LockedRun>) {
        let mut kept = 0;
        for run in runs {
            if run.state != model::RunState::Running {
                self.runs.lock().expect("no holder panics").remove(&run.id);
                continue;
            }
            kept += run.tasks().len() + 1;
            let mut lent = lent.0.lock().expect("no holder panics");
            match lent.get_mut(&run.id) {
                Some(guard) => **guard = Some(run),
                // Not lent: somebody who has it just now may keep his.
                None => {
                    if let Ok(mut guard) = self.slot(run.id).try_lock_owned() {
                        *guard = Some(run);
                    }
                }
            }
        }
        if self.kept.fetch_add(kept, Ordering::Relaxed) + kept > INSTANCES_MAX / 4 {
            self.kept.store(0, Ordering::Relaxed);
            self.make_room();
        }
    }

    /// Forgets places without a copy, and copies until half of the room is free if there are too many. What is lent stays.
    fn make_room(&self) {
        let mut runs = self.runs.lock().expect("no holder panics");
        let size = |slot: &Slot| {
            slot.try_lock().ok().map(|copy| copy.as_ref().map_or(0, |run| run.tasks().len() + 1))
        };
        let mut total: usize = runs.values().filter_map(size).sum();
        let too_many = total > INSTANCES_MAX;
        runs.retain(|_, slot| match size(slot) {
            None => true,
            Some(0) => false,
            Some(size) => {
                let keeps = !too_many || total <= INSTANCES_MAX / 2;
                total -= if keeps { 0 } else { size };
                keeps
            }
        });
    }
}

impl Lent {
    /// Brings a copy up to what this transaction has written; one that cannot be is thrown away.
    pub fn change(&self, run: i64, change: impl FnOnce(&mut LockedRun) -> crate::Result<()>) {
        let mut lent = self.0.lock().expect("no holder panics");
        if let Some(guard) = lent.get_mut(&run)
            && guard.as_mut().is_some_and(|copy| change(copy).is_err())
        {
            **guard = None;
        }
    }

    /// A copy that was taken and not changed.
    pub fn give_back(&self, copy: LockedRun) {
        let mut lent = self.0.lock().expect("no holder panics");
        if let Some(guard) = lent.get_mut(&copy.id) {
            **guard = Some(copy);
        }
    }

    /// The copy of a run, if it was made at this revision; `None` asks for whatever there is.
    pub fn take(&self, run: i64, revision: Option<i64>) -> Option<LockedRun> {
        let mut lent = self.0.lock().expect("no holder panics");
        let copy = lent.get_mut(&run)?.take()?;
        (revision.is_none_or(|revision| revision == copy.revision)).then_some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::decide::TaskSnapshot;

    fn run(id: i64, instances: usize) -> LockedRun {
        let mut run = LockedRun::begun(id, Arc::default());
        run.revision = 7;
        run.put(0, vec![TaskSnapshot::waiting(0, -1); instances]);
        run
    }

    #[tokio::test]
    async fn a_copy_of_another_revision_is_thrown_away() {
        let copies = Copies::default();
        let lent = copies.lend([1].into()).await;
        copies.keep(&lent, vec![run(1, 1)]);
        assert!(lent.take(1, Some(8)).is_none());
        assert!(lent.take(1, None).is_none(), "for good");
        copies.keep(&lent, vec![run(1, 1)]);
        assert!(lent.take(1, Some(7)).is_some());
    }

    #[tokio::test]
    async fn copies_together_stay_within_their_room() {
        let copies = Copies::default();
        for id in 0..40 {
            let lent = copies.lend([id].into()).await;
            copies.keep(&lent, vec![run(id, INSTANCES_MAX / 8)]);
        }
        let kept = copies.runs.lock().unwrap().len();
        assert!((1..=10).contains(&kept), "{kept} of 40");
    }
}
