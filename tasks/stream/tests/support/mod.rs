//! A real broker on a temporary folder, a lake in another, a clock that stands, and a job whose status tests wait for.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use broker::{Broker, BrokerConfig};
use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use stream::{Error, Field, FieldType, Options, Report, Status, TopicConfig, TopicSchema};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub const TOPIC: &str = "listen_events";
const PATIENCE: Duration = Duration::from_secs(60);

pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub fn event(time: &str) -> String {
    format!(r#"{{"ts":{},"song":"s"}}"#, at(time).timestamp_millis())
}

pub struct House {
    broker: Option<Broker>,
    folders: [tempfile::TempDir; 2],
    pub brokers: String,
    pub lake_url: String,
    pub producer: FutureProducer,
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl House {
    /// With one data topic of this many partitions; the clock stands at 2027-01-01T12:00.
    pub async fn new(partitions: i32) -> Self {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let broker = Broker::start(BrokerConfig::new(folders[0].path())).await.unwrap();
        let brokers = broker.bootstrap_servers();
        let producer = client(&brokers).set("linger.ms", "1").create().unwrap();
        let lake_url = folders[1].path().to_str().unwrap().to_owned();
        let now = Arc::new(Mutex::new(at("2027-01-01T12:00:00Z")));
        let house = Self { broker: Some(broker), folders, brokers, lake_url, producer, now };
        house.create_topic(TOPIC, partitions).await;
        house
    }

    pub async fn stop_broker(&mut self) {
        self.broker.take().unwrap().shutdown().await;
    }

    /// On the same port and folder as before.
    pub async fn start_broker(&mut self) {
        let mut config = BrokerConfig::new(self.folders[0].path());
        config.listen = self.brokers.parse().unwrap();
        self.broker = Some(Broker::start(config).await.unwrap());
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.brokers).create().unwrap()
    }

    pub async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for created in self.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap() {
            created.unwrap();
        }
    }

    pub async fn send(&self, topic: &str, partition: i32, payload: Option<&[u8]>) {
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(topic).partition(partition).key("7");
        record.payload = payload;
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    /// Events one second apart, beginning at `time`.
    pub async fn send_events(&self, partition: i32, count: i64, time: &str) {
        let start = at(time);
        let sent = (0..count).map(async |n| {
            let payload = event(&(start + TimeDelta::seconds(n)).to_rfc3339());
            self.send(TOPIC, partition, Some(payload.as_bytes())).await;
        });
        // Polled in order, so that they are queued in order.
        futures::future::join_all(sent).await;
    }

    /// A statement of the source: everything before `time` lies below these offsets.
    pub async fn state_progress(&self, time: &str, offsets: &[i64]) {
        let statement = serde_json::json!({"source": "generator", "at": time, "offsets": {TOPIC: offsets}});
        self.send("watermarks", 0, Some(statement.to_string().as_bytes())).await;
    }

    pub fn advance(&self, by: TimeDelta) {
        *self.now.lock().unwrap() += by;
    }

    pub fn options(&self) -> Options {
        let field = |name: &str, kind, required| Field { name: name.into(), kind, required };
        let fields = vec![field("ts", FieldType::Int, true), field("song", FieldType::String, false)];
        let topic = TopicConfig { name: TOPIC.into(), schema: TopicSchema::new(TOPIC, fields).unwrap() };
        Options { writer: "test".into(), ..Options::new(&self.brokers, &self.lake_url, vec![topic]) }
    }

    pub fn start(&self, options: Options) -> Running {
        let now = Arc::clone(&self.now);
        let clock: stream::Clock = Arc::new(move || *now.lock().unwrap());
        let cancel = CancellationToken::new();
        let (sender, statuses) = watch::channel(Status::default());
        let job = stream::run(options, clock, move |status| drop(sender.send(status)), cancel.clone());
        Running { statuses, cancel, task: tokio::spawn(job) }
    }

    pub fn lake(&self) -> Lake {
        Lake::open(&self.lake_url).unwrap()
    }

    /// Everything that the lake has of the topic, and that it has each offset below these ends once.
    pub async fn exact(&self, ends: &[i64]) -> Content {
        let content = Content::read(&self.lake()).await;
        for (partition, &end) in ends.iter().enumerate() {
            let partition = partition as i32;
            let covered = content.covered.get(&partition).copied().unwrap_or(0);
            assert_eq!(covered, end, "partition {partition} is covered to its end");
            let found = content.offsets.get(&partition).cloned().unwrap_or_default();
            let dead = content
                .dead
                .iter()
                .filter(|letter| letter.partition == partition)
                .map(|letter| letter.offset);
            let mut all: Vec<i64> = found.iter().copied().chain(dead).collect();
            all.sort_unstable();
            let skipped = content.skipped.get(&partition).copied().unwrap_or(0);
            let distinct: BTreeSet<i64> = all.iter().copied().collect();
            assert_eq!(distinct.len(), all.len(), "partition {partition} has each offset once");
            assert_eq!(all.len() as i64 + skipped, end, "partition {partition} has every offset");
        }
        content
    }
}

pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("broker.address.family", "v4");
    config
}

