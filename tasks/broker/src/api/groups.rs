//! Requests of consumer groups: joining, staying, leaving, looking at, deleting.

use super::{code, text};
use crate::dispatch::{Error, blocking};
use crate::group::{Joined, Joining, State, Synced};
use crate::meta::Entry;
use crate::node::{Node, lock, now_ms};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const MAX_SESSION_MS: i32 = 30 * 60 * 1000;
const CONSUMER: &str = "consumer";

/// A refusal may come with the member id to use.
type Refused = (ResponseError, String);

pub(crate) async fn join(
    node: &Arc<Node>,
    request: JoinGroupRequest,
    version: i16,
    client_id: String,
    client_host: String,
) -> Result<JoinGroupResponse, Error> {
    let (reply, answer) = oneshot::channel();
    let entering = Arc::clone(node);
    let entered = blocking(move || {
        let member_id = admit(&entering, &request, version, &client_id)?;
        let group_id = request.group_id.clone();
        let joining = joining(request, member_id, client_id, client_host, reply);
        match lock(&entering.groups).enter(&group_id) {
            Some(group) => group.join(Instant::now(), joining),
            None => return Err((ResponseError::CoordinatorNotAvailable, String::new())),
        }
        entering.sooner.notify_one();
        Ok(())
    });
    if let Err(refused) = entered.await? {
        return Ok(refuse_join(refused));
    }
    Ok(match wait(node, answer).await {
        Ok(joined) => accept_join(joined),
        Err(error) => refuse_join((error, String::new())),
    })
}

/// A member's answer, unless it was replaced meanwhile or the broker stops.
async fn wait<T>(
    node: &Node,
    answer: oneshot::Receiver<Result<T, ResponseError>>,
) -> Result<T, ResponseError> {
    tokio::select! {
        () = node.stop.cancelled() => Err(ResponseError::CoordinatorNotAvailable),
        answer = answer => answer.unwrap_or(Err(ResponseError::UnknownMemberId)),
    }
}

/// The member id to join with.
fn admit(node: &Node, request: &JoinGroupRequest, version: i16, client_id: &str) -> Result<String, Refused> {
    let refused = |error| (error, request.member_id.to_string());
    if request.group_id.is_empty() {
        return Err(refused(ResponseError::InvalidGroupId));
    }
    if !(1..=MAX_SESSION_MS).contains(&request.session_timeout_ms) {
        return Err(refused(ResponseError::InvalidSessionTimeout));
    }
    if !request.member_id.is_empty() {
        return Ok(request.member_id.to_string());
    }
    let mut groups = lock(&node.groups);
    let fresh = groups.fresh_member_id(client_id, now_ms());
    let lapse = millis(request.session_timeout_ms);
    let group =
        groups.enter(&request.group_id).ok_or_else(|| refused(ResponseError::CoordinatorNotAvailable))?;
    group.admit(Instant::now(), fresh.clone(), lapse).map_err(refused)?;
    // A client that dies before its first join leaves nothing behind if it has to come back with the id first.
    // Static members are known by their instance id instead.
    if version >= 4 && request.group_instance_id.is_none() {
        return Err((ResponseError::MemberIdRequired, fresh));
    }
    Ok(fresh)
}

fn joining(
    request: JoinGroupRequest,
    member_id: String,
    client_id: String,
    client_host: String,
    reply: oneshot::Sender<Result<Joined, ResponseError>>,
) -> Joining {
    // Version 0 knows no rebalance time-out.
    let rebalance_ms = if request.rebalance_timeout_ms > 0 {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    Joining {
        member_id,
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id,
        client_host,
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: request.protocols.into_iter().map(|p| (p.name.to_string(), p.metadata)).collect(),
        reply,
    }
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn refuse_join((error, member_id): Refused) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(Some(StrBytes::new()))
        .with_member_id(StrBytes::from_string(member_id))
}

fn accept_join(joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(StrBytes::from_string(member.member_id))
            .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(StrBytes::from_string(joined.protocol_type)))
        .with_protocol_name(Some(StrBytes::from_string(joined.protocol)))
        .with_leader(StrBytes::from_string(joined.leader))
        .with_member_id(StrBytes::from_string(joined.member_id))
        .with_members(members.collect())
}

