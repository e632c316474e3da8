//! Starting, refusing to start, stopping, and clients that do not behave.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;

use broker::{Broker, BrokerConfig, Error};
use common::*;
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0];

fn refusal(config: BrokerConfig) -> Error {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Broker::start(config)).err().expect("the broker must refuse to start")
}

#[test]
fn address_that_others_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..BrokerConfig::new(dir.path()) };
    let error = refusal(config);
    assert!(matches!(error, Error::NotLoopback(_)));
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn port_in_use_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap();
    let message = refusal(BrokerConfig { listen, ..BrokerConfig::new(dir.path()) }).to_string();
    assert!(
        message.contains(&listen.port().to_string()) && message.contains("choose another port"),
        "{message}"
    );
}

#[test]
fn data_folder_serves_one_broker_at_a_time() {
    let mut broker = TestBroker::start();
    let error = refusal(BrokerConfig::new(broker.dir.path()));
    assert!(matches!(error, Error::DataDirInUse(_)), "{error}");
    broker.restart(); // which lets go of the folder in between
}

#[test]
fn journal_is_written_anew_at_each_start() {
    let mut broker = TestBroker::start();
    broker.create_topic("plays", 1, &[]);
    let reader = consumer(&broker.bootstrap(), "g", &[]);
    for offset in 0..200 {
        let next = std::collections::BTreeMap::from([(0, offset)]);
        rdkafka::consumer::Consumer::commit(
            &reader,
            &offsets("plays", &next),
            rdkafka::consumer::CommitMode::Sync,
        )
        .unwrap();
    }
    let journal = broker.dir.path().join("journal");
    let grown = fs::metadata(&journal).unwrap().len();
    broker.restart();
    let compact = fs::metadata(&journal).unwrap().len();
    assert!(compact * 20 < grown, "{grown} -> {compact}");
    let reader = consumer(&broker.bootstrap(), "g", &[]);
    assert_eq!(committed(&reader, "plays")[&0], 199);
}

#[test]
fn torn_end_of_the_journal_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = runtime.block_on(Broker::start(BrokerConfig::new(dir.path()))).unwrap();
    runtime.block_on(broker.shutdown());
    let journal = dir.path().join("journal");
    fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"0123abcd [{\"top").unwrap();
    let broker = runtime.block_on(Broker::start(BrokerConfig::new(dir.path()))).unwrap();
    assert_eq!(broker.recovery_report().journal_bytes_cut, 15);
    assert_eq!(fs::read(dir.path().join("journal.cut")).unwrap(), b"0123abcd [{\"top");
    runtime.block_on(broker.shutdown());
}

/// What a server says to these bytes, until it closes.
fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have closed already.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    answer
}

#[test]
fn frame_beyond_the_limit_closes_the_connection() {
    let broker = TestBroker::start();
    for (key, length) in [(0u16, 104_857_601u32), (3, 8 * 1024 * 1024 + 1), (3, u32::MAX), (3, 7)] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(key.to_be_bytes());
        bytes.extend([0; 6]);
        assert!(say(broker.broker().address(), &bytes).is_empty());
    }
    assert!(!say(broker.broker().address(), &API_VERSIONS).is_empty());
}

#[test]
fn newer_client_is_told_our_versions() {
    let broker = TestBroker::start();
    let mut newer = API_VERSIONS;
    newer[7] = 99;
    let answer = say(broker.broker().address(), &newer);
    assert_eq!(answer[8..10], [0, 35], "unsupported version");
    assert!(answer.len() > 100, "and the list of versions");
}

#[test]
fn any_bytes_leave_the_broker_well() {
    let broker = TestBroker::start();
    let address = broker.broker().address();
    let request = (0i16..60, 0i16..14, proptest::collection::vec(any::<u8>(), 0..200));
    let framed = request.prop_map(|(key, version, body)| {
        let mut frame = (8 + body.len() as u32).to_be_bytes().to_vec();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(body);
        frame
    });
    let bytes = prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), framed];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    let outcome = runner.run(&proptest::collection::vec(bytes, 1..4), |frames| {
        say(address, &frames.concat());
        prop_assert!(!say(address, &API_VERSIONS).is_empty());
        Ok(())
    });
    outcome.unwrap();
}
