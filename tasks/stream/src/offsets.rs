//! Where the partitions of topics begin and end, for reconciliation and lag.

use std::collections::BTreeMap;

use ::kafka::{Access, Asker, Session};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

use crate::Error;
use crate::kafka::{CLIENT_ID, REQUEST_TIMEOUT};

/// Offsets `low..high` are in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionOffsets {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
}

/// The offsets of each partition by topic (its name in Kafka). A topic that does not exist has no partitions.
pub async fn offsets(
    kafka: &Access,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<PartitionOffsets>>, Error> {
    let (kafka, topics) = (kafka.clone(), topics.to_vec());
    let task = tokio::task::spawn_blocking(move || read(&Asker::new(&kafka, CLIENT_ID)?, &topics));
    task.await.map_err(|error| Error::Thread(error.to_string()))?
}

pub(crate) fn read(
    asker: &Asker,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<PartitionOffsets>>, Error> {
    let mut found = BTreeMap::new();
    for topic in topics {
        let look = |consumer: &BaseConsumer<Session>, time| consumer.fetch_metadata(Some(topic), time);
        let metadata = asker.ask("look up topics", REQUEST_TIMEOUT, look)?;
        let known = metadata.topics().iter().filter(|known| known.name() == topic && known.error().is_none());
        let mut ids: Vec<i32> =
            known.flat_map(|known| known.partitions()).map(|partition| partition.id()).collect();
        ids.sort_unstable();
        let mut partitions = Vec::with_capacity(ids.len());
        for partition in ids {
            let (low, high) = ends(asker, topic, partition)?;
            partitions.push(PartitionOffsets { partition, low, high });
        }
        found.insert(topic.clone(), partitions);
    }
    Ok(found)
}

/// The first offset of a partition that is there, and the one after the last.
pub(crate) fn ends(asker: &Asker, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
    let ask = |consumer: &BaseConsumer<Session>, time| consumer.fetch_watermarks(topic, partition, time);
    Ok(asker.ask("read the offsets of a partition", REQUEST_TIMEOUT, ask)?)
}
