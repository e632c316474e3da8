//! Fetch and ListOffsets: reading records, and finding where to read.

use crate::dispatch::{Error, blocking};
use crate::log::Isolation;
use crate::node::{Node, lock};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProducerId,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// However much a client asks for.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// However long a client is ready to wait.
const MAX_WAIT: Duration = Duration::from_secs(60);
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Answers as soon as there is enough to read or something to tell; else with what there is at the deadline.
pub(crate) async fn fetch(node: &Arc<Node>, request: FetchRequest) -> Result<FetchResponse, Error> {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let enough = usize::try_from(request.min_bytes).unwrap_or(0).max(1);
    let request = Arc::new(request);
    loop {
        // Enabled before reading, so that an append in between is not missed.
        let mut appended = std::pin::pin!(node.appended.notified());
        appended.as_mut().enable();
        let reading = (Arc::clone(node), Arc::clone(&request));
        let found = blocking(move || read(&reading.0, &reading.1)).await?;
        let done = found.bytes >= enough || found.has_errors;
        if done || Instant::now() >= deadline || node.stop.is_cancelled() {
            return Ok(found.response);
        }
        tokio::select! {
            () = node.stop.cancelled() => {}
            _ = timeout_at(deadline, appended) => {}
        }
    }
}

struct Found {
    response: FetchResponse,
    bytes: usize,
    has_errors: bool,
}

fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
}

fn read(node: &Node, request: &FetchRequest) -> Found {
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(MAX_ANSWER_BYTES);
    let mut found = Found { response: FetchResponse::default(), bytes: 0, has_errors: false };
    for topic in &request.topics {
        let mut answer = FetchableTopicResponse::default().with_topic(topic.topic.clone());
        for wanted in &topic.partitions {
            // The first records are given even if they are larger than allowed, or the client is stuck.
            let left =
                if found.bytes == 0 { max_bytes.max(1) } else { max_bytes.saturating_sub(found.bytes) };
            let data = read_partition(node, &topic.topic, wanted, left, isolation(request.isolation_level));
            found.bytes += data.records.as_ref().map_or(0, Bytes::len);
            found.has_errors |= data.error_code != 0;
            answer.partitions.push(data);
        }
        found.response.responses.push(answer);
    }
    found
}

fn read_partition(
    node: &Node,
    topic: &str,
    wanted: &FetchPartition,
    left: usize,
    isolation: Isolation,
) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_records(Some(Bytes::new()))
        .with_aborted_transactions(Some(Vec::new()));
    let Some(partition) = node.topics.partition(topic, wanted.partition) else {
        return data.with_error_code(ResponseError::UnknownTopicOrPartition.code()).with_high_watermark(-1);
    };
    let partition = lock(&partition);
    let mut data = data
        .with_high_watermark(partition.high_watermark())
        .with_last_stable_offset(partition.last_stable_offset())
        .with_log_start_offset(partition.start_offset());
    if left == 0 {
        return data;
    }
    let max_bytes = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
    match partition.read(wanted.fetch_offset, max_bytes, isolation) {
        Err(error) => data.error_code = error.code(),
        Ok(slice) => {
            let aborted = slice.aborted.iter().map(|aborted| {
                AbortedTransaction::default()
                    .with_producer_id(ProducerId(aborted.producer_id))
                    .with_first_offset(aborted.first_offset)
            });
            data.aborted_transactions = Some(aborted.collect());
            data.records = Some(slice.records);
        }
    }
    data
}

pub(crate) fn list_offsets(node: &Node, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let found = find_offset(
                node,
                &topic.name,
                wanted.partition_index,
                wanted.timestamp,
                request.isolation_level,
            );
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index)
                .with_error_code(code(&found));
            let (offset, timestamp) = found.unwrap_or((-1, -1));
            answer.with_offset(offset).with_timestamp(timestamp)
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// Offset and timestamp, each -1 if there is none.
fn find_offset(
    node: &Node,
    topic: &str,
    index: i32,
    timestamp: i64,
    level: i8,
) -> Result<(i64, i64), ResponseError> {
    let partition = node.topics.partition(topic, index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = lock(&partition);
    match timestamp {
        LATEST => Ok((partition.end_for(isolation(level)), -1)),
        EARLIEST => Ok((partition.start_offset(), -1)),
        negative if negative < 0 => Err(ResponseError::InvalidRequest),
        timestamp => Ok(partition.offset_for_time(timestamp)?.unwrap_or((-1, -1))),
    }
}

use super::code;
