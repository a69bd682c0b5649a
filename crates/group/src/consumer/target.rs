//! The target assignment: what every member shall have in the group's epoch.

use super::{ConsumerGroup, Step, records};
use crate::assignor::{AssignorKind, GroupSpec, MemberSpec, TopicPartitions};
use crate::settings::ConsumerSettings;
use base::{ErrorCode, Refusal, Uuid};
use metadata::MetadataImage;
use std::collections::{BTreeMap, BTreeSet};

/// Computes the target of the group's epoch, unless it is there already or the last one is not old enough
/// (group.consumer.assignment.interval.ms): then members go on towards the last one.
///
/// # Errors
/// UNKNOWN_SERVER_ERROR when the assignor fails.
pub(super) fn update(group: &mut ConsumerGroup, step: &mut Step<'_>) -> Result<(), Refusal> {
    if group.target_epoch >= group.epoch || !is_time(group, step) {
        return Ok(());
    }
    let targets = assign(group, step.image, assignor(group, &step.settings.consumer))?;
    for (id, target) in targets {
        if group.targets.get(&id) != Some(&target) {
            let record = records::target(&step.id, &id, &target);
            step.record(group, record);
        }
    }
    let record = records::target_epoch(&step.id, group.epoch, step.now.wall.0);
    step.record(group, record);
    Ok(())
}

/// A target whose time is not known, as that of a group that was empty, is replaced at once.
fn is_time(group: &ConsumerGroup, step: &Step<'_>) -> bool {
    let interval_ms = i64::from(step.assignment_interval_ms());
    group.target_timestamp == 0
        || interval_ms == 0
        || step.now.wall.0 >= group.target_timestamp.saturating_add(interval_ms)
}

/// The name of the assignor that the group uses: the one that most members ask for, or the broker's first.
pub(super) fn assignor_name<'a>(group: &'a ConsumerGroup, settings: &'a ConsumerSettings) -> &'a str {
    let first = || settings.assignors.first().map_or(AssignorKind::Uniform.name(), String::as_str);
    group.preferred_assignor().unwrap_or_else(first)
}

/// A log of Kafka may name one of its user's own; then it is the first that is known here.
fn assignor(group: &ConsumerGroup, settings: &ConsumerSettings) -> AssignorKind {
    let by_name = AssignorKind::from_name(assignor_name(group, settings));
    let known = || settings.assignors.iter().find_map(|name| AssignorKind::from_name(name));
    by_name.or_else(known).unwrap_or(AssignorKind::Uniform)
}

fn assign(
    group: &ConsumerGroup,
    image: &MetadataImage,
    assignor: AssignorKind,
) -> Result<BTreeMap<String, TopicPartitions>, Refusal> {
    // Most members subscribe to the same: what that is among the topics that exist is looked up once.
    let mut topics: BTreeMap<(&BTreeSet<String>, Option<&str>), BTreeSet<Uuid>> = BTreeMap::new();
    for member in group.members.values() {
        topics.entry((&member.topics, member.regex())).or_insert_with(|| group.topic_ids_of(member, image));
    }
    let all: BTreeSet<Uuid> = topics.values().flatten().copied().collect();
    let count = |id: Uuid| i32::try_from(image.topics().by_id(id)?.partition_count()).ok();
    let partition_counts = all.into_iter().filter_map(|id| Some((id, count(id)?))).collect();
    let nothing = TopicPartitions::new();
    let members = group.members.iter().map(|(id, member)| {
        let spec = MemberSpec {
            instance_id: member.instance_id.as_deref(),
            topics: &topics[&(&member.topics, member.regex())],
            assigned: group.targets.get(id).unwrap_or(&nothing),
        };
        (id.as_str(), spec)
    });
    let spec = GroupSpec { members: members.collect(), partition_counts, is_homogeneous: is_homogeneous(group) };
    let mut assigned = assignor.assign(&spec).map_err(|error| {
        let why = format!("Failed to compute a new target assignment for epoch {}: {error}", group.epoch);
        Refusal::new(ErrorCode::UnknownServerError, why)
    })?;
    let targets = group.members.keys().map(|id| (id.clone(), assigned.remove(id).unwrap_or_default()));
    Ok(targets.collect())
}

/// Whether all members subscribe to the same, as Kafka tells it: by the same names, or all by one expression and nothing else.
fn is_homogeneous(group: &ConsumerGroup) -> bool {
    let count = group.members.len();
    match group.regex_subscribers.values().next() {
        None => {
            let mut subscriptions = group.members.values().map(|member| &member.topics);
            subscriptions.next().is_none_or(|first| subscriptions.all(|topics| topics == first))
        }
        Some(subscribers) => *subscribers == count && group.members.values().all(|member| member.topics.is_empty()),
    }
}
