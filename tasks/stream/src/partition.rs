//! The state of one assigned partition and of its topic.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::buffer::Buffer;
use crate::chunk::Chunk;
use crate::options::TopicConfig;
use crate::status::TopicReport;

const FIRST_RETRY_MS: i64 = 500;
const LONGEST_RETRY_MS: i64 = 30_000;

pub(crate) struct Topic {
    pub config: TopicConfig,
    pub kafka_name: String,
    pub totals: TopicReport,
    pub partitions: BTreeMap<i32, Partition>,
}

pub(crate) struct Partition {
    pub buffer: Buffer,
    /// A sealed roll that could not be written yet; nothing behind it is sealed.
    pub pending: Option<Chunk>,
    pub retry_at: Option<DateTime<Utc>>,
    failures: u32,
    /// Another writer committed here: wait for the seek, ignore what is still delivered.
    pub rewinding: bool,
    pub watermark: Option<DateTime<Utc>>,
    pub watermark_put_at: Option<DateTime<Utc>>,
    /// Flushed since the watermark was put.
    pub flushed: bool,
    /// Epoch milliseconds of the latest committed event.
    pub max_time: Option<i64>,
    /// How many partitions the topic has.
    pub siblings: i32,
}

impl Partition {
    pub fn new(prev_last: Option<i64>, next: i64, siblings: i32) -> Self {
        Self {
            buffer: Buffer::new(prev_last, next),
            pending: None,
            retry_at: None,
            failures: 0,
            rewinding: false,
            watermark: None,
            watermark_put_at: None,
            flushed: false,
            max_time: None,
            siblings,
        }
    }

    /// The first offset that the lake does not cover.
    pub fn committed(&self) -> i64 {
        self.pending.as_ref().map_or(self.buffer.first, |chunk| chunk.first)
    }

    pub fn bytes(&self) -> usize {
        self.buffer.bytes + self.pending.as_ref().map_or(0, Chunk::bytes)
    }

    /// Drops what is buffered and continues after a log that ends at `prev_last`.
    pub fn rewind(&mut self, prev_last: Option<i64>, next: i64) {
        self.buffer = Buffer::new(prev_last, next);
        self.pending = None;
        self.retry_at = None;
        self.failures = 0;
    }

    pub fn written(&mut self, chunk: &Chunk) {
        self.retry_at = None;
        self.failures = 0;
        self.flushed = true;
        self.max_time = self.max_time.max(chunk.max_time);
    }

    /// Keeps the chunk for another try, later each time.
    pub fn failed(&mut self, chunk: Chunk, now: DateTime<Utc>) {
        let delay = (FIRST_RETRY_MS << self.failures.min(10)).min(LONGEST_RETRY_MS);
        self.failures += 1;
        self.retry_at = Some(now + TimeDelta::milliseconds(delay));
        self.pending = Some(chunk);
    }
}
