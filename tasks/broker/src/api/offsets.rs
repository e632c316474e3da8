//! OffsetCommit and OffsetFetch: how far groups have read.

use super::text;
use crate::meta::{CommittedOffset, Entry, MetaState};
use crate::node::{Node, lock};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use std::collections::BTreeMap;
use std::time::Instant;

/// Kafka's `offset.metadata.max.bytes`.
pub(super) const MAX_METADATA_BYTES: usize = 4096;
const NO_LEADER_EPOCH: i32 = -1;

pub(crate) fn commit(node: &Node, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let outcome = commit_all(node, request);
    let error_code = |refused: Option<ResponseError>| match (&outcome, refused) {
        (Err(error), _) => error.code(),
        (Ok(()), refused) => refused.map_or(0, |error| error.code()),
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let refused =
                check(node, &topic.name, partition.partition_index, partition.committed_metadata.as_deref());
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error_code(refused.err()))
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Commits the sound ones of these offsets in one step.
fn commit_all(node: &Node, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    // Held until the offsets are written: the group's generation must not change in between.
    let mut groups = lock(&node.groups);
    check_generation(
        groups.get_mut(&request.group_id),
        &request.member_id,
        request.generation_id_or_member_epoch,
    )?;
    let mut entries = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_deref();
            if check(node, &topic.name, partition.partition_index, metadata).is_ok() {
                let committed = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.unwrap_or_default().to_owned(),
                };
                entries.push(Entry::Offset {
                    group: request.group_id.to_string(),
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                    committed,
                });
            }
        }
    }
    lock(&node.meta).commit(entries).map_err(|error| {
        tracing::error!(group = request.group_id.as_str(), %error, "offsets cannot be written");
        ResponseError::CoordinatorNotAvailable
    })
}

/// Whether this member of the group may commit. Without the group, only consumers outside of groups may.
pub(super) fn check_generation(
    group: Option<&mut crate::group::Group>,
    member_id: &str,
    generation: i32,
) -> Result<(), ResponseError> {
    match group {
        Some(group) => group.check_commit(Instant::now(), member_id, generation),
        None if generation < 0 => Ok(()),
        None => Err(ResponseError::UnknownMemberId),
    }
}

pub(super) fn check(
    node: &Node,
    topic: &str,
    partition: i32,
    metadata: Option<&str>,
) -> Result<(), ResponseError> {
    if node.topics.partition(topic, partition).is_none() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    if metadata.is_some_and(|metadata| metadata.len() > MAX_METADATA_BYTES) {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(())
}

pub(crate) fn fetch(node: &Node, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let meta = lock(&node.meta);
    let state = meta.state();
    let group = request.group_id.as_str();
    let topics = wanted(state, request).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|partition| {
            let pending = request.require_stable && state.has_pending_offset(group, &topic, partition);
            let answer = committed(state, group, &topic, partition);
            let error_code = if pending { ResponseError::UnstableOffsetCommit.code() } else { 0 };
            answer.with_error_code(error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// The partitions asked for, or all that the group has committed.
fn wanted(state: &MetaState, request: &OffsetFetchRequest) -> BTreeMap<String, Vec<i32>> {
    let mut wanted = BTreeMap::<String, Vec<i32>>::new();
    match &request.topics {
        Some(topics) => {
            for topic in topics {
                wanted.entry(topic.name.to_string()).or_default().extend(&topic.partition_indexes);
            }
        }
        None => {
            for (topic, partition) in
                state.offsets.get(request.group_id.as_str()).into_iter().flat_map(|g| g.keys())
            {
                wanted.entry(topic.clone()).or_default().push(*partition);
            }
        }
    }
    wanted
}

fn committed(state: &MetaState, group: &str, topic: &str, partition: i32) -> OffsetFetchResponsePartition {
    let committed = state.offsets.get(group).and_then(|offsets| offsets.get(&(topic.to_owned(), partition)));
    let answer = OffsetFetchResponsePartition::default().with_partition_index(partition);
    match committed {
        Some(committed) => answer
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(&committed.metadata))),
        None => answer
            .with_committed_offset(-1)
            .with_committed_leader_epoch(NO_LEADER_EPOCH)
            .with_metadata(Some(text(""))),
    }
}
