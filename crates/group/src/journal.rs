//! The last rebalances of each group: who joined, left or was fenced, why, how long it took, which partitions moved.
//!
//! Kept in memory, bounded, and lost with the coordinator: it explains, it decides nothing.

use crate::groups::GroupId;
use base::Timestamp;
use rsm::Now;
use std::collections::{BTreeMap, VecDeque};

/// Rebalances that are kept of a group.
pub const REBALANCES_MAX: usize = 32;
/// Events that are kept of one rebalance; further ones are counted.
pub const EVENTS_MAX: usize = 64;

/// Something that set a rebalance off or happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, wall clock.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// One rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// When the first event came.
    pub began: Timestamp,
    /// When the group was stable again; none while it runs.
    pub ended: Option<Timestamp>,
    /// How long it took, ms by the monotonic clock.
    pub took_ms: Option<u64>,
    /// The generation or epoch that came out of it.
    pub generation: i32,
    /// Members at its end.
    pub members: usize,
    /// What set it off and happened in it.
    pub events: Vec<Event>,
    /// Events beyond [`EVENTS_MAX`].
    pub events_dropped: usize,
    began_mono: base::Monotonic,
}

/// The journals of all groups of a shard.
#[derive(Debug, Default)]
pub struct Journal {
    groups: BTreeMap<GroupId, VecDeque<Rebalance>>,
}

impl Journal {
    /// Something happened that a rebalance comes from, or happened in one.
    pub(crate) fn event(&mut self, group: &GroupId, now: Now, what: String) {
        let rebalances = self.groups.entry(GroupId::clone(group)).or_default();
        if rebalances.back().is_none_or(|last| last.ended.is_some()) {
            if rebalances.len() == REBALANCES_MAX {
                rebalances.pop_front();
            }
            rebalances.push_back(Rebalance {
                began: now.wall,
                ended: None,
                took_ms: None,
                generation: -1,
                members: 0,
                events: Vec::new(),
                events_dropped: 0,
                began_mono: now.mono,
            });
        }
        if let Some(last) = rebalances.back_mut() {
            if last.events.len() < EVENTS_MAX {
                last.events.push(Event { at: now.wall, what });
            } else {
                last.events_dropped += 1;
            }
        }
    }

    /// The group is stable again, or empty.
    pub(crate) fn ended(&mut self, group: &GroupId, now: Now, generation: i32, members: usize) {
        let last = self.groups.get_mut(group).and_then(VecDeque::back_mut);
        if let Some(last) = last.filter(|last| last.ended.is_none()) {
            last.ended = Some(now.wall);
            last.took_ms = Some(u64::try_from(now.mono.since(last.began_mono).as_millis()).unwrap_or(u64::MAX));
            last.generation = generation;
            last.members = members;
        }
    }

    /// The group is gone.
    pub(crate) fn forget(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// The last rebalances of a group, oldest first.
    pub fn rebalances(&self, group: &str) -> impl Iterator<Item = &Rebalance> {
        self.groups.get(group).into_iter().flatten()
    }
}
