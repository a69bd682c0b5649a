//! Inputs for the node: a topic and groups that are there, so that requests about them come far.

use protocol::ApiKey;
use protocol::frame::encode_request;
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::{Encode, Records};
use record::{BatchBuilder, BatchOptions, NewRecord};

/// A frame without its size, as the target takes it: time, length, bytes.
fn framed(key: ApiKey, version: i16, body: &impl Encode) -> Vec<u8> {
    let frame = encode_request(key, version, 7, Some("c"), body).expect("a sound request");
    timed(&frame[4..])
}

fn timed(frame: &[u8]) -> Vec<u8> {
    [&[1][..], &(frame.len() as u16).to_be_bytes(), frame].concat()
}

fn create() -> Vec<u8> {
    let config = CreatableTopicConfig { name: "retention.ms".into(), value: Some("1000".into()), ..Default::default() };
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 2,
        replication_factor: 1,
        configs: vec![config],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1_000, ..Default::default() };
    framed(ApiKey::CreateTopics, 7, &request)
}

fn produce(acks: i16) -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for value in [&b"a"[..], b"b"] {
        let timestamp = base::Timestamp(1_750_000_000_000);
        batch.append(&NewRecord { timestamp, key: Some(b"k"), value: Some(value), headers: &[] });
    }
    let records = Records::Bytes(batch.build().into());
    let partition = PartitionProduceData { index: 0, records, ..Default::default() };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks, timeout_ms: 1_000, topic_data: vec![topic], ..Default::default() };
    framed(ApiKey::Produce, 9, &request)
}

fn fetch(session_id: i32, session_epoch: i32) -> Vec<u8> {
    let partition = FetchPartition { partition: 0, fetch_offset: 0, partition_max_bytes: 9_000, ..Default::default() };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 9_000,
        session_id,
        session_epoch,
        topics: vec![topic],
        ..Default::default()
    };
    framed(ApiKey::Fetch, 12, &request)
}

fn list_offsets(timestamp: i64) -> Vec<u8> {
    let partition = ListOffsetsPartition { partition_index: 0, timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    framed(ApiKey::ListOffsets, 7, &ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() })
}

fn delete_records() -> Vec<u8> {
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 1, ..Default::default() };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    framed(
        ApiKey::DeleteRecords,
        2,
        &DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1_000, ..Default::default() },
    )
}

fn alter(resource_type: i8, resource_name: &'static str, name: &'static str, value: &'static str) -> Vec<u8> {
    let config = AlterableConfig { name: name.into(), value: Some(value.into()), ..Default::default() };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: resource_name.into(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    framed(ApiKey::IncrementalAlterConfigs, 1, &request)
}

fn coordinator(group: &'static str) -> Vec<u8> {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
    framed(ApiKey::FindCoordinator, 4, &request)
}

fn join(group: &'static str) -> Vec<u8> {
    let protocol = JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: vec![0, 1, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255, 0, 0, 0, 0].into(),
        ..Default::default()
    };
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    framed(ApiKey::JoinGroup, 3, &request)
}

fn consumer(group: &'static str, regex: Option<&'static str>) -> Vec<u8> {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: regex.is_none().then(|| vec!["t".into()]),
        subscribed_topic_regex: regex.map(Into::into),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    framed(ApiKey::ConsumerGroupHeartbeat, 1, &request)
}

fn commit(group: &'static str) -> Vec<u8> {
    let partition = OffsetCommitRequestPartition { partition_index: 0, committed_offset: 1, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    framed(ApiKey::OffsetCommit, 8, &request)
}

fn committed(group: &'static str) -> Vec<u8> {
    let group = OffsetFetchRequestGroup { group_id: group.into(), ..Default::default() };
    framed(ApiKey::OffsetFetch, 8, &OffsetFetchRequest { groups: vec![group], ..Default::default() })
}

/// Sequences of frames; `frames` are requests of their own, about things that are not there.
pub(crate) fn inputs(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let producer =
        framed(ApiKey::InitProducerId, 4, &InitProducerIdRequest { transaction_timeout_ms: 1, ..Default::default() });
    let log =
        [produce(-1), fetch(0, 0), fetch(0, -1), list_offsets(-1), list_offsets(5), list_offsets(-3), delete_records()];
    let configs = [
        alter(2, "t", "cleanup.policy", "compact"),
        alter(4, "", "log.retention.ms", "5"),
        alter(32, "g", "consumer.session.timeout.ms", "45000"),
        producer,
    ];
    let groups = [coordinator("g"), coordinator("h"), join("g"), commit("g"), committed("g"), consumer("h", None)];
    let expressions = ["t.*", "(a|b)*[[:alpha:]]{2,5}", "\\Q.\\E|(?i)x"];
    let expressions =
        expressions.map(|regex| [coordinator("h"), consumer("h", Some(regex)), consumer("h", None)].concat());
    let mut inputs = vec![
        [create(), log.concat()].concat(),
        [create(), configs.concat()].concat(),
        [create(), groups.concat()].concat(),
        [create(), produce(1), produce(0), fetch(0, 0), fetch(1, 1)].concat(),
    ];
    inputs.extend(expressions.map(|expression| [create(), expression].concat()));
    inputs.extend(frames.iter().map(|frame| timed(frame)));
    inputs
}
