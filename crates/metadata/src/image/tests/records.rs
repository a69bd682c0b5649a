//! Every record type of Kafka 4.4: what it does to an image can be seen, and survives a snapshot.

use super::{image, level, partition, topic};
use crate::{Changes, MetadataImage};
use base::Uuid;
use protocol::messages::abort_transaction_record::AbortTransactionRecord;
use protocol::messages::access_control_entry_record::AccessControlEntryRecord;
use protocol::messages::begin_transaction_record::BeginTransactionRecord;
use protocol::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use protocol::messages::clear_elr_record::ClearElrRecord;
use protocol::messages::client_quota_record::{ClientQuotaRecord, EntityData};
use protocol::messages::config_record::ConfigRecord;
use protocol::messages::delegation_token_record::DelegationTokenRecord;
use protocol::messages::end_transaction_record::EndTransactionRecord;
use protocol::messages::fence_broker_record::FenceBrokerRecord;
use protocol::messages::no_op_record::NoOpRecord;
use protocol::messages::partition_change_record::PartitionChangeRecord;
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::producer_ids_record::ProducerIdsRecord;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use protocol::messages::register_controller_record::{ControllerEndpoint, RegisterControllerRecord};
use protocol::messages::remove_access_control_entry_record::RemoveAccessControlEntryRecord;
use protocol::messages::remove_delegation_token_record::RemoveDelegationTokenRecord;
use protocol::messages::remove_topic_record::RemoveTopicRecord;
use protocol::messages::remove_user_scram_credential_record::RemoveUserScramCredentialRecord;
use protocol::messages::unfence_broker_record::UnfenceBrokerRecord;
use protocol::messages::unregister_broker_record::UnregisterBrokerRecord;
use protocol::messages::unregister_controller_record::UnregisterControllerRecord;
use protocol::messages::user_scram_credential_record::UserScramCredentialRecord;
use protocol::messages::zk_migration_state_record::ZkMigrationStateRecord;
use protocol::metadata_record::MetadataRecord;
use std::collections::BTreeSet;

type Record = MetadataRecord<'static>;

/// A history that names every record type; each record changes what the ones before it made.
fn history() -> Vec<Record> {
    [cluster(), topics(), clients_and_security(), removals()].concat()
}

fn cluster() -> Vec<Record> {
    let broker = RegisterBrokerRecord {
        broker_id: 1,
        incarnation_id: Uuid(71),
        broker_epoch: 7,
        end_points: vec![BrokerEndpoint { name: "A".into(), host: "h".into(), port: 9, ..BrokerEndpoint::default() }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 7,
            max_supported_version: 33,
            ..BrokerFeature::default()
        }],
        rack: Some("r".into()),
        fenced: true,
        log_dirs: vec![Uuid(500), Uuid(501)],
        cordoned_log_dirs: Some(vec![Uuid(501)]),
        ..RegisterBrokerRecord::default()
    };
    let change = |fenced, in_controlled_shutdown| BrokerRegistrationChangeRecord {
        broker_id: 1,
        broker_epoch: 7,
        fenced,
        in_controlled_shutdown,
        ..BrokerRegistrationChangeRecord::default()
    };
    let controller = RegisterControllerRecord {
        controller_id: 3,
        incarnation_id: Uuid(73),
        end_points: vec![ControllerEndpoint {
            name: "C".into(),
            host: "h".into(),
            port: 8,
            ..ControllerEndpoint::default()
        }],
        ..RegisterControllerRecord::default()
    };
    vec![
        level(33),
        broker.into(),
        UnfenceBrokerRecord { id: 1, epoch: 7, ..UnfenceBrokerRecord::default() }.into(),
        FenceBrokerRecord { id: 1, epoch: 7, ..FenceBrokerRecord::default() }.into(),
        change(-1, 0).into(),
        change(0, 1).into(),
        BrokerRegistrationChangeRecord { log_dirs: vec![Uuid(500)], ..change(0, 0) }.into(),
        BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(vec![Uuid(500)]), ..change(0, 0) }.into(),
        controller.into(),
        NoOpRecord::default().into(),
        ZkMigrationStateRecord::default().into(),
    ]
}

