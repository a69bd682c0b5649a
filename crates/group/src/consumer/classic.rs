//! Members of the classic protocol in a consumer group (KIP-848, online migration): JoinGroup, SyncGroup, Heartbeat and LeaveGroup stand for
//! the heartbeats that they do not send. Nobody waits for others: a join is answered with the member's epoch for a generation, and whoever
//! has to give partitions up or may take some is told by REBALANCE_IN_PROGRESS to join again.

use super::admit::{self, unknown_member};
use super::heartbeat::{reconcile, replace, subscribe};
use super::leave;
use super::{ConsumerGroup, Member, MemberState, convert, target};
use crate::assignor::TopicPartitions;
use crate::classic::{CONSUMER_PROTOCOL_TYPE, join_error, sync_error};
use crate::group_id::GroupId;
use crate::groups::{Group, Groups, Reply, RequestContext};
use crate::record::RECORD_BYTES_MAX;
use crate::settings::MigrationPolicy;
use crate::{Settings, classic, embedded, refuse};
use base::{ErrorCode, Refusal, Uuid};
use metadata::MetadataImage;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::join_group_request::JoinGroupRequest;
use protocol::messages::join_group_response::JoinGroupResponse;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequest;
use protocol::messages::sync_group_response::SyncGroupResponse;
use rsm::Effects;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Answers a JoinGroup to a consumer group with members.
pub(crate) fn join(
    groups: &mut Groups,
    id: &GroupId,
    cx: RequestContext<'_>,
    request: &JoinGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let member_id = match &*request.member_id {
        "" => Uuid::random(&mut groups.rng).to_string(),
        known => known.to_owned(),
    };
    let reply = match try_join(groups, id, cx, request, &member_id, effects) {
        Ok(response) => Reply::Join(response),
        Err(refusal) if refusal.code == ErrorCode::MemberIdRequired => join_error(refusal.code, &member_id),
        Err(refusal) => join_error(refusal.code, &request.member_id),
    };
    effects.reply(cx.ticket, Ok(reply));
}

/// A join that may be carried out.
struct Joining<'a> {
    protocols: Vec<(String, Vec<u8>)>,
    subscription: ConsumerProtocolSubscription<'a>,
    /// The static member whose place it takes.
    replaces: Option<String>,
    /// With it only members of the classic protocol are left.
    is_downgrade: bool,
}

/// Everything that a join is refused for, before anything changes.
fn admit_join<'a>(
    group: &ConsumerGroup,
    settings: &Settings,
    version: i16,
    request: &'a JoinGroupRequest<'_>,
    member_id: &str,
) -> Result<Joining<'a>, Refusal> {
    if settings.consumer.migration == MigrationPolicy::Disabled {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    }
    let instance = request.group_instance_id.as_deref();
    admit::check_room(group, settings.consumer.size_max, member_id, instance)?;
    let protocols = classic::protocols(&request.protocols);
    // What it says is kept in a record twice: as it came, and what it reads by name.
    if protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum::<usize>() > RECORD_BYTES_MAX / 4 {
        return Err(refuse(ErrorCode::UnknownServerError));
    }
    if !supports(group, &request.protocol_type, &protocols) {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    }
    let is_nameless = request.member_id.is_empty();
    if is_nameless && instance.is_none() && version >= classic::MEMBER_ID_REQUIRED_FROM {
        return Err(refuse(ErrorCode::MemberIdRequired));
    }
    let replaces = match instance {
        Some(instance) if is_nameless => group.static_member(instance).map(|(known, _)| known.to_owned()),
        Some(instance) => admit::check_static(group, member_id, instance).map(|_| None)?,
        None => None,
    };
    let of_instance = instance.and_then(|instance| group.static_member(instance)).map(|(known, _)| known);
    let is_downgrade =
        of_instance.is_some_and(|id| convert::is_downgrade(group, convert::Going::Replaced(id), settings));
    let metadata = request.protocols.first().map_or(&[][..], |protocol| &protocol.metadata);
    let subscription = embedded::subscription(metadata).map_err(|_| refuse(ErrorCode::InconsistentGroupProtocol))?;
    Ok(Joining { protocols, subscription, replaces, is_downgrade })
}

