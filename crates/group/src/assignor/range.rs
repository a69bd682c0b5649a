//! Ranges: each topic's partitions in order are dealt to its subscribers in order, static members first.
//!
//! Members with the same subscriptions get the same partitions of every topic of the same size, which joins by partition need.

use super::{GroupAssignment, GroupSpec, MemberSpec, TopicPartitions};
use base::Uuid;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How far a topic is dealt out.
struct Deal {
    least: i32,
    /// Members that still get one more than the least.
    extra: i32,
    next: i32,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut members: Vec<(&str, &MemberSpec<'_>)> = group.members.iter().map(|(id, member)| (*id, member)).collect();
    members.sort_by(|(a_id, a), (b_id, b)| match (a.instance_id, b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a_id.cmp(b_id),
    });
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for (_, member) in &members {
        member.topics.iter().for_each(|topic| *subscribers.entry(*topic).or_default() += 1);
    }
    let mut deals: BTreeMap<Uuid, Deal> = subscribers
        .into_iter()
        .map(|(topic, count)| {
            let partitions = group.partition_count(topic);
            (topic, Deal { least: partitions / count, extra: partitions % count, next: 0 })
        })
        .collect();
    let dealt = members.into_iter().map(|(id, member)| {
        let mut assigned = TopicPartitions::new();
        for topic in member.topics {
            let Some(deal) = deals.get_mut(topic) else { continue };
            let share = deal.least + i32::from(deal.extra > 0);
            deal.extra = (deal.extra - 1).max(0);
            if share > 0 {
                assigned.insert(*topic, (deal.next..deal.next + share).collect());
                deal.next += share;
            }
        }
        (id.to_owned(), assigned)
    });
    dealt.collect()
}
