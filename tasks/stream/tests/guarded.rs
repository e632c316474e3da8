//! Kafka behind TLS and SASL: what is written and read there is in the lake once, and a login that ends is renewed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use broker::{Broker, BrokerConfig};
use chrono::{DateTime, Utc};
use generator::SystemClock;
use google::Credentials;
use kafka::{Access, Asker, Security, Session};
use lake::Lake;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use stream::{Field, FieldType, Options, Roll, State, Status, TopicConfig, TopicSchema};
use tempfile::TempDir;
use testkit::{ApacheKafka, FakeMetadata, Identity, KafkaDoor};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(90);
const TOPIC: &str = "listen_events";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Which tokens are good: those with this number or a later one, while tokens are taken at all.
#[derive(Default)]
struct Rule {
    least: AtomicU64,
    is_closed: AtomicBool,
}

impl Rule {
    fn judge(&self, mechanism: &str, said: &str) -> Result<(), String> {
        if mechanism == "PLAIN" {
            return (said == "ada:lovelace").then_some(()).ok_or_else(|| "wrong password".to_owned());
        }
        let token = decode(said.rsplit('.').next().unwrap_or_default());
        let number: u64 =
            token.strip_prefix("token-").and_then(|number| number.parse().ok()).unwrap_or_default();
        if self.is_closed.load(Ordering::SeqCst) || number < self.least.load(Ordering::SeqCst) {
            return Err("this token is no good".to_owned());
        }
        Ok(())
    }
}

