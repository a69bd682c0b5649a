//! A consumer group of KIP-848: the coordinator assigns, members reconcile towards their targets by heartbeats alone.
//!
//! Three epochs: the group's counts changes of members, subscriptions and topics; the target's says for which group epoch it was
//! computed; a member's says which target it has reached. A partition belongs to one member at a time: it is given on when its owner
//! no longer reports it.
//!
//! [`ConsumerGroup`] is exactly what its records say. Sessions are beside it, in [`Sessions`], and begin anew when a shard loads.
//!
//! Of a heartbeat everything that can be refused is refused first ([`admit`]); after that each record is folded in as it is made, so
//! that what follows sees what came before.

mod admit;
pub(crate) mod classic;
mod convert;
mod describe;
mod fence;
mod hash;
mod heartbeat;
mod leave;
mod member;
mod offsets;
mod reconcile;
mod records;
mod regex;
mod step;
mod target;
#[cfg(test)]
pub(crate) mod tests_support;

pub(crate) use fence::{Sessions, on_loaded, on_timer};
pub(crate) use hash::TopicHashes;
pub(crate) use heartbeat::heartbeat;
pub use member::{Member, MemberState, OwnedPartitions};
pub(crate) use records::{group_of, is_tombstone};
pub use regex::ResolvedRegex;
#[cfg(test)]
pub(crate) use step::OwnConfig;
pub(crate) use step::{OwnConfigs, Step};

use crate::assignor::TopicPartitions;
use crate::journal::Owners;
use crate::record::Record;
use base::Uuid;
use metadata::MetadataImage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The epoch of a member that leaves.
pub(crate) const LEAVE: i32 = -1;
/// The epoch of a static member that leaves for a while.
pub(crate) const LEAVE_STATIC: i32 = -2;

/// A group of the consumer protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroup {
    epoch: i32,
    /// Of the subscribed topics when `epoch` began (KIP-1101).
    metadata_hash: i64,
    target_epoch: i32,
    /// When the target was computed, ms; 0 when that does not matter.
    target_timestamp: i64,
    members: BTreeMap<String, Member>,
    targets: BTreeMap<String, TopicPartitions>,
    regexes: BTreeMap<String, ResolvedRegex>,
    /// The log still has what Kafka before 4.1 kept of the topics.
    has_partition_metadata: bool,
    /// Member ids by instance id.
    static_members: BTreeMap<String, String>,
    /// The epoch of the owner of each partition that has one.
    owners: BTreeMap<(Uuid, i32), i32>,
    /// Expressions and how many members subscribe to each.
    regex_subscribers: BTreeMap<String, usize>,
}

impl Default for ConsumerGroup {
    /// A group that no record tells of yet. As in Kafka it begins with epoch 1 and an empty target for it.
    fn default() -> Self {
        Self {
            epoch: 1,
            metadata_hash: 0,
            target_epoch: 1,
            target_timestamp: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            has_partition_metadata: false,
            static_members: BTreeMap::new(),
            owners: BTreeMap::new(),
            regex_subscribers: BTreeMap::new(),
        }
    }
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No members.
    Empty,
    /// The target is older than the group.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// All members have what they shall have.
    Stable,
}

