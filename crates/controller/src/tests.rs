mod log_dirs;
mod refusals;

use crate::{Assignment, Controller, Decision, Settings};
use base::{BrokerEpoch, ErrorCode, LeaderEpoch, Monotonic, NodeId, SeededRng, Uuid};
use protocol::messages::broker_registration_request::{BrokerRegistrationRequest, Feature, Listener};
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_topics_request::DeleteTopicsRequest;
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::register_controller_record::RegisterControllerRecord;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use std::borrow::Cow;

/// A controller whose decisions are applied as soon as they are made.
struct Rig {
    controller: Controller,
    log: Vec<crate::VersionedRecord>,
}

impl Rig {
    fn new(brokers: i32) -> Rig {
        Self::with_file(brokers, &[])
    }

    /// With configs of the node's file.
    fn with_file(brokers: i32, file: &[(&str, &str)]) -> Rig {
        let settings = Settings {
            cluster_id: "c".into(),
            num_partitions: 2,
            default_replication_factor: 1,
            delete_topic_enable: true,
            session_timeout_ms: 9_000,
            node_configs: file.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let mut rig = Rig { controller: Controller::new(settings, SeededRng::new(1)), log: Vec::new() };
        let level = FeatureLevelRecord {
            name: Cow::Borrowed("metadata.version"),
            feature_level: 33,
            ..FeatureLevelRecord::default()
        };
        let records = rig.controller.activation(&[(level.into(), 0)]);
        rig.commit(Decision { records, reply: () });
        for id in 1..=brokers {
            let request = registration(id);
            let decision = rig.controller.register_broker(Monotonic(0), &request, i64::from(id)).unwrap();
            let epoch = rig.commit(decision);
            let decision = rig.controller.heartbeat(Monotonic(0), NodeId(id), epoch, &[]).unwrap();
            rig.commit(decision);
        }
        rig
    }

    fn commit<R>(&mut self, decision: Decision<R>) -> R {
        for (record, version) in &decision.records {
            record.encode_frame(*version).expect("records fit their version");
            self.controller.apply(record);
        }
        self.log.extend(decision.records);
        decision.reply
    }

    fn create(&mut self, topic: CreatableTopic<'_>) -> (ErrorCode, String) {
        self.create_all(vec![topic], false).remove(0)
    }

    fn create_all(&mut self, topics: Vec<CreatableTopic<'_>>, validate_only: bool) -> Vec<(ErrorCode, String)> {
        let request = CreateTopicsRequest { topics, validate_only, ..CreateTopicsRequest::default() };
        let decision = self.controller.create_topics(&request);
        let reply = self.commit(decision);
        reply
            .topics
            .iter()
            .map(|t| {
                (ErrorCode::from_code(t.error_code).unwrap(), t.error_message.clone().unwrap_or_default().into_owned())
            })
            .collect()
    }
}

fn registration(id: i32) -> BrokerRegistrationRequest<'static> {
    BrokerRegistrationRequest {
        broker_id: id,
        cluster_id: Cow::Borrowed("c"),
        incarnation_id: Uuid(1_000 + id as u128),
        listeners: vec![Listener {
            name: Cow::Borrowed("PLAINTEXT"),
            host: Cow::Borrowed("h"),
            port: 1,
            ..Listener::default()
        }],
        features: vec![Feature {
            name: Cow::Borrowed("metadata.version"),
            min_supported_version: 7,
            max_supported_version: 33,
            ..Feature::default()
        }],
        log_dirs: vec![Uuid(5_000 + id as u128)],
        ..BrokerRegistrationRequest::default()
    }
}

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic<'_> {
    CreatableTopic {
        name: Cow::Borrowed(name),
        num_partitions: partitions,
        replication_factor: factor,
        ..CreatableTopic::default()
    }
}