/// base64url without padding, of plain text.
fn decode(text: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = text.bytes().filter_map(|byte| alphabet.iter().position(|known| *known == byte));
    let (mut held, mut count, mut bytes) = (0u32, 0, Vec::new());
    for six in bits {
        (held, count) = ((held << 6) | six as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((held >> count) as u8);
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

struct House {
    door: KafkaDoor,
    rule: Arc<Rule>,
    metadata: FakeMetadata,
    folders: [TempDir; 2],
    _broker: Broker,
}

impl House {
    async fn new(token_seconds: u64, session: Option<Duration>) -> Self {
        let mut door = KafkaDoor::bind().await.unwrap();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let config = BrokerConfig { advertise: Some(door.address()), ..BrokerConfig::new(folders[0].path()) };
        let broker = Broker::start(config).await.unwrap();
        let rule = Arc::new(Rule::default());
        let judge = Arc::clone(&rule);
        door.open(broker.address(), Arc::new(move |mechanism, said| judge.judge(mechanism, said)), session);
        let metadata = FakeMetadata::start(token_seconds).await.unwrap();
        Self { door, rule, metadata, folders, _broker: broker }
    }

    fn access(&self, settings: &[(&str, &str)]) -> Access {
        access(&self.door.address().to_string(), &self.door.identity, &self.metadata, settings)
    }

    fn by_token(&self) -> Access {
        self.access(&[("KAFKA_SASL_MECHANISM", "OAUTHBEARER")])
    }

    fn by_password(&self) -> Access {
        self.access(&[
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_SASL_USERNAME", "ada"),
            ("KAFKA_SASL_PASSWORD", "lovelace"),
        ])
    }

    fn lake_url(&self) -> &str {
        self.folders[1].path().to_str().unwrap()
    }
}

fn access(brokers: &str, identity: &Identity, metadata: &FakeMetadata, settings: &[(&str, &str)]) -> Access {
    let mut all: BTreeMap<&str, String> =
        settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    all.insert("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned());
    all.insert("KAFKA_SSL_CA_FILE", identity.ca_file().display().to_string());
    let security = Security::read(|name| all.get(name).cloned()).unwrap();
    Access::new(brokers, security, || Credentials::found(|name| metadata.variable(name))).unwrap()
}

struct Running {
    statuses: watch::Receiver<Status>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Result<stream::Report, stream::Error>>,
}

impl Running {
    fn start(options: Options) -> Self {
        let clock: stream::Clock = Arc::new(|| at("2026-11-20T00:00:00Z"));
        let cancel = CancellationToken::new();
        let (sender, statuses) = watch::channel(Status::default());
        let job = stream::run(options, clock, move |status| drop(sender.send(status)), cancel.clone());
        Self { statuses, cancel, task: tokio::spawn(job) }
    }

    async fn until(&mut self, what: &str, reached: impl Fn(&Status) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.statuses.wait_for(|status| reached(status))).await;
        let ended = waited.map(|found| found.map(|_| ()));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!("the job ended before: {what}"),
            Err(_) => panic!("never came: {what}; last was {:#?}", *self.statuses.borrow()),
        }
    }

    async fn stop(self) -> stream::Report {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap()
    }
}

async fn generate(access: Access, prefix: &str, to: &str) -> Result<generator::Report, generator::Error> {
    let options = generator::Options {
        users: Some(2_000),
        seed: Some(7),
        from: Some(at("2026-11-16T00:00:00Z")),
        to: Some(at(to)),
        topic_prefix: prefix.to_owned(),
        ..generator::Options::default()
    };
    generator::run(options, access, SystemClock, |_| {}, CancellationToken::new()).await
}

fn records(report: &generator::Report) -> BTreeMap<String, u64> {
    let topics = report.progress.topics.iter();
    topics.map(|(topic, count)| (topic.clone(), count.replayed + count.sent)).collect()
}

/// Reads all topics into the lake; then it has each record once.
async fn take_into_lake(access: Access, lake_url: &str, sent: &BTreeMap<String, u64>) {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dags/streamify/schemas");
    let schemas = stream::read_schemas(schemas.as_ref()).unwrap();
    let topics =
        schemas.into_iter().map(|schema| TopicConfig { name: schema.topic().to_owned(), schema }).collect();
    let mut job = Running::start(Options::new(access.clone(), lake_url, topics));
    let expected = sent.clone();
    job.until("all is read", |status| {
        let read = |topic: &String| {
            let partitions = status.topics.get(topic).map(|topic| topic.partitions.values());
            partitions.into_iter().flatten().map(|partition| partition.consumed_offset as u64).sum::<u64>()
        };
        expected.iter().all(|(topic, sent)| read(topic) == *sent)
    })
    .await;
    let report = job.stop().await;

    let lake = Lake::open(lake_url).unwrap();
    for (topic, sent) in sent {
        let told = &report.topics[topic];
        assert_eq!((told.rows, told.dead_letters, told.skipped), (*sent, 0, 0), "{topic}");
        let commits = lake.commits(topic).await.unwrap();
        let mut ends = BTreeMap::new();
        for commit in &commits {
            let end: &mut i64 = ends.entry(commit.partition).or_default();
            *end = (*end).max(commit.last + 1);
        }
        let rows: u64 = commits.iter().flat_map(|commit| &commit.files).map(|file| file.rows).sum();
        assert_eq!((rows, ends.values().sum::<i64>() as u64), (*sent, *sent), "{topic}: rows are offsets");
    }
    let lag = stream::group_lag(&access, "streamify-lake", &sent.keys().cloned().collect::<Vec<_>>()).await;
    assert_eq!(lag.unwrap().values().sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_logins_by_password_and_by_token_write_is_in_the_lake_once() {
    let house = House::new(3600, None).await;
    // Only a login by password makes topics.
    generate(house.by_password(), "", "2026-11-16T03:00:00Z").await.unwrap();
    let report = generate(house.by_token(), "", "2026-11-16T06:00:00Z").await.unwrap();
    let sent = records(&report);
    assert!(sent.values().sum::<u64>() > 1000, "{sent:?}");

    take_into_lake(house.by_token(), house.lake_url(), &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_that_may_not_make_topics_says_which_and_how() {
    let house = House::new(3600, None).await;
    let error = generate(house.by_token(), "new_", "2026-11-16T01:00:00Z").await.unwrap_err().to_string();
    assert!(
        error.contains("new_generator_plan") && error.contains("gcloud managed-kafka topics create"),
        "{error}"
    );
}

async fn send(producer: &FutureProducer<Session>, from: i64, count: i64) {
    for n in from..from + count {
        let payload = format!(r#"{{"ts":{}}}"#, at("2026-11-19T00:00:00Z").timestamp_millis() + n * 1000);
        let record: FutureRecord<'_, str, String> =
            FutureRecord::to(TOPIC).partition(0).key("7").payload(&payload);
        producer.send(record, PATIENCE).await.unwrap();
    }
}

fn committed(status: &Status, end: i64) -> bool {
    let partition = status.topics.get(TOPIC).and_then(|topic| topic.partitions.get(&0));
    partition.is_some_and(|partition| partition.committed_offset >= end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_in_the_status_and_its_successor_is_let_in_without_a_restart() {
    let house = House::new(5, Some(Duration::from_secs(2))).await;
    // Makes the topics.
    generate(house.by_password(), "", "2026-11-16T00:00:01Z").await.unwrap();
    let admin = house.by_password();
    let producer = FutureProducer::from_config_and_context(&admin.config("test"), admin.session()).unwrap();
    let fields = vec![Field { name: "ts".into(), kind: FieldType::Int, required: true }];
    let topic = TopicConfig { name: TOPIC.into(), schema: TopicSchema::new(TOPIC, fields).unwrap() };
    let roll = Roll { max_rows: 5, ..Roll::default() };
    let options = Options { roll, ..Options::new(house.by_token(), house.lake_url(), vec![topic]) };
    let mut job = Running::start(options);
    let before = stream::offsets(&admin, &[TOPIC.to_owned()]).await.unwrap()[TOPIC][0].high;
    send(&producer, 0, 5).await;
    job.until("the first records", |status| committed(status, before + 5)).await;

    // The brokers take no token any more, and cut who is in.
    house.rule.is_closed.store(true, Ordering::SeqCst);
    house.door.hang_up();
    job.until("a told refusal", |status| {
        status.state == State::Degraded
            && status.error.as_ref().is_some_and(|error| error.contains("this token is no good"))
    })
    .await;
    let told = job.statuses.borrow().error.clone().unwrap_or_default();
    assert!(!told.contains("token-"), "{told}");

    // All tokens given so far are done with: only a renewed one opens.
    house.rule.least.store(house.metadata.given() + 1, Ordering::SeqCst);
    house.rule.is_closed.store(false, Ordering::SeqCst);
    send(&producer, 5, 5).await;
    job.until("the records after", |status| committed(status, before + 10) && status.state == State::Running)
        .await;
    job.stop().await;
}

async fn brokers(access: Access) -> Result<usize, kafka::Error> {
    tokio::task::spawn_blocking(move || Asker::new(&access, "test")?.brokers(PATIENCE)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_kafka_takes_every_login_and_its_records_are_in_the_lake_once() {
    let Some(kafka) = ApacheKafka::start().await else { return };
    let metadata = FakeMetadata::start(3600).await.unwrap();
    let (address, lake) = (kafka.address().to_string(), tempfile::tempdir().unwrap());
    let login = |settings: &[(&str, &str)]| access(&address, &kafka.identity, &metadata, settings);
    let by_password = |mechanism: &str, password: &str| {
        login(&[
            ("KAFKA_SASL_MECHANISM", mechanism),
            ("KAFKA_SASL_USERNAME", "ada"),
            ("KAFKA_SASL_PASSWORD", password),
        ])
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        assert_eq!(brokers(by_password(mechanism, "lovelace")).await.unwrap(), 1, "{mechanism}");
        let error = brokers(by_password(mechanism, "byron-in-the-dark")).await.unwrap_err().to_string();
        assert!(error.contains("KAFKA_SASL_USERNAME") && !error.contains("byron"), "{mechanism}: {error}");
    }
    let by_token = || login(&[("KAFKA_SASL_MECHANISM", "OAUTHBEARER")]);
    metadata.give("a-stolen-one");
    kafka.take_token("the-good-one");
    let error = brokers(by_token()).await.unwrap_err().to_string();
    assert!(error.contains("roles/managedkafka.client") && !error.contains("stolen"), "{error}");
    metadata.give("the-good-one");
    assert_eq!(brokers(by_token()).await.unwrap(), 1);

    // Its sessions end after three seconds: whoever works longer has logged in again on the way.
    generate(by_password("SCRAM-SHA-512", "lovelace"), "", "2026-11-16T03:00:00Z").await.unwrap();
    let report = generate(by_token(), "", "2026-11-16T06:00:00Z").await.unwrap();
    let sent = records(&report);
    assert!(sent.values().sum::<u64>() > 1000, "{sent:?}");
    take_into_lake(by_token(), lake.path().to_str().unwrap(), &sent).await;
}