pub struct Running {
    statuses: watch::Receiver<Status>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Result<Report, Error>>,
}

impl Running {
    /// Waits for a status of this kind.
    pub async fn until(&mut self, what: &str, reached: impl Fn(&Status) -> bool) -> Status {
        let waiting = tokio::time::timeout(
            PATIENCE,
            self.statuses.wait_for(|status| !status.topics.is_empty() && reached(status)),
        );
        let outcome = waiting.await.map(|found| found.map(|status| status.clone()));
        match outcome {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => panic!("the job ended before: {what}"),
            Err(_) => panic!("never came: {what}; last was {:#?}", *self.statuses.borrow()),
        }
    }

    pub async fn committed(&mut self, ends: &[i64]) -> Status {
        self.until(&format!("committed {ends:?}"), |status| offsets(status, ends, |p| p.committed_offset))
            .await
    }

    pub async fn consumed(&mut self, ends: &[i64]) -> Status {
        self.until(&format!("consumed {ends:?}"), |status| offsets(status, ends, |p| p.consumed_offset)).await
    }

    pub async fn stop(self) -> Report {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap()
    }

    /// Of a job that ends by itself.
    pub async fn error(self) -> Error {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the job ends by itself");
        ended.unwrap().unwrap_err()
    }
}

fn offsets(status: &Status, ends: &[i64], offset: impl Fn(&stream::PartitionStatus) -> i64) -> bool {
    let Some(topic) = status.topics.get(TOPIC) else { return false };
    let reached =
        |n: usize, end: i64| topic.partitions.get(&(n as i32)).is_some_and(|found| offset(found) >= end);
    ends.iter().enumerate().all(|(n, &end)| reached(n, end))
}

#[derive(Default)]
pub struct Content {
    pub offsets: BTreeMap<i32, Vec<i64>>,
    pub covered: BTreeMap<i32, i64>,
    pub skipped: BTreeMap<i32, i64>,
    pub dead: Vec<Dead>,
    /// Rows by hour, as the paths say.
    pub hours: BTreeMap<String, i64>,
    pub extra: Vec<String>,
}

pub struct Dead {
    pub partition: i32,
    pub offset: i64,
    pub value: Option<Vec<u8>>,
    pub error: String,
}

impl Content {
    async fn read(lake: &Lake) -> Self {
        let mut content = Self::default();
        for commit in lake.commits(TOPIC).await.unwrap() {
            content.covered.insert(commit.partition, commit.last + 1);
            *content.skipped.entry(commit.partition).or_default() += commit.skipped as i64;
            for file in &commit.files {
                let hour = file.path.split("year=").nth(1).and_then(|rest| rest.rsplit_once('/')).unwrap().0;
                *content.hours.entry(hour.to_owned()).or_default() += file.rows as i64;
                for batch in batches(lake, &file.path).await {
                    content.take_rows(&batch, commit.partition);
                }
            }
            if let Some(path) = &commit.dead_letter_file {
                for batch in batches(lake, path).await {
                    content.take_dead(&batch, commit.partition);
                }
            }
        }
        content
    }

    fn take_rows(&mut self, batch: &RecordBatch, partition: i32) {
        let partitions = batch.column_by_name("_topic_partition").unwrap().as_primitive::<Int32Type>();
        assert!(partitions.values().iter().all(|&found| found == partition));
        let offsets = batch.column_by_name("_topic_offset").unwrap().as_primitive::<Int64Type>();
        self.offsets.entry(partition).or_default().extend(offsets.values());
        let extra = batch.column_by_name("_extra").unwrap().as_string::<i32>();
        self.extra.extend(extra.iter().flatten().map(str::to_owned));
    }

    fn take_dead(&mut self, batch: &RecordBatch, partition: i32) {
        let offsets = batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
        let values = batch.column_by_name("value").unwrap().as_binary::<i32>();
        let errors = batch.column_by_name("error").unwrap().as_string::<i32>();
        for row in 0..batch.num_rows() {
            let value = (!values.is_null(row)).then(|| values.value(row).to_vec());
            let (offset, error) = (offsets.value(row), errors.value(row).to_owned());
            self.dead.push(Dead { partition, offset, value, error });
        }
    }
}

async fn batches(lake: &Lake, path: &str) -> Vec<RecordBatch> {
    let content = lake.get_file(path).await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}
