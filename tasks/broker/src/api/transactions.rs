//! Requests of transactional and idempotent producers.

use super::code;
use super::offsets::{check, check_generation};
use crate::meta::CommittedOffset;
use crate::meta::transaction::PendingOffset;
use crate::node::{Node, lock};
use crate::transactions::{self, InitProducer};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

pub(crate) fn init_producer_id(node: &Node, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let known = (request.producer_id.0, request.producer_epoch);
    let outcome = transactions::init_producer(
        node,
        InitProducer {
            transactional_id: request.transactional_id.as_ref().map(|id| id.to_string()),
            timeout_ms: request.transaction_timeout_ms,
            known: (known.0 >= 0).then_some(known),
        },
    );
    let error_code = code(&outcome);
    let (id, epoch) = outcome.unwrap_or((-1, -1));
    InitProducerIdResponse::default()
        .with_error_code(error_code)
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
}

/// All partitions or none.
pub(crate) fn add_partitions(node: &Node, request: &AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let topics = &request.v3_and_below_topics;
    let wanted = topics.iter().flat_map(|t| t.partitions.iter().map(|index| (t.name.to_string(), *index)));
    let wanted: Vec<_> = wanted.collect();
    let unknown = |(topic, index): &(String, i32)| node.topics.partition(topic, *index).is_none();
    let some_unknown = wanted.iter().any(unknown);
    let outcome = if some_unknown {
        Err(ResponseError::OperationNotAttempted)
    } else {
        let producer = (request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch);
        transactions::add(node, &request.v3_and_below_transactional_id, producer, wanted, Vec::new())
    };
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            let unknown = unknown(&(topic.name.to_string(), *index));
            let error = if unknown { ResponseError::UnknownTopicOrPartition.code() } else { code(&outcome) };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(error)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

/// Begins the transaction if there is none; which offsets, says `commit_offsets`.
pub(crate) fn add_offsets(node: &Node, request: &AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let producer = (request.producer_id.0, request.producer_epoch);
    let outcome = transactions::add(node, &request.transactional_id, producer, Vec::new(), Vec::new());
    AddOffsetsToTxnResponse::default().with_error_code(code(&outcome))
}

pub(crate) fn commit_offsets(node: &Node, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let outcome = commit_all(node, request);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&outcome))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit_all(node: &Node, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    let mut groups = lock(&node.groups);
    // Producers that name no generation stand outside of the group's rebalances.
    if request.generation_id >= 0 || !request.member_id.is_empty() {
        check_generation(groups.get_mut(&request.group_id), &request.member_id, request.generation_id)?;
    }
    let mut offsets = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_deref();
            check(node, &topic.name, partition.partition_index, metadata)?;
            offsets.push(PendingOffset {
                group: request.group_id.to_string(),
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                committed: CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.unwrap_or_default().to_owned(),
                },
            });
        }
    }
    let producer = (request.producer_id.0, request.producer_epoch);
    transactions::add(node, &request.transactional_id, producer, Vec::new(), offsets)
}

pub(crate) fn end(node: &Node, request: &EndTxnRequest) -> EndTxnResponse {
    let producer = (request.producer_id.0, request.producer_epoch);
    let outcome = transactions::end(node, &request.transactional_id, producer, request.committed);
    EndTxnResponse::default().with_error_code(code(&outcome))
}
