mod records;

use super::MetadataImage;
use crate::Changes;
use base::{LeaderEpoch, NodeId, Uuid};
use proptest::prelude::*;
use protocol::messages::begin_transaction_record::BeginTransactionRecord;
use protocol::messages::config_record::ConfigRecord;
use protocol::messages::end_transaction_record::EndTransactionRecord;
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::partition_change_record::PartitionChangeRecord;
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::register_broker_record::RegisterBrokerRecord;
use protocol::messages::remove_topic_record::RemoveTopicRecord;
use protocol::messages::topic_record::TopicRecord;
use protocol::metadata_record::MetadataRecord;
use std::borrow::Cow;

fn topic(id: u128, name: &'static str) -> MetadataRecord<'static> {
    TopicRecord { name: Cow::Borrowed(name), topic_id: Uuid(id), ..TopicRecord::default() }.into()
}

fn partition(id: u128, index: i32) -> MetadataRecord<'static> {
    PartitionRecord {
        partition_id: index,
        topic_id: Uuid(id),
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        directories: vec![Uuid(500)],
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    }
    .into()
}

fn level(level: i16) -> MetadataRecord<'static> {
    FeatureLevelRecord {
        name: Cow::Borrowed("metadata.version"),
        feature_level: level,
        ..FeatureLevelRecord::default()
    }
    .into()
}

fn image(records: &[MetadataRecord<'static>]) -> MetadataImage {
    let mut image = MetadataImage::default();
    records.iter().for_each(|record| image.apply(record, &mut Changes::default()));
    image
}

#[test]
fn a_change_of_leader_grows_both_epochs() {
    let change = |leader| -> MetadataRecord<'static> {
        PartitionChangeRecord {
            partition_id: 0,
            topic_id: Uuid(9),
            leader,
            isr: Some(vec![1]),
            ..PartitionChangeRecord::default()
        }
        .into()
    };
    let image = image(&[topic(9, "t"), partition(9, 0), change(-1), change(-2)]);
    let found = image.topics().by_name("t").unwrap().partition(0).unwrap();
    assert_eq!((found.leader, found.leader_epoch, found.partition_epoch), (NodeId::NONE, LeaderEpoch(1), 2));
}

#[test]
fn a_transaction_is_visible_only_at_its_end() {
    let begin: MetadataRecord<'static> = BeginTransactionRecord::default().into();
    let mut image = image(&[begin, topic(9, "t")]);
    assert!(image.topics().is_empty() && image.in_transaction());
    image.apply(&EndTransactionRecord::default().into(), &mut Changes::default());
    assert_eq!(image.topics().len(), 1);
}

#[test]
fn removing_a_topic_removes_its_configs() {
    let config: MetadataRecord<'static> = ConfigRecord {
        resource_type: 2,
        resource_name: Cow::Borrowed("t"),
        name: Cow::Borrowed("retention.ms"),
        value: Some(Cow::Borrowed("1")),
        ..ConfigRecord::default()
    }
    .into();
    let mut image = image(&[topic(9, "t"), config]);
    assert_eq!(image.configs(2, "t").count(), 1);
    image.apply(
        &RemoveTopicRecord { topic_id: Uuid(9), ..RemoveTopicRecord::default() }.into(),
        &mut Changes::default(),
    );
    assert_eq!((image.topics().len(), image.configs(2, "t").count()), (0, 0));
}

proptest! {
    /// A snapshot, written and read as frames, gives the same image, at every metadata.version.
    #[test]
    fn snapshots_replay_to_the_same_image(mv in 7_i16..=33, picks in proptest::collection::vec((0_u8..6, 1_u128..5, 0_i32..3), 0..60)) {
        let mut records = vec![level(mv)];
        for (what, id, n) in picks {
            let name = ["a", "b", "c", "d", "e"][usize::try_from(id).unwrap()];
            records.push(match what {
                0 => topic(id + 200, name),
                1 => partition(id + 200, n),
                2 => RemoveTopicRecord { topic_id: Uuid(id + 200), ..RemoveTopicRecord::default() }.into(),
                3 => RegisterBrokerRecord { broker_id: n, broker_epoch: 7, fenced: id % 2 == 0, ..RegisterBrokerRecord::default() }.into(),
                4 => ConfigRecord { resource_type: 2, resource_name: Cow::Borrowed(name), name: Cow::Borrowed("x"), value: (n > 0).then_some(Cow::Borrowed("v")), ..ConfigRecord::default() }.into(),
                _ => PartitionChangeRecord { partition_id: n, topic_id: Uuid(id + 200), leader: n - 2, ..PartitionChangeRecord::default() }.into(),
            });
        }
        let before = image(&records);
        let mut after = MetadataImage::default();
        for (record, version) in before.to_records() {
            let frame = record.encode_frame(version).unwrap();
            let (read, _) = MetadataRecord::decode_frame(&frame).unwrap();
            after.apply(&read, &mut Changes::default());
        }
        if mv >= 17 {
            prop_assert_eq!(after, before);
        } else {
            prop_assert_eq!(after.topics().len(), before.topics().len());
        }
    }
}
