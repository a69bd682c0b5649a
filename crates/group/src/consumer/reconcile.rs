//! The next step of a member towards its target: give up first, then take, and wait for what others still have.

use super::{ConsumerGroup, Member, MemberState, OwnedPartitions};
use crate::assignor::TopicPartitions;
use base::{ErrorCode, Refusal, Uuid};
use std::collections::BTreeSet;

/// What a step looks at.
pub(super) struct Reconciliation<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) target_epoch: i32,
    pub(super) target: &'a TopicPartitions,
    /// The topics that the member reads; what it has of others goes.
    pub(super) subscribed: &'a BTreeSet<Uuid>,
    pub(super) has_subscription_changed: bool,
    /// What the member says that it has; none when it does not say.
    pub(super) owned: Option<&'a TopicPartitions>,
}

impl Reconciliation<'_> {
    /// The member after the step.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH for a member in a state of a newer version, which has to begin anew.
    pub(super) fn step(&self, member: &Member) -> Result<Member, Refusal> {
        match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => Ok(self.advance(member, member.epoch)),
            MemberState::Stable if self.has_subscription_changed => Ok(self.shrink(member)),
            MemberState::Stable => Ok(member.clone()),
            MemberState::UnrevokedPartitions if self.still_has(&member.revoking) => {
                Ok(if self.has_subscription_changed { self.shrink(member) } else { member.clone() })
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                Ok(self.advance(member, member.epoch))
            }
            MemberState::Unknown if self.owned.is_some_and(TopicPartitions::is_empty) => {
                Ok(self.advance(member, self.target_epoch))
            }
            MemberState::Unknown => Err(Refusal::new(
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.",
            )),
        }
    }

    /// Whether the member has some of these partitions; one that does not say may have all of them.
    fn still_has(&self, partitions: &OwnedPartitions) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, owned)| {
            partitions.get(topic).is_some_and(|partitions| owned.iter().any(|one| partitions.contains_key(one)))
        })
    }

    /// Takes away what the member no longer subscribes to, within its epoch.
    fn shrink(&self, member: &Member) -> Member {
        let mut next = member.clone();
        let mut revoking = member.revoking.clone();
        next.assigned.retain(|topic, partitions| {
            let stays = self.subscribed.contains(topic);
            if !stays {
                revoking.entry(*topic).or_default().extend(partitions.iter());
            }
            stays
        });
        if next.assigned == member.assigned {
            return next;
        }
        next.move_to(member.epoch);
        if !revoking.is_empty() && self.still_has(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.revoking = revoking;
        }
        next
    }

    fn advance(&self, member: &Member, epoch: i32) -> Member {
        let none = BTreeSet::new();
        let (mut assigned, mut revoking, mut free) = Default::default();
        let mut waits = false;
        let topics: BTreeSet<Uuid> = self.target.keys().chain(member.assigned.keys()).copied().collect();
        for topic in topics {
            let is_read = self.subscribed.contains(&topic);
            let target = if is_read { self.target.get(&topic).unwrap_or(&none) } else { &none };
            for (partition, since) in member.assigned.get(&topic).into_iter().flatten() {
                let into = if target.contains(partition) { &mut assigned } else { &mut revoking };
                put(into, topic, *partition, *since);
            }
            for partition in target {
                if assigned.get(&topic).is_some_and(|has| has.contains_key(partition)) {
                    continue;
                }
                // What this member itself is giving up is as good as free: nobody else can have it.
                let is_its = member.revoking.get(&topic).is_some_and(|revoking| revoking.contains_key(partition));
                if self.group.owner_epoch(topic, *partition) == -1 || is_its {
                    put(&mut free, topic, *partition, self.target_epoch);
                } else {
                    waits = true;
                }
            }
        }
        let mut next = Member { assigned, revoking: OwnedPartitions::new(), ..member.clone() };
        if !revoking.is_empty() && self.still_has(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.revoking = revoking;
            next.move_to(epoch);
            return next;
        }
        for (topic, partitions) in free {
            next.assigned.entry(topic).or_default().extend(partitions);
        }
        next.state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.move_to(self.target_epoch);
        next
    }
}

fn put(into: &mut OwnedPartitions, topic: Uuid, partition: i32, since: i32) {
    into.entry(topic).or_default().insert(partition, since);
}

#[cfg(test)]
mod tests;
