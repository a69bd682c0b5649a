//! One exhaustive match from API key to handler: may this listener serve it, does its body decode, who answers it.
//!
//! An API is served here exactly when it is advertised; what is not advertised closes its connection, as in Kafka.

use crate::answer::ReplyTo;
use crate::api;
use crate::broker::Broker;
use crate::session::Session;
use net::{ClientSoftware, ConnContext, Reply};
use protocol::ApiKey;
use protocol::frame::{self, HeaderError};
use protocol::wire::{Decode, Reader};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The APIs that this node serves, and whether a controller listener serves them too.
const SERVED: &[(ApiKey, bool)] = &[
    (ApiKey::Produce, false),
    (ApiKey::Fetch, false),
    (ApiKey::ListOffsets, false),
    (ApiKey::Metadata, false),
    (ApiKey::OffsetCommit, false),
    (ApiKey::OffsetFetch, false),
    (ApiKey::FindCoordinator, false),
    (ApiKey::JoinGroup, false),
    (ApiKey::Heartbeat, false),
    (ApiKey::LeaveGroup, false),
    (ApiKey::SyncGroup, false),
    (ApiKey::DescribeGroups, false),
    (ApiKey::ListGroups, false),
    (ApiKey::ApiVersions, true),
    (ApiKey::CreateTopics, true),
    (ApiKey::DeleteTopics, true),
    (ApiKey::DeleteRecords, false),
    (ApiKey::InitProducerId, false),
    (ApiKey::OffsetForLeaderEpoch, false),
    (ApiKey::DescribeConfigs, true),
    (ApiKey::AlterConfigs, true),
    (ApiKey::DescribeLogDirs, false),
    (ApiKey::CreatePartitions, true),
    (ApiKey::DeleteGroups, false),
    (ApiKey::IncrementalAlterConfigs, true),
    (ApiKey::OffsetDelete, false),
    (ApiKey::DescribeQuorum, true),
    (ApiKey::UpdateFeatures, true),
    (ApiKey::DescribeCluster, true),
    (ApiKey::DescribeProducers, false),
    (ApiKey::ConsumerGroupHeartbeat, false),
    (ApiKey::ConsumerGroupDescribe, false),
    (ApiKey::ListConfigResources, false),
    (ApiKey::DescribeTopicPartitions, false),
];

/// The APIs that a node serves on its clients' listeners, with their versions, in order of key.
#[must_use]
pub fn served_apis() -> Vec<(ApiKey, RangeInclusive<i16>)> {
    SERVED.iter().filter_map(|(key, _)| Some((*key, served_versions(*key)?))).collect()
}

/// Whether `key` is served on a listener of this kind.
pub(crate) fn is_served_on(key: ApiKey, controller_listener: bool) -> bool {
    SERVED.iter().any(|&(served, on_controllers)| served == key && (!controller_listener || on_controllers))
}

/// The versions of `key` that are served: all of Kafka's stable ones.
pub(crate) fn served_versions(key: ApiKey) -> Option<RangeInclusive<i16>> {
    key.stable_versions()
}

/// Answers one request frame (without its length prefix).
pub(crate) fn call(broker: &Arc<Broker>, cx: &mut ConnContext<Session>, bytes: &[u8]) -> Reply {
    let (session, software) = (&mut cx.session, &mut cx.client);
    let mut reader = Reader::new(bytes);
    let header = match frame::decode_request_header(&mut reader) {
        Ok(header) => header,
        Err(HeaderError::UnsupportedVersion { key, correlation_id, .. }) if key == ApiKey::ApiVersions.code() => {
            return api::api_versions::unsupported(correlation_id);
        }
        Err(error) => return Reply::Close(error.to_string()),
    };
    let Some(key) = ApiKey::from_code(header.key) else {
        return Reply::Close(format!("API key {} does not exist", header.key));
    };
    let to = ReplyTo { key, version: header.version, correlation_id: header.correlation_id };
    if !is_served_on(key, session.is_controller_listener()) {
        return Reply::Close(format!("{} is not served on listener {}", key.name(), session.listener_name()));
    }
    if !served_versions(key).is_some_and(|versions| versions.contains(&header.version)) {
        if key == ApiKey::ApiVersions {
            return api::api_versions::unsupported(header.correlation_id);
        }
        return Reply::Close(format!("{} version {} is not served", key.name(), header.version));
    }
    session.set_client_id(header.client_id.as_deref());
    match route(broker, session, software, to, &mut reader) {
        Ok(reply) => reply,
        Err(reason) => Reply::Close(reason),
    }
}

