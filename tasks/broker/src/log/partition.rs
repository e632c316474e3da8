//! A partition: appends, reads, end markers, retention. Not here: topics, waiting readers, who may write.

use super::batch::{self, BatchHeader};
use super::index::Index;
use super::producers::Verdict;
use super::record;
use super::recovery::{self, LogState};
use super::segment::Segment;
use super::transactions::Aborted;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionOptions {
    pub segment_bytes: u64,
    pub sync_every_append: bool,
}

/// Which records a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Uncommitted,
    /// Nothing of transactions that are still open.
    Committed,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetentionLimits {
    pub max_age_ms: Option<i64>,
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub records: Bytes,
    /// Aborted transactions among these records; the reader leaves them out.
    pub aborted: Vec<Aborted>,
}

pub(crate) struct Partition {
    dir: PathBuf,
    options: PartitionOptions,
    segments: Vec<Segment>,
    state: LogState,
    /// Records before this offset are deleted, though their segment may still be there.
    start_offset: i64,
}

impl Partition {
    /// Opens or creates the partition in `dir`. Also says how many bytes of a torn end were cut off.
    pub fn open(dir: &Path, start_offset: i64, options: PartitionOptions) -> io::Result<(Self, u64)> {
        let recovered = recovery::recover(dir, start_offset)?;
        let mut state = recovered.state;
        let start_offset = start_offset.max(recovered.segments[0].base_offset);
        state.next_offset = state.next_offset.max(start_offset);
        let segments = recovered.segments;
        let partition = Self { dir: dir.to_owned(), options, segments, state, start_offset };
        Ok((partition, recovered.cut_bytes))
    }

    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// Offset after the last record.
    pub fn high_watermark(&self) -> i64 {
        self.state.next_offset
    }

    /// Offset up to which no transaction is open.
    pub fn last_stable_offset(&self) -> i64 {
        self.state.transactions.first_open_offset().unwrap_or(self.state.next_offset)
    }