#[test]
fn topics_are_made_with_defaults_and_directories() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.create(topic("t", -1, -1)).0, ErrorCode::None);
    let made = rig.controller.image().topics().by_name("t").unwrap();
    assert_eq!(made.partition_count(), 2);
    let partition = made.partition(1).unwrap();
    assert_eq!((partition.leader, partition.leader_epoch), (NodeId(1), LeaderEpoch(0)));
    assert_eq!(partition.directories, [Uuid(5_001)]);
}

#[test]
fn bad_topics_are_refused_with_kafkas_codes() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.create(topic("a.b", 1, 1)).0, ErrorCode::None);
    for (bad, code, word) in [
        (topic("a.b", 1, 1), ErrorCode::TopicAlreadyExists, "already exists"),
        (topic("a_b", 1, 1), ErrorCode::InvalidTopicException, "collides"),
        (topic("no/slash", 1, 1), ErrorCode::InvalidTopicException, "alphanumerics"),
        (topic("x", 0, 1), ErrorCode::InvalidPartitions, "non-positive"),
        (topic("x", 1, 0), ErrorCode::InvalidReplicationFactor, "larger than 0"),
        (topic("x", 1, 2), ErrorCode::InvalidReplicationFactor, "only 1 broker"),
        (topic("x", 20_000, 1), ErrorCode::PolicyViolation, "at most"),
    ] {
        let (got, message) = rig.create(bad);
        assert_eq!(got, code, "{message}");
        assert!(message.contains(word), "{message}");
    }
    let config =
        |name, value| CreatableTopicConfig { name: Cow::Borrowed(name), value, ..CreatableTopicConfig::default() };
    for bad in [
        config("no.such", Some(Cow::Borrowed("1"))),
        config("retention.ms", Some(Cow::Borrowed("x"))),
        config("retention.ms", None),
    ] {
        assert_eq!(rig.create(CreatableTopic { configs: vec![bad], ..topic("x", 1, 1) }).0, ErrorCode::InvalidConfig);
    }
    let twice = rig.create_all(vec![topic("d", 1, 1), topic("d", 1, 1)], false);
    assert_eq!(twice.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [ErrorCode::InvalidRequest]);
    let before = rig.log.len();
    assert_eq!(rig.create_all(vec![topic("v", 1, 1)], true)[0].0, ErrorCode::None);
    assert_eq!(rig.log.len(), before, "validate-only leaves nothing");
}

#[test]
fn manual_assignments_are_checked() {
    let mut rig = Rig::new(2);
    let manual = |pairs: &[(i32, &[i32])]| CreatableTopic {
        assignments: pairs
            .iter()
            .map(|(index, ids)| CreatableReplicaAssignment {
                partition_index: *index,
                broker_ids: ids.to_vec(),
                ..CreatableReplicaAssignment::default()
            })
            .collect(),
        ..topic("m", -1, -1)
    };
    for bad in
        [&[(1, &[1][..])][..], &[(0, &[9][..])], &[(0, &[1, 1][..])], &[(0, &[][..])], &[(0, &[1][..]), (0, &[2][..])]]
    {
        assert_eq!(rig.create(manual(bad)).0, ErrorCode::InvalidReplicaAssignment, "{bad:?}");
    }
    assert_eq!(rig.create(manual(&[(0, &[2, 1]), (1, &[1, 2])])).0, ErrorCode::None);
    assert_eq!(rig.controller.image().topics().by_name("m").unwrap().partition(0).unwrap().leader, NodeId(2));
}

#[test]
fn partitions_only_grow() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 3, 1));
    for (count, code) in [(3, ErrorCode::InvalidPartitions), (2, ErrorCode::InvalidPartitions), (5, ErrorCode::None)] {
        let topics = vec![CreatePartitionsTopic {
            name: Cow::Borrowed("t"),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        }];
        let decision =
            rig.controller.create_partitions(&CreatePartitionsRequest { topics, ..CreatePartitionsRequest::default() });
        assert_eq!(rig.commit(decision).results[0].error_code, code.code());
    }
    assert_eq!(rig.controller.image().topics().by_name("t").unwrap().partition_count(), 5);
}

