//! Creating, growing, emptying and deleting topics.

use super::{code, code_and_message, text};
use crate::meta::Entry;
use crate::node::{Node, lock};
use crate::topics::{NewTopic, Refusal};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
};

/// Says "up to the end" in a request to delete records.
const HIGH_WATERMARK: i64 = -1;

pub(crate) fn create(node: &Node, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let new = NewTopic {
            name: topic.name.to_string(),
            partitions: partitions_of(topic, node.default_partitions),
            config: topic
                .configs
                .iter()
                .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())))
                .collect(),
        };
        let partitions = new.partitions;
        let configs = new.config.iter().map(|(name, value)| {
            CreatableTopicConfigs::default().with_name(text(name)).with_value(Some(text(value)))
        });
        let configs = configs.collect();
        let (error_code, message) = code_and_message(create_one(node, topic, new, request.validate_only));
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error_code)
            .with_error_message(message)
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(Some(configs))
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn partitions_of(topic: &CreatableTopic, default: i32) -> i32 {
    match (topic.num_partitions, topic.assignments.len()) {
        (-1, 0) => default,
        (-1, assigned) => i32::try_from(assigned).unwrap_or(i32::MAX),
        (named, _) => named,
    }
}

fn create_one(node: &Node, topic: &CreatableTopic, new: NewTopic, only_check: bool) -> Result<(), Refusal> {
    if topic.replication_factor > 1 || topic.assignments.iter().any(|a| a.broker_ids.len() > 1) {
        let why = "this broker is one node and cannot replicate: use a replication factor of 1";
        return Err(Refusal::new(ResponseError::InvalidReplicationFactor, why));
    }
    if only_check {
        return node.topics.check_new(&new).map(|_| ());
    }
    node.topics.create(&mut lock(&node.meta), new)
}

pub(crate) fn delete(node: &Node, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    let responses = request.topic_names.iter().map(|name| {
        let (error_code, message) = code_and_message(node.topics.delete(&mut lock(&node.meta), name));
        DeletableTopicResult::default()
            .with_name(Some(name.clone()))
            .with_error_code(error_code)
            .with_error_message(message)
    });
    let responses = responses.collect();
    node.appended.notify_waiters(); // waiting readers learn that it is gone
    DeleteTopicsResponse::default().with_responses(responses)
}

pub(crate) fn create_partitions(node: &Node, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let mut meta = lock(&node.meta);
        let outcome = node.topics.add_partitions(&mut meta, &topic.name, topic.count, request.validate_only);
        let (error_code, message) = code_and_message(outcome);
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error_code)
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(crate) fn delete_records(node: &Node, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let outcome = delete_before(node, &topic.name, partition.partition_index, partition.offset);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&outcome))
                .with_low_watermark(outcome.unwrap_or(-1))
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Written down first: records that were once said to be deleted do not come back after a restart.
fn delete_before(node: &Node, topic: &str, index: i32, offset: i64) -> Result<i64, ResponseError> {
    let mut meta = lock(&node.meta);
    let partition = node.topics.partition(topic, index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let mut partition = lock(&partition);
    let offset = if offset == HIGH_WATERMARK { partition.high_watermark() } else { offset };
    if offset < 0 || offset > partition.high_watermark() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if offset > partition.start_offset() {
        let entry = Entry::LogStart { topic: topic.to_owned(), partition: index, offset };
        meta.commit(vec![entry]).map_err(|_| ResponseError::KafkaStorageError)?;
    }
    partition.delete_before(offset)
}