    pub fn end_for(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.high_watermark(),
            Isolation::Committed => self.last_stable_offset(),
        }
    }

    /// Appends the batch of a produce request and returns the offset of its first record, which is that of
    /// its first arrival if the producer had only missed our answer.
    pub fn append(&mut self, records: &[u8], max_bytes: usize) -> Result<i64, ResponseError> {
        if records.len() > max_bytes {
            return Err(ResponseError::MessageTooLarge);
        }
        let mut header = batch::check_produced(records)?;
        if header.producer_id >= 0
            && let Verdict::Repeated { base_offset } = self.state.producers.judge(&header)?
        {
            return Ok(base_offset);
        }
        header.base_offset = self.state.next_offset;
        let mut placed = records.to_vec();
        batch::place(&mut placed, header.base_offset);
        self.write(&placed, &header, None).map_err(|error| self.storage_error(&error))?;
        Ok(header.base_offset)
    }

    /// Ends the transaction of this producer, if one is open here.
    pub fn end_transaction(
        &mut self,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        now_ms: i64,
    ) -> io::Result<bool> {
        if !self.state.transactions.is_open(producer_id) {
            return Ok(false);
        }
        let marker = batch::end_marker(self.state.next_offset, producer_id, epoch, commit, now_ms);
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "end marker");
        let header = BatchHeader::decode(&marker).ok_or_else(invalid)?;
        self.write(&marker, &header, Some(commit))?;
        Ok(true)
    }

    /// Producers of the transactions that are open here, with the epoch they were last seen in.
    pub fn open_producers(&self) -> Vec<(i64, i16)> {
        let with_epoch = |id| (id, self.state.producers.epoch_of(id).unwrap_or(0));
        self.state.transactions.open_producers().into_iter().map(with_epoch).collect()
    }

    fn write(&mut self, batch: &[u8], header: &BatchHeader, marker_commits: Option<bool>) -> io::Result<()> {
        let active = self.active();
        if active.size > 0 && active.size + batch.len() as u64 > self.options.segment_bytes {
            self.roll()?;
        }
        let sync = self.options.sync_every_append;
        self.active().append(batch, header, sync)?;
        self.state.note(header, marker_commits);
        Ok(())
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a partition always has an active segment")
    }

    /// Closes the active segment and begins the next.
    fn roll(&mut self) -> io::Result<()> {
        let next = Segment::open(&self.dir, self.state.next_offset, 0, Index::default())?;
        let active = self.active();
        if let Some(file) = active.take_unsynced() {
            file.sync_data()?;
        }
        active.close();
        let closed = self.segments.last().expect("a partition always has an active segment");
        if let Err(error) = recovery::write_snapshot(&self.dir, closed, &self.state) {
            tracing::warn!(dir = %self.dir.display(), %error, "no segment snapshot; the next start reads the segment");
        }
        self.segments.push(next);
        Ok(())
    }

    /// Batches from `offset` on: at most `max_bytes`, but at least one whole batch.
    pub fn read(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Slice, ResponseError> {
        if offset < self.start_offset || offset > self.state.next_offset {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let until = self.end_for(isolation);
        if offset >= until {
            return Ok(Slice::default());
        }
        let records = self.records(offset, until, max_bytes).map_err(|error| self.storage_error(&error))?;
        let aborted = match isolation {
            Isolation::Uncommitted => Vec::new(),
            Isolation::Committed => self.state.transactions.aborted_within(offset, until),
        };
        Ok(Slice { records, aborted })
    }

    fn records(&self, offset: i64, until: i64, max_bytes: usize) -> io::Result<Bytes> {
        let holder = self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1);
        for segment in &self.segments[holder..] {
            let records = segment.read(offset, until, max_bytes)?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Bytes::new())
    }

    /// Offset and time of the first record that is not older than `timestamp`.
    pub fn offset_for_time(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ResponseError> {
        let wanted = |header: &BatchHeader| {
            header.max_timestamp >= timestamp
                && header.last_offset() >= self.start_offset
                && !header.is_control()
        };
        for segment in &self.segments {
            let Some(position) = segment.index.position_of_time(timestamp) else { continue };
            let found = segment.find(position, wanted).map_err(|error| self.storage_error(&error))?;
            let Some(batch) = found else { continue };
            let header = BatchHeader::decode(&batch).ok_or(ResponseError::KafkaStorageError)?;
            let (offset, time) = record::first_not_older(&header, &batch, timestamp);
            return Ok(Some((offset.max(self.start_offset), time)));
        }
        Ok(None)
    }

    /// Deletes the records before `offset`; whole segments go at once, the rest is no longer shown.
    pub fn delete_before(&mut self, offset: i64) -> Result<i64, ResponseError> {
        if offset > self.high_watermark() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        self.start_offset = self.start_offset.max(offset);
        while self.segments.len() > 1 && self.segments[1].base_offset <= self.start_offset {
            self.drop_first_segment().map_err(|error| self.storage_error(&error))?;
        }
        Ok(self.start_offset)
    }

    /// Deletes segments that are too old or too many; returns how many.
    pub fn expire(&mut self, limits: RetentionLimits, now_ms: i64) -> io::Result<usize> {
        let oldest_kept = limits.max_age_ms.map(|age| now_ms.saturating_sub(age));
        let too_old = |segment: &Segment| match (segment.index.max_timestamp(), oldest_kept) {
            (Some(newest), Some(oldest_kept)) => newest < oldest_kept,
            _ => false,
        };
        if too_old(self.active()) {
            self.roll()?;
        }
        self.state.producers.forget_silent(now_ms);
        let stable = self.last_stable_offset();
        let mut total: u64 = self.segments.iter().map(|segment| segment.size).sum();
        let mut deleted = 0;
        while self.segments.len() > 1 && self.segments[1].base_offset <= stable {
            let rest = total - self.segments[0].size;
            let too_many = limits.max_bytes.is_some_and(|max_bytes| rest >= max_bytes);
            if !too_many && !too_old(&self.segments[0]) {
                break;
            }
            self.drop_first_segment()?;
            total = rest;
            deleted += 1;
        }
        Ok(deleted)
    }

    fn drop_first_segment(&mut self) -> io::Result<()> {
        self.segments[0].delete()?;
        self.segments.remove(0);
        self.start_offset = self.start_offset.max(self.segments[0].base_offset);
        self.state.transactions.forget_before(self.start_offset);
        Ok(())
    }

    /// Files written since the last call, to be synced without holding this partition.
    pub fn take_unsynced(&mut self) -> Vec<Arc<File>> {
        self.segments.iter_mut().filter_map(Segment::take_unsynced).collect()
    }

    fn storage_error(&self, error: &io::Error) -> ResponseError {
        tracing::error!(dir = %self.dir.display(), %error, "the log of a partition cannot be read or written");
        ResponseError::KafkaStorageError
    }
}