#[test]
fn r30_a_topic_made_again_has_another_id() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 1, 1));
    let id = rig.controller.image().topics().by_name("t").unwrap().id();
    let request = DeleteTopicsRequest {
        topic_names: vec![Cow::Borrowed("t"), Cow::Borrowed("gone")],
        ..DeleteTopicsRequest::default()
    };
    let decision = rig.controller.delete_topics(&request, 5);
    let codes: Vec<_> = rig.commit(decision).responses.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    rig.create(topic("t", 1, 1));
    assert_ne!(rig.controller.image().topics().by_name("t").unwrap().id(), id);
}

#[test]
fn configs_change_one_by_one() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 1, 1));
    let mut alter = |kind: i8, name: &'static str, key: &'static str, op: i8, value: Option<&'static str>| {
        let config = AlterableConfig {
            name: Cow::Borrowed(key),
            config_operation: op,
            value: value.map(Cow::Borrowed),
            ..AlterableConfig::default()
        };
        let resource = AlterConfigsResource {
            resource_type: kind,
            resource_name: Cow::Borrowed(name),
            configs: vec![config],
            ..AlterConfigsResource::default()
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![resource], ..IncrementalAlterConfigsRequest::default() };
        let decision = rig.controller.incremental_alter_configs(&request);
        let code = rig.commit(decision).responses[0].error_code;
        let value = rig.controller.image().configs(kind, name).find(|(k, _)| *k == key).map(|(_, v)| v.to_owned());
        (ErrorCode::from_code(code).unwrap(), value)
    };
    assert_eq!(alter(2, "t", "retention.ms", 0, Some("5")), (ErrorCode::None, Some("5".into())));
    assert_eq!(alter(2, "t", "retention.ms", 0, Some("x")).0, ErrorCode::InvalidConfig);
    assert_eq!(alter(2, "t", "cleanup.policy", 2, Some("compact")), (ErrorCode::None, Some("delete,compact".into())));
    assert_eq!(alter(2, "t", "cleanup.policy", 3, Some("delete")), (ErrorCode::None, Some("compact".into())));
    assert_eq!(alter(2, "t", "retention.ms", 2, Some("1")).0, ErrorCode::InvalidConfig);
    assert_eq!(alter(2, "t", "retention.ms", 1, None), (ErrorCode::None, None));
    assert_eq!(alter(2, "gone", "retention.ms", 0, Some("5")).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(4, "", "log.retention.ms", 0, Some("7")), (ErrorCode::None, Some("7".into())));
    assert_eq!(alter(4, "1", "node.id", 0, Some("7")).0, ErrorCode::InvalidRequest);
    assert_eq!(alter(4, "9", "log.retention.ms", 0, Some("7")).0, ErrorCode::InvalidRequest);
}

#[test]
fn a_fenced_broker_loses_leadership_and_gets_it_back() {
    let mut rig = Rig::new(1);
    rig.create(topic("t", 1, 1));
    let leader = |rig: &Rig| rig.controller.image().topics().by_name("t").unwrap().partition(0).unwrap().clone();
    assert!(rig.controller.tick(Monotonic(0).plus_millis(8_999)).is_empty());
    let records = rig.controller.tick(Monotonic(0).plus_millis(9_000));
    rig.commit(Decision { records, reply: () });
    assert_eq!(
        (leader(&rig).leader, leader(&rig).leader_epoch, leader(&rig).isr.clone()),
        (NodeId::NONE, LeaderEpoch(1), vec![NodeId(1)])
    );
    let decision = rig.controller.heartbeat(Monotonic(0).plus_millis(9_500), NodeId(1), BrokerEpoch(1), &[]).unwrap();
    rig.commit(decision);
    assert_eq!((leader(&rig).leader, leader(&rig).leader_epoch), (NodeId(1), LeaderEpoch(2)));
}

