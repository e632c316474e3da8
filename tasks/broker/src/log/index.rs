//! The sparse index of a segment: where in the file an offset or a time is to be looked for.

use serde::{Deserialize, Serialize};

/// One entry for about this many bytes of log.
const INTERVAL_BYTES: u64 = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    base_offset: i64,
    position: u64,
    /// The newest record between this entry and the next.
    max_timestamp: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Notes a batch that was written at `position`. Batches come in order.
    pub fn note(&mut self, base_offset: i64, position: u64, max_timestamp: i64) {
        match self.entries.last_mut() {
            Some(last) if position - last.position < INTERVAL_BYTES => {
                last.max_timestamp = last.max_timestamp.max(max_timestamp);
            }
            _ => self.entries.push(Entry { base_offset, position, max_timestamp }),
        }
    }

    /// Where to start reading in search of `offset`.
    pub fn position_of(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.base_offset <= offset);
        after.checked_sub(1).map_or(0, |at| self.entries[at].position)
    }

    /// Where to start reading in search of a record that is not older than `timestamp`.
    pub fn position_of_time(&self, timestamp: i64) -> Option<u64> {
        self.entries.iter().find(|entry| entry.max_timestamp >= timestamp).map(|entry| entry.position)
    }

    pub fn max_timestamp(&self) -> Option<i64> {
        self.entries.iter().map(|entry| entry.max_timestamp).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_or_before_what_is_sought() {
        let mut index = Index::default();
        for i in 0..100 {
            index.note(i * 10, i as u64 * 5_000, 1_000 + i);
        }
        assert!(index.entries.len() < 40, "sparse");
        for i in 0..100 {
            let (position, batch) = (index.position_of(i * 10 + 3), i as u64 * 5_000);
            assert!(position <= batch && batch - position < INTERVAL_BYTES + 5_000);
            let position = index.position_of_time(1_000 + i).unwrap();
            assert!(position <= batch && batch - position < INTERVAL_BYTES + 5_000);
        }
        assert_eq!(index.position_of_time(1_100), None);
        assert_eq!(index.max_timestamp(), Some(1_099));
    }
}
