//! ConsumerGroupHeartbeat (KIP-848): a member joins, tells what it reads and has, and is told what it shall have.

use super::admit::{self, Admitted};
use super::reconcile::Reconciliation;
use super::{
    ConsumerGroup, LEAVE, LEAVE_STATIC, Member, MemberState, Sessions, Step, convert, leave, records, regex, target,
};
use crate::assignor::TopicPartitions;
use crate::group_id::GroupId;
use crate::groups::{Group, Groups, Reply, RequestContext};
use crate::{ClassicGroup, Record};
use base::{ErrorCode, Refusal, Uuid};
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use protocol::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions as ToldPartitions,
};
use rsm::{Effects, Now};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Answers a ConsumerGroupHeartbeat.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &ConsumerGroupHeartbeatRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let said = admit::check(request, cx.version, &groups.settings.consumer).and_then(|()| match request.member_epoch {
        LEAVE | LEAVE_STATIC => leave::by_heartbeat(groups, cx, request, effects),
        _ => beat(groups, cx, request, effects),
    });
    effects.reply(cx.ticket, said.map(Reply::ConsumerHeartbeat));
}

/// What was there instead of a consumer group when a member came.
enum Before {
    Nothing,
    /// A classic group without members: it goes, its offsets stay.
    EmptyClassic,
    /// A classic group whose members come along: the consumer group of them.
    Classic(Box<ConsumerGroup>),
}

fn before(groups: &mut Groups, id: &str, is_joining: bool) -> Result<Before, Refusal> {
    let not_found = |why: String| Err(Refusal::new(ErrorCode::GroupIdNotFound, why));
    match groups.groups.get(id) {
        Some(Group::Classic(group)) if is_joining && group.is_empty() => Ok(Before::EmptyClassic),
        Some(Group::Classic(group)) if is_joining => {
            let upgraded = convert::upgraded(id, group, &groups.settings, &groups.image, &mut groups.hashes)?;
            Ok(Before::Classic(Box::new(upgraded)))
        }
        Some(_) => not_found(format!("Group {id} is not a consumer group.")),
        None if is_joining => Ok(Before::Nothing),
        None => not_found(format!("Consumer group {id} not found.")),
    }
}

fn beat(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &ConsumerGroupHeartbeatRequest<'_>,
    effects: &mut Effects<Groups>,
) -> Result<ConsumerGroupHeartbeatResponse<'static>, Refusal> {
    let (id, size_max) = (&*request.group_id, groups.settings.consumer.size_max);
    let member_id = match &*request.member_id {
        "" => Cow::Owned(Uuid::random(&mut groups.rng).to_string()),
        known => Cow::Borrowed(known),
    };
    if let Some((group, sessions, mut step)) = groups.consumer_step(id, cx.now, effects) {
        let admitted = admit::admit(group, id, request, size_max, &member_id)?;
        return carry_out(group, sessions, &mut step, cx, request, &member_id, admitted);
    }
    let before = before(groups, id, request.member_epoch == 0)?;
    let nobody = ConsumerGroup::default();
    let group = match &before {
        Before::Classic(upgraded) => upgraded,
        Before::EmptyClassic | Before::Nothing => &nobody,
    };
    let admitted = admit::admit(group, id, request, size_max, &member_id)?;
    begin(groups, &groups.id(id), cx.now, before, effects);
    let Some((group, sessions, mut step)) = groups.consumer_step(id, cx.now, effects) else {
        return Err(Refusal::new(ErrorCode::UnknownServerError, "the group was just made and is not there"));
    };
    carry_out(group, sessions, &mut step, cx, request, &member_id, admitted)
}

/// Puts a consumer group in the place of what was there.
fn begin(groups: &mut Groups, id: &GroupId, now: Now, before: Before, effects: &mut Effects<Groups>) {
    let (group, creation) = match before {
        Before::Nothing | Before::EmptyClassic => (ConsumerGroup::default(), Vec::new()),
        Before::Classic(upgraded) => {
            let creation = upgraded.creation(id);
            (*upgraded, creation)
        }
    };
    if let Some(Group::Classic(mut classic)) =
        groups.groups.insert(GroupId::clone(id), Group::Consumer(group, Sessions::default()))
    {
        classic.dissolve(effects);
        effects.append_applied(ClassicGroup::tombstone(id));
    }
    if creation.is_empty() {
        return;
    }
    creation.into_iter().for_each(|record| effects.append_applied(record));
    let Some((group, sessions, mut step)) = groups.consumer_step(id, now, effects) else { return };
    step.journal("a member joins by the consumer protocol: the classic group becomes a consumer group".to_owned());
    for (id, member) in group.members() {
        let session_ms = member.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
        sessions.keep_alive(&mut step, id, session_ms);
    }
}

