//! How far a consumer group is behind the ends of topics, as its committed offsets say. Asking joins no group.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Error;
use crate::kafka::REQUEST_TIMEOUT;
use crate::offsets::{PartitionOffsets, read};

/// Records that the group has yet to read, by topic. A partition where it committed nothing counts whole; a topic that does not exist is
/// left out.
pub async fn group_lag(
    brokers: &str,
    group: &str,
    topics: &[String],
) -> Result<BTreeMap<String, u64>, Error> {
    let (brokers, group, topics) = (brokers.to_owned(), group.to_owned(), topics.to_vec());
    let task = tokio::task::spawn_blocking(move || measure(&brokers, &group, &topics));
    task.await.map_err(|error| Error::Thread(error.to_string()))?
}

fn measure(brokers: &str, group: &str, topics: &[String]) -> Result<BTreeMap<String, u64>, Error> {
    let failed =
        |source| Error::Kafka { action: "read the group's offsets", brokers: brokers.to_owned(), source };
    let ends = read(brokers, topics)?;
    let mut asked = TopicPartitionList::new();
    for (topic, partitions) in &ends {
        for partition in partitions {
            asked.add_partition(topic, partition.partition);
        }
    }
    if asked.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("broker.address.family", "v4")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .map_err(failed)?;
    let committed = consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed)?;
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