impl State {
    /// All states.
    pub const ALL: [State; 4] = [State::Empty, State::Assigning, State::Reconciling, State::Stable];

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Assigning => "Assigning",
            State::Reconciling => "Reconciling",
            State::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch of its target assignment.
    #[must_use]
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// Its members by id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// What a member shall have.
    #[must_use]
    pub fn target(&self, member: &str) -> Option<&TopicPartitions> {
        self.targets.get(member)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.target_epoch {
            State::Assigning
        } else if self.members.values().any(|member| !member.has_reached(self.target_epoch)) {
            State::Reconciling
        } else {
            State::Stable
        }
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether members read `topic`.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.topics.contains(topic))
            || self.regexes.values().any(|resolved| resolved.topics.contains(topic))
    }

    /// The topics that members read by name or by expression.
    fn subscribed_topics(&self) -> BTreeSet<&str> {
        let by_name = self.members.values().flat_map(|member| &member.topics);
        by_name.chain(self.regexes.values().flat_map(|resolved| &resolved.topics)).map(String::as_str).collect()
    }

    /// The topics that a member reads by name or by expression.
    fn topics_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a str> {
        let resolved = member.regex().and_then(|regex| self.regexes.get(regex));
        let by_regex = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        member.topics.iter().chain(by_regex).map(String::as_str)
    }

    /// Those of them that exist.
    fn topic_ids_of(&self, member: &Member, image: &MetadataImage) -> BTreeSet<Uuid> {
        self.topics_of(member).filter_map(|name| Some(image.topics().by_name(name)?.id())).collect()
    }

    fn static_member(&self, instance: &str) -> Option<(&str, &Member)> {
        let id = self.static_members.get(instance)?;
        self.members.get_key_value(id).map(|(id, member)| (id.as_str(), member))
    }

    /// The epoch of a partition's owner, -1 when it has none.
    fn owner_epoch(&self, topic: Uuid, partition: i32) -> i32 {
        self.owners.get(&(topic, partition)).copied().unwrap_or(-1)
    }

    /// The assignor that most members ask for; of equals the first by name. None when nobody asks for one.
    fn preferred_assignor(&self) -> Option<&str> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        let names = self.members.values().filter_map(|member| member.assignor.as_deref());
        names.for_each(|name| *votes.entry(name).or_default() += 1);
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name)
    }

    fn regex_subscribers(&self, regex: &str) -> usize {
        self.regex_subscribers.get(regex).copied().unwrap_or(0)
    }

    /// Who has which partition, for the journal.
    fn owned(&self, image: &MetadataImage) -> Owners {
        let mut owners = Owners::new();
        for (id, member) in &self.members {
            let id: Arc<str> = id.as_str().into();
            for (topic, partition) in member.all_partitions() {
                if let Some(topic) = image.topics().by_id(topic) {
                    owners.insert((Arc::clone(topic.name()), partition), Arc::clone(&id));
                }
            }
        }
        owners
    }

    /// The records that remove the group, in Kafka's order.
    pub(crate) fn tombstones(&self, id: &str) -> Vec<Record> {
        let members = self.members.keys();
        let mut all: Vec<Record> = members.clone().map(|member| records::no_current(id, member)).collect();
        all.extend(members.clone().map(|member| records::no_target(id, member)));
        all.push(records::no_target_epoch(id));
        all.extend(members.map(|member| records::no_member(id, member)));
        all.extend(self.regexes.keys().map(|regex| records::no_regex(id, regex)));
        all.push(records::no_partition_metadata(id));
        all.push(records::no_epoch(id));
        all
    }
}

/// Folding records in.
impl ConsumerGroup {
    pub(crate) fn set_epoch(&mut self, epoch: i32, metadata_hash: i64) {
        (self.epoch, self.metadata_hash) = (epoch, metadata_hash);
    }

    pub(crate) fn set_target_epoch(&mut self, epoch: i32, timestamp: i64) {
        (self.target_epoch, self.target_timestamp) = (epoch, timestamp);
    }

    pub(crate) fn set_target(&mut self, member: &str, target: Option<TopicPartitions>) {
        match target {
            Some(target) => drop(self.targets.insert(member.to_owned(), target)),
            None => drop(self.targets.remove(member)),
        }
    }

    pub(crate) fn set_has_partition_metadata(&mut self, has: bool) {
        self.has_partition_metadata = has;
    }

    pub(crate) fn set_regex(&mut self, regex: &str, resolved: Option<ResolvedRegex>) {
        match resolved {
            Some(resolved) => drop(self.regexes.insert(regex.to_owned(), resolved)),
            None => drop(self.regexes.remove(regex)),
        }
    }

    /// Changes a member, or makes it.
    pub(crate) fn update_member(&mut self, id: &str, change: impl FnOnce(&mut Member)) {
        let mut member = self.take_out(id).unwrap_or_default();
        change(&mut member);
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), id.to_owned());
        }
        if let Some(regex) = member.regex() {
            *self.regex_subscribers.entry(regex.to_owned()).or_default() += 1;
        }
        for (topic, partition) in member.all_partitions() {
            self.owners.insert((topic, partition), member.epoch);
        }
        self.members.insert(id.to_owned(), member);
    }

    pub(crate) fn remove_member(&mut self, id: &str) {
        drop(self.take_out(id));
    }

    fn take_out(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.disown(&member);
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance).is_some_and(|owner| owner == id)
        {
            self.static_members.remove(instance);
        }
        if let Some(regex) = member.regex()
            && let Some(count) = self.regex_subscribers.get_mut(regex)
        {
            *count -= 1;
            if *count == 0 {
                self.regex_subscribers.remove(regex);
            }
        }
        Some(member)
    }

    /// Partitions of a member have no owner any more. One that another member has got meanwhile keeps its new owner's epoch.
    fn disown(&mut self, member: &Member) {
        for place in member.all_partitions() {
            if self.owners.get(&place) == Some(&member.epoch) {
                self.owners.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
