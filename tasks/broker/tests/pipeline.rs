//! Producers and consumer groups: every record once, in order, from where the group stopped.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;

use common::*;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const TOPIC: &str = "plays";

fn event(i: u64) -> String {
    format!("{:<350}", format!("{{\"seq\":{i},\"song\":\"Yellow ({})\"", i % 977))
}

fn sequence(payload: &[u8]) -> u64 {
    let digits: Vec<u8> = payload[7..].iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).unwrap().parse().unwrap()
}

#[test]
fn group_of_two_reads_every_record_once() {
    const RECORDS: u64 = 200_000;
    let broker = TestBroker::start_with(|config| config.segment_bytes = 4_000_000);
    broker.create_topic(TOPIC, 3, &[]);
    let acks = Acks::default();
    let producer = producer(&broker.bootstrap(), &acks);
    for i in 0..RECORDS {
        send(&producer, TOPIC, &(i % 9973).to_string(), &event(i));
    }
    acks.wait_for(RECORDS);

    let (read, seen) = mpsc::sync_channel::<u64>(10_000);
    let (stop, stopped) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (read, bootstrap, stop) = (read.clone(), broker.bootstrap(), &stop);
            scope.spawn(move || {
                let consumer = consumer(&bootstrap, "pair", &[]);
                consumer.subscribe(&[TOPIC]).unwrap();
                let mut next = BTreeMap::new();
                while !stop.load(stopped) {
                    let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
                    let message = message.unwrap();
                    next.insert(message.partition(), message.offset() + 1);
                    read.send(sequence(message.payload().unwrap())).unwrap();
                }
                consumer.commit(&offsets(TOPIC, &next), CommitMode::Sync).unwrap();
            });
        }
        let mut bitmap = vec![false; RECORDS as usize];
        let mut sum = 0;
        for _ in 0..RECORDS {
            let i = seen.recv_timeout(PATIENCE).expect("all records must come");
            assert!(!std::mem::replace(&mut bitmap[i as usize], true), "{i} came twice");
            sum += i;
        }
        assert_eq!(sum, RECORDS * (RECORDS - 1) / 2);
        stop.store(true, stopped);
    });
    assert_eq!(seen.try_recv(), Err(mpsc::TryRecvError::Empty));
    assert_eq!(lag(&broker.bootstrap(), TOPIC, "pair"), 0);
}

#[test]
fn group_goes_on_where_it_committed_even_after_a_restart() {
    let mut broker = TestBroker::start();
    broker.create_topic(TOPIC, 3, &[]);
    let acks = Acks::default();
    let producer = producer(&broker.bootstrap(), &acks);
    for i in 0..3_000 {
        send(&producer, TOPIC, &i.to_string(), &event(i));
    }
    acks.wait_for(3_000);
    let read = |bootstrap: &str, count: usize| {
        let consumer = consumer(bootstrap, "g", &[]);
        consumer.subscribe(&[TOPIC]).unwrap();
        let (mut next, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let deadline = Instant::now() + PATIENCE;
        while seen.len() < count {
            assert!(Instant::now() < deadline, "only {} of {count}", seen.len());
            let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
            let message = message.unwrap();
            next.insert(message.partition(), message.offset() + 1);
            seen.insert(sequence(message.payload().unwrap()));
        }
        consumer.commit(&offsets(TOPIC, &next), CommitMode::Sync).unwrap();
        // A partition that was read to its end before keeps the offset committed then.
        let committed = committed(&consumer, TOPIC);
        next.iter().for_each(|(partition, offset)| assert_eq!(committed[partition], *offset));
        seen
    };
    let first = read(&broker.bootstrap(), 1_000);
    assert_eq!(lag(&broker.bootstrap(), TOPIC, "g"), 2_000);
    broker.restart();
    assert_eq!(lag(&broker.bootstrap(), TOPIC, "g"), 2_000);
    let second = read(&broker.bootstrap(), 2_000);
    assert!(first.is_disjoint(&second));
    assert_eq!(lag(&broker.bootstrap(), TOPIC, "g"), 0);
}

#[test]
fn waiting_reader_gets_a_new_record_at_once() {
    let broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[]);
    let consumer = consumer(
        &broker.bootstrap(),
        "g",
        &[("fetch.wait.max.ms", "20000"), ("enable.partition.eof", "true")],
    );
    consumer.assign(&offsets(TOPIC, &BTreeMap::from([(0, 0)]))).unwrap();
    // The end of the partition is told when the first fetch has come back; then the next one waits.
    let producer: BaseProducer = client(&broker.bootstrap()).set("linger.ms", "0").create().unwrap();
    for i in 0..5 {
        let sent = Instant::now();
        producer.send(BaseRecord::to(TOPIC).key("k").payload(&event(i))).map_err(|(e, _)| e).unwrap();
        let message = loop {
            producer.poll(Duration::ZERO);
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
                break message;
            }
            assert!(sent.elapsed() < PATIENCE);
        };
        assert_eq!(sequence(message.payload().unwrap()), i);
        assert!(sent.elapsed() < Duration::from_secs(5), "waited {:?}", sent.elapsed());
    }
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn reader_that_wants_more_gets_the_little_there_is_when_its_wait_is_over() {
    let broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[]);
    let wait = [("fetch.min.bytes", "100000"), ("fetch.wait.max.ms", "800")];
    let consumer = consumer(&broker.bootstrap(), "g", &wait);
    let acks = Acks::default();
    let producer = producer(&broker.bootstrap(), &acks);
    send(&producer, TOPIC, "k", &event(0));
    acks.wait_for(1);
    let began = Instant::now();
    consumer.assign(&offsets(TOPIC, &BTreeMap::from([(0, 0)]))).unwrap();
    let message = loop {
        assert!(began.elapsed() < PATIENCE);
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            break message.unwrap();
        }
    };
    assert_eq!(sequence(message.payload().unwrap()), 0);
    assert!(began.elapsed() >= Duration::from_millis(800), "too early: {:?}", began.elapsed());
}

#[test]
fn record_larger_than_the_topic_allows_is_refused() {
    let broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[("max.message.bytes", "1000")]);
    let producer: rdkafka::producer::FutureProducer = client(&broker.bootstrap()).create().unwrap();
    let send = |size: usize| {
        let payload = "x".repeat(size);
        let record = rdkafka::producer::FutureRecord::to(TOPIC).key("k").payload(&payload);
        broker.runtime.block_on(producer.send(record, PATIENCE)).map_err(|(error, _)| error)
    };
    send(500).unwrap();
    let error = send(2_000).unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::MessageSizeTooLarge));
    assert_eq!(read_all(&broker.bootstrap(), TOPIC, "read_committed").len(), 1);
}

#[test]
fn topics_appear_on_demand_only_where_allowed() {
    for allowed in [true, false] {
        let broker = TestBroker::start_with(|config| config.auto_create_topics = allowed);
        let config = client(&broker.bootstrap()).set("allow.auto.create.topics", "true").clone();
        let producer: rdkafka::producer::FutureProducer =
            config.clone().set("message.timeout.ms", "3000").create().unwrap();
        let record = rdkafka::producer::FutureRecord::to("new").key("k").payload("v");
        let sent = broker.runtime.block_on(producer.send(record, PATIENCE));
        assert_eq!(sent.is_ok(), allowed, "{sent:?}");
        let metadata = producer.client().fetch_metadata(None, PATIENCE).unwrap();
        let names: Vec<_> = metadata.topics().iter().map(|t| (t.name(), t.partitions().len())).collect();
        assert_eq!(names, if allowed { vec![("new", 3)] } else { vec![] });
    }
}
