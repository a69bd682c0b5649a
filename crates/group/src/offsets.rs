//! Committed offsets: group, topic and partition to the place that the group has reached.
//!
//! Offsets of open transactions are beside it until the transaction ends; of two commits of a partition the one later in the log holds.

mod commit;

use crate::Record;
use base::{ProducerId, Uuid};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::messages::offset_commit_value::OffsetCommitValue;
use rsm::{Origin, Outcome};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 when the client did not tell (KIP-320).
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: Box<str>,
    /// When it was committed, ms.
    pub commit_timestamp: i64,
    /// When it expires, ms; -1 for the group's retention (before KIP-211).
    pub expire_timestamp: i64,
    /// The topic's id; zero when the commit did not tell.
    pub topic_id: Uuid,
    /// Place among the commits of this shard.
    order: u64,
}

/// Topic to partition to offset.
pub type TopicOffsets = BTreeMap<Box<str>, BTreeMap<i32, Committed>>;

/// Group, topic and partition.
type Place = (Box<str>, Box<str>, i32);

/// All offsets of a shard's groups.
#[derive(Debug, Default)]
pub struct Offsets {
    by_group: BTreeMap<Box<str>, TopicOffsets>,
    /// Of open transactions.
    pending: BTreeMap<ProducerId, BTreeMap<Place, Committed>>,
    applied: u64,
}

impl PartialEq for Offsets {
    /// Places among the commits tell nothing of the state.
    fn eq(&self, other: &Self) -> bool {
        let plain = |offsets: &Self| {
            let mut by_group = offsets.by_group.clone();
            by_group.values_mut().flat_map(BTreeMap::values_mut).flat_map(BTreeMap::values_mut).for_each(|committed| {
                committed.order = 0;
            });
            by_group
        };
        plain(self) == plain(other)
    }
}

impl Offsets {
    pub(crate) fn apply(&mut self, key: &OffsetCommitKey<'_>, value: Option<&OffsetCommitValue<'_>>, origin: Origin) {
        self.applied += 1;
        let Some(value) = value else { return self.remove(&key.group, &key.topic, key.partition) };
        let committed = Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: (&*value.metadata).into(),
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: value.expire_timestamp,
            topic_id: value.topic_id,
            order: self.applied,
        };
        match origin {
            Origin::Loaded { transaction: Some((producer, _)), .. } => {
                let place = ((&*key.group).into(), (&*key.topic).into(), key.partition);
                self.pending.entry(producer).or_default().insert(place, committed);
            }
            Origin::Loaded { transaction: None, .. } | Origin::Decided => {
                self.put(&key.group, &key.topic, key.partition, committed);
            }
        }
    }

    fn put(&mut self, group: &str, topic: &str, partition: i32, committed: Committed) {
        // Keys are made once: a group commits the same partitions again and again.
        if let Some(known) = self.by_group.get_mut(group) {
            match known.get_mut(topic) {
                Some(partitions) => drop(partitions.insert(partition, committed)),
                None => drop(known.insert(topic.into(), BTreeMap::from([(partition, committed)]))),
            }
        } else {
            let topics = BTreeMap::from([(topic.into(), BTreeMap::from([(partition, committed)]))]);
            self.by_group.insert(group.into(), topics);
        }
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        for pending in self.pending.values_mut() {
            pending.retain(|(g, t, p), _| !(**g == *group && **t == *topic && *p == partition));
        }
        self.pending.retain(|_, pending| !pending.is_empty());
        let Entry::Occupied(mut topics) = self.by_group.entry(group.into()) else { return };
        if let Some(partitions) = topics.get_mut().get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.get_mut().remove(topic);
            }
        }
        if topics.get().is_empty() {
            topics.remove();
        }
    }

    pub(crate) fn end_transaction(&mut self, producer: ProducerId, outcome: Outcome) {
        let Some(pending) = self.pending.remove(&producer) else { return };
        if outcome == Outcome::Abort {
            return;
        }
        for ((group, topic, partition), committed) in pending {
            let known = self.get(&group, &topic, partition);
            if known.is_none_or(|known| known.order < committed.order) {
                self.put(&group, &topic, partition, committed);
            }
        }
    }

    /// An offset.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_group.get(group)?.get(topic)?.get(&partition)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.by_group.values().flat_map(BTreeMap::values).map(|partitions| partitions.len() as u64).sum()
    }

    /// All offsets of a group.
    #[must_use]
    pub fn of_group(&self, group: &str) -> Option<&TopicOffsets> {
        self.by_group.get(group)
    }

    /// Whether an open transaction has committed an offset of this partition (KIP-447).
    #[must_use]
    pub fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.pending
            .values()
            .any(|pending| pending.keys().any(|(g, t, p)| **g == *group && **t == *topic && *p == partition))
    }

    pub(crate) fn has_open_transaction(&self, group: &str) -> bool {
        self.pending.values().any(|pending| pending.keys().any(|(g, ..)| **g == *group))
    }

    /// Tombstones of everything that a group has committed, open transactions included.
    pub(crate) fn tombstones_of_group(&self, group: &str) -> Vec<Record> {
        let mut places: BTreeSet<(&str, i32)> = BTreeSet::new();
        for (topic, partitions) in self.by_group.get(group).into_iter().flatten() {
            places.extend(partitions.keys().map(|partition| (&**topic, *partition)));
        }
        let pending = self.pending.values().flat_map(BTreeMap::keys).filter(|(g, ..)| **g == *group);
        places.extend(pending.map(|(_, topic, partition)| (&**topic, *partition)));
        places.into_iter().map(|(topic, partition)| tombstone(group, topic, partition)).collect()
    }

    /// Tombstones of all offsets of a deleted topic. Those that tell another topic's id stay: they are of a topic of the same name.
    pub(crate) fn tombstones_of_topic(&self, id: Uuid, topic: &str) -> impl Iterator<Item = Record> {
        let mut records = Vec::new();
        let is_its = |committed: &Committed| committed.topic_id == Uuid::ZERO || committed.topic_id == id;
        for (group, topics) in &self.by_group {
            let partitions = topics.get(topic).into_iter().flatten().filter(|(_, committed)| is_its(committed));
            records.extend(partitions.map(|(partition, _)| tombstone(group, topic, *partition)));
        }
        for ((group, of, partition), committed) in self.pending.values().flatten() {
            if **of == *topic && is_its(committed) && self.get(group, topic, *partition).is_none() {
                records.push(tombstone(group, topic, *partition));
            }
        }
        records.into_iter()
    }
}

/// The record that removes an offset.
pub(crate) fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    let key = OffsetCommitKey { group: Cow::Owned(group.to_owned()), topic: Cow::Owned(topic.to_owned()), partition };
    Record::Offset(key, None)
}

#[cfg(test)]
mod tests;