fn try_join(
    groups: &mut Groups,
    id: &GroupId,
    cx: RequestContext<'_>,
    request: &JoinGroupRequest<'_>,
    member_id: &str,
    effects: &mut Effects<Groups>,
) -> Result<JoinGroupResponse<'static>, Refusal> {
    let Some(Group::Consumer(group, _)) = groups.groups.get(id) else {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    };
    let joining = admit_join(group, &groups.settings, cx.version, request, member_id)?;
    let Some((group, sessions, mut step)) = groups.consumer_step(id, cx.now, effects) else {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    };
    if let Some(old) = &joining.replaces {
        replace(group, sessions, &mut step, old, member_id);
    }
    let known = group.members().get(member_id).cloned();
    let updated = updated(known.as_ref(), cx, request, &joining);
    let is_same = known.as_ref() == Some(&updated);
    let has_changed = subscribe(group, sessions, &mut step, member_id, (!is_same).then_some(updated));
    let owned = owned(&joining.subscription, step.image);
    let is_stale = joining.is_downgrade && group.target_epoch() < group.epoch();
    if !joining.is_downgrade {
        target::update(group, &mut step)?;
    }
    if !is_stale {
        reconcile(group, sessions, &mut step, member_id, has_changed, Some(&owned))?;
    }
    step.settle(group);
    let generation = group.members()[member_id].epoch;
    sessions.joined(&mut step, member_id, request.session_timeout_ms, request.rebalance_timeout_ms);
    if joining.is_downgrade {
        // Kafka rebalances only when the target is an old one. But others may still have what is the new member's.
        let mut others = group.members().iter().filter(|(other, _)| *other != member_id);
        let is_under_way = others.any(|(_, other)| !other.has_reached(group.target_epoch()));
        let why = (is_stale || is_under_way)
            .then(|| format!("{member_id} took the place of the last member of the consumer protocol"));
        leave::downgrade(groups, id, cx.now, &BTreeSet::new(), why, effects)?;
    }
    Ok(JoinGroupResponse {
        generation_id: generation,
        protocol_type: Some(Cow::Borrowed(CONSUMER_PROTOCOL_TYPE)),
        protocol_name: joining.protocols.first().map(|(name, _)| Cow::Owned(name.clone())),
        member_id: Cow::Owned(member_id.to_owned()),
        ..JoinGroupResponse::default()
    })
}

/// Whether all classic members support one of these protocols.
fn supports(group: &ConsumerGroup, protocol_type: &str, protocols: &[(String, Vec<u8>)]) -> bool {
    // Sets, since a member may name a million.
    let mut left: BTreeSet<&str> = protocols.iter().map(|(name, _)| name.as_str()).collect();
    for classic in group.members().values().filter_map(|member| member.classic.as_ref()) {
        let known: BTreeSet<&str> = classic.supported_protocols.iter().map(|one| &*one.name).collect();
        left.retain(|name| known.contains(name));
    }
    protocol_type == CONSUMER_PROTOCOL_TYPE && !left.is_empty()
}

/// The member as its join tells it.
fn updated(
    known: Option<&Member>,
    cx: RequestContext<'_>,
    request: &JoinGroupRequest<'_>,
    joining: &Joining<'_>,
) -> Member {
    let subscription = &joining.subscription;
    let known = known.cloned().unwrap_or_default();
    let rack = subscription.rack_id.as_deref().filter(|rack| !rack.is_empty()).map(str::to_owned);
    Member {
        instance_id: request.group_instance_id.as_deref().map(str::to_owned).or(known.instance_id),
        rack_id: rack.or(known.rack_id),
        client_id: cx.client_id.to_owned(),
        client_host: cx.client_host.to_owned(),
        topics: subscription.topics.iter().map(ToString::to_string).collect(),
        topic_regex: Some(String::new()),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => known.rebalance_timeout_ms,
            ms => ms,
        },
        classic: Some(convert::classic_metadata(request.session_timeout_ms, joining.protocols.iter())),
        ..known
    }
}

fn owned(subscription: &ConsumerProtocolSubscription<'_>, image: &MetadataImage) -> TopicPartitions {
    let mut owned = TopicPartitions::new();
    for topic in &subscription.owned_partitions {
        if let Some(found) = image.topics().by_name(&topic.topic) {
            owned.entry(found.id()).or_default().extend(topic.partitions.iter().copied());
        }
    }
    owned
}

/// The classic member that a request comes from.
fn member<'a>(
    group: &'a ConsumerGroup,
    id: &str,
    member_id: &str,
    instance: Option<&str>,
    generation: i32,
) -> Result<&'a Member, Refusal> {
    let member = match instance {
        Some(instance) => admit::check_static(group, member_id, instance)?,
        None => group.members().get(member_id).ok_or_else(|| unknown_member(id, member_id))?,
    };
    if member.classic.is_none() {
        return Err(refuse(ErrorCode::UnknownMemberId));
    }
    if member.epoch != generation {
        return Err(refuse(ErrorCode::IllegalGeneration));
    }
    Ok(member)
}

fn session_timeout_ms(member: &Member) -> i32 {
    member.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms)
}

/// Answers a SyncGroup to a consumer group: what the member has in its epoch.
pub(crate) fn sync(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &SyncGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let synced = try_sync(groups, cx, request, effects);
    let reply = synced.map_or_else(|refusal| sync_error(refusal.code), Reply::Sync);
    effects.reply(cx.ticket, Ok(reply));
}

