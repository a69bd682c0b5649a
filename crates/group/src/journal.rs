//! The last rebalances of each group: who joined, left or was fenced, why, how long it took, which partitions moved.
//!
//! Kept in memory, bounded, and lost with the coordinator: it explains, it decides nothing.

use crate::group_id::GroupId;
use base::Timestamp;
use rsm::Now;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Rebalances that are kept of a group.
pub const REBALANCES_MAX: usize = 32;
/// Events that are kept of one rebalance; further ones are counted.
pub const EVENTS_MAX: usize = 64;
/// Bytes that are kept of what an event says: clients have their say in it.
pub const TEXT_MAX: usize = 4_096;
/// Moves of partitions that are kept of one rebalance; further ones are counted.
pub const MOVES_MAX: usize = 256;
/// Partitions of a group whose owners are remembered for the next rebalance; in a larger group no moves are told.
pub const OWNED_MAX: usize = 10_000;

/// Bytes that the journals of a shard may take, as far as they are counted; the oldest rebalances of all groups go first.
pub const SHARD_BYTES_MAX: usize = 1 << 20;
/// What a rebalance, an event and a move cost besides their text.
const REBALANCE_BYTES: usize = 200;
const EVENT_BYTES: usize = 40;
const MOVE_BYTES: usize = 72;

/// Who has which partition.
pub(crate) type Owners = BTreeMap<(Arc<str>, i32), Arc<str>>;

/// Something that set a rebalance off or happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, wall clock.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// A partition that another member has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Who had it; nobody when none.
    pub from: Option<Arc<str>>,
    /// Who has it; nobody when none.
    pub to: Option<Arc<str>>,
}

/// One rebalance, or something that needed none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// When the first event came.
    pub began: Timestamp,
    /// When the group was stable again; none while it runs.
    pub ended: Option<Timestamp>,
    /// How long it took, ms by the monotonic clock.
    pub took_ms: Option<u64>,
    /// Whether members had to join or take on other partitions; a static member that comes back needs no rebalance.
    pub is_rebalance: bool,
    /// The generation or epoch that came out of it.
    pub generation: i32,
    /// Members at its end.
    pub members: usize,
    /// What set it off and happened in it.
    pub events: Vec<Event>,
    /// Events beyond [`EVENTS_MAX`].
    pub events_dropped: usize,
    /// Partitions that changed hands, by topic and partition.
    pub moves: Vec<Move>,
    /// Moves beyond [`MOVES_MAX`].
    pub moves_dropped: usize,
    began_mono: base::Monotonic,
    /// Counts up over all groups of the shard.
    number: u64,
    bytes: usize,
}

/// What is known of one group.
#[derive(Debug, Default)]
struct History {
    rebalances: VecDeque<Rebalance>,
    owners: Owners,
}

impl History {
    /// Forgets the oldest rebalance; the bytes that it took.
    fn pop_front(&mut self, order: &mut BTreeMap<u64, GroupId>) -> usize {
        self.rebalances.pop_front().map_or(0, |oldest| {
            order.remove(&oldest.number);
            oldest.bytes
        })
    }
}

impl Rebalance {
    fn begun(now: Now, number: u64) -> Rebalance {
        Rebalance {
            began: now.wall,
            ended: None,
            took_ms: None,
            is_rebalance: true,
            generation: -1,
            members: 0,
            events: Vec::new(),
            events_dropped: 0,
            moves: Vec::new(),
            moves_dropped: 0,
            began_mono: now.mono,
            number,
            bytes: REBALANCE_BYTES,
        }
    }

    fn charge(&mut self, bytes: usize) -> usize {
        self.bytes += bytes;
        bytes
    }
}

/// The journals of all groups of a shard.
#[derive(Debug, Default)]
pub struct Journal {
    groups: BTreeMap<GroupId, History>,
    /// Whose each kept rebalance is, by its number: the oldest first.
    order: BTreeMap<u64, GroupId>,
    next_number: u64,
    bytes: usize,
}

