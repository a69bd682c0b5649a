//! What a heartbeat is refused for: everything that can be wrong with it is found before anything changes.

use super::{ConsumerGroup, LEAVE, LEAVE_STATIC, Member, MemberState, regex};
use crate::assignor::TopicPartitions;
use crate::record::RECORD_BYTES_MAX;
use crate::settings::ConsumerSettings;
use base::{ErrorCode, Refusal};
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;

/// From this version on members make their ids themselves (KIP-1082).
const MEMBER_ID_FROM: i16 = 1;

/// What a name takes besides its letters, about.
const NAME_BYTES: usize = 8;
/// Bytes that the names may take together; what else a member says of itself is short.
const NAMES_BYTES_MAX: usize = RECORD_BYTES_MAX - (1 << 20);

/// A member that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The static member whose place it takes.
    pub(super) replaces: Option<String>,
}

/// What a request itself must keep, whatever the group.
pub(super) fn check(
    request: &ConsumerGroupHeartbeatRequest<'_>,
    version: i16,
    settings: &ConsumerSettings,
) -> Result<(), Refusal> {
    let invalid = |why: &'static str| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let is_empty =
        |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().is_some_and(|text| text.trim().is_empty());
    let epoch = request.member_epoch;
    if (version >= MEMBER_ID_FROM || epoch > 0 || epoch == LEAVE) && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    // What it says of itself becomes one record.
    let names = request.subscribed_topic_names.iter().flatten().map(|name| NAME_BYTES + name.len());
    if names.sum::<usize>() > NAMES_BYTES_MAX {
        return invalid("SubscribedTopicNames are too many for a record; SubscribedTopicRegex can stand for them.");
    }
    match epoch {
        0 if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        // No topics at all are fine: such a member only belongs to the group.
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        LEAVE_STATIC if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..LEAVE_STATIC => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match request.server_assignor.as_deref() {
        Some(name) if !settings.assignors.iter().any(|known| known == name) => {
            let all = settings.assignors.join(", ");
            let why = format!("ServerAssignor {name} is not supported. Supported assignors: {all}.");
            Err(Refusal::new(ErrorCode::UnsupportedAssignor, why))
        }
        _ => Ok(()),
    }
}

/// What the member says that it has; none when it does not say.
pub(super) fn owned(request: &ConsumerGroupHeartbeatRequest<'_>) -> Option<TopicPartitions> {
    let topics = request.topic_partitions.as_ref()?;
    let mut owned = TopicPartitions::new();
    for topic in topics {
        owned.entry(topic.topic_id).or_default().extend(topic.partitions.iter().copied());
    }
    Some(owned)
}

/// Whether this member of this group may heartbeat so.
pub(super) fn admit(
    group: &ConsumerGroup,
    id: &str,
    request: &ConsumerGroupHeartbeatRequest<'_>,
    size_max: usize,
    member_id: &str,
) -> Result<Admitted, Refusal> {
    check_room(group, size_max, &request.member_id, request.instance_id.as_deref())?;
    let owned = owned(request);
    let is_joining = request.member_epoch == 0;
    let known = group.members().get(member_id);
    let mut admitted = Admitted { replaces: None };
    match (request.instance_id.as_deref(), known) {
        (Some(instance), _) if is_joining => admitted = join_static(group, member_id, instance)?,
        (Some(instance), _) => {
            check_epoch(check_static(group, member_id, instance)?, request.member_epoch, owned.as_ref())?;
        }
        (None, Some(member)) => check_epoch(member, request.member_epoch, owned.as_ref())?,
        (None, None) if is_joining => {}
        (None, None) => return Err(unknown_member(id, member_id)),
    }
    let before = admitted.replaces.as_deref().map_or(known, |replaced| group.members().get(replaced));
    if let Some(member) = before
        && member.state == MemberState::Unknown
        && owned.as_ref().is_none_or(|owned| !owned.is_empty())
    {
        let why =
            "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
        return Err(Refusal::new(ErrorCode::FencedMemberEpoch, why));
    }
    let asked = request.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty());
    let is_known = |regex: &str| before.and_then(Member::regex) == Some(regex) || group.regex_subscribers(regex) > 0;
    match asked {
        Some(regex) if !is_known(regex) => regex::check(regex)?,
        _ => {}
    }
    Ok(admitted)
}

/// A group is full for those who are not in it. A static member that comes back takes its own place.
pub(super) fn check_room(
    group: &ConsumerGroup,
    size_max: usize,
    member_id: &str,
    instance: Option<&str>,
) -> Result<(), Refusal> {
    let is_in = || {
        instance.is_some_and(|instance| group.static_members.contains_key(instance))
            || group.members().contains_key(member_id)
    };
    if group.members().len() < size_max || is_in() {
        return Ok(());
    }
    let why = format!("The consumer group has reached its maximum capacity of {size_max} members.");
    Err(Refusal::new(ErrorCode::GroupMaxSizeReached, why))
}

pub(super) fn unknown_member(id: &str, member_id: &str) -> Refusal {
    let why = format!("Member {member_id} is not a member of group {id}.");
    Refusal::new(ErrorCode::UnknownMemberId, why)
}

/// A static member that joins: a new one, or one that takes the place of a member that has gone for a while.
fn join_static(group: &ConsumerGroup, member_id: &str, instance: &str) -> Result<Admitted, Refusal> {
    let Some((known, member)) = group.static_member(instance) else { return Ok(Admitted { replaces: None }) };
    // A member of the classic protocol cannot say that it goes; the new one fences it.
    if member.epoch != LEAVE_STATIC && member.classic.is_none() {
        let why = format!(
            "Static member {member_id} with instance id {instance} cannot join the group because the instance id is owned by {known} member."
        );
        return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, why));
    }
    Ok(Admitted { replaces: Some(known.to_owned()) })
}

/// The member of an instance id, when it has this member id.
pub(super) fn check_static<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance: &str,
) -> Result<&'a Member, Refusal> {
    let (known, member) = group
        .static_member(instance)
        .ok_or_else(|| Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown.")))?;
    if known != member_id {
        let why = format!("Static member {member_id} with instance id {instance} was fenced by member {known}.");
        return Err(Refusal::new(ErrorCode::FencedInstanceId, why));
    }
    Ok(member)
}

/// A member's epoch is the one that it was told, or the one before when it has not heard the answer and holds nothing that the answer
/// takes from it (R43).
fn check_epoch(member: &Member, epoch: i32, owned: Option<&TopicPartitions>) -> Result<(), Refusal> {
    let has_only_its = || {
        owned.is_some_and(|owned| {
            owned.iter().all(|(topic, of)| {
                member.assigned.get(topic).is_some_and(|assigned| of.iter().all(|one| assigned.contains_key(one)))
            })
        })
    };
    let differs = match epoch {
        // Whoever was fenced begins anew with what it has given up.
        0 => return Ok(()),
        epoch if epoch == member.epoch => return Ok(()),
        epoch if epoch > member.epoch => "greater",
        epoch if epoch == member.previous_epoch && has_only_its() => return Ok(()),
        _ => "smaller",
    };
    let known = member.epoch;
    let why = format!(
        "The consumer group member has a {differs} member epoch ({epoch}) than the one known by the group coordinator ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, why))
}
