//! Evenly, when members subscribe to different topics: what is free goes to the least loaded subscribers of each topic, then topics are
//! evened out one by one until no move helps.
//!
//! The hardest topics come first: those with the most partitions for each subscriber, of those the ones with the fewest subscribers.
//! Where subscriptions overlap without being equal, chains of moves over several topics are not looked for, as in Kafka.

use super::levels::Levels;
use super::{GroupAssignment, GroupSpec, TopicPartitions};
use base::Uuid;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Rounds over all topics; Kafka's bound. Nearly always two are enough.
const ROUNDS_MAX: usize = 16;

struct Topic {
    id: Uuid,
    /// Members by index, ascending.
    subscribers: Vec<usize>,
    /// The owner of each partition.
    owners: Vec<Option<usize>>,
}

struct Builder<'a> {
    ids: Vec<&'a str>,
    /// Partitions that a member has, by its index.
    loads: Vec<usize>,
    topics: Vec<Topic>,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut builder = Builder::new(group);
    if builder.topics.is_empty() {
        return GroupAssignment::new();
    }
    builder.keep(group);
    builder.topics.sort_unstable_by(hardest_first);
    builder.topics.iter_mut().for_each(|topic| assign_free(topic, &mut builder.loads));
    builder.balance();
    builder.finish()
}

impl<'a> Builder<'a> {
    /// Topics come sorted by id.
    fn new(group: &GroupSpec<'a>) -> Self {
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (index, member) in group.members.values().enumerate() {
            member.topics.iter().for_each(|topic| subscribers.entry(*topic).or_default().push(index));
        }
        let topics = subscribers.into_iter().map(|(id, subscribers)| Topic {
            id,
            subscribers,
            owners: vec![None; group.partition_count(id)],
        });
        Self {
            ids: group.members.keys().copied().collect(),
            loads: vec![0; group.members.len()],
            topics: topics.collect(),
        }
    }

    /// Everybody keeps what is of topics that it still subscribes to. Of two that have the same partition the first keeps it: a classic
    /// group's leader may have assigned it twice before an upgrade.
    fn keep(&mut self, group: &GroupSpec<'_>) {
        for (index, member) in group.members.values().enumerate() {
            for (topic, partitions) in member.assigned.iter().filter(|(topic, _)| member.topics.contains(*topic)) {
                let Ok(at) = self.topics.binary_search_by(|known| known.id.cmp(topic)) else { continue };
                for partition in partitions {
                    let owner =
                        usize::try_from(*partition).ok().and_then(|place| self.topics[at].owners.get_mut(place));
                    if let Some(owner @ None) = owner {
                        *owner = Some(index);
                        self.loads[index] += 1;
                    }
                }
            }
        }
    }

    fn balance(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let shared = self.topics.iter_mut().filter(|topic| topic.subscribers.len() > 1);
            let moved: usize = shared.map(|topic| balance_topic(topic, &mut self.loads)).sum();
            if moved == 0 {
                return;
            }
        }
    }

    fn finish(self) -> GroupAssignment {
        let mut members: Vec<TopicPartitions> = self.ids.iter().map(|_| TopicPartitions::new()).collect();
        for topic in self.topics {
            for (partition, owner) in (0_i32..).zip(topic.owners) {
                if let Some(owner) = owner {
                    members[owner].entry(topic.id).or_default().insert(partition);
                }
            }
        }
        self.ids.into_iter().map(str::to_owned).zip(members).collect()
    }
}

fn hardest_first(a: &Topic, b: &Topic) -> Ordering {
    // a's partitions for each of its subscribers against b's, without a division.
    let (of_a, of_b) = (a.owners.len() * b.subscribers.len(), b.owners.len() * a.subscribers.len());
    of_b.cmp(&of_a).then(a.subscribers.len().cmp(&b.subscribers.len())).then(java_order(a.id).cmp(&java_order(b.id)))
}

/// Kafka compares ids as two signed numbers.
fn java_order(id: Uuid) -> (i64, i64) {
    let [high, low] = [id.0 >> 64, id.0].map(|half| (half as u64).cast_signed());
    (high, low)
}

/// Gives the free partitions of a topic to its least loaded subscribers.
fn assign_free(topic: &mut Topic, loads: &mut [usize]) {
    let Some(mut levels) = Levels::new(&topic.subscribers, loads) else { return };
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let to = levels.next_low(loads);
        *owner = Some(to);
        loads[to] += 1;
    }
}

/// Moves partitions of a topic from its most to its least loaded subscribers while that evens them out; gives how many.
fn balance_topic(topic: &mut Topic, loads: &mut [usize]) -> usize {
    let of_subscribers = || topic.subscribers.iter().map(|member| loads[*member]);
    let (Some(low), Some(high)) = (of_subscribers().min(), of_subscribers().max()) else { return 0 };
    if high - low <= 1 {
        return 0;
    }
    let Some(mut levels) = Levels::new(&topic.subscribers, loads) else { return 0 };
    let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        owner.iter().for_each(|owner| owned.entry(*owner).or_default().push(partition));
    }
    let mut moved = 0;
    while let Some((from, partition)) = next_to_move(&mut levels, &mut owned, loads) {
        let to = levels.next_low(loads);
        if levels.is_balanced() {
            break;
        }
        topic.owners[partition] = Some(to);
        loads[from] -= 1;
        loads[to] += 1;
        moved += 1;
    }
    moved
}

/// The last partition of the most loaded subscriber that still has one of its first; what was moved to it in this pass stays.
fn next_to_move(
    levels: &mut Levels,
    owned: &mut BTreeMap<usize, Vec<usize>>,
    loads: &[usize],
) -> Option<(usize, usize)> {
    while let Some(from) = levels.next_high(loads) {
        if let Some(partition) = owned.get_mut(&from).and_then(Vec::pop) {
            return Some((from, partition));
        }
        levels.exclude();
    }
    None
}
