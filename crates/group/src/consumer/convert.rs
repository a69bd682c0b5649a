//! A classic group of consumers becomes a consumer group when a member joins by the consumer protocol (KIP-848, upgrade), and a consumer
//! group a classic one again; group.consumer.migration.policy says which of both may happen.

use super::{ConsumerGroup, Member, MemberState, OwnedPartitions, TopicHashes, records};
use crate::assignor::TopicPartitions;
use crate::classic::ClassicGroup;
use crate::record::{RECORD_BYTES_MAX, Record};
use crate::settings::Settings;
use crate::{classic, embedded};
use base::{ErrorCode, Refusal};
use metadata::MetadataImage;
use protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Whether a classic group may become a consumer group, and which.
///
/// # Errors
/// GROUP_ID_NOT_FOUND, which tells a client of the consumer protocol that there is no such group for it.
pub(super) fn upgraded(
    id: &str,
    group: &ClassicGroup,
    settings: &Settings,
    image: &MetadataImage,
    hashes: &mut TopicHashes,
) -> Result<ConsumerGroup, Refusal> {
    let refuse = |why: &str| {
        let why = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
        Err(Refusal::new(ErrorCode::GroupIdNotFound, why))
    };
    if !settings.consumer.migration.allows_upgrade() {
        return refuse("online upgrade is disabled");
    }
    if !group.is_consumers() {
        return refuse("the group does not use the consumer embedded protocol");
    }
    if group.members().len() > settings.consumer.size_max {
        return refuse("the group size exceeds the consumer group maximum size");
    }
    let mut upgraded = ConsumerGroup::default();
    for (member_id, member) in group.members() {
        match of_classic(group, member, image) {
            Ok(member) => {
                upgraded.set_target(member_id, Some(plain(&member.assigned)));
                upgraded.update_member(member_id, |new| *new = member);
            }
            Err(Malformed::Bytes) => return refuse("the embedded consumer protocol is malformed"),
            Err(Malformed::UserData) => {
                return refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade",
                );
            }
        }
    }
    let hash = hashes.of_topics(image, &upgraded.subscribed_topics());
    upgraded.set_epoch(group.generation(), hash);
    upgraded.set_target_epoch(group.generation(), 0);
    if upgraded.creation(id).iter().any(|record| record.encoded_len() > RECORD_BYTES_MAX) {
        return refuse("what a member says of itself is too much for a record");
    }
    Ok(upgraded)
}

enum Malformed {
    Bytes,
    /// Words of an assignor of the clients' own, which would be lost.
    UserData,
}

fn plain(owned: &OwnedPartitions) -> TopicPartitions {
    owned.iter().map(|(topic, of)| (*topic, of.keys().copied().collect())).collect()
}

/// A member that has what its leader gave it last, as if it had reached a target of that.
fn of_classic(group: &ClassicGroup, member: &classic::Member, image: &MetadataImage) -> Result<Member, Malformed> {
    let mut assigned = OwnedPartitions::new();
    if !member.assignment.is_empty() {
        let given = embedded::assignment(&member.assignment).map_err(|_| Malformed::Bytes)?;
        if given.user_data.as_deref().is_some_and(|data| !data.is_empty()) {
            return Err(Malformed::UserData);
        }
        for topic in &given.assigned_partitions {
            if let Some(found) = image.topics().by_name(&topic.topic) {
                let partitions = topic.partitions.iter().map(|partition| (*partition, group.generation()));
                assigned.insert(found.id(), partitions.collect());
            }
        }
    }
    // In its first rebalance the group has not chosen a protocol yet; all of them carry the same subscription.
    let first = || member.protocols.first().map_or(&[][..], |(_, metadata)| metadata);
    let metadata = group.protocol().map_or_else(first, |protocol| member.metadata(protocol));
    let subscription = embedded::subscription(metadata).map_err(|_| Malformed::Bytes)?;
    Ok(Member {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.as_deref().filter(|rack| !rack.is_empty()).map(str::to_owned),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: subscription.topics.iter().map(ToString::to_string).collect(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        classic: Some(classic_metadata(member.session_timeout_ms, member.protocols.iter())),
        state: MemberState::Stable,
        epoch: group.generation(),
        previous_epoch: group.generation(),
        assigned,
        ..Member::default()
    })
}

/// What a member said as one of the classic protocol.
pub(super) fn classic_metadata<'a>(
    session_timeout_ms: i32,
    protocols: impl Iterator<Item = &'a (String, Vec<u8>)>,
) -> ClassicMemberMetadata<'static> {
    let protocols = protocols.map(|(name, metadata)| ClassicProtocol {
        name: Cow::Owned(name.clone()),
        metadata: Cow::Owned(metadata.clone()),
        ..ClassicProtocol::default()
    });
    ClassicMemberMetadata {
        session_timeout_ms,
        supported_protocols: protocols.collect(),
        ..ClassicMemberMetadata::default()
    }
}