impl Journal {
    /// Something happened that a rebalance comes from, or happened in one.
    pub(crate) fn event(&mut self, group: &GroupId, now: Now, mut what: String) {
        if what.len() > TEXT_MAX {
            what.truncate(what.floor_char_boundary(TEXT_MAX));
            what.push_str("..");
            what.shrink_to_fit();
        }
        let history = self.groups.entry(GroupId::clone(group)).or_default();
        if history.rebalances.back().is_none_or(|last| last.ended.is_some()) {
            if history.rebalances.len() == REBALANCES_MAX {
                self.bytes -= history.pop_front(&mut self.order);
            }
            history.rebalances.push_back(Rebalance::begun(now, self.next_number));
            self.order.insert(self.next_number, GroupId::clone(group));
            self.next_number += 1;
            self.bytes += REBALANCE_BYTES;
        }
        if let Some(last) = history.rebalances.back_mut() {
            if last.events.len() < EVENTS_MAX {
                self.bytes += last.charge(EVENT_BYTES + what.len());
                last.events.push(Event { at: now.wall, what });
            } else {
                last.events_dropped += 1;
            }
        }
        self.shrink();
    }

    /// Something happened that needs no rebalance: a static member came back, and the former holder of its instance id is fenced.
    pub(crate) fn note(&mut self, group: &GroupId, now: Now, what: String, generation: i32, members: usize) {
        self.event(group, now, what);
        let last = self.groups.get_mut(group).and_then(|history| history.rebalances.back_mut());
        if let Some(last) = last.filter(|last| last.events.len() + last.events_dropped == 1) {
            last.is_rebalance = false;
            self.ended(group, now, generation, members);
        }
    }

    /// Forgets the oldest rebalances while there are too many.
    fn shrink(&mut self) {
        while self.bytes > SHARD_BYTES_MAX && self.order.len() > 1 {
            let Some(group) = self.order.first_entry().map(|oldest| GroupId::clone(oldest.get())) else { return };
            let Some(history) = self.groups.get_mut(&group) else { return };
            self.bytes -= history.pop_front(&mut self.order);
        }
    }

    /// Who has what from now on; what differs from before is told as moves of the running rebalance.
    pub(crate) fn assigned(&mut self, group: &GroupId, mut owners: Owners) {
        let history = self.groups.entry(GroupId::clone(group)).or_default();
        if owners.len() > OWNED_MAX {
            owners.clear();
        }
        let before = std::mem::replace(&mut history.owners, owners);
        let Some(running) = history.rebalances.back_mut().filter(|last| last.ended.is_none()) else { return };
        let places = before.keys().chain(history.owners.keys().filter(|place| !before.contains_key(*place)));
        let mut moves: Vec<Move> = places
            .map(|place| Move {
                topic: Arc::clone(&place.0),
                partition: place.1,
                from: before.get(place).cloned(),
                to: history.owners.get(place).cloned(),
            })
            .filter(|one| one.from != one.to)
            .collect();
        moves.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        running.moves_dropped += moves.len().saturating_sub(MOVES_MAX);
        moves.truncate(MOVES_MAX);
        self.bytes += running.charge(moves.len() * MOVE_BYTES);
        running.moves = moves;
        self.shrink();
    }

    /// Whether a rebalance of the group has begun and not ended.
    pub(crate) fn is_running(&self, group: &str) -> bool {
        let last = self.groups.get(group).and_then(|history| history.rebalances.back());
        last.is_some_and(|last| last.ended.is_none())
    }

    /// A member goes on under another id.
    pub(crate) fn renamed(&mut self, group: &GroupId, old: &str, new: &str) {
        let Some(history) = self.groups.get_mut(group) else { return };
        let new: Arc<str> = new.into();
        history.owners.values_mut().filter(|owner| ***owner == *old).for_each(|owner| *owner = Arc::clone(&new));
    }

    /// The group is stable again, or empty.
    pub(crate) fn ended(&mut self, group: &GroupId, now: Now, generation: i32, members: usize) {
        let last = self.groups.get_mut(group).and_then(|history| history.rebalances.back_mut());
        if let Some(last) = last.filter(|last| last.ended.is_none()) {
            last.ended = Some(now.wall);
            last.took_ms = Some(u64::try_from(now.mono.since(last.began_mono).as_millis()).unwrap_or(u64::MAX));
            last.generation = generation;
            last.members = members;
        }
    }

    /// The group is gone.
    pub(crate) fn forget(&mut self, group: &str) {
        let Some(mut history) = self.groups.remove(group) else { return };
        while !history.rebalances.is_empty() {
            self.bytes -= history.pop_front(&mut self.order);
        }
    }

