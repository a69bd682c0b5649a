//! What the differential steps against Kafka found (`crates/server/tests/differential`), decision by decision: each was answered otherwise.

use super::{Rig, topic};
use base::{ErrorCode, Uuid};
use protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::incremental_alter_configs_request::{self, IncrementalAlterConfigsRequest};
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

fn set(
    kind: i8,
    name: &'static str,
    key: &'static str,
    value: &'static str,
) -> IncrementalAlterConfigsRequest<'static> {
    let config = incremental_alter_configs_request::AlterableConfig {
        name: key.into(),
        value: Some(value.into()),
        ..Default::default()
    };
    let resource = incremental_alter_configs_request::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: vec![config],
        ..Default::default()
    };
    IncrementalAlterConfigsRequest { resources: vec![resource], ..IncrementalAlterConfigsRequest::default() }
}

#[test]
fn configs_that_no_running_node_can_follow_are_refused() {
    let rig = Rig::new(1);
    let code = |kind, name, key, value| {
        let decision = rig.controller.incremental_alter_configs(&set(kind, name, key, value));
        ErrorCode::from_code(decision.reply.responses[0].error_code).unwrap()
    };
    assert_eq!(code(BROKER, "1", "max.connections", "10"), ErrorCode::None);
    assert_eq!(code(BROKER, "", "log.retention.ms", "10"), ErrorCode::None);
    for (name, key, value) in [
        ("1", "listeners", "PLAINTEXT://:1"),
        ("", "listeners", "PLAINTEXT://:1"),
        ("1", "ssl.key.password", "secret"),
        ("1", "log.dirs", "/x"),
        ("1", "no.such.config", "1"),
        ("1", "max.connections", "many"),
        ("9", "max.connections", "10"),
    ] {
        assert_eq!(code(BROKER, name, key, value), ErrorCode::InvalidRequest, "{name} {key}");
    }
}

#[test]
fn a_groups_timeouts_stay_between_the_brokers_bounds() {
    let rig = Rig::new(1);
    let code = |name, key, value| {
        let decision = rig.controller.incremental_alter_configs(&set(GROUP, name, key, value));
        ErrorCode::from_code(decision.reply.responses[0].error_code).unwrap()
    };
    assert_eq!(code("g", "consumer.session.timeout.ms", "50000"), ErrorCode::None);
    assert_eq!(code("g", "consumer.session.timeout.ms", "44999"), ErrorCode::InvalidConfig);
    assert_eq!(code("g", "consumer.session.timeout.ms", "60001"), ErrorCode::InvalidConfig);
    assert_eq!(code("g", "share.delivery.count.limit", "11"), ErrorCode::InvalidConfig);
    assert_eq!(code("g", "share.isolation.level", "read_committed"), ErrorCode::None);
    assert_eq!(code("", "consumer.session.timeout.ms", "50000"), ErrorCode::InvalidRequest);
}

#[test]
fn a_groups_session_outlasts_its_heartbeats() {
    let mut rig = Rig::with_file(
        1,
        &[("group.consumer.min.session.timeout.ms", "1"), ("group.consumer.max.heartbeat.interval.ms", "60000")],
    );
    let mut code = |key, value| {
        let decision = rig.controller.incremental_alter_configs(&set(GROUP, "g", key, value));
        let response = rig.commit(decision);
        ErrorCode::from_code(response.responses[0].error_code).unwrap()
    };
    // The brokers' heartbeat is 5 s, and their session 45 s.
    assert_eq!(code("consumer.session.timeout.ms", "5000"), ErrorCode::InvalidConfig);
    assert_eq!(code("consumer.heartbeat.interval.ms", "45000"), ErrorCode::InvalidConfig);
    assert_eq!(code("consumer.session.timeout.ms", "60000"), ErrorCode::None);
    assert_eq!(code("consumer.heartbeat.interval.ms", "59999"), ErrorCode::None, "beside the group's own session");
    assert_eq!(code("consumer.heartbeat.interval.ms", "60000"), ErrorCode::InvalidConfig);
}

#[test]
fn a_resource_or_key_that_is_named_twice_is_refused_everywhere() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 1, 1));
    let one = set(TOPIC, "t", "retention.ms", "7").resources;
    let twice = IncrementalAlterConfigsRequest {
        resources: [one.clone(), one].concat(),
        ..IncrementalAlterConfigsRequest::default()
    };
    let decision = rig.controller.incremental_alter_configs(&twice);
    let invalid = ErrorCode::InvalidRequest.code();
    assert!(decision.records.is_empty() && decision.reply.responses.iter().all(|one| one.error_code == invalid));
    let config = |value: &'static str| alter_configs_request::AlterableConfig {
        name: "retention.ms".into(),
        value: Some(value.into()),
        ..Default::default()
    };
    let resource = alter_configs_request::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs: vec![config("1"), config("2")],
        ..Default::default()
    };
    let request = AlterConfigsRequest { resources: vec![resource], ..AlterConfigsRequest::default() };
    let decision = rig.controller.alter_configs(&request);
    assert!(decision.records.is_empty() && decision.reply.responses[0].error_code == invalid);
}

#[test]
fn a_topic_that_is_named_twice_is_neither_deleted_nor_grown_and_answered_once() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 1, 1));
    let id = rig.controller.image().topics().by_name("t").unwrap().id();
    let named = |name: Option<&'static str>, topic_id| DeleteTopicState {
        name: name.map(Into::into),
        topic_id,
        ..DeleteTopicState::default()
    };
    let (by_name, by_id) = (named(Some("t"), Uuid::ZERO), named(None, id));
    for topics in [vec![by_name.clone(); 2], vec![by_id.clone(); 2], vec![by_id, by_name]] {
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        let decision = rig.controller.delete_topics(&request, 6);
        let codes: Vec<_> = decision.reply.responses.iter().map(|one| one.error_code).collect();
        assert_eq!((codes, decision.records.len()), (vec![ErrorCode::InvalidRequest.code()], 0));
    }
    let grow =
        CreatePartitionsTopic { name: "t".into(), count: 2, assignments: None, ..CreatePartitionsTopic::default() };
    let request = CreatePartitionsRequest { topics: vec![grow; 2], ..CreatePartitionsRequest::default() };
    let decision = rig.controller.create_partitions(&request);
    assert_eq!((decision.reply.results.len(), decision.records.len()), (1, 0));
}

#[test]
fn the_metadata_version_goes_down_only_where_no_record_is_lost() {
    let mut rig = Rig::new(1);
    let level =
        FeatureLevelRecord { name: "metadata.version".into(), feature_level: 31, ..FeatureLevelRecord::default() };
    rig.controller.apply(&level.into());
    let mut update = |level: i16, upgrade_type: i8| {
        let key = FeatureUpdateKey {
            feature: "metadata.version".into(),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest { feature_updates: vec![key], ..UpdateFeaturesRequest::default() };
        let decision = rig.controller.update_features(&request, 2, 1);
        let records = decision.records.len();
        (rig.commit(decision).error_code, records)
    };
    let (upgrade, safe, not_safe) = (1, 2, 3);
    let invalid = ErrorCode::InvalidUpdateVersion.code();
    assert_eq!(update(29, safe), (invalid, 0));
    assert_eq!(update(29, not_safe), (invalid, 0));
    assert_eq!(update(30, upgrade), (invalid, 0));
    assert_eq!(update(30, safe), (0, 1));
    assert_eq!(update(30, safe), (0, 0));
    assert_eq!(update(33, upgrade), (0, 1));
}