fn body<'a, T: Decode<'a>>(to: ReplyTo, reader: &mut Reader<'a>) -> Result<T, String> {
    T::decode(reader, to.version)
        .map_err(|error| format!("a {} v{} request cannot be decoded: {error}", to.key.name(), to.version))
}

#[rustfmt::skip] // a table reads better with one line an API
fn route(broker: &Arc<Broker>, session: &Session, software: &mut ClientSoftware, to: ReplyTo, reader: &mut Reader<'_>) -> Result<Reply, String> {
    Ok(match to.key {
        ApiKey::Produce => api::produce::handle(broker, session, to, &body(to, reader)?),
        ApiKey::Fetch => api::fetch::handle(broker, session, to, &body(to, reader)?),
        ApiKey::ListOffsets => api::list_offsets::handle(broker, to, body(to, reader)?),
        ApiKey::Metadata => api::metadata::handle(broker, session, to, &body(to, reader)?),
        ApiKey::FindCoordinator => api::find_coordinator::handle(broker, session, to, &body(to, reader)?),
        ApiKey::OffsetCommit => api::groups::offset_commit::handle(broker, session, to, body(to, reader)?),
        ApiKey::OffsetFetch => api::groups::offset_fetch::handle(broker, session, to, body(to, reader)?),
        ApiKey::JoinGroup => api::groups::join_group::handle(broker, session, to, &body(to, reader)?),
        ApiKey::Heartbeat => api::groups::heartbeat::handle(broker, session, to, &body(to, reader)?),
        ApiKey::LeaveGroup => api::groups::leave_group::handle(broker, session, to, &body(to, reader)?),
        ApiKey::SyncGroup => api::groups::sync_group::handle(broker, session, to, &body(to, reader)?),
        ApiKey::DescribeGroups => api::groups::describe_groups::handle(broker, session, to, &body(to, reader)?),
        ApiKey::ListGroups => api::groups::list_groups::handle(broker, session, to, &body(to, reader)?),
        ApiKey::DeleteGroups => api::groups::delete_groups::handle(broker, session, to, &body(to, reader)?),
        ApiKey::ConsumerGroupHeartbeat => api::groups::consumer_group_heartbeat::handle(broker, session, to, &body(to, reader)?),
        ApiKey::ConsumerGroupDescribe => api::groups::consumer_group_describe::handle(broker, session, to, &body(to, reader)?),
        ApiKey::OffsetDelete => api::groups::offset_delete::handle(broker, session, to, body(to, reader)?),
        ApiKey::ApiVersions => api::api_versions::handle(broker, session, software, to, &body(to, reader)?),
        ApiKey::CreateTopics => api::create_topics::handle(broker, to, body(to, reader)?),
        ApiKey::DeleteTopics => api::delete_topics::handle(broker, to, body(to, reader)?),
        ApiKey::DeleteRecords => api::delete_records::handle(broker, to, &body(to, reader)?),
        ApiKey::InitProducerId => api::init_producer_id::handle(broker, to, &body(to, reader)?),
        ApiKey::OffsetForLeaderEpoch => api::offset_for_leader_epoch::handle(broker, to, &body(to, reader)?),
        ApiKey::DescribeConfigs => api::describe_configs::handle(broker, to, &body(to, reader)?),
        ApiKey::AlterConfigs => api::alter_configs::handle_legacy(broker, to, body(to, reader)?),
        ApiKey::DescribeLogDirs => api::describe_log_dirs::handle(broker, to, &body(to, reader)?),
        ApiKey::CreatePartitions => api::create_partitions::handle(broker, to, body(to, reader)?),
        ApiKey::IncrementalAlterConfigs => api::alter_configs::handle_incremental(broker, to, body(to, reader)?),
        ApiKey::DescribeQuorum => api::describe_quorum::handle(broker, to, &body(to, reader)?),
        ApiKey::UpdateFeatures => api::update_features::handle(broker, to, body(to, reader)?),
        ApiKey::DescribeCluster => api::describe_cluster::handle(broker, session, to, &body(to, reader)?),
        ApiKey::DescribeProducers => api::describe_producers::handle(broker, to, &body(to, reader)?),
        ApiKey::ListConfigResources => api::list_config_resources::handle(broker, session, to, &body(to, reader)?),
        ApiKey::DescribeTopicPartitions => api::describe_topic_partitions::handle(broker, to, &body(to, reader)?),
        unserved => return Err(format!("{} is not served", unserved.name())),
    })
}
