//! A broker of one's own, a clock that tests move, and records in and out without the generator.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{Broker, BrokerConfig};
use chrono::{DateTime, Utc};
use generator::Clock;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(30);

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub timestamp: i64,
}

#[derive(Clone)]
pub struct Kafka {
    pub brokers: String,
    clients: Arc<Clients>,
}

struct Clients {
    consumer: Mutex<BaseConsumer>,
    producer: BaseProducer,
    admin: AdminClient<DefaultClientContext>,
    _broker: (Broker, tempfile::TempDir),
}

impl Kafka {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start(BrokerConfig::new(folder.path())).await.unwrap();
        let brokers = broker.bootstrap_servers();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &brokers);
        let (producer, admin) = (config.create().unwrap(), config.create().unwrap());
        config.set("group.id", "test").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "20");
        let consumer = Mutex::new(config.create().unwrap());
        Self { brokers, clients: Arc::new(Clients { consumer, producer, admin, _broker: (broker, folder) }) }
    }

    /// All records of a partition.
    pub async fn read(&self, topic: &str, partition: i32) -> Vec<Record> {
        self.read_all(vec![(topic.to_owned(), partition)]).await.remove(0)
    }

    /// All records of each partition.
    pub async fn read_all(&self, places: Vec<(String, i32)>) -> Vec<Vec<Record>> {
        let clients = Arc::clone(&self.clients);
        tokio::task::spawn_blocking(move || read(&clients.consumer.lock().unwrap(), &places)).await.unwrap()
    }

    /// Appends records, creating the topic if need be.
    pub async fn write(&self, topic: &str, partitions: i32, partition: i32, records: &[Record]) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        self.clients.admin.create_topics(&[new], &AdminOptions::new()).await.unwrap();
        let (clients, topic, records) = (Arc::clone(&self.clients), topic.to_owned(), records.to_vec());
        let write = move || {
            for record in &records {
                let record = BaseRecord::to(&topic)
                    .partition(partition)
                    .key(&record.key)
                    .payload(&record.value)
                    .timestamp(record.timestamp);
                clients.producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            let deadline = Instant::now() + TIMEOUT;
            while clients.producer.in_flight_count() > 0 {
                assert!(Instant::now() < deadline, "the broker takes the records within the timeout");
                clients.producer.poll(Duration::from_millis(1));
            }
        };
        tokio::task::spawn_blocking(write).await.unwrap();
    }
}

fn read(consumer: &BaseConsumer, places: &[(String, i32)]) -> Vec<Vec<Record>> {
    let mut missing = 0;
    let mut assignment = TopicPartitionList::new();
    for (topic, partition) in places {
        let (_, end) = consumer.fetch_watermarks(topic, *partition, TIMEOUT).unwrap();
        missing += end;
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut logs = vec![Vec::new(); places.len()];
    while missing > 0 {
        let message = consumer.poll(TIMEOUT).expect("a record within the timeout").unwrap();
        let place = places
            .iter()
            .position(|(topic, partition)| topic == message.topic() && *partition == message.partition());
        let log: &mut Vec<Record> = &mut logs[place.unwrap()];
        assert_eq!(message.offset(), log.len() as i64);
        log.push(Record {
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
            timestamp: message.timestamp().to_millis().unwrap(),
        });
        missing -= 1;
    }
    consumer.unassign().unwrap();
    logs
}

/// A clock that stands still but for what a test allows.
#[derive(Clone)]
pub struct FakeClock {
    time: Arc<Mutex<DateTime<Utc>>>,
    tick: Duration,
    jump: Duration,
    end: Option<(DateTime<Utc>, CancellationToken)>,
}

impl FakeClock {
    pub fn at(time: &str) -> Self {
        Self { time: Arc::new(Mutex::new(at(time))), tick: Duration::ZERO, jump: Duration::ZERO, end: None }
    }

    /// Each look at it takes a second.
    pub fn ticking(self) -> Self {
        Self { tick: Duration::from_secs(1), ..self }
    }

    /// Each wait takes at least this long.
    pub fn jumping(self, jump: Duration) -> Self {
        Self { jump, ..self }
    }

    /// Cancels when a wait reaches the instant.
    pub fn until(self, end: &str, cancel: CancellationToken) -> Self {
        Self { end: Some((at(end), cancel)), ..self }
    }

    pub fn time(&self) -> DateTime<Utc> {
        *self.time.lock().unwrap()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        let mut time = self.time.lock().unwrap();
        *time += self.tick;
        *time
    }

    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send {
        let mut time = self.time.lock().unwrap();
        *time += pause.max(self.jump);
        if let Some((end, cancel)) = &self.end
            && *time >= *end
        {
            cancel.cancel();
        }
        std::future::ready(())
    }
}

/// Numbers for tests: the seed is in the message of what fails.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
