//! What the generator asks of Kafka besides writing events: topics, end offsets, and single stored records.
//! The methods block; callers on async threads go through [`blocking`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::kafka::{Access, Asker, Session};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;

/// How long one request may take before Kafka counts as out of reach.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const CLIENT_ID: &str = "streamify-generator";

/// A record as the topic holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
}

pub(crate) struct Cluster {
    pub(crate) brokers: String,
    access: Access,
    asker: Asker,
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
    /// Client properties that librdkafka refuses.
    pub(crate) fn connect(access: Access) -> Result<Self, Error> {
        let mut reader = access.config(CLIENT_ID);
        // librdkafka assigns no partitions without the name of a group; nothing is ever committed in it.
        reader.set("group.id", CLIENT_ID);
        reader.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        reader.set("allow.auto.create.topics", "false").set("fetch.wait.max.ms", "50");
        let asker = Asker::with(&access, &reader)?;
        Ok(Self { brokers: access.brokers().to_owned(), access, asker })
    }

    /// The properties that every client of this cluster shares.
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.access.config(CLIENT_ID)
    }

    /// For the context of a client.
    pub(crate) fn session(&self) -> Session {
        self.access.session()
    }

    pub(crate) fn failed(&self, action: impl Into<String>, source: KafkaError) -> Error {
        Error::Kafka { brokers: self.brokers.clone(), action: action.into(), source: Box::new(source) }
    }

    /// How many partitions a topic has; `None` when there is no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let failed = |source| self.failed(format!("look up topic {topic}"), source);
        let look = |consumer: &BaseConsumer<Session>, time| consumer.fetch_metadata(Some(topic), time);
        let metadata = self.asker.ask(&format!("look up topic {topic}"), TIMEOUT, look)?;
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
        let action = format!("ask for the end of {topic} partition {partition}");
        let ask = |consumer: &BaseConsumer<Session>, time| consumer.fetch_watermarks(topic, partition, time);
        let (low, high) = self.asker.ask(&action, TIMEOUT, ask)?;
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
            .and_then(|()| self.asker.consumer().assign(&assignment))
            .map_err(failed)?;
        let mut records = Vec::new();
        let mut deadline = Instant::now() + TIMEOUT;
        let mut last_error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        let outcome = loop {
            match self.asker.consumer().poll(POLL) {
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
        self.asker.consumer().unassign().map_err(failed)?;
        outcome
    }

    /// Creates a topic that keeps its records for good (`compacted`: the newest for each key).
    /// One that another program has created meanwhile is as good.
    pub(crate) async fn create(&self, topic: &str, partitions: i32, compacted: bool) -> Result<(), Error> {
        let failed = |source| self.failed(format!("create topic {topic}"), source);
        if !self.access.can_create_topics() {
            return Err(Error::Topic { topic: topic.to_owned(), problem: absent(partitions, compacted) });
        }
        let admin =
            AdminClient::from_config_and_context(&self.client_config(), self.session()).map_err(failed)?;
        // The records carry the time of their events, which may be long ago: retention by time would delete them at once.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))
            .set("retention.ms", "-1")
            .set("cleanup.policy", policy(compacted));
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

fn absent(partitions: i32, compacted: bool) -> String {
    format!(
        "is not there, and a generator that logs in by OAUTHBEARER makes no topics: let terraform/ make it, or \
         `gcloud managed-kafka topics create` with {partitions} partitions, retention.ms=-1 and cleanup.policy={}",
        policy(compacted)
    )
}

fn policy(compacted: bool) -> &'static str {
    if compacted { "compact" } else { "delete" }
}
