//! The records of a consumer group.

use super::{ConsumerGroup, Member, ResolvedRegex};
use crate::assignor::TopicPartitions;
use crate::record::Record;
use protocol::messages as m;
use std::borrow::Cow;

fn own<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(text.to_owned())
}

fn member_key(
    group: &str,
    member: &str,
) -> m::consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey<'static> {
    m::consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey {
        group_id: own(group),
        member_id: own(member),
    }
}

/// A member's subscription.
pub(super) fn member(group: &str, id: &str, member: &Member) -> Record {
    Record::ConsumerMember(member_key(group, id), Some(member.metadata()))
}

pub(super) fn no_member(group: &str, id: &str) -> Record {
    Record::ConsumerMember(member_key(group, id), None)
}

fn epoch_key(group: &str) -> m::consumer_group_metadata_key::ConsumerGroupMetadataKey<'static> {
    m::consumer_group_metadata_key::ConsumerGroupMetadataKey { group_id: own(group) }
}

/// The group's epoch.
pub(super) fn epoch(group: &str, epoch: i32, metadata_hash: i64) -> Record {
    let value =
        m::consumer_group_metadata_value::ConsumerGroupMetadataValue { epoch, metadata_hash, ..Default::default() };
    Record::Consumer(epoch_key(group), Some(value))
}

pub(super) fn no_epoch(group: &str) -> Record {
    Record::Consumer(epoch_key(group), None)
}

pub(super) fn no_partition_metadata(group: &str) -> Record {
    let key = m::consumer_group_partition_metadata_key::ConsumerGroupPartitionMetadataKey { group_id: own(group) };
    Record::ConsumerPartitions(key, None)
}

fn target_epoch_key(
    group: &str,
) -> m::consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey<'static> {
    m::consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey { group_id: own(group) }
}

/// The epoch of the target, and when it was computed.
pub(super) fn target_epoch(group: &str, assignment_epoch: i32, assignment_timestamp: i64) -> Record {
    let value = m::consumer_group_target_assignment_metadata_value::ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch,
        assignment_timestamp,
        ..Default::default()
    };
    Record::ConsumerTarget(target_epoch_key(group), Some(value))
}

pub(super) fn no_target_epoch(group: &str) -> Record {
    Record::ConsumerTarget(target_epoch_key(group), None)
}

fn target_key(
    group: &str,
    member: &str,
) -> m::consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey<'static> {
    m::consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey {
        group_id: own(group),
        member_id: own(member),
    }
}

/// A member's target.
pub(super) fn target(group: &str, member: &str, target: &TopicPartitions) -> Record {
    use m::consumer_group_target_assignment_member_value::{ConsumerGroupTargetAssignmentMemberValue, TopicPartition};
    let topics = target.iter().map(|(topic, partitions)| TopicPartition {
        topic_id: *topic,
        partitions: partitions.iter().copied().collect(),
        ..TopicPartition::default()
    });
    let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topics.collect(), ..Default::default() };
    Record::ConsumerTargetMember(target_key(group, member), Some(value))
}

pub(super) fn no_target(group: &str, member: &str) -> Record {
    Record::ConsumerTargetMember(target_key(group, member), None)
}

fn current_key(
    group: &str,
    member: &str,
) -> m::consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey<'static> {
    m::consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey {
        group_id: own(group),
        member_id: own(member),
    }
}

/// What a member has.
pub(super) fn current(group: &str, id: &str, member: &Member) -> Record {
    Record::ConsumerCurrent(current_key(group, id), Some(member.current()))
}

pub(super) fn no_current(group: &str, member: &str) -> Record {
    Record::ConsumerCurrent(current_key(group, member), None)
}

fn regex_key(
    group: &str,
    regex: &str,
) -> m::consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey<'static> {
    m::consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey {
        group_id: own(group),
        regular_expression: own(regex),
    }
}

