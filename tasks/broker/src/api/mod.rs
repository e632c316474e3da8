//! The handlers of requests, one file for each family. Each turns a request into its answer; what it changes
//! and the rules for it live elsewhere.

mod configs;
mod fetch;
mod groups;
mod metadata;
mod offsets;
mod produce;
mod topics;
mod transactions;

use crate::dispatch::{Client, Error, Request, blocking};
use crate::node::Node;
use crate::topics::Refusal;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{BrokerId, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The one node.
const NODE_ID: BrokerId = BrokerId(1);

/// `None` if the client wants no answer.
pub(crate) async fn handle(node: &Arc<Node>, request: Request) -> Result<Option<ResponseKind>, Error> {
    let Request { kind, version, client_id, client } = request;
    Ok(Some(match kind {
        RequestKind::Fetch(r) => ResponseKind::Fetch(fetch::fetch(node, r).await?),
        RequestKind::JoinGroup(r) => {
            ResponseKind::JoinGroup(groups::join(node, r, version, client_id, client.host).await?)
        }
        RequestKind::SyncGroup(r) => ResponseKind::SyncGroup(groups::sync(node, r).await?),
        RequestKind::Produce(r) => {
            let node = Arc::clone(node);
            let (wants_answer, response) =
                blocking(move || (r.acks != 0, produce::produce(&node, &r))).await?;
            return Ok(wants_answer.then_some(ResponseKind::Produce(response)));
        }
        other => {
            let node = Arc::clone(node);
            let key_of_other = blocking(move || handle_at_once(&node, other, version, &client)).await?;
            return Ok(key_of_other);
        }
    }))
}

/// Requests whose answer waits for nothing but the disk.
fn handle_at_once(node: &Node, kind: RequestKind, version: i16, client: &Client) -> Option<ResponseKind> {
    Some(match kind {
        RequestKind::Metadata(r) => ResponseKind::Metadata(metadata::metadata(node, &r, version, client)),
        RequestKind::FindCoordinator(_) => ResponseKind::FindCoordinator(metadata::find_coordinator(client)),
        RequestKind::ListOffsets(r) => ResponseKind::ListOffsets(fetch::list_offsets(node, &r)),
        RequestKind::Heartbeat(r) => ResponseKind::Heartbeat(groups::heartbeat(node, &r)),
        RequestKind::LeaveGroup(r) => ResponseKind::LeaveGroup(groups::leave(node, &r, version)),
        RequestKind::DescribeGroups(r) => ResponseKind::DescribeGroups(groups::describe(node, &r)),
        RequestKind::ListGroups(r) => ResponseKind::ListGroups(groups::list(node, &r)),
        RequestKind::DeleteGroups(r) => ResponseKind::DeleteGroups(groups::delete(node, &r)),
        RequestKind::OffsetCommit(r) => ResponseKind::OffsetCommit(offsets::commit(node, &r)),
        RequestKind::OffsetFetch(r) => ResponseKind::OffsetFetch(offsets::fetch(node, &r)),
        RequestKind::InitProducerId(r) => {
            ResponseKind::InitProducerId(transactions::init_producer_id(node, &r))
        }
        RequestKind::AddPartitionsToTxn(r) => {
            ResponseKind::AddPartitionsToTxn(transactions::add_partitions(node, &r))
        }
        RequestKind::AddOffsetsToTxn(r) => ResponseKind::AddOffsetsToTxn(transactions::add_offsets(node, &r)),
        RequestKind::TxnOffsetCommit(r) => {
            ResponseKind::TxnOffsetCommit(transactions::commit_offsets(node, &r))
        }
        RequestKind::EndTxn(r) => ResponseKind::EndTxn(transactions::end(node, &r)),
        RequestKind::CreateTopics(r) => ResponseKind::CreateTopics(topics::create(node, &r)),
        RequestKind::DeleteTopics(r) => ResponseKind::DeleteTopics(topics::delete(node, &r)),
        RequestKind::CreatePartitions(r) => {
            ResponseKind::CreatePartitions(topics::create_partitions(node, &r))
        }
        RequestKind::DeleteRecords(r) => ResponseKind::DeleteRecords(topics::delete_records(node, &r)),
        RequestKind::DescribeConfigs(r) => ResponseKind::DescribeConfigs(configs::describe(node, &r)),
        RequestKind::AlterConfigs(r) => ResponseKind::AlterConfigs(configs::alter(node, &r)),
        RequestKind::IncrementalAlterConfigs(r) => {
            ResponseKind::IncrementalAlterConfigs(configs::alter_incrementally(node, &r))
        }
        _ => return None,
    })
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// 0 stands for success.
fn code<T>(outcome: &Result<T, ResponseError>) -> i16 {
    outcome.as_ref().err().map_or(0, ResponseError::code)
}

/// Error code and message of an outcome.
fn code_and_message(outcome: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.error.code(), Some(StrBytes::from_string(refusal.message))),
    }
}
