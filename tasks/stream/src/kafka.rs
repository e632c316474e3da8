//! The consumers: their settings, and what librdkafka tells them between records.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::kafka::Session;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::progress::Progress;
use crate::{Error, Options};

pub(crate) const CLIENT_ID: &str = "streamify-stream";
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements about completeness that are read at once.
const STATEMENT_BATCH: usize = 10_000;

pub(crate) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// Keeps rebalances until the job, between two records, is ready to act on them.
pub(crate) struct Context {
    pub session: Session,
    rebalances: Mutex<VecDeque<Rebalance>>,
    waiting: AtomicBool,
    closing: AtomicBool,
    connected: AtomicBool,
    /// Counts the arrivals of statistics.
    beats: AtomicU64,
    ends: Mutex<HashMap<(String, i32), i64>>,
}

impl Context {
    fn new(session: Session) -> Self {
        Self {
            session,
            rebalances: Mutex::default(),
            waiting: AtomicBool::default(),
            closing: AtomicBool::default(),
            connected: AtomicBool::default(),
            beats: AtomicU64::default(),
            ends: Mutex::default(),
        }
    }

    pub fn rebalance_waits(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    pub fn next_rebalance(&self) -> Option<Rebalance> {
        let mut waiting = lock(&self.rebalances);
        let next = waiting.pop_front();
        self.waiting.store(!waiting.is_empty(), Ordering::Release);
        next
    }

    /// From now on partitions are given up at once: nothing is left to be written.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Where a partition ended when it was last looked at.
    pub fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        lock(&self.ends).get(&(topic.to_owned(), partition)).copied()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.session.log(level, facility, message);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.session.generate_oauth_token(config)
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.connected.store(up, Ordering::Release);
        if up {
            self.session.is_well();
        }
        self.beats.fetch_add(1, Ordering::AcqRel);
        let mut ends = lock(&self.ends);
        for (name, topic) in statistics.topics {
            for (partition, counters) in topic.partitions {
                // With read_committed a partition ends, for readers, at its last stable offset.
                let end = if counters.ls_offset >= 0 { counters.ls_offset } else { counters.hi_offset };
                if partition >= 0 && end >= 0 {
                    ends.insert((name.clone(), partition), end);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.session.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let given_up =
                if assigned { assign(consumer, partitions) } else { unassign(consumer, partitions) };
            if let Err(error) = given_up {
                tracing::debug!(%error, "giving up partitions");
            }
            return;
        }
        let partitions = partitions.clone();
        let rebalance = if assigned { Rebalance::Assign(partitions) } else { Rebalance::Revoke(partitions) };
        lock(&self.rebalances).push_back(rebalance);
        self.waiting.store(true, Ordering::Release);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // Only tools that show lag read them.
            tracing::debug!(%error, "group offsets were not committed");
        }
    }
}

pub(crate) fn assign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

pub(crate) fn unassign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

/// Settings that every consumer needs; those on which exactly-once rests come last.
pub(crate) fn config(options: &Options, group: &str) -> ClientConfig {
    let mut config = options.kafka.config(CLIENT_ID);
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("queued.max.messages.kbytes", "32768")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

pub(crate) fn consumer(options: &Options) -> Result<BaseConsumer<Context>, Error> {
    let mut config = config(options, &options.group);
    config.set("statistics.interval.ms", "500");
    let consumer: BaseConsumer<Context> =
        config.create_with_context(Context::new(options.kafka.session())).map_err(|source| Error::Kafka {
            action: "create the consumer",
            brokers: options.kafka.brokers().to_owned(),
            source,
        })?;
    let names: Vec<String> = options.topics.iter().map(|topic| options.kafka_name(&topic.name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    consumer.subscribe(&names).map_err(|source| Error::Kafka {
        action: "subscribe",
        brokers: options.kafka.brokers().to_owned(),
        source,
    })?;
    Ok(consumer)
}

/// Follows the watermarks topic from its beginning, outside of the group: each process needs all of it.
pub(crate) struct StatementReader {
    consumer: BaseConsumer<Session>,
    pub progress: Progress,
    /// Whether the topic was read to its end once. Before, a slow source may not have been heard.
    pub ready: bool,
}

impl StatementReader {
    pub fn new(options: &Options, topic: &str) -> Result<Self, Error> {
        let failed = |source| Error::Kafka {
            action: "read the watermarks topic",
            brokers: options.kafka.brokers().to_owned(),
            source,
        };
        let mut config = config(options, &format!("{}.watermarks", options.group));
        config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Session> =
            config.create_with_context(options.kafka.session()).map_err(failed)?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(&options.kafka_name(topic), 0, Offset::Beginning).map_err(failed)?;
        consumer.assign(&partitions).map_err(failed)?;
        Ok(Self { consumer, progress: Progress::default(), ready: false })
    }

    /// Reads what has arrived.
    pub fn read(&mut self) {
        for _ in 0..STATEMENT_BATCH {
            match self.consumer.poll(Duration::ZERO) {
                None => return,
                Some(Ok(record)) => {
                    if let Err(problem) = self.progress.record(record.payload().unwrap_or_default()) {
                        tracing::warn!(
                            offset = record.offset(),
                            problem,
                            "a record of the watermarks topic is ignored"
                        );
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.ready = true,
                Some(Err(error)) => tracing::debug!(%error, "watermarks topic"),
            }
        }
    }
}
