//! One roll of a partition on its way into the lake: data files, dead letters, then the log entry that makes them exist.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Commit, DataFile, Lake};

use crate::buffer::Buffer;
use crate::options::BeforeStep;
use crate::schema::TopicSchema;
use crate::{Error, files};

/// Files older than this are written again before they are committed, so that the search for orphans (an hour) never meets them.
const STALE: TimeDelta = TimeDelta::minutes(30);

/// The side effects of a roll, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Data,
    DeadLetters,
    Log,
    Offsets,
    Watermark,
}

/// Lets side effects through; see [`crate::Options::before_step`].
#[derive(Clone)]
pub(crate) struct Gate(pub Option<BeforeStep>);

impl Gate {
    pub fn pass(&self, step: Step, topic: &str, partition: i32) -> Result<(), Error> {
        match &self.0 {
            Some(before) if !before(step, topic, partition) => {
                Err(Error::StoppedBefore { step, topic: topic.to_owned(), partition })
            }
            _ => Ok(()),
        }
    }
}

pub(crate) struct Chunk {
    pub topic: String,
    pub partition: i32,
    pub first: i64,
    pub last: i64,
    pub rows: u64,
    pub dead_letters: u64,
    pub skipped: u64,
    pub late: u64,
    pub unknown_fields: u64,
    /// Epoch milliseconds of the latest event.
    pub max_time: Option<i64>,
    prev_last: Option<i64>,
    schema_hash: String,
    hours: Vec<HourContent>,
    dead: Option<Bytes>,
    /// Set when all files lie in the lake; kept over retries, so that a retry is the same commit.
    staged: Option<Commit>,
}

struct HourContent {
    hour: DateTime<Utc>,
    rows: u64,
    min_ts: i64,
    max_ts: i64,
    content: Bytes,
}

impl Chunk {
    pub fn seal(buffer: Buffer, schema: &TopicSchema, partition: i32) -> Result<Self, Error> {
        let topic = schema.topic().to_owned();
        let failed = |source| Error::Encode {
            what: format!("{topic}/{partition} from offset {}", buffer.first),
            source,
        };
        let (rows, dead_letters) = (buffer.rows as u64, buffer.dead.len() as u64);
        let max_time = buffer.hours.values().map(|columns| columns.max_time).max();
        let mut hours = Vec::with_capacity(buffer.hours.len());
        for (start, columns) in buffer.hours {
            let hour = DateTime::from_timestamp_millis(start).unwrap_or_default();
            let (rows, min_ts, max_ts) = (columns.rows as u64, columns.min_time, columns.max_time);
            let batch = columns.finish(schema, partition).map_err(|error| failed(error.into()))?;
            let content = files::encode(&batch).map_err(failed)?;
            hours.push(HourContent { hour, rows, min_ts, max_ts, content });
        }
        let dead = match buffer.dead.as_slice() {
            [] => None,
            letters => Some(files::encode_dead_letters(&topic, partition, letters).map_err(failed)?),
        };
        Ok(Self {
            partition,
            first: buffer.first,
            last: buffer.next - 1,
            rows,
            dead_letters,
            skipped: buffer.skipped,
            late: buffer.late,
            unknown_fields: buffer.unknown_fields,
            max_time,
            prev_last: buffer.prev_last,
            schema_hash: schema.hash().to_owned(),
            hours,
            dead,
            staged: None,
            topic,
        })
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.hours.iter().map(|hour| hour.content.len()).sum::<usize>()
            + self.dead.as_ref().map_or(0, Bytes::len)
    }

    /// Writes everything, or resumes where the last try failed.
    pub async fn write(
        &mut self,
        lake: &Lake,
        gate: &Gate,
        writer: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.staged = self.staged.take().filter(|commit| now - commit.at < STALE);
        let commit = match self.staged.take() {
            Some(commit) => commit,
            None => self.stage(lake, gate, writer, now).await?,
        };
        gate.pass(Step::Log, &self.topic, self.partition)?;
        let outcome = lake.commit(&commit).await;
        self.staged = Some(commit);
        Ok(outcome?)
    }

    async fn stage(
        &self,
        lake: &Lake,
        gate: &Gate,
        writer: &str,
        now: DateTime<Utc>,
    ) -> Result<Commit, Error> {
        let (topic, partition) = (self.topic.as_str(), self.partition);
        let mut files = Vec::with_capacity(self.hours.len());
        for part in &self.hours {
            gate.pass(Step::Data, topic, partition)?;
            let offsets = (self.first, self.last);
            let file = lake.put_data(topic, partition, part.hour, offsets, part.content.clone()).await?;
            files.push(DataFile {
                path: file.path,
                hour: part.hour,
                rows: part.rows,
                bytes: file.bytes,
                min_ts: part.min_ts,
                max_ts: part.max_ts,
            });
        }
        let mut dead_letter_file = None;
        if let Some(content) = &self.dead {
            gate.pass(Step::DeadLetters, topic, partition)?;
            let file = lake.put_dead_letters(topic, partition, self.first, content.clone()).await?;
            dead_letter_file = Some(file.path);
        }
        Ok(Commit {
            topic: topic.to_owned(),
            partition,
            first: self.first,
            last: self.last,
            prev_last: self.prev_last,
            files,
            dead_letters: self.dead_letters,
            dead_letter_file,
            skipped: self.skipped,
            schema_hash: self.schema_hash.clone(),
            writer: writer.to_owned(),
            at: now,
        })
    }
}
