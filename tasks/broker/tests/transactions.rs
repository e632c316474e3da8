//! Transactions: all or nothing for readers, offsets included, and one living producer for each id.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;

use broker::FsyncPolicy;
use common::*;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SOURCE: &str = "source";
const TARGET: &str = "target";

fn payloads(bootstrap: &str, isolation: &str) -> Vec<String> {
    let mut all: Vec<_> =
        read_all(bootstrap, TARGET, isolation).into_iter().map(|(_, _, payload)| payload).collect();
    all.sort();
    all
}

#[test]
fn aborted_records_are_seen_only_by_those_who_ask_for_them() {
    let mut broker = TestBroker::start();
    broker.create_topic(TARGET, 3, &[]);
    let producer = transactional(&broker.bootstrap(), "t", &[]);
    for round in 0..3 {
        producer.begin_transaction().unwrap();
        (0..20).for_each(|i| put(&producer, TARGET, &format!("{round}-{i:02}")));
        if round == 1 {
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
        }
    }
    let rounds = |rounds: &[u64]| -> Vec<String> {
        rounds.iter().flat_map(|round| (0..20).map(move |i| format!("{round}-{i:02}"))).collect()
    };
    for _ in 0..2 {
        assert_eq!(payloads(&broker.bootstrap(), "read_committed"), rounds(&[0, 2]));
        assert_eq!(payloads(&broker.bootstrap(), "read_uncommitted"), rounds(&[0, 1, 2]));
        broker.restart();
    }
}

#[test]
fn offsets_are_committed_with_the_records_or_not_at_all() {
    let broker = TestBroker::start_with(|config| config.fsync = FsyncPolicy::EveryAppend);
    let bootstrap = broker.bootstrap();
    broker.create_topic(SOURCE, 1, &[]);
    broker.create_topic(TARGET, 1, &[]);
    let acks = Acks::default();
    let feed = common::producer(&bootstrap, &acks);
    (0..30).for_each(|i| send(&feed, SOURCE, "k", &format!("{i:02}")));
    acks.wait_for(30);

    let consumer = consumer(&bootstrap, "mover", &[("isolation.level", "read_committed")]);
    consumer.subscribe(&[SOURCE]).unwrap();
    let producer = transactional(&bootstrap, "mover", &[]);
    for round in 0..3 {
        producer.begin_transaction().unwrap();
        let (mut next, deadline) = (BTreeMap::new(), Instant::now() + PATIENCE);
        let mut moved = 0;
        while moved < 10 {
            assert!(Instant::now() < deadline);
            let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
            let message = message.unwrap();
            put(&producer, TARGET, &payload(&message));
            next.insert(message.partition(), message.offset() + 1);
            moved += 1;
        }
        let group = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets(SOURCE, &next), &group, PATIENCE).unwrap();
        if round == 1 {
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
            assert_eq!(committed(&consumer, SOURCE), BTreeMap::from([(0, 10)]));
            consumer.seek(SOURCE, 0, rdkafka::Offset::Offset(10), PATIENCE).unwrap();
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
            assert_eq!(committed(&consumer, SOURCE), next);
        }
    }
    let want: Vec<String> = (0..20).map(|i| format!("{i:02}")).collect();
    assert_eq!(payloads(&bootstrap, "read_committed"), want);
    assert_eq!(lag(&bootstrap, SOURCE, "mover"), 10);
}

#[test]
fn new_instance_aborts_and_shuts_out_the_old() {
    let broker = TestBroker::start();
    broker.create_topic(TARGET, 1, &[]);
    let old = transactional(&broker.bootstrap(), "t", &[]);
    old.begin_transaction().unwrap();
    put(&old, TARGET, "left behind");
    old.flush(PATIENCE).unwrap();
    let new = transactional(&broker.bootstrap(), "t", &[]);
    let refused = old.commit_transaction(PATIENCE).unwrap_err();
    assert!(matches!(&refused, KafkaError::Transaction(error) if error.is_fatal()), "{refused:?}");
    new.begin_transaction().unwrap();
    put(&new, TARGET, "mine");
    new.commit_transaction(PATIENCE).unwrap();
    assert_eq!(payloads(&broker.bootstrap(), "read_committed"), ["mine"]);
}

#[test]
fn forgotten_transaction_is_aborted_when_its_time_is_up() {
    let broker = TestBroker::start();
    broker.create_topic(TARGET, 1, &[]);
    let timeout = [("transaction.timeout.ms", "1000"), ("message.timeout.ms", "1000")];
    let slow = transactional(&broker.bootstrap(), "slow", &timeout);
    slow.begin_transaction().unwrap();
    put(&slow, TARGET, "too late");
    slow.flush(PATIENCE).unwrap();
    let quick = transactional(&broker.bootstrap(), "quick", &[]);
    quick.begin_transaction().unwrap();
    put(&quick, TARGET, "in time");
    quick.commit_transaction(PATIENCE).unwrap();
    // Readers of committed records wait at the open transaction until the broker ends it.
    let reader = consumer(&broker.bootstrap(), "g", &[("isolation.level", "read_committed")]);
    reader.assign(&offsets(TARGET, &BTreeMap::from([(0, 0)]))).unwrap();
    let began = Instant::now();
    let first = loop {
        assert!(began.elapsed() < PATIENCE);
        if let Some(message) = reader.poll(Duration::from_millis(50)) {
            break payload(&message.unwrap());
        }
    };
    assert_eq!(first, "in time");
    assert!(slow.commit_transaction(PATIENCE).is_err());
}

/// Seen as 100 ms a transaction: it is the client's `flush`, not the broker (see `common::drain`).
#[test]
fn small_transactions_take_milliseconds() {
    const ROUNDS: u32 = 50;
    let broker = TestBroker::start();
    broker.create_topic(TARGET, 3, &[]);
    let producer = transactional(&broker.bootstrap(), "t", &[]);
    let began = Instant::now();
    for round in 0..ROUNDS {
        producer.begin_transaction().unwrap();
        (0..3).for_each(|i| put(&producer, TARGET, &format!("{round}-{i}")));
        drain(&producer);
        producer.commit_transaction(PATIENCE).unwrap();
    }
    let each = began.elapsed() / ROUNDS;
    println!("{each:?} a transaction");
    assert!(each < Duration::from_millis(60), "{each:?} a transaction");
}
