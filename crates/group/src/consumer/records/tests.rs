//! Records against Kafka's own (testdata/ConsumerVectors.java): what is folded in from them is written again as the same bytes.

use super::{current, epoch, member, regex, target, target_epoch};
use crate::Record;
use crate::consumer::ConsumerGroup;
use crate::consumer::tests_support::owned;
use base::Uuid;
use protocol::messages::consumer_group_current_member_assignment_value as value;

const VECTORS: &str = include_str!("../../../testdata/kafka-consumer.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().expect("hex")
}

/// The group's part that `record` tells of, as a record again.
fn again(group: &ConsumerGroup, record: &Record) -> Record {
    let of = |id: &str| &group.members()[id];
    match record {
        Record::ConsumerMember(key, Some(_)) => member("g", &key.member_id, of(&key.member_id)),
        Record::ConsumerCurrent(key, Some(_)) => current("g", &key.member_id, of(&key.member_id)),
        Record::ConsumerTargetMember(key, Some(_)) => {
            target("g", &key.member_id, group.target(&key.member_id).expect("it has one"))
        }
        Record::Consumer(_, Some(_)) => epoch("g", group.epoch(), group.metadata_hash),
        Record::ConsumerTarget(_, Some(_)) => target_epoch("g", group.target_epoch(), group.target_timestamp),
        Record::ConsumerRegex(key, Some(_)) => {
            regex("g", &key.regular_expression, &group.regexes[&*key.regular_expression])
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_are_kafkas_bytes_and_a_group_is_all_that_they_say() {
    let mut group = ConsumerGroup::default();
    let (mut count, mut gone) = (0, Vec::new());
    for line in VECTORS.lines().filter_map(|line| line.strip_prefix("record ")) {
        let (key, value) = line.split_once(' ').expect("a key and a value");
        let (key, value) = (bytes(key), (value != "~").then(|| bytes(value)));
        let record = Record::decode(&key, value.as_deref()).expect("Kafka wrote it");
        assert_eq!(record.encode(), (key, value.clone()), "{record:?}");
        if value.is_some() {
            group.apply(&record);
            assert_eq!(again(&group, &record), record);
        } else {
            gone.push(record);
            if gone.len() == 7 {
                // All tombstones of a group with one member and one expression: those of Kafka, in its order.
                assert_eq!(group.tombstones("g"), gone);
                gone.drain(..).for_each(|record| group.apply(&record));
                assert!(
                    group.is_empty() && group.targets.is_empty() && group.regexes.is_empty() && group.owners.is_empty()
                );
                assert!(group.static_members.is_empty(), "its instance id is free");
                group = ConsumerGroup::default();
            }
        }
        count += 1;
    }
    assert!(count > 700, "{count}");
}

fn listed(partitions: &[i32], epochs: Option<&[i32]>) -> value::TopicPartitions {
    value::TopicPartitions {
        topic_id: Uuid(1),
        partitions: partitions.to_vec(),
        assignment_epochs: epochs.map(<[i32]>::to_vec),
        ..value::TopicPartitions::default()
    }
}

fn fold(member_epoch: i32, assigned: value::TopicPartitions) -> ConsumerGroup {
    let mut group = ConsumerGroup::default();
    let Record::ConsumerCurrent(key, _) = current("g", "m", &crate::consumer::Member::default()) else {
        panic!("it is the record of a member's partitions")
    };
    let value = value::ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch,
        assigned_partitions: vec![assigned],
        ..value::ConsumerGroupCurrentMemberAssignmentValue::default()
    };
    group.apply(&Record::ConsumerCurrent(key, Some(value)));
    group
}

#[test]
fn partitions_without_epochs_have_the_members_and_never_a_negative_one() {
    let since = |epoch, listed| fold(epoch, listed).members()["m"].assigned.clone();
    assert_eq!(since(7, listed(&[0, 1], Some(&[3, 4]))), owned("1:0@3,1@4"));
    assert_eq!(since(7, listed(&[0, 1], None)), owned("1:0@7,1@7"));
    assert_eq!(since(7, listed(&[0, 1], Some(&[3]))), owned("1:0@7,1@7"), "a list that does not fit says nothing");
    assert_eq!(since(-2, listed(&[0], None)), owned("1:0@0"), "a static member that is away");
}

#[test]
fn a_partition_that_has_a_new_owner_stays_its_own_when_the_old_one_goes() {
    let mut group = fold(5, listed(&[0], None));
    let Record::ConsumerCurrent(mut key, value) = current("g", "m", &group.members()["m"]) else {
        panic!("it is the record of a member's partitions")
    };
    key.member_id = "new".into();
    let value = value.map(|value| value::ConsumerGroupCurrentMemberAssignmentValue { member_epoch: 6, ..value });
    group.apply(&Record::ConsumerCurrent(key, value));
    group.remove_member("m");
    assert_eq!(group.owner_epoch(Uuid(1), 0), 6);
}

#[test]
fn tombstones_of_what_is_not_there_are_nothing() {
    let mut group = ConsumerGroup::default();
    group.apply(&super::no_current("g", "m"));
    group.apply(&super::no_member("g", "m"));
    group.apply(&super::no_target("g", "m"));
    group.apply(&super::no_regex("g", "r"));
    assert_eq!(group, ConsumerGroup::default());
}