#[test]
fn stale_epochs_and_foreign_clusters_are_refused() {
    let mut rig = Rig::new(1);
    let code = |refused: Result<Decision<()>, base::Refusal>| refused.unwrap_err().code;
    assert_eq!(
        code(rig.controller.heartbeat(Monotonic(0), NodeId(1), BrokerEpoch(99), &[])),
        ErrorCode::StaleBrokerEpoch
    );
    assert_eq!(
        code(rig.controller.heartbeat(Monotonic(0), NodeId(7), BrokerEpoch(1), &[])),
        ErrorCode::BrokerIdNotRegistered
    );
    let foreign = BrokerRegistrationRequest { cluster_id: Cow::Borrowed("other"), ..registration(2) };
    assert_eq!(
        rig.controller.register_broker(Monotonic(0), &foreign, 9).unwrap_err().code,
        ErrorCode::InconsistentClusterId
    );
    let usurper = BrokerRegistrationRequest { incarnation_id: Uuid(1), ..registration(1) };
    assert_eq!(
        rig.controller.register_broker(Monotonic(0), &usurper, 9).unwrap_err().code,
        ErrorCode::DuplicateBrokerRegistration
    );
    assert!(rig.controller.register_broker(Monotonic(0).plus_millis(9_000), &usurper, 9).is_ok());
    let old = BrokerRegistrationRequest { features: vec![], ..registration(3) };
    assert_eq!(rig.controller.register_broker(Monotonic(0), &old, 9).unwrap_err().code, ErrorCode::UnsupportedVersion);
}

#[test]
fn producer_ids_never_repeat() {
    let mut rig = Rig::new(1);
    let decision = rig.controller.allocate_producer_ids(NodeId(1), BrokerEpoch(1)).unwrap();
    assert_eq!(rig.commit(decision), 0..1_000);
    let decision = rig.controller.allocate_producer_ids(NodeId(1), BrokerEpoch(1)).unwrap();
    assert_eq!(rig.commit(decision), 1_000..2_000);
}

#[test]
fn feature_levels_are_checked() {
    let mut rig = Rig::new(1);
    let mut update = |name: &'static str, level: i16, upgrade_type: i8| {
        let key = FeatureUpdateKey {
            feature: Cow::Borrowed(name),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest { feature_updates: vec![key], ..UpdateFeaturesRequest::default() };
        let decision = rig.controller.update_features(&request, 2, 1);
        rig.commit(decision).error_code
    };
    let invalid = ErrorCode::InvalidUpdateVersion.code();
    assert_eq!(update("metadata.version", 33, 1), 0);
    assert_eq!(update("metadata.version", 34, 1), invalid);
    assert_eq!(update("metadata.version", 30, 1), invalid);
    assert_eq!(update("metadata.version", 30, 2), invalid);
    assert_eq!(update("transaction.version", 2, 1), invalid);
    assert_eq!(update("share.version", 0, 1), 0);
    assert_eq!(update("group.version", 1, 1), 0);
    assert_eq!(update("group.version", 2, 1), invalid);
    assert_eq!(update("group.version", 0, 1), invalid, "it is no downgrade");
    assert_eq!(update("group.version", 0, 2), 0);
}

#[test]
fn a_controller_stands_in_the_log_from_3_7_iv0_on() {
    let own = |incarnation: u128| RegisterControllerRecord {
        controller_id: 1,
        incarnation_id: Uuid(incarnation),
        ..RegisterControllerRecord::default()
    };
    let level = |level: i16| {
        let name = Cow::Borrowed("metadata.version");
        (FeatureLevelRecord { name, feature_level: level, ..FeatureLevelRecord::default() }.into(), 0)
    };
    let mut rig = Rig::new(1);
    rig.commit(Decision { records: vec![level(14)], reply: () });
    assert_eq!(rig.controller.register_controller(own(7)), None);
    let raise = |to: i16, validate_only: bool| UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: "metadata.version".into(),
            max_version_level: to,
            upgrade_type: 1,
            ..FeatureUpdateKey::default()
        }],
        validate_only,
        ..UpdateFeaturesRequest::default()
    };
    assert_eq!(rig.controller.update_features(&raise(15, true), 2, 1).records, []);
    let raised = rig.controller.update_features(&raise(15, false), 2, 1);
    assert_eq!(raised.records, [level(15), (own(7).into(), 0)]);
    rig.commit(raised);
    assert_eq!(rig.controller.update_features(&raise(16, false), 2, 1).records, [level(16)], "it is there already");
    assert_eq!(rig.controller.register_controller(own(7)), None);
    assert_eq!(rig.controller.register_controller(own(8)), Some((own(8).into(), 0)), "a new start");
}

