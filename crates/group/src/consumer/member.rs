//! A member of a consumer group.

use base::Uuid;
use protocol::messages::consumer_group_current_member_assignment_value as current;
use protocol::messages::consumer_group_member_metadata_value::{
    ClassicMemberMetadata, ConsumerGroupMemberMetadataValue,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Topic to partition to the epoch in which the member got it.
pub type OwnedPartitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has everything of the target of its epoch.
    #[default]
    Stable,
    /// It has to give partitions up before it goes on.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
    /// Written by a newer version.
    Unknown,
}

impl MemberState {
    fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }

    fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// group.instance.id of a static member.
    pub instance_id: Option<String>,
    /// client.rack.
    pub rack_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address as Kafka writes it.
    pub client_host: String,
    /// The topics that it names.
    pub topics: BTreeSet<String>,
    /// The expression that stands for further topics; empty for none.
    pub topic_regex: Option<String>,
    /// How long it may take to give partitions up, ms.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it asks for.
    pub assignor: Option<String>,
    /// What it said as a member of the classic protocol, when it is one.
    pub classic: Option<ClassicMemberMetadata<'static>>,
    /// How far it is.
    pub state: MemberState,
    /// The target that it has reached.
    pub epoch: i32,
    /// The one before.
    pub previous_epoch: i32,
    /// What it has.
    pub assigned: OwnedPartitions,
    /// What it has to give up.
    pub revoking: OwnedPartitions,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            topics: BTreeSet::new(),
            topic_regex: Some(String::new()),
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
            state: MemberState::Stable,
            epoch: 0,
            previous_epoch: -1,
            assigned: OwnedPartitions::new(),
            revoking: OwnedPartitions::new(),
        }
    }
}

impl Member {
    /// The expression that it subscribes to, if any.
    #[must_use]
    pub fn regex(&self) -> Option<&str> {
        self.topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    /// Whether it has everything of the target of `epoch`.
    #[must_use]
    pub fn has_reached(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// What it has and what it has to give up.
    pub(crate) fn all_partitions(&self) -> Vec<(Uuid, i32)> {
        let both = self.assigned.iter().chain(&self.revoking);
        both.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition))).collect()
    }

    /// The epoch in which it got a partition that it has, or has to give up.
    pub(crate) fn epoch_of(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let of = |owned: &OwnedPartitions| owned.get(&topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }

    pub(super) fn move_to(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    pub(crate) fn apply_metadata(&mut self, value: &ConsumerGroupMemberMetadataValue<'static>) {
        let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        self.instance_id = own(&value.instance_id);
        self.rack_id = own(&value.rack_id);
        self.client_id = value.client_id.to_string();
        self.client_host = value.client_host.to_string();
        self.topics = value.subscribed_topic_names.iter().map(ToString::to_string).collect();
        self.topic_regex = own(&value.subscribed_topic_regex);
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.assignor = own(&value.server_assignor);
        self.classic.clone_from(&value.classic_member_metadata);
    }

    pub(super) fn metadata(&self) -> ConsumerGroupMemberMetadataValue<'static> {
        let own = |text: &Option<String>| text.clone().map(Cow::Owned);
        ConsumerGroupMemberMetadataValue {
            instance_id: own(&self.instance_id),
            rack_id: own(&self.rack_id),
            client_id: Cow::Owned(self.client_id.clone()),
            client_host: Cow::Owned(self.client_host.clone()),
            subscribed_topic_names: self.topics.iter().cloned().map(Cow::Owned).collect(),
            subscribed_topic_regex: own(&self.topic_regex),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: own(&self.assignor),
            classic_member_metadata: self.classic.clone(),
            ..ConsumerGroupMemberMetadataValue::default()
        }
    }

    pub(crate) fn apply_current(&mut self, value: &current::ConsumerGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::from_code(value.state);
        self.assigned = owned(&value.assigned_partitions, value.member_epoch);
        self.revoking = owned(&value.partitions_pending_revocation, value.member_epoch);
    }

    pub(super) fn current(&self) -> current::ConsumerGroupCurrentMemberAssignmentValue {
        current::ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned_partitions: listed(&self.assigned),
            partitions_pending_revocation: listed(&self.revoking),
            ..current::ConsumerGroupCurrentMemberAssignmentValue::default()
        }
    }
}

/// Records of Kafka before 4.4 do not tell the epoch of each partition: it is the member's then, and 0 when the member is static and away.
fn owned(listed: &[current::TopicPartitions], epoch: i32) -> OwnedPartitions {
    let topics = listed.iter().map(|topic| {
        let epochs = topic.assignment_epochs.as_deref().filter(|epochs| epochs.len() == topic.partitions.len());
        let partitions = topic.partitions.iter().enumerate();
        let since = |at: usize| epochs.map_or(epoch.max(0), |epochs| epochs[at]);
        (topic.topic_id, partitions.map(|(at, partition)| (*partition, since(at))).collect())
    });
    topics.collect()
}

fn listed(owned: &OwnedPartitions) -> Vec<current::TopicPartitions> {
    let topics = owned.iter().map(|(topic, partitions)| current::TopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
        ..current::TopicPartitions::default()
    });
    topics.collect()
}
