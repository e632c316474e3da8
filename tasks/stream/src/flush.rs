//! When a buffer becomes a commit, and the watermarks that follow.

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use lake::{Watermark, floor_hour};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Error;
use crate::buffer::Buffer;
use crate::chunk::{Chunk, Step};
use crate::job::{Job, may_pass};
use crate::partition::{Partition, Topic};

/// Partitions written at the same time.
const PARALLEL: usize = 8;
/// A buffer with events of more hours than this is written: each hour is a file.
const MAX_HOURS: usize = 256;
/// While records pour in, a closed hour may wait this long for company.
const HOUR_CLOSE_DELAY: TimeDelta = TimeDelta::seconds(1);
/// How often a watermark is put that moves within its hour.
const WATERMARK_EVERY: TimeDelta = TimeDelta::seconds(10);

type Key = (usize, i32);

impl Job {
    /// Writes the partitions that are due. `idle`: nothing more has arrived.
    pub fn flush_due(&mut self, idle: bool) -> Result<(), Error> {
        let now = self.now();
        self.retry_seeks()?;
        if self.watermark_retry_at.is_none()
            && !self.all_keys().iter().any(|&key| self.partition(key).pending.is_some())
        {
            self.obstacle = None;
        }
        let mut due = self.all_keys();
        due.retain(|&key| self.is_due(key, now, idle));
        if self.buffered_bytes() > self.options.memory_limit_bytes {
            let largest = self.all_keys().into_iter().filter(|&key| self.partition(key).pending.is_none());
            due.extend(largest.max_by_key(|&key| self.partition(key).buffer.bytes));
            due.sort_unstable();
            due.dedup();
        }
        self.flush(&due, CommitMode::Async)
    }

    pub fn flush_all(&mut self) -> Result<(), Error> {
        self.flush(&self.all_keys(), CommitMode::Sync)?;
        // What waited behind a chunk that is now written.
        self.flush(&self.all_keys(), CommitMode::Sync)
    }

    fn partition(&self, (topic, number): Key) -> &Partition {
        &self.topics[topic].partitions[&number]
    }

    fn retry_seeks(&mut self) -> Result<(), Error> {
        for (topic, number) in self.all_keys() {
            if self.partition((topic, number)).rewinding {
                self.rewind(topic, number)?;
            }
        }
        Ok(())
    }

    fn is_due(&self, (topic, number): Key, now: DateTime<Utc>, idle: bool) -> bool {
        let partition = self.partition((topic, number));
        if partition.pending.is_some() {
            return partition.retry_at.is_none_or(|at| at <= now);
        }
        let (buffer, roll) = (&partition.buffer, &self.options.roll);
        let Some(since) = buffer.since else { return false };
        let age = now - since;
        let full = buffer.records() >= roll.max_rows
            || buffer.bytes >= roll.max_bytes
            || buffer.hours.len() > MAX_HOURS;
        let old = age.to_std().is_ok_and(|age| age >= roll.every);
        let unhurried = idle || age >= HOUR_CLOSE_DELAY;
        full || old || (unhurried && self.closes_hour(&self.topics[topic], number, partition))
    }

    /// Whether writing the buffer would let the watermark enter another hour, so that the one before can be loaded.
    fn closes_hour(&self, topic: &Topic, number: i32, partition: &Partition) -> bool {
        let hour = |at: Option<DateTime<Utc>>| at.map(floor_hour);
        let without = self.reached(topic, number, partition.buffer.first).max(partition.watermark);
        hour(self.reached(topic, number, partition.buffer.next)) > hour(without)
    }

    fn reached(&self, topic: &Topic, number: i32, next: i64) -> Option<DateTime<Utc>> {
        let statements = self.statements.as_ref().filter(|statements| statements.ready)?;
        let progress = &statements.progress;
        let by_name = progress.reached(&topic.config.name, number, next);
        by_name.or_else(|| progress.reached(&topic.kafka_name, number, next))
    }

    /// Writes these partitions' buffers, each as one commit. What cannot be written for now is kept for a later try.
    pub fn flush(&mut self, keys: &[Key], mode: CommitMode) -> Result<(), Error> {
        let now = self.now();
        let mut chunks = Vec::with_capacity(keys.len());
        for &(topic, number) in keys {
            let Topic { config, partitions, .. } = &mut self.topics[topic];
            let Some(partition) = partitions.get_mut(&number) else { continue };
            let chunk = match partition.pending.take() {
                Some(chunk) => chunk,
                None if partition.buffer.since.is_none() => continue,
                None => {
                    let next = partition.buffer.next;
                    let buffer = std::mem::replace(&mut partition.buffer, Buffer::new(Some(next - 1), next));
                    Chunk::seal(buffer, &config.schema, number)?
                }
            };
            chunks.push(((topic, number), chunk));
        }
        if chunks.is_empty() {
            return Ok(());
        }
        let (lake, gate, writer) = (&self.lake, &self.gate, self.options.writer.as_str());
        let writing = stream::iter(chunks).map(|(key, mut chunk)| async move {
            let outcome = chunk.write(lake, gate, writer, now).await;
            (key, chunk, outcome)
        });
        let outcomes: Vec<_> = self.runtime.block_on(writing.buffer_unordered(PARALLEL).collect());
        let mut committed = Vec::new();
        for (key, chunk, outcome) in outcomes {
            if self.settle(key, chunk, outcome, now)? {
                committed.push(key);
            }
        }
        self.news = true;
        self.commit_offsets(&committed, mode)
    }

