//! What the broker knows besides records: topics, committed offsets, producers and their transactions.
//!
//! One journal is the truth. Each change is written there as one checked line, all or nothing, and then applied
//! to memory by the same function that replays the journal at the start. Not here: records; group members,
//! which live in memory only, as in Kafka clients rejoin after a restart.

mod journal;
mod state;
pub(crate) mod transaction;

pub(crate) use state::{CommittedOffset, Entry, MetaState, TopicPartition};

use crate::Error;
use journal::Journal;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A journal is written anew while running when it has grown beyond this and is mostly outdated.
const COMPACT_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) struct Meta {
    journal: Journal,
    state: MetaState,
}

impl Meta {
    /// Replays the journal in `dir`. Also says how many bytes of a torn end were cut off.
    pub fn open(dir: &Path, sync_every_append: bool) -> Result<(Self, u64), Error> {
        let mut state = MetaState::default();
        let (journal, cut_bytes) = Journal::open(dir, sync_every_append, |entry| state.apply(entry))?;
        Ok((Self { journal, state }, cut_bytes))
    }

    pub fn state(&self) -> &MetaState {
        &self.state
    }

    /// Makes these changes, all or none.
    pub fn commit(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.journal.append(&entries)?;
        entries.into_iter().for_each(|entry| self.state.apply(entry));
        Ok(())
    }

    /// Writes the journal anew with what still holds.
    pub fn compact(&mut self, now_ms: i64) -> io::Result<()> {
        self.state.forget_old(now_ms);
        self.journal.rewrite(&self.state.entries())
    }

    pub fn compact_if_large(&mut self, now_ms: i64) -> io::Result<()> {
        let bytes = self.journal.bytes();
        if bytes < COMPACT_BYTES || bytes < self.journal.bytes_when_written_anew().saturating_mul(4) {
            return Ok(());
        }
        self.compact(now_ms)
    }

    pub fn take_unsynced(&mut self) -> Option<Arc<File>> {
        self.journal.take_unsynced()
    }
}
