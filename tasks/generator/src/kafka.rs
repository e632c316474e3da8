//! What the generator asks of Kafka besides writing events: topics, end offsets, and single stored records.
//! The methods block; callers on async threads go through [`blocking`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;

/// How long one request may take before Kafka counts as out of reach.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A record as the topic holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
}

pub(crate) struct Cluster {
    pub(crate) brokers: String,
    config: ClientConfig,
    consumer: BaseConsumer,
}

/// Runs a blocking request off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    cluster: &Arc<Cluster>,
    request: impl FnOnce(&Cluster) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || request(&cluster)).await?
}

impl Cluster {
    /// Makes a client; reaches for the brokers only when something is asked of them.
    ///
    /// # Errors
    /// Client properties that librdkafka does not know.
    pub(crate) fn connect(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("client.id", "streamify-generator");
        for (key, value) in properties {
            config.set(key, value);
        }
        let mut reader = config.clone();
        // librdkafka assigns no partitions without the name of a group; nothing is ever committed in it.
        reader.set("group.id", "streamify-generator");
        reader.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        reader.set("allow.auto.create.topics", "false").set("fetch.wait.max.ms", "50");
        let failed = |source| Error::Kafka {
            brokers: brokers.to_owned(),
            action: "make a client".to_owned(),
            source: Box::new(source),
        };
        let consumer = reader.create().map_err(failed)?;
        Ok(Self { brokers: brokers.to_owned(), config, consumer })
    }

    /// The properties that every client of this cluster shares.
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.config.clone()
    }

    pub(crate) fn failed(&self, action: impl Into<String>, source: KafkaError) -> Error {
        Error::Kafka { brokers: self.brokers.clone(), action: action.into(), source: Box::new(source) }
    }

    /// How many partitions a topic has; `None` when there is no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let failed = |source| self.failed(format!("look up topic {topic}"), source);
        let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(failed)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(found.partitions().len() as i32).filter(|count| *count > 0)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(failed(KafkaError::MetadataFetch(code))),
        }
    }

    /// The first offset still there, and the one after the last.
    pub(crate) fn offsets(&self, topic: &str, partition: i32) -> Result<(u64, u64), Error> {
        let (low, high) = self.consumer.fetch_watermarks(topic, partition, TIMEOUT).map_err(|source| {
            self.failed(format!("ask for the end of {topic} partition {partition}"), source)
        })?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    /// The records with offsets in the range that are there; the last of the range must be.
    pub(crate) fn records(
        &self,
        topic: &str,
        partition: i32,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<Stored>, Error> {
        let failed = |source| {
            self.failed(format!("read {topic} partition {partition} from offset {}", range.start), source)
        };
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Offset(range.start as i64))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(failed)?;
        let mut records = Vec::new();
        let mut deadline = Instant::now() + TIMEOUT;
        let mut last_error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        let outcome = loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    deadline = Instant::now() + TIMEOUT;
                    if message.offset() as u64 >= range.end {
                        break Ok(records);
                    }
                    records.push(Stored {
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().unwrap_or_default().to_vec(),
                        timestamp: message.timestamp().to_millis(),
                    });
                    if message.offset() as u64 + 1 == range.end {
                        break Ok(records);
                    }
                }
                Some(Err(error)) => last_error = error,
                None => {}
            }
            if Instant::now() > deadline {
                break Err(failed(last_error));
            }
        };
        self.consumer.unassign().map_err(failed)?;
        outcome
    }

    /// Creates a topic that keeps its records for good (`compacted`: the newest for each key).
    /// One that another program has created meanwhile is as good.
    pub(crate) async fn create(&self, topic: &str, partitions: i32, compacted: bool) -> Result<(), Error> {
        let failed = |source| self.failed(format!("create topic {topic}"), source);
        let admin = AdminClient::<DefaultClientContext>::from_config(&self.config).map_err(failed)?;
        // The records carry the time of their events, which may be long ago: retention by time would delete them at once.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))
            .set("retention.ms", "-1")
            .set("cleanup.policy", if compacted { "compact" } else { "delete" });
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        for result in admin.create_topics(&[new], &options).await.map_err(failed)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
            }
        }
        Ok(())
    }
}