    /// True if the chunk is in the lake.
    fn settle(
        &mut self,
        (topic, number): Key,
        chunk: Chunk,
        outcome: Result<(), Error>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let Topic { partitions, totals, config, .. } = &mut self.topics[topic];
        let Some(partition) = partitions.get_mut(&number) else { return Ok(false) };
        match outcome {
            Ok(()) => {
                totals.rows += chunk.rows;
                totals.dead_letters += chunk.dead_letters;
                totals.skipped += chunk.skipped;
                totals.late += chunk.late;
                totals.unknown_fields += chunk.unknown_fields;
                totals.commits += 1;
                partition.written(&chunk);
                self.last_commit_at = Some(now);
                self.obstacle = None;
                tracing::debug!(
                    topic = config.name,
                    number,
                    chunk.first,
                    chunk.last,
                    chunk.rows,
                    "committed"
                );
                Ok(true)
            }
            Err(Error::Lake(lake::Error::Fenced { .. })) => {
                tracing::warn!(
                    topic = config.name,
                    number,
                    chunk.first,
                    "another writer was faster; going to its end"
                );
                self.rewind(topic, number)?;
                Ok(false)
            }
            Err(error) if may_pass(&error) => {
                tracing::warn!(topic = config.name, number, %error, "cannot write to the lake; will try again");
                partition.failed(chunk, now);
                self.obstacle = Some(error.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the group how far the lake is. Nobody resumes from these offsets.
    fn commit_offsets(&mut self, keys: &[Key], mode: CommitMode) -> Result<(), Error> {
        let mut offsets = TopicPartitionList::new();
        for &(topic, number) in keys {
            self.gate.pass(Step::Offsets, &self.topics[topic].config.name, number)?;
            let next = Offset::Offset(self.partition((topic, number)).committed());
            if let Err(error) = offsets.add_partition_offset(&self.topics[topic].kafka_name, number, next) {
                tracing::debug!(%error, "group offsets were not committed");
            }
        }
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, mode)
        {
            tracing::debug!(%error, "group offsets were not committed");
        }
        Ok(())
    }

    /// Puts the watermarks that moved: at once after a flush or into another hour, else now and then.
    pub fn put_watermarks(&mut self) -> Result<(), Error> {
        let now = self.now();
        if self.watermark_retry_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        let mut moved = Vec::new();
        for (topic, number) in self.all_keys() {
            let partition = self.partition((topic, number));
            let Some(at) = self.complete_until(&self.topics[topic], number, partition, now) else { continue };
            if partition.watermark.is_some_and(|known| at <= known) {
                continue;
            }
            let another_hour = partition.watermark.map(floor_hour) != Some(floor_hour(at));
            let waited = partition.watermark_put_at.is_none_or(|put| now - put >= WATERMARK_EVERY);
            if partition.flushed || another_hour || waited {
                self.gate.pass(Step::Watermark, &self.topics[topic].config.name, number)?;
                let next_offset = partition.committed();
                moved.push((topic, number, Watermark { at, next_offset, partitions: partition.siblings }));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let (lake, topics) = (&self.lake, &self.topics);
        let putting = stream::iter(moved).map(|(topic, number, watermark)| async move {
            (
                topic,
                number,
                watermark.at,
                lake.put_watermark(&topics[topic].config.name, number, watermark).await,
            )
        });
        let outcomes: Vec<_> = self.runtime.block_on(putting.buffer_unordered(PARALLEL).collect());
        self.watermark_retry_at = None;
        for (topic, number, at, outcome) in outcomes {
            let Some(partition) = self.topics[topic].partitions.get_mut(&number) else { continue };
            match outcome {
                Ok(()) => {
                    (partition.watermark, partition.watermark_put_at) = (Some(at), Some(now));
                    partition.flushed = false;
                }
                Err(error) if error.may_pass() => {
                    self.watermark_retry_at = Some(now + TimeDelta::seconds(5));
                    self.obstacle = Some(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.news = true;
        Ok(())
    }

    fn complete_until(
        &self,
        topic: &Topic,
        number: i32,
        partition: &Partition,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if self.statements.is_some() {
            return self.reached(topic, number, partition.committed());
        }
        let end = self.consumer.context().end(&topic.kafka_name, number)?;
        if end <= partition.committed() && partition.buffer.since.is_none() {
            return TimeDelta::from_std(self.options.idle_lateness)
                .ok()
                .and_then(|late| now.checked_sub_signed(late));
        }
        partition.max_time.and_then(DateTime::from_timestamp_millis)
    }
}
