//! `kill -9` and full disks: what was acknowledged stays, once; transactions are whole or absent.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;

use common::process::BrokerProcess;
use common::*;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const TOPIC: &str = "plays";
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn with_topic(dir: &std::path::Path) -> (tokio::runtime::Runtime, BrokerProcess) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = BrokerProcess::start(ANY_PORT, dir);
    create_topic(&runtime, &broker.bootstrap(), TOPIC, 3, &[]);
    (runtime, broker)
}

#[test]
fn every_acknowledged_record_survives_kills_once() {
    const RECORDS: u64 = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let (_runtime, mut broker) = with_topic(dir.path());
    let acks = Acks::default();
    let producer = producer(&broker.bootstrap(), &acks);
    let mut sent = 0;
    for kill in 1..=3 {
        while sent < RECORDS * kill / 4 {
            send(&producer, TOPIC, &sent.to_string(), &format!("{sent:<300}"));
            sent += 1;
        }
        // Some of these are on their way.
        acks.wait_for(sent - 5_000);
        let address = broker.address;
        broker.kill();
        broker = BrokerProcess::start(address, dir.path());
    }
    while sent < RECORDS {
        send(&producer, TOPIC, &sent.to_string(), &format!("{sent:<300}"));
        sent += 1;
    }
    acks.wait_for(RECORDS);
    let records = read_all(&broker.bootstrap(), TOPIC, "read_committed");
    assert_eq!(records.len() as u64, RECORDS, "none twice, none lost");
    let distinct: BTreeSet<u64> =
        records.iter().map(|(_, _, payload)| payload.trim().parse().unwrap()).collect();
    assert_eq!(distinct.len() as u64, RECORDS);
}

/// Rounds and kills can be raised for a long run: `BROKER_TXN_ROUNDS=800` kills 106 times.
#[test]
fn transactions_are_whole_or_absent_whatever_is_killed() {
    let rounds: u64 = std::env::var("BROKER_TXN_ROUNDS").map_or(60, |rounds| rounds.parse().unwrap());
    let kill_every = (rounds / 8).clamp(1, 8);
    let dir = tempfile::tempdir().unwrap();
    let (_runtime, broker) = with_topic(dir.path());
    let (address, bootstrap) = (broker.address, broker.bootstrap());
    let (round, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let committed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut broker, mut kills) = (broker, 0);
            while !done.load(Ordering::SeqCst) {
                if round.load(Ordering::SeqCst) >= (kills + 1) * kill_every {
                    // Not always at the same step of a transaction.
                    std::thread::park_timeout(Duration::from_millis(kills * 7 % 31));
                    broker.kill();
                    broker = BrokerProcess::start(address, dir.path());
                    kills += 1;
                }
                std::thread::yield_now();
            }
            (broker, kills)
        });
        let committed = run_rounds(&bootstrap, rounds, &round);
        done.store(true, Ordering::SeqCst);
        let (broker, kills) = killer.join().unwrap();
        println!("{} of {rounds} rounds committed, {kills} kills", committed.len());
        assert!(kills >= 6);
        check_rounds(&broker.bootstrap(), &committed);
        committed
    });
    assert!(committed.len() as u64 >= rounds / 2, "kills must not starve the producer");
}

const RECORDS_IN_ROUND: u64 = 20;

/// The rounds that were committed, by the client's word.
fn run_rounds(bootstrap: &str, rounds: u64, round: &AtomicU64) -> BTreeSet<u64> {
    let producer = transactional(bootstrap, "rounds", &[]);
    let mut committed = BTreeSet::new();
    for number in 0..rounds {
        producer.begin_transaction().unwrap();
        (0..RECORDS_IN_ROUND).for_each(|i| put(&producer, TOPIC, &format!("{number} {i}")));
        round.store(number, Ordering::SeqCst); // a kill may come from here on
        drain(&producer);
        loop {
            match producer.commit_transaction(PATIENCE) {
                Ok(()) => {
                    committed.insert(number);
                    break;
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    producer.abort_transaction(PATIENCE).unwrap();
                    break;
                }
                Err(error) => panic!("round {number}: {error}"),
            }
        }
    }
    committed
}

fn check_rounds(bootstrap: &str, committed: &BTreeSet<u64>) {
    let mut seen = BTreeMap::<u64, Vec<u64>>::new();
    for (_, _, payload) in read_all(bootstrap, TOPIC, "read_committed") {
        let (round, i) = payload.split_once(' ').unwrap();
        seen.entry(round.parse().unwrap()).or_default().push(i.parse().unwrap());
    }
    for (round, records) in &mut seen {
        records.sort_unstable();
        assert_eq!(
            *records,
            (0..RECORDS_IN_ROUND).collect::<Vec<_>>(),
            "round {round} is partial or doubled"
        );
    }
    assert_eq!(seen.keys().copied().collect::<BTreeSet<_>>(), *committed, "lost, or seen though aborted");
}

#[test]
fn full_disk_is_an_error_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (runtime, broker) = with_topic(dir.path());
    let address = broker.address;
    broker.kill();
    let small = BrokerProcess::start_with_small_files(address, dir.path(), 100_000);
    let producer: rdkafka::producer::FutureProducer =
        client(&small.bootstrap()).set("message.timeout.ms", "2000").set("linger.ms", "0").create().unwrap();
    let payload = "x".repeat(30_000);
    let send = |patience: Duration| {
        let record = rdkafka::producer::FutureRecord::to(TOPIC).key("one partition").payload(&payload);
        runtime.block_on(producer.send(record, patience)).map_err(|(error, _)| error)
    };
    let stored = (0..10).take_while(|_| send(PATIENCE).is_ok()).count();
    assert_eq!(stored, 3, "the fourth does not fit in 100,000 bytes");
    assert_eq!(read_all(&small.bootstrap(), TOPIC, "read_committed").len(), 3);
    small.kill();
    // With room again the log goes on behind the last whole batch.
    let broker = BrokerProcess::start(address, dir.path());
    send(PATIENCE).unwrap();
    let records = read_all(&broker.bootstrap(), TOPIC, "read_committed");
    assert_eq!(records.iter().map(|(_, offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(producer.in_flight_count() == 0);
}