/// What an expression stands for.
pub(super) fn regex(group: &str, regex: &str, resolved: &ResolvedRegex) -> Record {
    let value = m::consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue {
        topics: resolved.topics.iter().cloned().map(Cow::Owned).collect(),
        version: resolved.version,
        timestamp: resolved.timestamp,
        ..Default::default()
    };
    Record::ConsumerRegex(regex_key(group, regex), Some(value))
}

pub(super) fn no_regex(group: &str, regex: &str) -> Record {
    Record::ConsumerRegex(regex_key(group, regex), None)
}

/// The group that a record of a consumer group concerns; none for the others.
pub(crate) fn group_of(record: &Record) -> Option<&str> {
    Some(match record {
        Record::Consumer(key, _) => &key.group_id,
        Record::ConsumerPartitions(key, _) => &key.group_id,
        Record::ConsumerMember(key, _) => &key.group_id,
        Record::ConsumerTarget(key, _) => &key.group_id,
        Record::ConsumerTargetMember(key, _) => &key.group_id,
        Record::ConsumerCurrent(key, _) => &key.group_id,
        Record::ConsumerRegex(key, _) => &key.group_id,
        Record::LegacyOffset(..) | Record::Offset(..) | Record::Classic(..) => return None,
    })
}

/// Whether the record takes something away: it makes no group.
pub(crate) fn is_tombstone(record: &Record) -> bool {
    match record {
        Record::Consumer(_, value) => value.is_none(),
        Record::ConsumerPartitions(_, value) => value.is_none(),
        Record::ConsumerMember(_, value) => value.is_none(),
        Record::ConsumerTarget(_, value) => value.is_none(),
        Record::ConsumerTargetMember(_, value) => value.is_none(),
        Record::ConsumerCurrent(_, value) => value.is_none(),
        Record::ConsumerRegex(_, value) => value.is_none(),
        Record::LegacyOffset(..) | Record::Offset(..) | Record::Classic(..) => false,
    }
}

impl ConsumerGroup {
    /// Folds in a record of this group that does not remove it.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Consumer(_, Some(value)) => self.set_epoch(value.epoch, value.metadata_hash),
            Record::ConsumerPartitions(_, value) => self.set_has_partition_metadata(value.is_some()),
            Record::ConsumerMember(key, Some(value)) => {
                self.update_member(&key.member_id, |member| member.apply_metadata(value));
            }
            Record::ConsumerMember(key, None) => self.remove_member(&key.member_id),
            Record::ConsumerTarget(_, Some(value)) => {
                self.set_target_epoch(value.assignment_epoch, value.assignment_timestamp);
            }
            Record::ConsumerTarget(_, None) => self.set_target_epoch(-1, 0),
            Record::ConsumerTargetMember(key, value) => {
                let target = value.as_ref().map(|value| {
                    let topics = value.topic_partitions.iter();
                    topics.map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect()
                });
                self.set_target(&key.member_id, target);
            }
            Record::ConsumerCurrent(key, Some(value)) => {
                self.update_member(&key.member_id, |member| member.apply_current(value));
            }
            Record::ConsumerCurrent(key, None) => {
                if self.members.contains_key(&*key.member_id) {
                    self.update_member(&key.member_id, |member| {
                        (member.epoch, member.previous_epoch) = (super::LEAVE, super::LEAVE);
                        member.assigned.clear();
                        member.revoking.clear();
                    });
                }
            }
            Record::ConsumerRegex(key, value) => {
                let resolved = value.as_ref().map(|value| ResolvedRegex {
                    topics: value.topics.iter().map(ToString::to_string).collect(),
                    version: value.version,
                    timestamp: value.timestamp,
                });
                self.set_regex(&key.regular_expression, resolved);
            }
            Record::Consumer(_, None) | Record::LegacyOffset(..) | Record::Offset(..) | Record::Classic(..) => {}
        }
    }
}

#[cfg(test)]
mod tests;
