//! Evenly, when members subscribe to different topics: what is free goes to the least loaded subscriber of each topic, then topics are
//! evened out one by one until no move helps.
//!
//! The hardest topics come first: those with the most partitions for each subscriber, of those the ones with the fewest subscribers.

use super::{GroupAssignment, GroupSpec, TopicPartitions};
use base::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds over all topics; Kafka's bound. Nearly always two are enough.
const ROUNDS_MAX: usize = 16;

struct Builder<'a> {
    ids: Vec<&'a str>,
    /// Partitions that a member has, by its index.
    loads: Vec<usize>,
    /// Members by index, of each topic.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    /// The owner of each partition of each topic.
    owners: BTreeMap<Uuid, Vec<Option<usize>>>,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut builder = Builder::new(group);
    if builder.subscribers.is_empty() {
        return GroupAssignment::new();
    }
    builder.keep(group);
    let topics = builder.hardest_first();
    topics.iter().for_each(|topic| builder.assign_free(*topic));
    builder.balance(&topics);
    builder.finish()
}

impl<'a> Builder<'a> {
    fn new(group: &GroupSpec<'a>) -> Self {
        let ids: Vec<&str> = group.members.keys().copied().collect();
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (index, member) in group.members.values().enumerate() {
            member.topics.iter().for_each(|topic| subscribers.entry(*topic).or_default().push(index));
        }
        let owners = subscribers.keys().map(|topic| {
            let count = usize::try_from(group.partition_count(*topic)).unwrap_or(0);
            (*topic, vec![None; count])
        });
        Self { loads: vec![0; ids.len()], ids, owners: owners.collect(), subscribers }
    }

    /// Everybody keeps what is of topics that it still subscribes to.
    fn keep(&mut self, group: &GroupSpec<'_>) {
        for (index, member) in group.members.values().enumerate() {
            for (topic, partitions) in member.assigned.iter().filter(|(topic, _)| member.topics.contains(*topic)) {
                let Some(owners) = self.owners.get_mut(topic) else { continue };
                for partition in partitions {
                    let owner = usize::try_from(*partition).ok().and_then(|at| owners.get_mut(at));
                    if let Some(owner @ None) = owner {
                        *owner = Some(index);
                        self.loads[index] += 1;
                    }
                }
            }
        }
    }

    fn hardest_first(&self) -> Vec<Uuid> {
        let mut topics: Vec<Uuid> = self.subscribers.keys().copied().collect();
        let of = |topic: &Uuid| (self.owners[topic].len(), self.subscribers[topic].len());
        topics.sort_by(|a, b| {
            let ((a_partitions, a_subscribers), (b_partitions, b_subscribers)) = (of(a), of(b));
            // a_partitions / a_subscribers against b's, without a division.
            (b_partitions * a_subscribers)
                .cmp(&(a_partitions * b_subscribers))
                .then(a_subscribers.cmp(&b_subscribers))
                .then(a.cmp(b))
        });
        topics
    }

    /// Gives the free partitions of a topic to its least loaded subscribers.
    fn assign_free(&mut self, topic: Uuid) {
        let mut queue: BTreeSet<(usize, usize)> =
            self.subscribers[&topic].iter().map(|index| (self.loads[*index], *index)).collect();
        let Some(owners) = self.owners.get_mut(&topic) else { return };
        for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
            let Some((load, index)) = queue.pop_first() else { return };
            *owner = Some(index);
            self.loads[index] = load + 1;
            queue.insert((load + 1, index));
        }
    }

    fn balance(&mut self, topics: &[Uuid]) {
        let shared: Vec<Uuid> = topics.iter().copied().filter(|topic| self.subscribers[topic].len() > 1).collect();
        for _ in 0..ROUNDS_MAX {
            let moved: usize = shared.iter().map(|topic| self.balance_topic(*topic)).sum();
            if moved == 0 {
                return;
            }
        }
    }

    /// Moves partitions of a topic from its most to its least loaded subscribers while that evens them out.
    fn balance_topic(&mut self, topic: Uuid) -> usize {
        let loads = &mut self.loads;
        let mut least: BTreeSet<(usize, usize)> =
            self.subscribers[&topic].iter().map(|index| (loads[*index], *index)).collect();
        let (Some((low, _)), Some((high, _))) = (least.first().copied(), least.last().copied()) else { return 0 };
        if high - low <= 1 {
            return 0;
        }
        let Some(owners) = self.owners.get_mut(&topic) else { return 0 };
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in owners.iter().enumerate() {
            owner.iter().for_each(|owner| owned.entry(*owner).or_default().push(partition));
        }
        // Only those that own a partition of this topic can give one up.
        let mut most: BTreeSet<(usize, usize)> = owned.keys().map(|index| (loads[*index], *index)).collect();
        let mut moved = 0;
        while let (Some((high, from)), Some((low, to))) = (most.last().copied(), least.first().copied()) {
            if high <= low + 1 {
                break;
            }
            let Some(partition) = owned.get_mut(&from).and_then(Vec::pop) else {
                most.remove(&(high, from));
                continue;
            };
            owners[partition] = Some(to);
            most.remove(&(high, from));
            least.remove(&(high, from));
            least.remove(&(low, to));
            most.remove(&(low, to));
            (loads[from], loads[to]) = (high - 1, low + 1);
            most.insert((high - 1, from));
            least.insert((high - 1, from));
            least.insert((low + 1, to));
            if owned.contains_key(&to) {
                most.insert((low + 1, to));
            }
            moved += 1;
        }
        moved
    }

    fn finish(self) -> GroupAssignment {
        let mut assignment: GroupAssignment =
            self.ids.iter().map(|id| ((*id).to_owned(), TopicPartitions::new())).collect();
        for (topic, owners) in self.owners {
            for (partition, owner) in (0_i32..).zip(owners) {
                let assigned = owner.and_then(|index| assignment.get_mut(self.ids[index]));
                if let Some(assigned) = assigned {
                    assigned.entry(topic).or_default().insert(partition);
                }
            }
        }
        assignment
    }
}
