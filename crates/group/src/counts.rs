//! What an operator wants to know of a shard's groups in numbers: how many there are, and what has been done since somebody looked last.

use crate::groups::{Group, Groups};
use crate::{classic, consumer};
use std::collections::BTreeMap;

/// What was decided, counted as Kafka's group-coordinator-metrics count it. It is beside the state: loading a log counts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Generations of classic groups whose leader has assigned.
    pub classic_rebalances: u64,
    /// Epochs that consumer groups have begun.
    pub consumer_rebalances: u64,
    /// Offsets that were committed.
    pub offset_commits: u64,
    /// Offsets that have outlived their retention.
    pub offset_expirations: u64,
    /// Offsets that were deleted by OffsetDelete, or with their group.
    pub offset_deletions: u64,
}

/// How many groups and offsets there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Classic groups by the name of their state; every state is there.
    pub classic: BTreeMap<&'static str, u64>,
    /// Consumer groups by the name of their state; every state is there.
    pub consumer: BTreeMap<&'static str, u64>,
    /// Committed offsets.
    pub offsets: u64,
}

impl Default for Census {
    /// Nothing in any state.
    fn default() -> Self {
        Self {
            classic: classic::State::ALL.iter().map(|state| (state.name(), 0)).collect(),
            consumer: consumer::State::ALL.iter().map(|state| (state.name(), 0)).collect(),
            offsets: 0,
        }
    }
}

impl Groups {
    /// What was done since this was asked last.
    pub fn take_activity(&mut self) -> Activity {
        std::mem::take(&mut self.activity)
    }

    /// Adds what is there. Looks at every group.
    pub fn count(&self, census: &mut Census) {
        for group in self.groups.values() {
            let in_state = match group {
                Group::Classic(group) => census.classic.entry(group.state().name()),
                Group::Consumer(group, _) => census.consumer.entry(group.state().name()),
            };
            *in_state.or_default() += 1;
        }
        census.offsets += self.offsets.count();
    }
}

#[cfg(test)]
mod tests;
