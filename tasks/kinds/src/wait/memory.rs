//! What waits saw at their last look, so that the log tells changes only and failures in a row are counted.

use chrono::{DateTime, Utc};
use model::TaskContext;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits that are remembered; beyond them the one that was not looked at for longest is forgotten.
const WAITS_MAX: usize = 10_000;

/// One try of one instance.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    run: i64,
    task: usize,
    map_index: i32,
    try_number: i32,
}

impl Key {
    pub fn of(ctx: &TaskContext) -> Self {
        Key { run: ctx.run, task: ctx.task, map_index: ctx.map_index, try_number: ctx.try_number }
    }
}

#[derive(Default)]
struct Seen {
    state: String,
    failures: u32,
    at: DateTime<Utc>,
}

#[derive(Default)]
pub struct Memory(Mutex<HashMap<Key, Seen>>);

impl Memory {
    /// A look that did not fail. Whether it saw something else than the one before.
    pub fn saw(&self, key: &Key, state: &str, now: DateTime<Utc>) -> bool {
        let mut all = self.lock();
        let seen = entry(&mut all, key, now);
        let is_new = seen.state != state || seen.failures > 0;
        seen.failures = 0;
        if is_new {
            state.clone_into(&mut seen.state);
        }
        is_new
    }

    /// A look that failed: how many it are in a row.
    pub fn failed(&self, key: &Key, now: DateTime<Utc>) -> u32 {
        let mut all = self.lock();
        let seen = entry(&mut all, key, now);
        seen.failures += 1;
        seen.failures
    }

    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(all: &'a mut HashMap<Key, Seen>, key: &Key, now: DateTime<Utc>) -> &'a mut Seen {
    if all.len() >= WAITS_MAX && !all.contains_key(key) {
        let oldest = all.iter().min_by_key(|(_, seen)| seen.at).map(|(key, _)| key.clone());
        oldest.and_then(|key| all.remove(&key));
    }
    let seen = all.entry(key.clone()).or_default();
    seen.at = now;
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(run: i64) -> Key {
        Key { run, task: 0, map_index: -1, try_number: 1 }
    }

    #[test]
    fn a_good_look_ends_a_row_of_failures() {
        let (memory, now) = (Memory::default(), DateTime::UNIX_EPOCH);
        assert_eq!((memory.failed(&key(1), now), memory.failed(&key(1), now)), (1, 2));
        assert!(memory.saw(&key(1), "behind", now), "told again after failures");
        assert!(!memory.saw(&key(1), "behind", now));
        assert_eq!(memory.failed(&key(1), now), 1);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let memory = Memory::default();
        for run in 0..=WAITS_MAX as i64 {
            memory.failed(&key(run), DateTime::from_timestamp(run, 0).unwrap());
        }
        assert_eq!(memory.lock().len(), WAITS_MAX);
        assert!(!memory.lock().contains_key(&key(0)));
    }
}