fn try_sync(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &SyncGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) -> Result<SyncGroupResponse<'static>, Refusal> {
    let Some((group, sessions, mut step)) = groups.consumer_step(&request.group_id, cx.now, effects) else {
        return Err(refuse(ErrorCode::UnknownMemberId));
    };
    let member_id = &*request.member_id;
    let member =
        member(group, &request.group_id, member_id, request.group_instance_id.as_deref(), request.generation_id)?;
    let first = member.classic.as_ref().and_then(|classic| classic.supported_protocols.first());
    let differs = |said: Option<&str>, known: Option<&str>| said.is_some_and(|said| Some(said) != known);
    if differs(request.protocol_type.as_deref(), Some(CONSUMER_PROTOCOL_TYPE))
        || differs(request.protocol_name.as_deref(), first.map(|protocol| &*protocol.name))
    {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    }
    // A member that gives partitions up has joined; what follows tells it to join again.
    if group.target_epoch() > member.epoch && member.state != MemberState::UnrevokedPartitions {
        sessions.must_join(&mut step, member_id, member.rebalance_timeout_ms);
        return Err(refuse(ErrorCode::RebalanceInProgress));
    }
    let version = embedded::version(first.map_or(&[][..], |protocol| &protocol.metadata));
    let topics = member.assigned.iter().map(|(topic, of)| (*topic, of.keys().copied().collect()));
    let assignment = version.map_err(|_| refuse(ErrorCode::UnknownServerError)).and_then(|version| {
        classic::assignment_bytes(topics, step.image, version).map_err(|_| refuse(ErrorCode::UnknownServerError))
    })?;
    sessions.synced(&mut step, member_id, session_timeout_ms(member));
    let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Cow::Owned(text.to_owned()));
    Ok(SyncGroupResponse {
        protocol_type: own(&request.protocol_type),
        protocol_name: own(&request.protocol_name),
        assignment: Cow::Owned(assignment),
        ..SyncGroupResponse::default()
    })
}

/// A Heartbeat to what is no classic group.
///
/// # Errors
/// UNKNOWN_MEMBER_ID where there is no group; REBALANCE_IN_PROGRESS when the member has to join again: for a new target, to give partitions up, or because what it waits for is free.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &HeartbeatRequest<'_>,
    effects: &mut Effects<Groups>,
) -> Result<(), Refusal> {
    let Some((group, sessions, mut step)) = groups.consumer_step(&request.group_id, cx.now, effects) else {
        return Err(refuse(ErrorCode::UnknownMemberId));
    };
    let member_id = &*request.member_id;
    let member =
        member(group, &request.group_id, member_id, request.group_instance_id.as_deref(), request.generation_id)?;
    sessions.keep_alive(&mut step, member_id, session_timeout_ms(member));
    let must_join = member.epoch < group.target_epoch()
        || member.state == MemberState::UnrevokedPartitions
        || (member.state == MemberState::UnreleasedPartitions && !waits(group, member_id, member));
    if must_join {
        sessions.must_join(&mut step, member_id, member.rebalance_timeout_ms);
        return Err(refuse(ErrorCode::RebalanceInProgress));
    }
    Ok(())
}

/// Whether somebody else still has what the member shall have.
fn waits(group: &ConsumerGroup, id: &str, member: &Member) -> bool {
    group.target(id).into_iter().flatten().any(|(topic, partitions)| {
        let has = |partition: &i32| member.assigned.get(topic).is_some_and(|of| of.contains_key(partition));
        partitions.iter().any(|partition| !has(partition) && group.owner_epoch(*topic, *partition) != -1)
    })
}

/// Takes out the members that a LeaveGroup names, of either protocol; the code for each.
pub(crate) fn leave(
    groups: &mut Groups,
    id: &GroupId,
    cx: RequestContext<'_>,
    leaving: &[MemberIdentity<'_>],
    effects: &mut Effects<Groups>,
) -> Vec<ErrorCode> {
    let Some(Group::Consumer(group, _)) = groups.groups.get(id) else {
        return vec![ErrorCode::UnknownMemberId; leaving.len()];
    };
    let (mut gone, mut told) = (BTreeSet::new(), Vec::new());
    let codes = leaving.iter().map(|one| {
        let found = match one.group_instance_id.as_deref() {
            None => group.members().get_key_value(&*one.member_id).map(|(id, _)| id.as_str()),
            Some(instance) => group.static_member(instance).map(|(id, _)| id),
        };
        let Some(found) = found else { return ErrorCode::UnknownMemberId };
        // An operator removes a static member by its instance id.
        if one.group_instance_id.is_some() && !one.member_id.is_empty() && found != one.member_id {
            return ErrorCode::FencedInstanceId;
        }
        let why = one.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("no reason given");
        told.push(format!("{found} ({why})"));
        gone.insert(found.to_owned());
        ErrorCode::None
    });
    let codes = codes.collect();
    leave::remove(groups, id, cx.now, &gone, format!("left: {}", told.join(", ")), effects);
    codes
}

#[cfg(test)]
mod tests;