    /// The last rebalances of a group, oldest first.
    pub fn rebalances(&self, group: &str) -> impl Iterator<Item = &Rebalance> {
        self.groups.get(group).into_iter().flat_map(|history| &history.rebalances)
    }

    /// The same as JSON, as [`protocol::extension::GROUP_JOURNAL`] carries it.
    #[must_use]
    pub fn json(&self, group: &str) -> Vec<u8> {
        let rebalances: Vec<serde_json::Value> = self.rebalances(group).map(rebalance_json).collect();
        serde_json::Value::Array(rebalances).to_string().into_bytes()
    }
}

fn rebalance_json(rebalance: &Rebalance) -> serde_json::Value {
    let events: Vec<_> =
        rebalance.events.iter().map(|event| json!({"at_ms": event.at.0, "what": event.what})).collect();
    let moves: Vec<_> = rebalance
        .moves
        .iter()
        .map(|one| {
            json!({
                "topic": &*one.topic, "partition": one.partition, "from": one.from.as_deref(), "to": one.to.as_deref(),
            })
        })
        .collect();
    json!({
        "began_ms": rebalance.began.0, "ended_ms": rebalance.ended.map(|at| at.0), "took_ms": rebalance.took_ms,
        "is_rebalance": rebalance.is_rebalance, "generation": rebalance.generation, "members": rebalance.members,
        "events": events, "events_dropped": rebalance.events_dropped,
        "moves": moves, "moves_dropped": rebalance.moves_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Monotonic;

    const NOW: Now = Now { mono: Monotonic(1), wall: Timestamp(7) };

    fn counted(journal: &Journal) -> usize {
        journal.groups.values().flat_map(|history| &history.rebalances).map(|one| one.bytes).sum()
    }

    #[test]
    fn a_shard_full_of_journals_forgets_the_oldest() {
        let mut journal = Journal::default();
        let groups: Vec<GroupId> = (0..200).map(|number| GroupId::from(format!("group-{number}"))).collect();
        for round in 0..40 {
            for group in &groups {
                (0..EVENTS_MAX + 2).for_each(|_| journal.event(group, NOW, "x".repeat(200)));
                journal.ended(group, NOW, round, 1);
                assert!(journal.bytes <= SHARD_BYTES_MAX, "{} bytes", journal.bytes);
            }
        }
        assert_eq!(journal.bytes, counted(&journal));
        let newest = journal.rebalances("group-199").last().expect("the newest is kept");
        assert_eq!((newest.generation, newest.events.len(), newest.events_dropped), (39, EVENTS_MAX, 2));
        assert_eq!(journal.rebalances("group-0").count(), 0, "the oldest went first");
        groups.iter().for_each(|group| journal.forget(group));
        assert_eq!((journal.bytes, journal.order.len()), (0, 0));
    }

    /// A client says why it joins, and may say a hundred megabytes.
    #[test]
    fn a_long_story_is_cut_short() {
        let mut journal = Journal::default();
        let group = GroupId::from("g");
        (0..EVENTS_MAX).for_each(|_| journal.event(&group, NOW, "\u{e9}".repeat(1 << 20)));
        assert!(journal.bytes <= SHARD_BYTES_MAX, "{} bytes", journal.bytes);
        let event = &journal.rebalances("g").last().expect("is kept").events[0];
        assert!(event.what.ends_with("\u{e9}..") && event.what.len() <= TEXT_MAX + 2, "{}", event.what.len());
    }

    #[test]
    fn a_group_keeps_its_last_rebalances() {
        let mut journal = Journal::default();
        let group = GroupId::from("g");
        for generation in 0..100 {
            journal.event(&group, NOW, "joins".to_owned());
            let owners = (0..1000).map(|partition| (("t".into(), partition), format!("m{generation}").into()));
            journal.assigned(&group, owners.collect());
            journal.ended(&group, NOW, generation, 1);
        }
        assert_eq!(journal.rebalances("g").count(), REBALANCES_MAX);
        assert_eq!(journal.rebalances("g").next().map(|oldest| oldest.generation), Some(68));
        let last = journal.rebalances("g").last().expect("kept");
        assert_eq!((last.moves.len(), last.moves_dropped), (MOVES_MAX, 1000 - MOVES_MAX));
        assert_eq!(journal.bytes, counted(&journal));
    }
}