pub(crate) async fn sync(node: &Arc<Node>, request: SyncGroupRequest) -> Result<SyncGroupResponse, Error> {
    let (reply, answer) = oneshot::channel();
    let entering = Arc::clone(node);
    blocking(move || {
        let shares =
            request.assignments.iter().map(|a| (a.member_id.to_string(), a.assignment.clone())).collect();
        let mut groups = lock(&entering.groups);
        match groups.get_mut(&request.group_id) {
            Some(group) => {
                group.sync(Instant::now(), &request.member_id, request.generation_id, shares, reply);
            }
            None => drop(reply), // told as an unknown member
        }
    })
    .await?;
    Ok(match wait(node, answer).await {
        Ok(Synced { protocol_type, protocol, assignment }) => SyncGroupResponse::default()
            .with_protocol_type(Some(StrBytes::from_string(protocol_type)))
            .with_protocol_name(Some(StrBytes::from_string(protocol)))
            .with_assignment(assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    })
}

pub(crate) fn heartbeat(node: &Node, request: &HeartbeatRequest) -> HeartbeatResponse {
    let outcome = match lock(&node.groups).get_mut(&request.group_id) {
        Some(group) => group.heartbeat(Instant::now(), &request.member_id, request.generation_id),
        None => Err(ResponseError::UnknownMemberId),
    };
    HeartbeatResponse::default().with_error_code(code(&outcome))
}

pub(crate) fn leave(node: &Node, request: &LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let leaving: Vec<(StrBytes, Option<StrBytes>)> = if version >= 3 {
        request.members.iter().map(|m| (m.member_id.clone(), m.group_instance_id.clone())).collect()
    } else {
        vec![(request.member_id.clone(), None)]
    };
    let mut groups = lock(&node.groups);
    let mut members = Vec::new();
    for (member_id, instance_id) in leaving {
        let outcome = match groups.get_mut(&request.group_id) {
            None => Err(ResponseError::UnknownMemberId),
            Some(group) => {
                let of_instance = instance_id.as_deref().and_then(|id| group.member_of_instance(id));
                let id = if member_id.is_empty() {
                    of_instance.unwrap_or_default()
                } else {
                    member_id.to_string()
                };
                group.leave(Instant::now(), &id)
            }
        };
        members.push(
            MemberResponse::default()
                .with_member_id(member_id)
                .with_group_instance_id(instance_id)
                .with_error_code(code(&outcome)),
        );
    }
    drop(groups);
    node.sooner.notify_one();
    let of_single = members.first().map_or(0, |member| member.error_code);
    let response = LeaveGroupResponse::default();
    if version >= 3 { response.with_members(members) } else { response.with_error_code(of_single) }
}

pub(crate) fn describe(node: &Node, request: &DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = lock(&node.groups);
    let meta = lock(&node.meta);
    let described = request.groups.iter().map(|id| {
        let answer = DescribedGroup::default().with_group_id(id.clone());
        let Some(group) = groups.get(id) else {
            let has_offsets = meta.state().offsets.contains_key(id.as_str());
            let state = if has_offsets { State::Empty.name() } else { "Dead" };
            return answer.with_group_state(text(state)).with_protocol_type(text(CONSUMER));
        };
        let members = group.members.iter().map(|(member_id, member)| {
            DescribedGroupMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(member.metadata(&group.protocol))
                .with_member_assignment(member.assignment.clone())
        });
        answer
            .with_group_state(text(group.state.name()))
            .with_protocol_type(text(&group.protocol_type))
            .with_protocol_data(text(&group.protocol))
            .with_members(members.collect())
    });
    DescribeGroupsResponse::default().with_groups(described.collect())
}

pub(crate) fn list(node: &Node, request: &ListGroupsRequest) -> ListGroupsResponse {
    let groups = lock(&node.groups);
    let meta = lock(&node.meta);
    let with_members =
        groups.iter().map(|(id, group)| (id, group.protocol_type.as_str(), group.state.name()));
    let others = meta.state().offsets.keys().filter(|id| groups.get(id).is_none());
    let all = with_members.chain(others.map(|id| (id, CONSUMER, State::Empty.name())));
    let filter = &request.states_filter;
    let wanted = all.filter(|(_, _, state)| filter.is_empty() || filter.iter().any(|s| s.as_str() == *state));
    let listed = wanted.map(|(id, protocol_type, state)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_protocol_type(text(protocol_type))
            .with_group_state(text(state))
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

pub(crate) fn delete(node: &Node, request: &DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.iter().map(|id| {
        let outcome = delete_group(node, id);
        DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(code(&outcome))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_group(node: &Node, id: &str) -> Result<(), ResponseError> {
    let groups = lock(&node.groups);
    if groups.get(id).is_some_and(|group| !group.members.is_empty()) {
        return Err(ResponseError::NonEmptyGroup);
    }
    let mut meta = lock(&node.meta);
    if !meta.state().offsets.contains_key(id) {
        return Err(ResponseError::GroupIdNotFound);
    }
    let deleted = meta.commit(vec![Entry::GroupDeleted { group: id.to_owned() }]);
    deleted.map_err(|_| ResponseError::CoordinatorNotAvailable)
}