/// Members that go from a group.
#[derive(Clone, Copy, Debug)]
pub(super) enum Going<'a> {
    /// They leave or are fenced.
    Out(&'a BTreeSet<String>),
    /// A static member whose place a member of the classic protocol takes.
    Replaced(&'a str),
}

/// Whether the group becomes a classic one when these members go: those who stay all speak the classic protocol. Of `Going::Replaced` the
/// one is meant whose place a classic member takes.
pub(super) fn is_downgrade(group: &ConsumerGroup, going: Going<'_>, settings: &Settings) -> bool {
    let (others_are_classic, staying) = match going {
        Going::Out(ids) => {
            let mut staying = group.members().iter().filter(|(id, _)| !ids.contains(*id));
            let count = staying.clone().count();
            (count > 0 && staying.all(|(_, member)| member.classic.is_some()), count)
        }
        Going::Replaced(id) => {
            let is_consumer = |of: &str| group.members().get(of).is_some_and(|member| member.classic.is_none());
            let mut others = group.members().iter().filter(|(other, _)| *other != id);
            (is_consumer(id) && others.all(|(_, member)| member.classic.is_some()), group.members().len())
        }
    };
    others_are_classic && settings.consumer.migration.allows_downgrade() && staying <= settings.classic_size_max
}

/// The classic group of those who stay.
///
/// # Errors
/// GROUP_ID_NOT_FOUND when what members said cannot be read, or written down as one record.
pub(super) fn downgraded(
    id: &str,
    group: &ConsumerGroup,
    leaving: &BTreeSet<String>,
    image: &MetadataImage,
    now: rsm::Now,
) -> Result<ClassicGroup, Refusal> {
    let refuse = |why: &dyn std::fmt::Display| {
        Refusal::new(ErrorCode::GroupIdNotFound, format!("Cannot downgrade the classic group {id}: {why}."))
    };
    let classic = ClassicGroup::of_consumers(group, leaving, image, now).map_err(|error| refuse(&error))?;
    if classic.record(id).encoded_len() > RECORD_BYTES_MAX {
        return Err(refuse(&"its members say too much for a record"));
    }
    Ok(classic)
}

impl ConsumerGroup {
    /// The records that make the group, in Kafka's order.
    pub(super) fn creation(&self, id: &str) -> Vec<Record> {
        let mut all: Vec<Record> =
            self.members().iter().map(|(member_id, member)| records::member(id, member_id, member)).collect();
        all.push(records::epoch(id, self.epoch(), self.metadata_hash));
        let nothing = TopicPartitions::new();
        all.extend(
            self.members()
                .keys()
                .map(|member_id| records::target(id, member_id, self.target(member_id).unwrap_or(&nothing))),
        );
        all.push(records::target_epoch(id, self.target_epoch(), self.target_timestamp));
        all.extend(self.members().iter().map(|(member_id, member)| records::current(id, member_id, member)));
        all
    }
}
