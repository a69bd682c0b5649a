//! Newtypes for everything that is "just a number" on the wire, so that an offset can never stand where an epoch belongs.

use crate::Uuid;
use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A position in a partition's log: 0 or more for a record, -1 for "none" where the wire allows it.
    Offset(i64)
}
number! {
    /// A node of the cluster, broker or controller: 0 or more, -1 for "no node".
    NodeId(i32)
}
number! {
    /// A partition of a topic: 0 or more.
    PartitionId(i32)
}
number! {
    /// How often leadership of a partition (or of the metadata quorum) has changed: 0 or more, -1 for "unknown".
    LeaderEpoch(i32)
}
number! {
    /// The metadata offset of a broker's registration (KIP-380): 0 or more, -1 for "unknown".
    BrokerEpoch(i64)
}
number! {
    /// Identity of an idempotent producer (KIP-98): 0 or more, -1 for "not idempotent".
    ProducerId(i64)
}
number! {
    /// Incarnation of a producer id (KIP-98): 0..=32767, -1 for "none".
    ProducerEpoch(i16)
}

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);
    /// "No offset" (-1).
    pub const NONE: Offset = Offset(-1);

    /// The offset `by` further on.
    ///
    /// # Panics
    /// On overflow of int64: no log is that long, so the number is corrupt.
    #[must_use]
    pub const fn plus(self, by: i64) -> Offset {
        Offset(self.0.checked_add(by).expect("offset overflow: the number is corrupt"))
    }
}

impl NodeId {
    /// "No node" (-1).
    pub const NONE: NodeId = NodeId(-1);
}

impl LeaderEpoch {
    /// "Unknown" (-1).
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl BrokerEpoch {
    /// "Unknown" (-1).
    pub const NONE: BrokerEpoch = BrokerEpoch(-1);
}

impl ProducerId {
    /// "Not idempotent" (-1).
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    /// "None" (-1).
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

/// A partition by its topic's name; also the name of its directory, `topic-partition`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name, 1 to 249 characters of `[a-zA-Z0-9._-]`.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: PartitionId(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's id (KIP-516): survives nothing but itself; a topic made again under the same name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicIdPartition {
    /// The topic's id, never [`Uuid::ZERO`].
    pub topic_id: Uuid,
    /// The partition.
    pub partition: PartitionId,
}
