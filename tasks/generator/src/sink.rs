//! Events into Kafka, exactly once: the log of each partition is a prefix of one deterministic sequence.
//!
//! Each record's offset is known before it is sent: it is its number within its partition. Records below the end that
//! Kafka already holds are passed over (the last of them must be the same, byte for byte), and every acknowledgement must name
//! the expected offset; so lost records, foreign records and a second generator are all found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::kafka::Session;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::error::Error;
use crate::event::{Event, Topic};
use crate::kafka::{Cluster, Stored};
use crate::model::Model;
use crate::murmur2;
use crate::report::TopicCount;

/// Kafka may be away this long (a restart, a new leader) before the run gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);
/// Records between two looks at the acknowledgements.
const POLL_EVERY: u64 = 512;
/// Offset that is not known before the record is sent.
const ANY: usize = usize::MAX;

struct Partition {
    /// Records that the topic held when the run began.
    stored: u64,
    /// Records made so far, passed over or sent.
    made: u64,
    /// The last stored record, until it has been compared.
    tail: Option<Stored>,
}

pub(crate) struct Sink {
    cluster: Arc<Cluster>,
    model: Arc<Model>,
    producer: BaseProducer<Deliveries>,
    names: [String; 4],
    partitions: [Vec<Partition>; 4],
    /// Partitions that have not yet come to the end of what they hold.
    behind: usize,
    /// Whether the ends were still the same just before the first record was sent.
    confirmed: bool,
    sent: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Where acknowledgements arrive.
struct Deliveries {
    session: Session,
    acknowledged: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Deliveries {
    fn fail(&self, problem: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.session.log(level, facility, message);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.session.generate_oauth_token(config)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Brokers that go away come back or run into `PATIENCE`; only what librdkafka calls fatal is final.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fail(format!("ended the generator's session: {reason}"));
        } else {
            tracing::warn!(%error, reason, "kafka client");
            self.session.error(error, reason);
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, expected: usize) {
        match result {
            Ok(message) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.session.is_well();
                let offset = message.offset();
                // A batch that Kafka had already (a repeated request) is acknowledged without an offset.
                if offset >= 0 && expected != ANY && offset as usize != expected {
                    self.fail(format!(
                        "stored a record of {} partition {} at offset {offset} instead of {expected}: \
                         another program writes to the same topic. Stop it, then start anew with \
                         `streamify up --fresh` or another --topic-prefix",
                        message.topic(),
                        message.partition()
                    ));
                }
            }
            Err((error, message)) => {
                self.fail(format!(
                    "refused a record of {} partition {}: {error}",
                    message.topic(),
                    message.partition()
                ));
            }
        }
    }
}

impl Sink {
    /// Looks up what the topics hold. Blocks.
    ///
    /// # Errors
    /// Kafka out of reach, or topics that do not have the planned partitions.
    pub(crate) fn open(
        cluster: Arc<Cluster>,
        model: Arc<Model>,
        prefix: &str,
        partitions: i32,
    ) -> Result<Self, Error> {
        let names = Topic::ALL.map(|topic| format!("{prefix}{}", topic.name()));
        let mut held: [Vec<Partition>; 4] = Default::default();
        for (name, held) in names.iter().zip(&mut held) {
            for partition in 0..partitions {
                let (low, stored) = cluster.offsets(name, partition)?;
                let tail = if low < stored {
                    cluster.records(name, partition, stored - 1..stored)?.pop()
                } else {
                    None
                };
                if stored > 0 && tail.is_none() {
                    tracing::warn!(
                        topic = name,
                        partition,
                        "all records have expired: cannot compare the last one"
                    );
                }
                held.push(Partition { stored, made: 0, tail });
            }
        }
        let behind = held.iter().flatten().filter(|partition| partition.stored > 0).count();
        let mut config = cluster.client_config();
        config
            .set("enable.idempotence", "true")
            // A record that fails must not be overtaken by later ones of its partition.
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536");
        let producer = config
            .create_with_context(Deliveries {
                session: cluster.session(),
                acknowledged: AtomicU64::default(),
                failure: Mutex::default(),
            })
            .map_err(|source| cluster.failed("make a producer", source))?;
        let (key, value) = (Vec::with_capacity(32), Vec::with_capacity(1_024));
        Ok(Self {
            cluster,
            model,
            producer,
            names,
            partitions: held,
            behind,
            confirmed: false,
            sent: 0,
            key,
            value,
        })
    }

