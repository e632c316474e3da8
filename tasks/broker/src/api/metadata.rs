//! Metadata and FindCoordinator: which topics there are, and that the one node leads them all.

use super::{NODE_ID, text};
use crate::dispatch::Client;
use crate::node::{Node, lock};
use crate::topics::{NewTopic, Refusal};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName};
use std::collections::BTreeMap;

const CLUSTER_ID: &str = "streamify-local";

pub(crate) fn metadata(
    node: &Node,
    request: &MetadataRequest,
    version: i16,
    client: &Client,
) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID)
        .with_host(text(&client.address.ip().to_string()))
        .with_port(i32::from(client.address.port()));
    // Up to version 3 a client cannot forbid the creation of topics.
    let may_create = node.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
    let topics = match &request.topics {
        Some(wanted) if version > 0 || !wanted.is_empty() => {
            let names = wanted.iter().filter_map(|topic| topic.name.as_ref());
            names.map(|name| describe_or_create(node, name, may_create)).collect()
        }
        _ => node.topics.all().iter().map(|(name, topic)| describe(name, topic.partitions.len())).collect(),
    };
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(CLUSTER_ID)))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

fn describe_or_create(node: &Node, name: &TopicName, may_create: bool) -> MetadataResponseTopic {
    if node.topics.get(name).is_none() && may_create {
        let new =
            NewTopic { name: name.to_string(), partitions: node.default_partitions, config: BTreeMap::new() };
        match node.topics.create(&mut lock(&node.meta), new) {
            Ok(()) | Err(Refusal { error: ResponseError::TopicAlreadyExists, .. }) => {}
            Err(refusal) => return absent(name, refusal.error),
        }
    }
    match node.topics.get(name) {
        Some(topic) => describe(name, topic.partitions.len()),
        None => absent(name, ResponseError::UnknownTopicOrPartition),
    }
}

fn absent(name: &TopicName, error: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_name(Some(name.clone())).with_error_code(error.code())
}

fn describe(name: &str, partitions: usize) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    };
    let partitions = (0..).take(partitions).map(partition);
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(name))))
        .with_partitions(partitions.collect())
}

pub(crate) fn find_coordinator(client: &Client) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_node_id(NODE_ID)
        .with_host(text(&client.address.ip().to_string()))
        .with_port(i32::from(client.address.port()))
}
