//! A broker and librdkafka clients for the tests of this folder.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod process;

use broker::{Broker, BrokerConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// A broker in this process, on a folder that goes with it.
pub struct TestBroker {
    pub runtime: Runtime,
    pub dir: TempDir,
    broker: Option<Broker>,
}

impl TestBroker {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut config = BrokerConfig::new(dir.path());
        change(&mut config);
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        Self { runtime, dir, broker: Some(broker) }
    }

    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    pub fn bootstrap(&self) -> String {
        self.broker().bootstrap_servers()
    }

    /// Stops gracefully and starts again on the same folder and port.
    pub fn restart(&mut self) {
        let broker = self.broker.take().unwrap();
        let listen = broker.address();
        self.runtime.block_on(broker.shutdown());
        let config = BrokerConfig { listen, ..BrokerConfig::new(self.dir.path()) };
        self.broker = Some(self.runtime.block_on(Broker::start(config)).unwrap());
    }

    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        create_topic(&self.runtime, &self.bootstrap(), name, partitions, config);
    }
}

pub fn create_topic(
    runtime: &Runtime,
    bootstrap: &str,
    name: &str,
    partitions: i32,
    config: &[(&str, &str)],
) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in config {
        topic = topic.set(name, value);
    }
    let created = runtime.block_on(admin(bootstrap).create_topics(&[topic], &options())).unwrap();
    assert_eq!(created, [Ok(name.to_owned())]);
}

pub fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    client(bootstrap).create().unwrap()
}

pub fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
    config
}

/// By the rules of the house: nothing is committed that the program did not commit.
pub fn consumer(bootstrap: &str, group: &str, extra: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client(bootstrap);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("session.timeout.ms", "10000")
        .set("fetch.wait.max.ms", "100");
    extra.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create().unwrap()
}

/// Counts acknowledgements, and lets one wait for them.
#[derive(Clone, Default)]
pub struct Acks(Arc<(Mutex<u64>, Condvar)>);

impl Acks {
    pub fn count(&self) -> u64 {
        *self.0.0.lock().unwrap()
    }

    pub fn wait_for(&self, count: u64) {
        let reached =
            self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), 2 * PATIENCE, |acks| *acks < count);
        let (acks, timeout) = reached.unwrap();
        assert!(!timeout.timed_out(), "{} of {count} were acknowledged", *acks);
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            panic!("a record was not delivered: {error}");
        }
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }
}

/// An idempotent producer as our pipeline's.
pub fn producer(bootstrap: &str, acks: &Acks) -> ThreadedProducer<Acks> {
    let mut config = client(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "400000")
        .set("compression.codec", "lz4");
    config.create_with_context(acks.clone()).unwrap()
}

pub fn send(producer: &ThreadedProducer<Acks>, topic: &str, key: &str, payload: &str) {
    producer.send(BaseRecord::to(topic).key(key).payload(payload)).map_err(|(error, _)| error).unwrap();
}

pub fn transactional(bootstrap: &str, id: &str, extra: &[(&str, &str)]) -> BaseProducer {
    let mut config = client(bootstrap);
    config.set("transactional.id", id).set("linger.ms", "1");
    extra.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

/// Sends within a transaction.
pub fn put(producer: &BaseProducer, topic: &str, payload: &str) {
    let mut record = BaseRecord::to(topic).key(payload).payload(payload);
    while let Err((error, refused)) = producer.send(record) {
        let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        assert!(full, "{error}");
        producer.poll(Duration::from_millis(1));
        record = refused;
    }
}

/// Serves delivery reports until all are in, in short steps. `BaseProducer::flush` polls in steps of 100 ms
/// and always sits out the last one, which costs each commit up to 100 ms; after this it returns at once.
pub fn drain(producer: &BaseProducer) {
    let deadline = Instant::now() + PATIENCE;
    while producer.in_flight_count() > 0 {
        assert!(Instant::now() < deadline, "deliveries take too long");
        producer.poll(Duration::from_millis(1));
    }
}

/// Everything in a topic from its beginning to its end: (partition, offset, payload).
pub fn read_all(bootstrap: &str, topic: &str, isolation: &str) -> Vec<(i32, i64, String)> {
    let extra = [("isolation.level", isolation), ("enable.partition.eof", "true")];
    let consumer = consumer(bootstrap, "reader", &extra);
    let mut assignment = TopicPartitionList::new();
    let partitions = partitions(&consumer, topic);
    for partition in &partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut records, mut ended, deadline) = (Vec::new(), 0, Instant::now() + PATIENCE);
    while ended < partitions.len() {
        assert!(Instant::now() < deadline, "{topic} has no end after {} records", records.len());
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(m)) => records.push((m.partition(), m.offset(), payload(&m))),
        }
    }
    records
}

pub fn payload(message: &impl Message) -> String {
    String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap()
}

pub fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.client().fetch_metadata(Some(topic), PATIENCE).unwrap();
    metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect()
}

/// Records of the topic that the group has not read yet.
pub fn lag(bootstrap: &str, topic: &str, group: &str) -> i64 {
    let consumer = consumer(bootstrap, group, &[]);
    let committed = committed(&consumer, topic);
    let lag_of = |partition| {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
        high - committed.get(&partition).copied().unwrap_or(low).max(low)
    };
    partitions(&consumer, topic).into_iter().map(lag_of).sum()
}

pub fn committed(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, i64> {
    let mut list = TopicPartitionList::new();
    for partition in partitions(consumer, topic) {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    committed.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect()
}

/// An explicit list, as the house commits.
pub fn offsets(topic: &str, next: &BTreeMap<i32, i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in next {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    list
}
