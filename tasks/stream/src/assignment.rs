//! Which partitions are ours, and where reading them begins: at the tail of the lake's log.

use lake::Watermark;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Error;
use crate::job::Job;
use crate::kafka::{self, REQUEST_TIMEOUT, Rebalance};
use crate::offsets::ends;
use crate::options::OnDataLoss;
use crate::partition::Partition;

/// Where a partition stands in the lake and in Kafka.
struct Position {
    prev_last: Option<i64>,
    next: i64,
    /// Where Kafka begins; above `next` if records were lost, which `on_data_loss` then allows.
    low: i64,
    siblings: i32,
    watermark: Option<Watermark>,
}

impl Job {
    pub fn follow_rebalances(&mut self) -> Result<(), Error> {
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(partitions) => self.take(&partitions)?,
                Rebalance::Revoke(partitions) => self.give_up(&partitions)?,
            }
            self.news = true;
        }
        Ok(())
    }

    fn take(&mut self, partitions: &TopicPartitionList) -> Result<(), Error> {
        let mut assigned = TopicPartitionList::new();
        for (topic, number) in self.keys(partitions) {
            let Some(position) = self.persist(|job| job.position(topic, number))? else { return Ok(()) };
            let start = position.next.max(position.low);
            let mut partition = Partition::new(position.prev_last, position.next, position.siblings);
            partition.buffer.skip_to(start, self.now());
            partition.watermark = position.watermark.map(|watermark| watermark.at);
            let topic = &mut self.topics[topic];
            assigned.add_partition_offset(&topic.kafka_name, number, Offset::Offset(start)).map_err(
                |source| Error::Kafka {
                    action: "assign",
                    brokers: self.options.kafka.brokers().to_owned(),
                    source,
                },
            )?;
            topic.partitions.insert(number, partition);
        }
        // A new partition is not paused yet, even if the others are.
        self.paused = false;
        kafka::assign(&self.consumer, &assigned).map_err(|error| self.failed("assign partitions", error))?;
        tracing::info!(partitions = assigned.count(), "partitions assigned");
        self.kafka_is_well();
        Ok(())
    }

    /// Writes what is buffered, once: should it fail, the next owner reads it again.
    fn give_up(&mut self, partitions: &TopicPartitionList) -> Result<(), Error> {
        let keys = self.keys(partitions);
        self.flush(&keys, CommitMode::Sync)?;
        for &(topic, number) in &keys {
            self.topics[topic].partitions.remove(&number);
        }
        kafka::unassign(&self.consumer, partitions)
            .map_err(|error| self.failed("give up partitions", error))?;
        tracing::info!(partitions = partitions.count(), "partitions given up");
        Ok(())
    }

    fn keys(&self, partitions: &TopicPartitionList) -> Vec<(usize, i32)> {
        let position = |name: &str| self.topics.iter().position(|topic| topic.kafka_name == name);
        partitions
            .elements()
            .iter()
            .filter_map(|item| Some((position(item.topic())?, item.partition())))
            .collect()
    }

    fn position(&self, topic: usize, partition: i32) -> Result<Position, Error> {
        let (topic, kafka_name) = (&self.topics[topic].config.name, &self.topics[topic].kafka_name);
        let tail = self.runtime.block_on(self.lake.tail(topic, partition))?;
        let watermark = self.runtime.block_on(self.lake.partition_watermark(topic, partition))?;
        let (low, high) = ends(&self.asker, kafka_name, partition)?;
        let metadata = self.asker.ask("look up a topic", REQUEST_TIMEOUT, |consumer, time| {
            consumer.fetch_metadata(Some(kafka_name), time)
        })?;
        let siblings = metadata.topics().iter().find(|known| known.name() == kafka_name);
        let siblings = siblings.map_or(0, |known| known.partitions().len()).max(1);
        let prev_last = tail.map(|commit| commit.last);
        let next = prev_last.map_or(low, |last| last + 1);
        let topic = topic.clone();
        if next > high {
            return Err(Error::Recreated { topic, partition, next, high });
        }
        if next < low {
            match self.options.on_data_loss {
                OnDataLoss::Fail => return Err(Error::DataLoss { topic, partition, next, low }),
                OnDataLoss::SkipAndRecord => {
                    tracing::error!(
                        topic,
                        partition,
                        next,
                        low,
                        "records were lost by retention; recorded as skipped"
                    );
                }
            }
        }
        Ok(Position {
            prev_last,
            next,
            low,
            siblings: i32::try_from(siblings).unwrap_or(i32::MAX),
            watermark,
        })
    }

    /// Another writer committed, or Kafka lost the position: drop what is buffered and begin again at the log's tail.
    pub fn rewind(&mut self, topic: usize, number: i32) -> Result<(), Error> {
        if let Some(partition) = self.topics[topic].partitions.get_mut(&number) {
            partition.rewind(None, 0);
            partition.rewinding = true;
        }
        let Some(position) = self.persist(|job| job.position(topic, number))? else { return Ok(()) };
        let start = position.next.max(position.low);
        let now = self.now();
        let name = self.topics[topic].kafka_name.clone();
        let Some(partition) = self.topics[topic].partitions.get_mut(&number) else { return Ok(()) };
        partition.rewind(position.prev_last, position.next);
        partition.buffer.skip_to(start, now);
        match self.consumer.seek(&name, number, Offset::Offset(start), REQUEST_TIMEOUT) {
            Ok(()) => partition.rewinding = false,
            // The partition stays deaf until a later try: what is delivered meanwhile lies beyond the gap.
            Err(error) => tracing::warn!(topic = name, partition = number, %error, "cannot seek yet"),
        }
        Ok(())
    }

    /// Rewinds the partitions whose position Kafka no longer has.
    pub fn check_positions(&mut self) -> Result<(), Error> {
        // What was read before Kafka dropped it must not be dropped here.
        self.flush_all()?;
        for (topic, number) in self.all_keys() {
            let next = self.topics[topic].partitions.get(&number).map(|partition| partition.buffer.next);
            let name = self.topics[topic].kafka_name.clone();
            let Some((low, high)) = self.persist(|job| ends(&job.asker, &name, number))? else {
                return Ok(());
            };
            if next.is_some_and(|next| next < low || next > high) {
                self.rewind(topic, number)?;
            }
        }
        Ok(())
    }

    pub fn all_keys(&self) -> Vec<(usize, i32)> {
        let topics = self.topics.iter().enumerate();
        topics.flat_map(|(n, topic)| topic.partitions.keys().map(move |&number| (n, number))).collect()
    }
}
