//! What was read of one partition and not yet written: offsets `first..next`, each of them a row, a dead letter, or skipped. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::columns::Columns;
use crate::event;
use crate::files::DeadLetter;
use crate::options::Options;
use crate::schema::TopicSchema;

const HOUR_MS: i64 = 3_600_000;
/// How much of an oversized record is kept.
const KEPT_BYTES: usize = 64 << 10;
/// What a row costs beside its payload: offset, time, validity.
const ROW_BYTES: usize = 32;

/// A record as Kafka delivered it.
pub(crate) struct Record<'a> {
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

/// What makes a record a dead letter, apart from its schema.
pub(crate) struct Rules {
    max_message_bytes: usize,
    earliest: i64,
    ahead: i64,
}

impl Rules {
    pub fn new(options: &Options) -> Self {
        Self {
            max_message_bytes: options.max_message_bytes,
            earliest: options.sanity.earliest.timestamp_millis(),
            ahead: i64::try_from(options.sanity.ahead_of_clock.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn check_time(&self, time: i64, now: DateTime<Utc>) -> Result<(), String> {
        if time < self.earliest {
            return Err(format!("ts {time} is before the earliest sane time {}", self.earliest));
        }
        let latest = now.timestamp_millis().saturating_add(self.ahead);
        if time > latest {
            return Err(format!("ts {time} is in the future: the latest sane time is {latest}"));
        }
        Ok(())
    }
}

pub(crate) struct Buffer {
    pub prev_last: Option<i64>,
    pub first: i64,
    pub next: i64,
    /// By the start of the hour in epoch milliseconds.
    pub hours: BTreeMap<i64, Columns>,
    pub dead: Vec<DeadLetter>,
    pub skipped: u64,
    pub rows: usize,
    pub late: u64,
    pub unknown_fields: u64,
    pub bytes: usize,
    /// When the oldest offset came in; none while nothing is buffered.
    pub since: Option<DateTime<Utc>>,
}

impl Buffer {
    /// Empty, to begin at `first`, after a log that ends at `prev_last`.
    pub fn new(prev_last: Option<i64>, first: i64) -> Self {
        Self {
            prev_last,
            first,
            next: first,
            hours: BTreeMap::new(),
            dead: Vec::new(),
            skipped: 0,
            rows: 0,
            late: 0,
            unknown_fields: 0,
            bytes: 0,
            since: None,
        }
    }

    pub fn records(&self) -> usize {
        self.rows + self.dead.len()
    }

    /// Records the offsets below `offset` as absent from Kafka.
    pub fn skip_to(&mut self, offset: i64, now: DateTime<Utc>) {
        if offset > self.next {
            self.skipped += offset.abs_diff(self.next);
            self.next = offset;
            self.since.get_or_insert(now);
        }
    }

    /// Takes a record in. One that is already covered is ignored: it was delivered again after a seek.
    pub fn push(
        &mut self,
        schema: &TopicSchema,
        rules: &Rules,
        record: &Record<'_>,
        watermark: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        if record.offset < self.next {
            return;
        }
        self.skip_to(record.offset, now);
        self.since.get_or_insert(now);
        self.next = record.offset + 1;
        if let Err(reason) = self.push_row(schema, rules, record, watermark, now) {
            self.push_dead(record, rules, reason);
        }
    }

    fn push_row(
        &mut self,
        schema: &TopicSchema,
        rules: &Rules,
        record: &Record<'_>,
        watermark: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let payload = record.payload.ok_or("no payload (a tombstone)")?;
        if payload.len() > rules.max_message_bytes {
            return Err(format!(
                "{} bytes is more than the limit of {}",
                payload.len(),
                rules.max_message_bytes
            ));
        }
        let event = event::parse(schema, payload)?;
        rules.check_time(event.time, now)?;
        let hour = event.time.div_euclid(HOUR_MS) * HOUR_MS;
        self.hours.entry(hour).or_insert_with(|| Columns::new(schema)).push(&event, record.offset, now);
        self.rows += 1;
        self.bytes += payload.len() + ROW_BYTES;
        self.unknown_fields += event.unknown.len() as u64;
        self.late += u64::from(watermark.is_some_and(|at| event.time < at.timestamp_millis()));
        Ok(())
    }

    fn push_dead(&mut self, record: &Record<'_>, rules: &Rules, error: String) {
        let oversized = record.payload.is_some_and(|payload| payload.len() > rules.max_message_bytes);
        let keep = if oversized { KEPT_BYTES.min(rules.max_message_bytes) } else { usize::MAX };
        let value = record.payload.map(|payload| payload[..payload.len().min(keep)].to_vec());
        let key = record.key.map(<[u8]>::to_vec);
        self.bytes +=
            value.as_ref().map_or(0, Vec::len) + key.as_ref().map_or(0, Vec::len) + error.len() + ROW_BYTES;
        self.dead.push(DeadLetter { offset: record.offset, timestamp: record.timestamp, key, value, error });
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
