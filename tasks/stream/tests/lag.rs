//! Lag of a consumer group on a real broker.
#![allow(clippy::unwrap_used)]

mod support;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use support::{House, TOPIC, client};

fn commit(house: &House, group: &str, partition: i32, offset: i64) {
    let consumer: BaseConsumer =
        client(&house.brokers).set("group.id", group).set("enable.auto.commit", "false").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, partition, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_counts_what_lies_behind_the_committed_offsets_of_each_partition() {
    let house = House::new(2).await;
    house.send_events(0, 5, "2027-01-01T10:00:00Z").await;
    house.send_events(1, 3, "2027-01-01T10:00:00Z").await;
    let lag = async |topics: &[&str]| {
        let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
        stream::group_lag(&house.brokers.as_str().into(), "readers", &topics).await.unwrap()
    };
    let of_topic = |lag: u64| BTreeMap::from([(TOPIC.to_string(), lag)]);
    assert_eq!(lag(&[TOPIC]).await, of_topic(8), "a group that never committed has all before it");
    commit(&house, "readers", 0, 4);
    assert_eq!(lag(&[TOPIC]).await, of_topic(4));
    commit(&house, "readers", 0, 5);
    commit(&house, "readers", 1, 3);
    assert_eq!(
        lag(&[TOPIC, "no_such_topic"]).await,
        of_topic(0),
        "and a topic that does not exist is left out"
    );
}
