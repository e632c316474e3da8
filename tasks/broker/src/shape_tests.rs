//! Our shapes against the protocol library's own encoder, and against any bytes.

use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("plays"))
}

fn word() -> StrBytes {
    StrBytes::from_static_str("some words")
}

/// Bytes of header and body as a client sends them, after version and correlation id.
fn encoded(key: ApiKey, version: i16, request: &impl Encodable) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i16(6);
    out.put_slice(b"client");
    if key.request_header_version(version) >= 2 {
        out.put_u8(0);
    }
    request.encode(&mut out, version).unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    out.to_vec()
}

/// The frame fits as it is, does not fit without its last byte, and is used up.
fn check<R: Encodable>(key: ApiKey, request: impl Fn(i16) -> R) {
    let api = Api::of(key as i16).unwrap();
    for version in api.min..=api.max {
        let bytes = encoded(key, version, &request(version));
        assert!(api.fits(version, &bytes), "{key:?} version {version}");
        assert!(!api.fits(version, &bytes[..bytes.len() - 1]), "{key:?} version {version} cut");
        let flexible = version >= api.flexible;
        assert_eq!(flexible, key.request_header_version(version) >= 2, "{key:?} version {version}");
        let mut walk = Walk { rest: &bytes, version, flexible, elements: 0 };
        walk.header().and_then(|()| walk.structure(api.fields)).unwrap();
        assert!(walk.rest.is_empty(), "{key:?} version {version} has {} bytes more", walk.rest.len());
    }
}

#[test]
fn records_and_offsets_have_our_shapes() {
    check(ApiKey::Produce, |_| {
        use produce_request::*;
        let partition =
            PartitionProduceData::default().with_index(3).with_records(Some(Bytes::from_static(b"abc")));
        let topic = TopicProduceData::default()
            .with_name(name())
            .with_partition_data(vec![partition.clone(), partition]);
        ProduceRequest::default().with_topic_data(vec![topic])
    });
    check(ApiKey::Fetch, |version| {
        use fetch_request::*;
        let topic =
            FetchTopic::default().with_topic(name()).with_partitions(vec![FetchPartition::default(); 2]);
        let request = FetchRequest::default().with_topics(vec![topic]);
        let forgotten = ForgottenTopic::default().with_topic(name()).with_partitions(vec![1, 2]);
        let request =
            if version >= 7 { request.with_forgotten_topics_data(vec![forgotten]) } else { request };
        if version >= 11 { request.with_rack_id(word()) } else { request }
    });
    check(ApiKey::ListOffsets, |_| {
        use list_offsets_request::*;
        let partitions = vec![ListOffsetsPartition::default(); 2];
        let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(partitions);
        ListOffsetsRequest::default().with_topics(vec![topic])
    });
    check(ApiKey::OffsetCommit, |_| {
        use offset_commit_request::*;
        let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(word()));
        let topic = OffsetCommitRequestTopic::default().with_name(name()).with_partitions(vec![partition; 2]);
        OffsetCommitRequest::default().with_group_id(GroupId(word())).with_topics(vec![topic])
    });
    check(ApiKey::OffsetFetch, |version| {
        use offset_fetch_request::*;
        let topic = OffsetFetchRequestTopic::default().with_name(name()).with_partition_indexes(vec![1, 2]);
        let topics = if version == 3 { None } else { Some(vec![topic]) };
        OffsetFetchRequest::default().with_group_id(GroupId(word())).with_topics(topics)
    });
    check(ApiKey::DeleteRecords, |_| {
        use delete_records_request::*;
        let partitions = vec![DeleteRecordsPartition::default(); 2];
        let topic = DeleteRecordsTopic::default().with_name(name()).with_partitions(partitions);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    });
}

#[test]
fn groups_have_our_shapes() {
    check(ApiKey::FindCoordinator, |_| FindCoordinatorRequest::default().with_key(word()));
    check(ApiKey::JoinGroup, |_| {
        use join_group_request::*;
        let protocol =
            JoinGroupRequestProtocol::default().with_name(word()).with_metadata(Bytes::from_static(b"x"));
        JoinGroupRequest::default().with_protocol_type(word()).with_protocols(vec![protocol; 2])
    });
    check(ApiKey::SyncGroup, |version| {
        use sync_group_request::*;
        let share = SyncGroupRequestAssignment::default().with_member_id(word());
        let request = SyncGroupRequest::default().with_assignments(vec![share; 2]);
        if version >= 5 { request.with_protocol_name(Some(word())) } else { request }
    });
    check(ApiKey::Heartbeat, |_| HeartbeatRequest::default().with_member_id(word()));
    check(ApiKey::LeaveGroup, |version| {
        use leave_group_request::*;
        let member = MemberIdentity::default().with_member_id(word());
        let request = LeaveGroupRequest::default();
        if version >= 3 { request.with_members(vec![member; 2]) } else { request.with_member_id(word()) }
    });
    check(ApiKey::DescribeGroups, |_| DescribeGroupsRequest::default().with_groups(vec![GroupId(word()); 2]));
    check(ApiKey::ListGroups, |version| {
        let request = ListGroupsRequest::default();
        if version >= 4 { request.with_states_filter(vec![word(); 2]) } else { request }
    });
    check(ApiKey::DeleteGroups, |_| {
        DeleteGroupsRequest::default().with_groups_names(vec![GroupId(word()); 2])
    });
}

