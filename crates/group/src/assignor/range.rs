//! Ranges: each topic's partitions in order are dealt to its subscribers in order, static members first.
//!
//! Members with the same subscriptions get the same partitions of every topic of the same size, which joins by partition need.

use super::{GroupAssignment, GroupSpec, MemberSpec, TopicPartitions};
use base::Uuid;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How far a topic is dealt out.
struct Deal {
    least: usize,
    /// Members that still get one more than the least.
    extra: usize,
    next: i32,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut members: Vec<(&str, &MemberSpec<'_>)> = group.members.iter().map(|(id, member)| (*id, member)).collect();
    members.sort_by(|(a_id, a), (b_id, b)| match (a.instance_id, b.instance_id) {
        (Some(a), Some(b)) => java_order(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(a_id, b_id),
    });
    let mut subscribers: BTreeMap<Uuid, usize> = BTreeMap::new();
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
            let share = deal.least + usize::from(deal.extra > 0);
            deal.extra = deal.extra.saturating_sub(1);
            if share > 0 {
                assigned.insert(*topic, (deal.next..).take(share).collect());
                deal.next += i32::try_from(share).expect("a topic's partitions are counted in an i32");
            }
        }
        (id.to_owned(), assigned)
    });
    dealt.collect()
}

/// Java compares texts by their UTF-16 units; that differs from ours beyond the basic plane.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}
