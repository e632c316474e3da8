//! The transactions seen in one partition: which are open, which records were aborted.

use super::batch::BatchHeader;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transactions {
    /// First offset of each producer's open transaction.
    open: BTreeMap<i64, i64>,
    aborted: Vec<Aborted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
}

impl Transactions {
    pub fn note_records(&mut self, batch: &BatchHeader) {
        if batch.is_transactional() {
            self.open.entry(batch.producer_id).or_insert(batch.base_offset);
        }
    }

    pub fn note_marker(&mut self, marker: &BatchHeader, commit: bool) {
        let Some(first_offset) = self.open.remove(&marker.producer_id) else { return };
        if !commit {
            let (producer_id, last_offset) = (marker.producer_id, marker.base_offset);
            self.aborted.push(Aborted { producer_id, first_offset, last_offset });
        }
    }

    pub fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    pub fn open_producers(&self) -> Vec<i64> {
        self.open.keys().copied().collect()
    }

    /// Where the oldest open transaction begins: readers of committed records stop before it.
    pub fn first_open_offset(&self) -> Option<i64> {
        self.open.values().min().copied()
    }

    pub fn aborted_within(&self, from: i64, until: i64) -> Vec<Aborted> {
        let touches = |aborted: &&Aborted| aborted.last_offset >= from && aborted.first_offset < until;
        self.aborted.iter().filter(touches).copied().collect()
    }

    pub fn forget_before(&mut self, offset: i64) {
        self.aborted.retain(|aborted| aborted.last_offset >= offset);
    }
}
