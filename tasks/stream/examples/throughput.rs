//! How fast the job is: `cargo run --release -p stream --example throughput [events]`. Fills a topic of the embedded broker, then reads it
//! into a temporary lake and prints events per second of wall time and of processor time (which includes the broker's part).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use stream::{Options, TopicConfig, read_schemas};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "listen_events";
const PARTITIONS: i32 = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events: i64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let (data, lake) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let broker = Broker::start(BrokerConfig::new(data.path())).await?;
    let brokers = broker.bootstrap_servers();
    let filled = Instant::now();
    fill(&brokers, events).await?;
    println!("produced {events} events in {:.1} s", filled.elapsed().as_secs_f64());

    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags/streamify/schemas");
    let schema =
        read_schemas(&schemas)?.into_iter().find(|schema| schema.topic() == TOPIC).ok_or("no schema")?;
    let topic = TopicConfig { name: TOPIC.into(), schema };
    let url = lake.path().to_str().ok_or("a temporary folder that is not UTF-8")?;
    let options = Options { watermarks_topic: None, ..Options::new(&brokers, url, vec![topic]) };
    let cancel = CancellationToken::new();
    let done = cancel.clone();
    let (mut started, mut processor) = (None, 0.0);
    let status = |status: stream::Status| {
        let Some(topic) = status.topics.get(TOPIC) else { return };
        if started.is_none() && !topic.partitions.is_empty() {
            (started, processor) = (Some(Instant::now()), processor_seconds());
        }
        if topic.partitions.values().map(|partition| partition.consumed_offset).sum::<i64>() >= events {
            done.cancel();
        }
    };
    let report = stream::run(options, Arc::new(chrono::Utc::now), status, cancel).await?;
    let wall = started.ok_or("nothing was assigned")?.elapsed().as_secs_f64();
    let processor = processor_seconds() - processor;
    let rows = report.topics[TOPIC].rows as f64;
    println!(
        "{rows} rows in {wall:.1} s: {:.0}/s; {processor:.1} s of processor time: {:.0}/s a core",
        rows / wall,
        rows / processor
    );
    Ok(())
}

async fn fill(brokers: &str, events: i64) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("broker.address.family", "v4");
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    admin.create_topics(&[topic], &AdminOptions::new()).await?;
    config.set("linger.ms", "20").set("batch.size", "1000000").set("compression.codec", "lz4");
    let producer: BaseProducer = config.create()?;
    let start = chrono::Utc::now().timestamp_millis() - 6 * 3_600_000;
    for n in 0..events {
        let ts = start + n * 6 * 3_600_000 / events;
        let event = format!(
            r#"{{"artist":"Artist {}","song":"A song with number {}","duration":{}.5,"ts":{ts},"sessionId":{},"auth":"Logged In","level":"paid","itemInSession":{},"zip":"{:05}","city":"San Francisco","state":"CA","lat":37.7749,"lon":-122.4194,"userAgent":"Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/36.0","userId":{},"lastName":"Rodriguez","firstName":"Maria","gender":"F","registration":1767225600000}}"#,
            n % 3000,
            n % 10_000,
            100 + n % 300,
            n % 50_000,
            n % 40,
            n % 99_999,
            n % 20_000
        );
        let partition = (n % i64::from(PARTITIONS)) as i32;
        let mut record = BaseRecord::<str, str>::to(TOPIC).partition(partition).payload(&event);
        while let Err((error, rejected)) = producer.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    producer.poll(Duration::from_millis(20))
                }
                other => return Err(other.into()),
            };
            record = rejected;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

/// User and system time of this process (Linux, 100 ticks a second).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