/// Does what an admitted heartbeat asks for.
fn carry_out(
    group: &mut ConsumerGroup,
    sessions: &mut Sessions,
    step: &mut Step<'_>,
    cx: RequestContext<'_>,
    request: &ConsumerGroupHeartbeatRequest<'_>,
    id: &str,
    admitted: Admitted,
) -> Result<ConsumerGroupHeartbeatResponse<'static>, Refusal> {
    if let Some(old) = admitted.replaces {
        replace(group, sessions, step, &old, id);
    }
    let updated = updated(group.members.get(id), cx, request);
    let has_subscription_changed = subscribe(group, sessions, step, id, updated);
    target::update(group, step)?;
    let owned = admit::owned(request);
    let has_other_partitions = reconcile(group, sessions, step, id, has_subscription_changed, owned.as_ref())?;
    sessions.keep_alive(step, id, step.session_timeout_ms());
    step.settle(group);
    let member = &group.members[id];
    let is_full = request.rebalance_timeout_ms != -1
        && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
        && request.topic_partitions.is_some();
    let is_told = request.member_epoch == 0 || is_full || has_other_partitions;
    Ok(ConsumerGroupHeartbeatResponse {
        member_id: Some(Cow::Owned(id.to_owned())),
        member_epoch: member.epoch,
        heartbeat_interval_ms: step.heartbeat_interval_ms(),
        assignment: is_told.then(|| told(member)),
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

fn told(member: &Member) -> Assignment {
    let topics = member.assigned.iter().map(|(topic, partitions)| ToldPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        ..ToldPartitions::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Assignment::default() }
}

/// A static member goes on under another id; what it had is its again.
pub(super) fn replace(group: &mut ConsumerGroup, sessions: &mut Sessions, step: &mut Step<'_>, old: &str, new: &str) {
    let Some(member) = group.members.get(old) else { return };
    let member = Member { epoch: 0, previous_epoch: 0, ..member.clone() };
    let had = group.targets.get(old).cloned().unwrap_or_default();
    let instance = member.instance_id.as_deref().unwrap_or_default();
    step.journal(format!("static member {instance} came back as {new}; {old} is fenced"));
    step.journal.renamed(&step.id, old, new);
    let group_id = GroupId::clone(&step.id);
    let records: [Record; 6] = [
        records::no_current(&group_id, old),
        records::no_target(&group_id, old),
        records::no_member(&group_id, old),
        records::member(&group_id, new, &member),
        records::target(&group_id, new, &had),
        records::current(&group_id, new, &member),
    ];
    records.into_iter().for_each(|record| step.record(group, record));
    sessions.forget(old);
}

/// The member as the request tells it; none when it tells nothing new.
fn updated(
    known: Option<&Member>,
    cx: RequestContext<'_>,
    request: &ConsumerGroupHeartbeatRequest<'_>,
) -> Option<Member> {
    let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let names = || request.subscribed_topic_names.iter().flatten().map(ToString::to_string).collect();
    let Some(known) = known else {
        return Some(Member {
            instance_id: own(&request.instance_id),
            rack_id: own(&request.rack_id),
            client_id: cx.client_id.to_owned(),
            client_host: cx.client_host.to_owned(),
            topics: names(),
            topic_regex: Some(own(&request.subscribed_topic_regex).unwrap_or_default()),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            assignor: own(&request.server_assignor),
            ..Member::default()
        });
    };
    // Nothing is copied for a heartbeat that says nothing new, which nearly all do.
    let is_same =
        |said: &Option<Cow<'_, str>>, known: &Option<String>| said.is_none() || said.as_deref() == known.as_deref();
    let has_same_names = request.subscribed_topic_names.as_ref().is_none_or(|names| {
        let names: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        names.len() == known.topics.len() && names.iter().all(|name| known.topics.contains(*name))
    });
    let says_nothing_new = has_same_names
        && is_same(&request.instance_id, &known.instance_id)
        && is_same(&request.rack_id, &known.rack_id)
        && is_same(&request.subscribed_topic_regex, &known.topic_regex)
        && is_same(&request.server_assignor, &known.assignor)
        && (request.rebalance_timeout_ms == -1 || request.rebalance_timeout_ms == known.rebalance_timeout_ms)
        && (cx.client_id, cx.client_host) == (known.client_id.as_str(), known.client_host.as_str())
        && known.classic.is_none();
    if says_nothing_new {
        return None;
    }
    let or = |said: &Option<Cow<'_, str>>, known: &Option<String>| own(said).or_else(|| known.clone());
    Some(Member {
        instance_id: or(&request.instance_id, &known.instance_id),
        rack_id: or(&request.rack_id, &known.rack_id),
        client_id: cx.client_id.to_owned(),
        client_host: cx.client_host.to_owned(),
        topics: if request.subscribed_topic_names.is_some() { names() } else { known.topics.clone() },
        topic_regex: or(&request.subscribed_topic_regex, &known.topic_regex),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => known.rebalance_timeout_ms,
            ms => ms,
        },
        assignor: or(&request.server_assignor, &known.assignor),
        classic: None,
        ..known.clone()
    })
}

/// Writes down what a member says of itself, follows its expression, and begins the next epoch when what the group reads or how it is
/// assigned has changed. Whether the member's subscription has.
pub(super) fn subscribe(
    group: &mut ConsumerGroup,
    sessions: &mut Sessions,
    step: &mut Step<'_>,
    id: &str,
    updated: Option<Member>,
) -> bool {
    let (mut has_changed, mut must_assign) = (false, false);
    let mut is_new_regex = false;
    if let Some(updated) = updated {
        let known = group.members.get(id).cloned();
        let old = known.clone().unwrap_or_default();
        let assignor = target::assignor_name(group, &step.settings.consumer).to_owned();
        tell(step, id, known.as_ref(), &updated);
        let record = records::member(&step.id, id, &updated);
        step.record(group, record);
        let follows = regex::follow(group, step, old.regex(), updated.regex());
        is_new_regex = follows == regex::Follows::Unresolved;
        let has_other_names = old.topics != updated.topics;
        has_changed = has_other_names || follows != regex::Follows::Same;
        must_assign = has_other_names
            || follows == regex::Follows::Resolved
            // Of a classic member nothing is resolved: it has no expression, and takes the place of one that had.
            || (updated.classic.is_some() && follows != regex::Follows::Same)
            || target::assignor_name(group, &step.settings.consumer) != assignor;
    }
    if must_assign || !sessions.knows_topics {
        step.refresh_metadata(group, sessions, must_assign);
    }
    regex::look_again(group, sessions, step, is_new_regex);
    has_changed
}

/// For the journal: who comes, or what a member has changed.
fn tell(step: &mut Step<'_>, id: &str, known: Option<&Member>, updated: &Member) {
    let instance = updated.instance_id.as_deref().map(|instance| format!(" (instance {instance})")).unwrap_or_default();
    match known {
        None => step.journal(format!("{id}{instance} joins as a new member")),
        Some(known) if known.topics != updated.topics || known.regex() != updated.regex() => {
            step.journal(format!("{id}{instance} subscribes to something else"));
        }
        Some(known) if known.assignor != updated.assignor => {
            let name = updated.assignor.as_deref().unwrap_or_default();
            step.journal(format!("{id}{instance} asks for the assignor {name}"));
        }
        Some(_) => {}
    }
}

/// Takes a member a step towards its target. Whether it has other partitions then.
///
/// # Errors
/// See [`Reconciliation::step`].
pub(super) fn reconcile(
    group: &mut ConsumerGroup,
    sessions: &mut Sessions,
    step: &mut Step<'_>,
    id: &str,
    has_subscription_changed: bool,
    owned: Option<&TopicPartitions>,
) -> Result<bool, Refusal> {
    let member = &group.members[id];
    if !has_subscription_changed && member.has_reached(group.target_epoch) {
        return Ok(false);
    }
    let nothing = TopicPartitions::new();
    let subscribed = group.topic_ids_of(member, step.image);
    let next = Reconciliation {
        group,
        target_epoch: group.target_epoch,
        target: group.targets.get(id).unwrap_or(&nothing),
        subscribed: &subscribed,
        has_subscription_changed,
        owned,
    };
    let next = next.step(member)?;
    if next == *member {
        return Ok(false);
    }
    let has_other_partitions = next.assigned != member.assigned;
    let record = records::current(&step.id, id, &next);
    step.record(group, record);
    if next.classic.is_none() {
        let must_revoke = next.state == MemberState::UnrevokedPartitions;
        sessions.must_revoke(step, id, must_revoke.then_some((next.rebalance_timeout_ms, next.epoch)));
    }
    Ok(has_other_partitions)
}
