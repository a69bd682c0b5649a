//! The server's assignors of KIP-848: which member shall have which partitions.
//!
//! Pure functions of the members, what they have now and the topics; the same input gives the same output, and it is what Kafka 4.4's own
//! assignors give, hardly longer than linear in members and partitions. As there neither looks at racks: KIP-848 has a rack id for every
//! member, but no assignor of Kafka uses it yet.
//!
//! What members have now is not believed: partitions that do not exist or that two members have end with one owner or none.

mod levels;
mod range;
mod uniform;
mod uniform_mixed;

use base::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Topic to partitions.
pub type TopicPartitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// What every member shall have, by member id.
pub type GroupAssignment = BTreeMap<String, TopicPartitions>;

/// A member as an assignor sees it.
#[derive(Clone, Copy, Debug)]
pub struct MemberSpec<'a> {
    /// group.instance.id of a static member.
    pub instance_id: Option<&'a str>,
    /// The topics that it subscribes to; all of them exist.
    pub topics: &'a BTreeSet<Uuid>,
    /// What it was to have until now.
    pub assigned: &'a TopicPartitions,
}

/// A group as an assignor sees it.
#[derive(Clone, Debug)]
pub struct GroupSpec<'a> {
    /// Members by id.
    pub members: BTreeMap<&'a str, MemberSpec<'a>>,
    /// Partitions of every subscribed topic.
    pub partition_counts: BTreeMap<Uuid, i32>,
    /// All members subscribe to the same, as Kafka tells it: topics that do not exist count, and so do expressions. Those who subscribe to
    /// the same topics in different words are not of one kind.
    pub is_homogeneous: bool,
}

/// Why there is no assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignError {
    /// A member subscribes to a topic whose partitions are not known.
    UnknownTopic(Uuid),
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssignError::UnknownTopic(id) => {
                write!(f, "Members are subscribed to topic {id} which doesn't exist in the topic metadata.")
            }
        }
    }
}

impl std::error::Error for AssignError {}

/// An assignor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignorKind {
    /// Evenly, and every member keeps as much as it can.
    Uniform,
    /// Topic by topic in ranges, so that the same member has the same partitions of all topics.
    Range,
}

impl AssignorKind {
    /// By its name in group.consumer.assignors.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Shares the partitions out.
    ///
    /// # Errors
    /// See [`AssignError`].
    pub fn assign(self, group: &GroupSpec<'_>) -> Result<GroupAssignment, AssignError> {
        if let Some(id) =
            group.members.values().flat_map(|member| member.topics).find(|id| !group.partition_counts.contains_key(*id))
        {
            return Err(AssignError::UnknownTopic(*id));
        }
        Ok(match self {
            Self::Range => range::assign(group),
            Self::Uniform if group.is_homogeneous => uniform::assign(group),
            Self::Uniform => uniform_mixed::assign(group),
        })
    }
}

impl GroupSpec<'_> {
    fn partition_count(&self, topic: Uuid) -> usize {
        self.partition_counts.get(&topic).and_then(|count| usize::try_from(*count).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
