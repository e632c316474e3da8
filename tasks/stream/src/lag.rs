//! How far a consumer group is behind the ends of topics, as its committed offsets say. Asking joins no group.

use std::collections::BTreeMap;

use ::kafka::{Access, Asker};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Error;
use crate::kafka::{CLIENT_ID, REQUEST_TIMEOUT};
use crate::offsets::{PartitionOffsets, read};

/// Records that the group has yet to read, by topic. A partition where it committed nothing counts whole; a topic that does not exist is
/// left out.
pub async fn group_lag(
    kafka: &Access,
    group: &str,
    topics: &[String],
) -> Result<BTreeMap<String, u64>, Error> {
    let (kafka, group, topics) = (kafka.clone(), group.to_owned(), topics.to_vec());
    let task = tokio::task::spawn_blocking(move || measure(&kafka, &group, &topics));
    task.await.map_err(|error| Error::Thread(error.to_string()))?
}

fn measure(kafka: &Access, group: &str, topics: &[String]) -> Result<BTreeMap<String, u64>, Error> {
    let failed = |source| Error::Kafka {
        action: "read the group's offsets",
        brokers: kafka.brokers().to_owned(),
        source,
    };
    let mut config = kafka.config(CLIENT_ID);
    config.set("allow.auto.create.topics", "false").set("group.id", group).set("enable.auto.commit", "false");
    let asker = Asker::with(kafka, &config)?;
    let ends = read(&asker, topics)?;
    let mut asked = TopicPartitionList::new();
    for (topic, partitions) in &ends {
        for partition in partitions {
            asked.add_partition(topic, partition.partition);
        }
    }
    if asked.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let committed = asker.ask("read the group's offsets", REQUEST_TIMEOUT, |consumer, time| {
        consumer.committed_offsets(asked.clone(), time)
    })?;
    let mut lags = BTreeMap::new();
    for (topic, partitions) in ends.into_iter().filter(|(_, partitions)| !partitions.is_empty()) {
        let mut lag = 0;
        for partition in partitions {
            let found = committed.find_partition(&topic, partition.partition);
            if let Some(Err(source)) = found.as_ref().map(|found| found.error()) {
                return Err(failed(source));
            }
            lag += behind(partition, found.map(|found| found.offset()));
        }
        lags.insert(topic, lag);
    }
    Ok(lags)
}

fn behind(partition: PartitionOffsets, committed: Option<Offset>) -> u64 {
    let next = match committed {
        // What Kafka has dropped can no longer be read.
        Some(Offset::Offset(offset)) => offset.max(partition.low),
        _ => partition.low,
    };
    u64::try_from(partition.high - next).unwrap_or(0)
}
