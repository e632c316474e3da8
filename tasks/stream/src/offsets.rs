//! Where the partitions of topics begin and end, for reconciliation and lag.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

use crate::Error;
use crate::kafka::REQUEST_TIMEOUT;

/// Offsets `low..high` are in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionOffsets {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
}

/// The offsets of each partition by topic (its name in Kafka). A topic that does not exist has no partitions.
pub async fn offsets(
    brokers: &str,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<PartitionOffsets>>, Error> {
    let (brokers, topics) = (brokers.to_owned(), topics.to_vec());
    let task = tokio::task::spawn_blocking(move || read(&brokers, &topics));
    task.await.map_err(|error| Error::Thread(error.to_string()))?
}

pub(crate) fn read(
    brokers: &str,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<PartitionOffsets>>, Error> {
    let failed = |source| Error::Kafka { action: "read offsets", brokers: brokers.to_owned(), source };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("broker.address.family", "v4")
        .set("allow.auto.create.topics", "false")
        .create()
        .map_err(failed)?;
    let mut found = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(failed)?;
        let known = metadata.topics().iter().filter(|known| known.name() == topic && known.error().is_none());
        let mut ids: Vec<i32> =
            known.flat_map(|known| known.partitions()).map(|partition| partition.id()).collect();
        ids.sort_unstable();
        let mut partitions = Vec::with_capacity(ids.len());
        for partition in ids {
            let (low, high) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)?;
            partitions.push(PartitionOffsets { partition, low, high });
        }
        found.insert(topic.clone(), partitions);
    }
    Ok(found)
}
