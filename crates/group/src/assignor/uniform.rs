//! Evenly, when all members subscribe to the same topics: nobody has two more than another, and everybody keeps as much as that allows.

use super::{GroupAssignment, GroupSpec, TopicPartitions};
use base::Uuid;
use std::collections::BTreeSet;

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let Some(topics) = group.members.values().next().map(|member| member.topics) else {
        return GroupAssignment::new();
    };
    if topics.is_empty() {
        return GroupAssignment::new();
    }
    let taken: BTreeSet<(Uuid, i32)> = group
        .members
        .values()
        .flat_map(|member| member.assigned)
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .collect();
    let total: i32 = topics.iter().map(|topic| group.partition_count(*topic)).sum();
    let mut free: Vec<(Uuid, i32)> = topics
        .iter()
        .flat_map(|topic| (0..group.partition_count(*topic)).map(|partition| (*topic, partition)))
        .filter(|place| !taken.contains(place))
        .collect();
    let count = i32::try_from(group.members.len()).unwrap_or(i32::MAX);
    let (least, mut extra) = (total / count, total % count);
    let mut assignment = GroupAssignment::new();
    let mut unfilled: Vec<(&str, i32)> = Vec::new();
    for (index, (id, member)) in (0_i32..).zip(&group.members) {
        let may_have_extra = extra > 0;
        let (kept, left) = keep(group, member.assigned, topics, least + i32::from(may_have_extra), &mut free);
        assignment.insert((*id).to_owned(), kept);
        // The extra one is left to others as long as enough of them follow.
        let gives_extra_up = left > 0 && may_have_extra && count - index > extra;
        let left = left - i32::from(gives_extra_up);
        if may_have_extra && !gives_extra_up {
            extra -= 1;
        }
        if left > 0 {
            unfilled.push((id, left));
        }
    }
    let mut free = free.into_iter();
    for (id, left) in unfilled {
        let assigned = assignment.entry(id.to_owned()).or_default();
        for (topic, partition) in free.by_ref().take(usize::try_from(left).unwrap_or(0)) {
            assigned.entry(topic).or_default().insert(partition);
        }
    }
    assignment
}

/// What a member keeps of what it had, at most `quota`, and how much room is left; the rest is free for others.
fn keep(
    group: &GroupSpec<'_>,
    assigned: &TopicPartitions,
    topics: &BTreeSet<Uuid>,
    mut quota: i32,
    free: &mut Vec<(Uuid, i32)>,
) -> (TopicPartitions, i32) {
    let mut kept = TopicPartitions::new();
    for (topic, partitions) in assigned.iter().filter(|(topic, _)| topics.contains(*topic)) {
        let count = group.partition_count(*topic);
        for partition in partitions.iter().filter(|partition| **partition < count) {
            if quota > 0 {
                quota -= 1;
                kept.entry(*topic).or_default().insert(*partition);
            } else {
                free.push((*topic, *partition));
            }
        }
    }
    (kept, quota)
}