    /// Whether some partition still holds records beyond those made so far.
    pub(crate) fn replaying(&self) -> bool {
        self.behind > 0
    }

    /// Makes the records of one event: passes over what is stored, sends the rest.
    ///
    /// # Errors
    /// A stored record that is not ours, or Kafka's refusal.
    pub(crate) fn emit(&mut self, event: &Event) -> Result<(), Error> {
        self.key.clear();
        self.model.write_key(event, &mut self.key);
        let model = Arc::clone(&self.model);
        for topic in model.topics(event) {
            let held = &mut self.partitions[topic as usize];
            let index = murmur2::partition(&self.key, held.len());
            let partition = &mut held[index];
            let offset = partition.made;
            partition.made += 1;
            if offset + 1 < partition.stored {
                continue;
            }
            self.value.clear();
            model.write(topic, event, &mut self.value);
            let timestamp = i64::from(event.at) * 1_000;
            if offset < partition.stored {
                self.behind -= 1;
                let tail = partition.tail.take();
                self.compare(topic, index, offset, timestamp, tail)?;
            } else {
                self.send(topic, index, offset, timestamp)?;
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        topic: Topic,
        partition: usize,
        offset: u64,
        timestamp: i64,
        tail: Option<Stored>,
    ) -> Result<(), Error> {
        let Some(stored) = tail else { return Ok(()) };
        if stored.key == self.key && stored.value == self.value && stored.timestamp == Some(timestamp) {
            return Ok(());
        }
        Err(Error::Topic {
            topic: self.names[topic as usize].clone(),
            problem: format!(
                "holds other events than the plan makes: at offset {offset} of partition {partition} stands {}, \
                 the plan makes {}. Start anew with `streamify up --fresh` or use another --topic-prefix",
                String::from_utf8_lossy(&stored.value),
                String::from_utf8_lossy(&self.value),
            ),
        })
    }

    fn send(&mut self, topic: Topic, partition: usize, offset: u64, timestamp: i64) -> Result<(), Error> {
        if !self.confirmed {
            // The last requests of a generator that was killed may have arrived after we looked.
            self.check_ends(|partition| partition.stored)?;
            self.confirmed = true;
        }
        let record = BaseRecord::with_opaque_to(&self.names[topic as usize], offset as usize)
            .partition(partition as i32)
            .key(self.key.as_slice())
            .payload(self.value.as_slice())
            .timestamp(timestamp);
        enqueue(&self.producer, &self.cluster, record)?;
        self.sent += 1;
        if self.sent.is_multiple_of(POLL_EVERY) {
            self.poll()?;
        }
        Ok(())
    }

    /// Takes in acknowledgements that have arrived.
    ///
    /// # Errors
    /// The first failure among them.
    pub(crate) fn poll(&self) -> Result<(), Error> {
        self.producer.poll(Duration::ZERO);
        check(&self.producer, &self.cluster)
    }

    /// Why Kafka takes nothing at the moment, as far as it is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.producer.context().session.trouble().map(|trouble| trouble.to_string())
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// A refusal, or no acknowledgement for as long as patience lasts.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut patience = Patience::new(&self.producer);
        while self.producer.in_flight_count() > 0 {
            // Ignored: it says only that there is more to wait for. Waits in small steps: rdkafka's flush sleeps its time out.
            let _ = self.producer.flush(POLL);
            // What is in flight also counts events (log lines, say), and a flush that has no records to wait for takes none of them in.
            self.producer.poll(Duration::ZERO);
            patience.check(&self.producer, &self.cluster)?;
        }
        check(&self.producer, &self.cluster)
    }

    /// Checks that each partition ends where our own count says; to be called after a flush.
    ///
    /// # Errors
    /// Another writer's records.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        self.check_ends(|partition| partition.made.max(partition.stored))
    }