fn config(kind: i8, name: &'static str, value: Option<&'static str>) -> Record {
    ConfigRecord {
        resource_type: kind,
        resource_name: name.into(),
        name: "x".into(),
        value: value.map(Into::into),
        ..ConfigRecord::default()
    }
    .into()
}

fn topics() -> Vec<Record> {
    let change = |change: PartitionChangeRecord| -> Record {
        PartitionChangeRecord { partition_id: 0, topic_id: Uuid(9), ..change }.into()
    };
    vec![
        topic(9, "t"),
        partition(9, 0),
        partition(9, 1),
        change(PartitionChangeRecord {
            isr: Some(vec![1]),
            replicas: Some(vec![1, 2]),
            adding_replicas: Some(vec![2]),
            removing_replicas: Some(vec![1]),
            directories: Some(vec![Uuid(500), Uuid(501)]),
            ..PartitionChangeRecord::default()
        }),
        change(PartitionChangeRecord { leader: 2, leader_recovery_state: 1, ..PartitionChangeRecord::default() }),
        change(PartitionChangeRecord {
            eligible_leader_replicas: Some(vec![1]),
            last_known_elr: Some(vec![2]),
            ..PartitionChangeRecord::default()
        }),
        ClearElrRecord { topic_name: "t".into(), ..ClearElrRecord::default() }.into(),
        config(2, "t", Some("1")),
        config(4, "", Some("2")),
        config(32, "g", Some("3")),
        config(32, "g", None),
        BeginTransactionRecord::default().into(),
        topic(10, "held"),
        EndTransactionRecord::default().into(),
        BeginTransactionRecord::default().into(),
        topic(11, "never"),
        AbortTransactionRecord::default().into(),
    ]
}

fn quota(user: Option<&'static str>, value: f64, remove: bool) -> Record {
    let entity = EntityData { entity_type: "user".into(), entity_name: user.map(Into::into), ..EntityData::default() };
    ClientQuotaRecord {
        entity: vec![entity],
        key: "producer_byte_rate".into(),
        value,
        remove,
        ..ClientQuotaRecord::default()
    }
    .into()
}

fn clients_and_security() -> Vec<Record> {
    let entry = AccessControlEntryRecord {
        id: Uuid(80),
        resource_type: 2,
        resource_name: "t".into(),
        pattern_type: 3,
        principal: "User:u".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
        ..AccessControlEntryRecord::default()
    };
    let credential = UserScramCredentialRecord {
        name: "u".into(),
        mechanism: 1,
        salt: vec![1].into(),
        stored_key: vec![2].into(),
        server_key: vec![3].into(),
        iterations: 4096,
        ..UserScramCredentialRecord::default()
    };
    let token = DelegationTokenRecord {
        owner: "User:o".into(),
        renewers: vec!["User:r".into()],
        issue_timestamp: 1,
        max_timestamp: 3,
        expiration_timestamp: 2,
        token_id: "k".into(),
        ..DelegationTokenRecord::default()
    };
    vec![
        quota(Some("u"), 10.5, false),
        quota(None, 20.0, false),
        quota(Some("u"), 0.0, true),
        ProducerIdsRecord { broker_id: 1, broker_epoch: 7, next_producer_id: 1000, ..ProducerIdsRecord::default() }
            .into(),
        entry.into(),
        credential.into(),
        token.into(),
    ]
}

