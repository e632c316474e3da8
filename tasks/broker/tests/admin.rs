//! Administration by librdkafka's admin client.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;

use common::*;
use rdkafka::admin::{AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TOPIC: &str = "plays";

fn fill(broker: &TestBroker, records: u64) {
    let acks = Acks::default();
    let producer = producer(&broker.bootstrap(), &acks);
    (0..records).for_each(|i| send(&producer, TOPIC, "key", &format!("{i:04}")));
    acks.wait_for(records);
}

fn config(broker: &TestBroker, name: &str) -> String {
    let topic = ResourceSpecifier::Topic(TOPIC);
    let described =
        broker.runtime.block_on(admin(&broker.bootstrap()).describe_configs(&[topic], &options()));
    let described = described.unwrap().remove(0).unwrap();
    described.entry_map()[name].value.clone().unwrap()
}

#[test]
fn topics_are_created_grown_and_deleted() {
    let mut broker = TestBroker::start();
    broker.create_topic(TOPIC, 3, &[]);
    fill(&broker, 10);
    let admin = admin(&broker.bootstrap());
    let new = |name, partitions, replicas| NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    let wrong = [new(TOPIC, 1, 1), new("bad/name", 1, 1), new("none", 0, 1), new("copies", 1, 3)];
    let refused = broker.runtime.block_on(admin.create_topics(&wrong, &options())).unwrap();
    let codes: Vec<_> = refused.into_iter().map(|refused| refused.unwrap_err().1).collect();
    use RDKafkaErrorCode::*;
    assert_eq!(codes, [TopicAlreadyExists, InvalidTopic, InvalidPartitions, InvalidReplicationFactor]);

    let grow = |count| {
        broker.runtime.block_on(admin.create_partitions(&[NewPartitions::new(TOPIC, count)], &options()))
    };
    assert_eq!(grow(5).unwrap(), [Ok(TOPIC.to_owned())]);
    assert_eq!(grow(5).unwrap(), [Err((TOPIC.to_owned(), InvalidPartitions))]);
    broker.restart();
    let reader = consumer(&broker.bootstrap(), "g", &[]);
    assert_eq!(partitions(&reader, TOPIC).len(), 5);

    let delete = |name| broker.runtime.block_on(admin.delete_topics(&[name], &options())).unwrap();
    assert_eq!(delete(TOPIC), [Ok(TOPIC.to_owned())]);
    assert_eq!(delete(TOPIC), [Err((TOPIC.to_owned(), UnknownTopicOrPartition))]);
    broker.create_topic(TOPIC, 1, &[]);
    assert!(
        read_all(&broker.bootstrap(), TOPIC, "read_committed").is_empty(),
        "nothing of the old one is left"
    );
}

#[test]
fn settings_are_checked_kept_and_described() {
    let mut broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[("retention.ms", "5000")]);
    assert_eq!(config(&broker, "retention.ms"), "5000");
    assert_eq!(config(&broker, "max.message.bytes"), "1048588");
    let admin = admin(&broker.bootstrap());
    // The refused ones have no effect. (rdkafka 0.39 drops the refusal of a single resource, so look.)
    for (name, value) in [("retention.bytes", "7000"), ("retention.bytes", "many"), ("no.such.setting", "1")]
    {
        let change = AlterConfig::new(ResourceSpecifier::Topic(TOPIC)).set(name, value);
        broker.runtime.block_on(admin.alter_configs(&[change], &options())).unwrap();
        assert_eq!(config(&broker, "retention.bytes"), "7000");
    }
    broker.restart();
    assert_eq!(config(&broker, "retention.bytes"), "7000");
    assert_eq!(config(&broker, "retention.ms"), "-1", "what is not named goes back to its default");
}

#[test]
fn deleted_records_stay_deleted() {
    let mut broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[]);
    fill(&broker, 100);
    let before = offsets(TOPIC, &BTreeMap::from([(0, 40)]));
    let deleted =
        broker.runtime.block_on(admin(&broker.bootstrap()).delete_records(&before, &options())).unwrap();
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(40));
    for _ in 0..2 {
        let records = read_all(&broker.bootstrap(), TOPIC, "read_committed");
        assert_eq!(records.len(), 60);
        assert_eq!(records[0], (0, 40, "0040".to_owned()));
        let reader = consumer(&broker.bootstrap(), "g", &[]);
        assert_eq!(reader.fetch_watermarks(TOPIC, 0, PATIENCE).unwrap(), (40, 100));
        broker.restart();
    }
}

#[test]
fn offsets_are_found_by_time() {
    let broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[]);
    let producer: rdkafka::producer::FutureProducer = client(&broker.bootstrap()).create().unwrap();
    for i in 0..20 {
        let record =
            rdkafka::producer::FutureRecord::to(TOPIC).key("k").payload("v").timestamp(1_000 + i * 10);
        broker.runtime.block_on(producer.send(record, PATIENCE)).unwrap();
    }
    let reader = consumer(&broker.bootstrap(), "g", &[]);
    let at = |time| {
        let mut query = TopicPartitionList::new();
        query.add_partition_offset(TOPIC, 0, Offset::Offset(time)).unwrap();
        reader.offsets_for_times(query, PATIENCE).unwrap().elements()[0].offset()
    };
    assert_eq!(at(0), Offset::Offset(0));
    assert_eq!(at(1_095), Offset::Offset(10));
    assert_eq!(at(1_190), Offset::Offset(19));
    assert_eq!(at(1_191), Offset::End);
}

#[test]
fn groups_are_listed_and_deleted_when_empty() {
    let broker = TestBroker::start();
    broker.create_topic(TOPIC, 1, &[]);
    fill(&broker, 10);
    let member = consumer(&broker.bootstrap(), "busy", &[]);
    member.subscribe(&[TOPIC]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while member.poll(Duration::from_millis(50)).is_none() {
        assert!(Instant::now() < deadline);
    }
    let idle = consumer(&broker.bootstrap(), "idle", &[]);
    idle.commit(&offsets(TOPIC, &BTreeMap::from([(0, 5)])), CommitMode::Sync).unwrap();
    let groups = member.fetch_group_list(None, PATIENCE).unwrap();
    let states: BTreeMap<_, _> =
        groups.groups().iter().map(|g| (g.name(), (g.state(), g.members().len()))).collect();
    assert_eq!(states, BTreeMap::from([("busy", ("Stable", 1)), ("idle", ("Empty", 0))]));

    let admin = admin(&broker.bootstrap());
    let deleted =
        broker.runtime.block_on(admin.delete_groups(&["busy", "idle", "none"], &options())).unwrap();
    let codes: Vec<_> = deleted.into_iter().map(|deleted| deleted.map_err(|(_, code)| code)).collect();
    use RDKafkaErrorCode::*;
    assert_eq!(codes, [Err(NonEmptyGroup), Ok("idle".to_owned()), Err(GroupIdNotFound)]);
    assert_eq!(lag(&broker.bootstrap(), TOPIC, "idle"), 10);
}