#[test]
fn replaying_the_log_gives_the_same_state() {
    let mut rig = Rig::new(2);
    rig.create(topic("a", 4, 2));
    rig.create(topic("b", 1, 1));
    let records = rig.controller.tick(Monotonic(u64::MAX));
    rig.commit(Decision { records, reply: () });
    let settings = rig.controller.settings.clone();
    let mut fresh = Controller::new(settings, SeededRng::new(9));
    rig.log.iter().for_each(|(record, _)| fresh.apply(record));
    assert_eq!(fresh.image(), rig.controller.image());
}

#[test]
fn the_log_dirs_of_replicas_are_noted_as_kafka_notes_them() {
    let mut rig = Rig::new(1);
    let mut request = registration(2);
    request.log_dirs = vec![Uuid(6_001), Uuid(6_002)];
    let decision = rig.controller.register_broker(Monotonic(0), &request, 50).unwrap();
    let epoch = rig.commit(decision);
    let decision = rig.controller.heartbeat(Monotonic(0), NodeId(2), epoch, &[]).unwrap();
    rig.commit(decision);
    assert_eq!(rig.create(topic("t", 1, 2)).0, ErrorCode::None);
    let made = rig.controller.image().topics().by_name("t").unwrap();
    let (id, partition) = (made.id(), made.partition(0).unwrap());
    assert_eq!(partition.directory_of(NodeId(2)), Uuid::UNASSIGNED_DIR, "with several the broker chooses");
    let (leader, leader_epoch) = (partition.leader, partition.leader_epoch);
    let assigned = |partition, directory| Assignment { topic: id, partition, directory };
    let some =
        [assigned(0, Uuid(6_002)), assigned(1, Uuid(6_002)), Assignment { topic: Uuid(77), ..assigned(0, Uuid(1)) }];
    let decision = rig.controller.assign_directories(NodeId(2), &some);
    assert_eq!(decision.records.len(), 1, "what does not exist is passed by");
    assert_eq!(decision.records[0].1, 2, "the version of PartitionChangeRecord at 4.4");
    rig.commit(decision);
    let partition = rig.controller.image().topics().by_id(id).unwrap().partition(0).unwrap().clone();
    assert_eq!(partition.directory_of(NodeId(1)), Uuid(5_001));
    assert_eq!(partition.directory_of(NodeId(2)), Uuid(6_002));
    assert_eq!((partition.leader, partition.leader_epoch), (leader, leader_epoch));
    assert!(rig.controller.image().offline_replicas(&partition).is_empty());
    assert!(rig.controller.assign_directories(NodeId(2), &some).records.is_empty(), "it is so already");
    assert!(rig.controller.assign_directories(NodeId(3), &some).records.is_empty(), "no replica of it");
    // The broker comes back without the log dir.
    request.log_dirs = vec![Uuid(6_001)];
    let decision = rig.controller.register_broker(Monotonic(i64::MAX as u64), &request, 60).unwrap();
    let epoch = rig.commit(decision);
    let decision = rig.controller.heartbeat(Monotonic(0), NodeId(2), epoch, &[]).unwrap();
    rig.commit(decision);
    assert_eq!(rig.controller.image().offline_replicas(&partition), [NodeId(2)]);
}