fn removals() -> Vec<Record> {
    let token_id = "k".into();
    vec![
        RemoveDelegationTokenRecord { token_id, ..RemoveDelegationTokenRecord::default() }.into(),
        RemoveUserScramCredentialRecord {
            name: "u".into(),
            mechanism: 1,
            ..RemoveUserScramCredentialRecord::default()
        }
        .into(),
        RemoveAccessControlEntryRecord { id: Uuid(80), ..RemoveAccessControlEntryRecord::default() }.into(),
        RemoveTopicRecord { topic_id: Uuid(9), ..RemoveTopicRecord::default() }.into(),
        UnregisterControllerRecord { controller_id: 3, ..UnregisterControllerRecord::default() }.into(),
        UnregisterBrokerRecord { broker_id: 1, broker_epoch: 7, ..UnregisterBrokerRecord::default() }.into(),
    ]
}

/// Written as a snapshot's frames and read again.
fn through_a_snapshot(image: &MetadataImage) -> MetadataImage {
    let mut read = MetadataImage::default();
    for (record, version) in image.to_records() {
        let frame = record.encode_frame(version).expect("a record of this version");
        let (record, read_version) = MetadataRecord::decode_frame(&frame).expect("a frame");
        assert_eq!(read_version, version);
        read.apply(&record, &mut Changes::default());
    }
    read
}

#[test]
fn every_record_type_survives_a_snapshot() {
    let history = history();
    let named: BTreeSet<i16> = history.iter().map(MetadataRecord::id).collect();
    // 6, 13 and 16 are no record types in Kafka either.
    let all: BTreeSet<i16> = (0..30).filter(|id| ![6, 13, 16].contains(id)).collect();
    assert_eq!(named, all);
    let mut before = MetadataImage::default();
    for (at, record) in history.iter().enumerate() {
        let mut after = before.clone();
        after.apply(record, &mut Changes::default());
        let says_nothing = matches!(record, MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_));
        assert_eq!(after == before, says_nothing, "record {at}: {record:?}");
        if !after.in_transaction() {
            assert_eq!(through_a_snapshot(&after), after, "record {at}: {record:?}");
        }
        before = after;
    }
    assert_eq!(before, image(&history));
    assert!(before.topics().by_name("held").is_some() && before.topics().by_name("never").is_none());
}

#[test]
fn found_by_fuzzing_a_snapshot_leaves_out_what_its_level_cannot_write() {
    let broker = RegisterBrokerRecord { broker_id: 1, is_migrating_zk_broker: true, ..RegisterBrokerRecord::default() };
    for (mv, kept) in [(7, false), (8, true), (33, true)] {
        let image = image(&[level(mv), broker.clone().into()]);
        let records = image.to_records();
        records.iter().for_each(|(record, version)| drop(record.encode_frame(*version).unwrap()));
        let flag = records.iter().find_map(|(record, _)| match record {
            MetadataRecord::RegisterBroker(record) => Some(record.is_migrating_zk_broker),
            _ => None,
        });
        assert_eq!(flag, Some(kept), "metadata.version {mv}");
    }
}

#[test]
fn found_by_fuzzing_names_and_ids_of_topics_stay_one_to_one() {
    for records in [[topic(1, "a"), topic(1, "b"), topic(1, "b")], [topic(1, "a"), topic(2, "a"), topic(3, "a")]] {
        let image = image(&records);
        assert_eq!((image.topics().len(), image.topics().iter().count()), (1, 1), "{records:?}");
    }
}

#[test]
fn found_by_fuzzing_epochs_end_at_their_largest() {
    let MetadataRecord::Partition(record) = partition(9, 0) else { panic!("a partition") };
    let record = PartitionRecord { leader_epoch: i32::MAX, partition_epoch: i32::MAX, ..record };
    let change = PartitionChangeRecord { topic_id: Uuid(9), leader: 1, ..PartitionChangeRecord::default() };
    let image = image(&[topic(9, "t"), record.into(), change.into()]);
    let partition = image.topics().by_id(Uuid(9)).unwrap().partition(0).unwrap();
    assert_eq!((partition.leader_epoch.0, partition.partition_epoch), (i32::MAX, i32::MAX));
}