    fn check_ends(&self, expected: impl Fn(&Partition) -> u64) -> Result<(), Error> {
        for (name, held) in self.names.iter().zip(&self.partitions) {
            for (partition, state) in held.iter().enumerate() {
                let (_, end) = self.cluster.offsets(name, partition as i32)?;
                let expected = expected(state);
                if end != expected {
                    return Err(Error::Topic {
                        topic: name.clone(),
                        problem: format!(
                            "partition {partition} ends at offset {end} instead of {expected}: another program writes to \
                             it, perhaps a generator that is still stopping. See that only one runs and start again; \
                             if it stays so, start anew with `streamify up --fresh` or use another --topic-prefix"
                        ),
                    });
                }
            }
        }
        Ok(())
    }

    /// Sends a record whose offset does not matter (a watermark).
    ///
    /// # Errors
    /// Kafka's refusal.
    pub(crate) fn publish(&self, topic: &str, key: &str, json: &[u8], timestamp: i64) -> Result<(), Error> {
        let record =
            BaseRecord::with_opaque_to(topic, ANY).partition(0).key(key).payload(json).timestamp(timestamp);
        enqueue(&self.producer, &self.cluster, record)
    }

    /// End offsets (exclusive) of everything made so far, by topic.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (&str, Vec<u64>)> {
        self.names
            .iter()
            .zip(&self.partitions)
            .map(|(name, held)| (name.as_str(), held.iter().map(|p| p.made).collect()))
    }

    /// Records of all topics made so far, passed over or sent.
    pub(crate) fn made(&self) -> u64 {
        self.partitions.iter().flatten().map(|partition| partition.made).sum()
    }

    /// Records by topic.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (String, TopicCount)> {
        self.names.iter().zip(&self.partitions).map(|(name, held)| {
            let replayed = held.iter().map(|partition| partition.stored).sum();
            let sent = held.iter().map(|partition| partition.made.saturating_sub(partition.stored)).sum();
            (name.clone(), TopicCount { replayed, sent })
        })
    }
}

fn enqueue<'a>(
    producer: &BaseProducer<Deliveries>,
    cluster: &Cluster,
    mut record: BaseRecord<
        'a,
        impl rdkafka::message::ToBytes + ?Sized,
        impl rdkafka::message::ToBytes + ?Sized,
        usize,
    >,
) -> Result<(), Error> {
    let mut patience = Patience::new(producer);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(POLL);
                patience.check(producer, cluster)?;
                record = back;
            }
            Err((error, _)) => {
                check(producer, cluster)?;
                return Err(cluster.failed("send a record", error));
            }
        }
    }
}

fn check(producer: &BaseProducer<Deliveries>, cluster: &Cluster) -> Result<(), Error> {
    match producer.context().failure() {
        Some(problem) => Err(Error::Delivery { brokers: cluster.brokers.clone(), problem }),
        None => Ok(()),
    }
}

/// Runs out when no acknowledgement comes for too long.
struct Patience {
    acknowledged: u64,
    since: Instant,
}

impl Patience {
    fn new(producer: &BaseProducer<Deliveries>) -> Self {
        Self { acknowledged: producer.context().acknowledged.load(Ordering::Relaxed), since: Instant::now() }
    }

    fn check(&mut self, producer: &BaseProducer<Deliveries>, cluster: &Cluster) -> Result<(), Error> {
        check(producer, cluster)?;
        let acknowledged = producer.context().acknowledged.load(Ordering::Relaxed);
        if acknowledged > self.acknowledged {
            (self.acknowledged, self.since) = (acknowledged, Instant::now());
        } else if self.since.elapsed() > PATIENCE {
            let why = producer
                .context()
                .session
                .trouble()
                .map(|trouble| format!(" ({trouble})"))
                .unwrap_or_default();
            let problem = format!(
                "has acknowledged nothing for {} s{why}; see that it runs and is reachable, then start again: nothing is lost",
                PATIENCE.as_secs()
            );
            return Err(Error::Delivery { brokers: cluster.brokers.clone(), problem });
        }
        Ok(())
    }
}