#[test]
fn transactions_have_our_shapes() {
    let id = || TransactionalId(word());
    check(ApiKey::InitProducerId, |_| InitProducerIdRequest::default().with_transactional_id(Some(id())));
    check(ApiKey::AddPartitionsToTxn, |_| {
        use add_partitions_to_txn_request::*;
        let topic = AddPartitionsToTxnTopic::default().with_name(name()).with_partitions(vec![1, 2]);
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_topics(vec![topic; 2])
    });
    check(ApiKey::AddOffsetsToTxn, |_| AddOffsetsToTxnRequest::default().with_transactional_id(id()));
    check(ApiKey::EndTxn, |_| EndTxnRequest::default().with_transactional_id(id()));
    check(ApiKey::TxnOffsetCommit, |version| {
        use txn_offset_commit_request::*;
        let partitions =
            vec![TxnOffsetCommitRequestPartition::default().with_committed_metadata(Some(word()))];
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name()).with_partitions(partitions);
        let request = TxnOffsetCommitRequest::default().with_topics(vec![topic; 2]);
        if version >= 3 { request.with_member_id(word()) } else { request }
    });
}

#[test]
fn administration_has_our_shapes() {
    check(ApiKey::Metadata, |version| {
        let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name()));
        MetadataRequest::default().with_topics(Some(vec![topic; 2])).with_allow_auto_topic_creation(
            version >= 4 || MetadataRequest::default().allow_auto_topic_creation,
        )
    });
    check(ApiKey::ApiVersions, |_| ApiVersionsRequest::default());
    check(ApiKey::CreateTopics, |_| {
        use create_topics_request::*;
        let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
        let config = CreatableTopicConfig::default().with_name(word());
        let topic = CreatableTopic::default()
            .with_name(name())
            .with_assignments(vec![assignment])
            .with_configs(vec![config]);
        CreateTopicsRequest::default().with_topics(vec![topic; 2])
    });
    check(ApiKey::DeleteTopics, |_| DeleteTopicsRequest::default().with_topic_names(vec![name(); 2]));
    check(ApiKey::CreatePartitions, |_| {
        use create_partitions_request::*;
        let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
        let topic =
            CreatePartitionsTopic::default().with_name(name()).with_assignments(Some(vec![assignment]));
        CreatePartitionsRequest::default().with_topics(vec![topic; 2])
    });
    check(ApiKey::DescribeConfigs, |_| {
        use describe_configs_request::*;
        let resource = DescribeConfigsResource::default().with_configuration_keys(Some(vec![word(); 2]));
        DescribeConfigsRequest::default().with_resources(vec![resource; 2])
    });
    check(ApiKey::AlterConfigs, |_| {
        use alter_configs_request::*;
        let config = AlterableConfig::default().with_name(word()).with_value(Some(word()));
        AlterConfigsRequest::default()
            .with_resources(vec![AlterConfigsResource::default().with_configs(vec![config])])
    });
    check(ApiKey::IncrementalAlterConfigs, |_| {
        use incremental_alter_configs_request::*;
        let config = AlterableConfig::default().with_name(word()).with_value(Some(word()));
        let resource = AlterConfigsResource::default().with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    });
}

#[test]
fn list_that_claims_more_than_the_frame_holds_does_not_fit() {
    let api = Api::of(ApiKey::Metadata as i16).unwrap();
    let mut frame = encoded(ApiKey::Metadata, 1, &MetadataRequest::default().with_topics(Some(Vec::new())));
    assert!(api.fits(1, &frame));
    let at = frame.len() - 4;
    frame[at..].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(!api.fits(1, &frame));
}

proptest! {
    #[test]
    fn what_fits_decodes_without_panic_or_great_allocation(
        at in 0..APIS.len(), version in 0i16..13, bytes in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        let api = &APIS[at];
        if api.takes(version) && api.fits(version, &bytes) {
            let mut body = BytesMut::new();
            body.put_i16(api.key as i16);
            body.put_i16(version);
            body.put_i32(1);
            body.put_slice(&bytes);
            let mut body = body.freeze();
            use kafka_protocol::protocol::Decodable;
            if RequestHeader::decode(&mut body, api.key.request_header_version(version)).is_ok() {
                // Either outcome is fine; the point is to come back.
                let _ = RequestKind::decode(api.key, &mut body, version);
            }
        }
    }
}
