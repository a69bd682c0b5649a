//! Evenly, when all members subscribe to the same topics: nobody has two more than another, and everybody keeps as much as that allows.

use super::{GroupAssignment, GroupSpec, TopicPartitions};
use base::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// A partition that somebody shall get.
type Free = (Uuid, i32);

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let holders = holders(group);
    if holders.is_empty() {
        return GroupAssignment::new();
    }
    let mut free: Vec<Free> = Vec::new();
    for (topic, holders) in &holders {
        let unheld = (0_i32..).zip(holders).filter(|(_, holder)| holder.is_none());
        free.extend(unheld.map(|(partition, _)| (*topic, partition)));
    }
    let count = group.members.len();
    let total: usize = holders.values().map(Vec::len).sum();
    let (least, mut extra) = (total / count, total % count);
    let mut members: Vec<TopicPartitions> = Vec::with_capacity(count);
    let mut unfilled: Vec<(usize, usize)> = Vec::new();
    for (index, member) in group.members.values().enumerate() {
        let may_have_extra = extra > 0;
        let quota = least + usize::from(may_have_extra);
        let (kept, left) = keep(index, member.assigned, quota, &holders, &mut free);
        members.push(kept);
        // The extra one is left to others as long as enough of them follow.
        let gives_extra_up = left > 0 && may_have_extra && count - index > extra;
        let left = left - usize::from(gives_extra_up);
        extra -= usize::from(may_have_extra && !gives_extra_up);
        if left > 0 {
            unfilled.push((index, left));
        }
    }
    let mut free = free.into_iter();
    for (index, left) in unfilled {
        for (topic, partition) in free.by_ref().take(left) {
            members[index].entry(topic).or_default().insert(partition);
        }
    }
    group.members.keys().map(|id| (*id).to_owned()).zip(members).collect()
}

/// For each topic who holds each partition now, members by index. Of two the first: a classic group's leader may have assigned a
/// partition twice before an upgrade.
fn holders(group: &GroupSpec<'_>) -> BTreeMap<Uuid, Vec<Option<usize>>> {
    let topics = group.members.values().next().into_iter().flat_map(|member| member.topics);
    let mut holders: BTreeMap<Uuid, Vec<Option<usize>>> =
        topics.map(|topic| (*topic, vec![None; group.partition_count(*topic)])).collect();
    for (index, member) in group.members.values().enumerate() {
        for (topic, partitions) in member.assigned {
            let Some(of_topic) = holders.get_mut(topic) else { continue };
            for partition in partitions {
                let holder = usize::try_from(*partition).ok().and_then(|at| of_topic.get_mut(at));
                if let Some(holder @ None) = holder {
                    *holder = Some(index);
                }
            }
        }
    }
    holders
}

/// What a member keeps of what it holds, at most `quota`, and how much room is left; the rest is free for others.
fn keep(
    index: usize,
    assigned: &TopicPartitions,
    mut quota: usize,
    holders: &BTreeMap<Uuid, Vec<Option<usize>>>,
    free: &mut Vec<Free>,
) -> (TopicPartitions, usize) {
    let mut kept = TopicPartitions::new();
    for (topic, partitions) in assigned {
        let Some(holders) = holders.get(topic) else { continue };
        let is_held = |partition: &i32| {
            usize::try_from(*partition).ok().and_then(|at| holders.get(at)).is_some_and(|holder| *holder == Some(index))
        };
        let mut held = partitions.iter().copied().filter(is_held);
        let keeps: BTreeSet<i32> = held.by_ref().take(quota).collect();
        quota -= keeps.len();
        free.extend(held.map(|partition| (*topic, partition)));
        if !keeps.is_empty() {
            kept.insert(*topic, keeps);
        }
    }
    (kept, quota)
}
