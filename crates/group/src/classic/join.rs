//! JoinGroup.

use super::member::{Member, protocols};
use super::rebalance::{complete_join, prepare_rebalance, prepare_rebalance_or_complete_join, try_complete_join};
use super::refused::{join_error, sync_error};
use super::{ClassicGroup, State, Step};
use crate::consumer;
use crate::group_id::GroupId;
use crate::groups::{Group, Groups, Reply, RequestContext};
use base::{ErrorCode, SeededRng};
use protocol::messages::join_group_request::JoinGroupRequest;
use protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use rsm::{Effects, Ticket};
use std::borrow::Cow;
use std::fmt::Write;

/// From this version on a member without an id is given one and has to come back with it (KIP-394).
pub(crate) const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// From this version on a leader can be told not to assign anew (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;
/// The longest text that a message or a record has a place for.
const MEMBER_ID_BYTES_MAX: usize = i16::MAX as usize;
/// The length of a UUID as Java prints it.
const UUID_BYTES: usize = 36;
/// How long the first JoinGroup of a member may wait: it has no id to heartbeat with, ms.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// A join as the group sees it.
pub(super) struct Join<'a> {
    pub(super) cx: RequestContext<'a>,
    pub(super) member_id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    protocol_type: &'a str,
    protocols: Vec<(String, Vec<u8>)>,
    reason: &'a str,
}

impl Join<'_> {
    fn reply(&self, step: &mut Step<'_>, reply: Reply) {
        step.effects.reply(self.cx.ticket, Ok(reply));
    }

    fn refuse(&self, step: &mut Step<'_>, code: ErrorCode, member_id: &str) {
        self.reply(step, join_error(code, member_id));
    }
}

/// Answers a JoinGroup, now or when all members have joined.
pub(crate) fn join(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &JoinGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let timeout_ms = request.session_timeout_ms;
    let settings = &groups.settings;
    if !(settings.classic_session_timeout_min_ms..=settings.classic_session_timeout_max_ms).contains(&timeout_ms) {
        effects.reply(cx.ticket, Ok(join_error(ErrorCode::InvalidSessionTimeout, &request.member_id)));
        return;
    }
    let id = groups.id(&request.group_id);
    match groups.groups.get(&id) {
        Some(Group::Consumer(group, _)) if !group.is_empty() => {
            return consumer::classic::join(groups, &id, cx, request, effects);
        }
        // A consumer group without members gives way; its offsets stay.
        Some(Group::Consumer(group, _)) if request.member_id.is_empty() => {
            group.tombstones(&id).into_iter().for_each(|record| effects.append_applied(record));
            groups.groups.remove(&id);
        }
        Some(Group::Consumer(..)) => {
            effects.reply(cx.ticket, Ok(join_error(ErrorCode::UnknownMemberId, &request.member_id)));
            return;
        }
        Some(Group::Classic(_)) | None => {}
    }
    let is_new = !groups.groups.contains_key(&id);
    if is_new {
        if !request.member_id.is_empty() {
            effects.reply(cx.ticket, Ok(join_error(ErrorCode::UnknownMemberId, &request.member_id)));
            return;
        }
        groups.groups.insert(GroupId::clone(&id), Group::Classic(ClassicGroup::new(cx.now)));
    }
    let Some((group, mut step)) = groups.classic_step(&id, cx.now, effects) else {
        effects.reply(cx.ticket, Ok(join_error(ErrorCode::InconsistentGroupProtocol, "")));
        return;
    };
    if is_new {
        // The log knows of the group before anybody is told a member id of it.
        let record = group.first_record(&id);
        step.effects.append_applied(record);
    }
    let join = Join {
        cx,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        session_timeout_ms: timeout_ms,
        // Version 0 knows one timeout.
        rebalance_timeout_ms: if cx.version == 0 { timeout_ms } else { request.rebalance_timeout_ms },
        protocol_type: &request.protocol_type,
        protocols: protocols(&request.protocols),
        reason: request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("not provided"),
    };
    join_group(group, &mut step, join);
}

fn join_group(group: &mut ClassicGroup, step: &mut Step<'_>, join: Join<'_>) {
    if !accepts(group, step, join.member_id) {
        let was_member = group.take_out(join.member_id).is_some();
        join.refuse(step, ErrorCode::GroupMaxSizeReached, "");
        if was_member {
            step.journal(format!("{} was refused: the group is full", join.member_id));
        }
        return;
    }
    if !group.supports(join.protocol_type, &join.protocols) {
        return join.refuse(step, ErrorCode::InconsistentGroupProtocol, join.member_id);
    }
    if join.member_id.is_empty() { join_new(group, step, join) } else { join_known(group, step, join) }
}

/// Whether there is room. While members join, those who wait are counted: so the last to come are refused when the limit went down.
fn accepts(group: &ClassicGroup, step: &Step<'_>, member_id: &str) -> bool {
    let room = step.settings.classic_size_max;
    let member = group.members.get(member_id);
    match group.state {
        State::Empty => true,
        State::PreparingRebalance => {
            member.is_some_and(|member| member.awaiting_join.is_some()) || group.joined() < room
        }
        State::CompletingRebalance | State::Stable => member.is_some() || group.members.len() < room,
    }
}

fn join_new(group: &mut ClassicGroup, step: &mut Step<'_>, join: Join<'_>) {
    let member_id = new_member_id(step.rng, join.instance_id.unwrap_or(join.cx.client_id));
    match join.instance_id {
        Some(instance) => match group.static_members.get(instance).cloned() {
            Some(known) => replace_static_member(group, step, join, &known, &member_id),
            None => add_member(group, step, join, member_id),
        },
        None if join.cx.version >= MEMBER_ID_REQUIRED_FROM => {
            let until = step.after_ms(join.session_timeout_ms);
            group.pending_joins.insert(member_id.clone(), until);
            step.wake(until);
            join.refuse(step, ErrorCode::MemberIdRequired, &member_id);
        }
        None => add_member(group, step, join, member_id),
    }
}

/// `PREFIX-` and a random UUID as Java prints it, as much of the prefix as an id has room for.
fn new_member_id(rng: &mut SeededRng, prefix: &str) -> String {
    let prefix = &prefix[..prefix.floor_char_boundary(MEMBER_ID_BYTES_MAX - UUID_BYTES - 1)];
    let mut id = format!("{prefix}-");
    for (at, byte) in base::Uuid::random(rng).to_bytes().iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        write!(id, "{byte:02x}").expect("a String takes every write");
    }
    id
}

fn join_known(group: &mut ClassicGroup, step: &mut Step<'_>, join: Join<'_>) {
    let id = join.member_id;
    if group.pending_joins.contains_key(id) {
        if join.instance_id.is_some() {
            // A static member is never asked to come back with an id.
            return join.refuse(step, ErrorCode::UnknownMemberId, id);
        }
        let id = id.to_owned();
        return add_member(group, step, join, id);
    }
    if let Err(refusal) = group.check_member(id, join.instance_id) {
        return join.refuse(step, refusal.code, id);
    }
    let has_same = group.members.get(id).is_some_and(|member| member.has_protocols(&join.protocols));
    let why = match group.state {
        State::PreparingRebalance => "is joining".to_owned(),
        State::CompletingRebalance if !has_same => "changed what it supports".to_owned(),
        State::Stable if group.is_leader(id) => "leads the group and joins again".to_owned(),
        State::Stable if !has_same => "changed what it supports".to_owned(),
        State::CompletingRebalance | State::Stable => {
            // It has missed the answer to its join, or joins without a change: what it would have been told.
            let members = if group.state == State::CompletingRebalance && group.is_leader(id) {
                group.members_for_leader()
            } else {
                Vec::new()
            };
            return join.reply(step, Reply::Join(group.join_response(id, members)));
        }
        State::Empty => return join.refuse(step, ErrorCode::UnknownMemberId, id),
    };
    let reason = format!("{id} {why}; its reason: {}", join.reason);
    update_member(group, step, &join, id);
    prepare_rebalance_or_complete_join(group, step, reason);
}

fn add_member(group: &mut ClassicGroup, step: &mut Step<'_>, join: Join<'_>, id: String) {
    let deadline = step.after_ms(NEW_MEMBER_JOIN_TIMEOUT_MS);
    let member = Member {
        instance_id: join.instance_id.map(str::to_owned),
        client_id: join.cx.client_id.to_owned(),
        client_host: join.cx.client_host.to_owned(),
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        session_timeout_ms: join.session_timeout_ms,
        protocols: join.protocols,
        assignment: Vec::new(),
        awaiting_join: Some(join.cx.ticket),
        awaiting_sync: None,
        is_new: true,
        deadline: Some(deadline),
    };
    step.wake(deadline);
    if group.state == State::PreparingRebalance && group.previous == State::Empty {
        group.new_member_added = true;
    }
    if group.members.is_empty() {
        group.protocol_type = Some(join.protocol_type.to_owned());
    }
    let reason = match join.instance_id {
        Some(instance) => format!("{id} (instance {instance}) joins as a new member; its reason: {}", join.reason),
        None => format!("{id} joins as a new member; its reason: {}", join.reason),
    };
    group.insert(id, member);
    prepare_rebalance_or_complete_join(group, step, reason);
}

fn update_member(group: &mut ClassicGroup, step: &mut Step<'_>, join: &Join<'_>, id: &str) {
    if let Some(member) = group.members.get_mut(id) {
        group.supported.remove(member);
        member.protocols.clone_from(&join.protocols);
        group.supported.add(member);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        // A client that asks again has given the older request up.
        if let Some(older) = member.awaiting_join.replace(join.cx.ticket) {
            step.effects.reply(older, Ok(join_error(ErrorCode::RebalanceInProgress, id)));
        }
    }
}

/// A static member came back without its id: it gets a new one, and the older holder is fenced.
fn replace_static_member(group: &mut ClassicGroup, step: &mut Step<'_>, join: Join<'_>, old: &str, new: &str) {
    let was_leader = group.leader.clone().unwrap_or_default();
    group.rename(step, old, new);
    let until = step.after_ms(join.session_timeout_ms);
    if let Some(member) = group.members.get_mut(new) {
        member.deadline = Some(until);
    }
    step.wake(until);
    update_member(group, step, &join, new);
    let instance = join.instance_id.unwrap_or_default();
    match group.state {
        State::Stable if group.select_protocol() == group.protocol && group.fits_record(&step.id) => {
            let what = format!("static member {instance} came back as {new}; {old} is fenced, nothing else changes");
            step.journal.note(&step.id, step.now, what, group.generation, group.members.len());
            answer_replaced(group, step, &join, new, &was_leader);
        }
        State::Stable => {
            let reason = format!(
                "static member {instance} came back as {new} with other protocols; its reason: {}",
                join.reason
            );
            prepare_rebalance_or_complete_join(group, step, reason);
        }
        State::CompletingRebalance => {
            // The leader may be assigning to the old id right now.
            let reason = format!("static member {instance} came back as {new}; its reason: {}", join.reason);
            prepare_rebalance(group, step, reason);
        }
        State::PreparingRebalance | State::Empty => try_complete_join(group, step),
    }
}

/// The group goes on as it was: only the new id is written down.
fn answer_replaced(group: &mut ClassicGroup, step: &mut Step<'_>, join: &Join<'_>, id: &str, was_leader: &str) {
    let record = group.record(&step.id);
    step.effects.append_applied(record);
    let mut response = group.join_response(id, Vec::new());
    if join.cx.version >= SKIP_ASSIGNMENT_FROM {
        let leads = group.is_leader(id);
        response.skip_assignment = leads;
        if leads {
            response.members = group.members_for_leader();
        }
    } else {
        // The old leader's id: a leader that came back then takes itself for a follower, and does not assign anew.
        response.leader = Cow::Owned(was_leader.to_owned());
    }
    if let Some(ticket) = group.members.get_mut(id).and_then(|member| member.awaiting_join.take()) {
        step.effects.reply(ticket, Ok(Reply::Join(response)));
    }
}

impl ClassicGroup {
    pub(super) fn join_response(
        &self,
        id: &str,
        members: Vec<JoinGroupResponseMember<'static>>,
    ) -> JoinGroupResponse<'static> {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone().map(Cow::Owned),
            protocol_name: self.protocol.clone().map(Cow::Owned),
            leader: Cow::Owned(self.leader.clone().unwrap_or_default()),
            member_id: Cow::Owned(id.to_owned()),
            members,
            ..JoinGroupResponse::default()
        }
    }

    /// What the leader is told of everybody.
    pub(super) fn members_for_leader(&self) -> Vec<JoinGroupResponseMember<'static>> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinGroupResponseMember {
            member_id: Cow::Owned(id.clone()),
            group_instance_id: member.instance_id.clone().map(Cow::Owned),
            metadata: Cow::Owned(member.metadata(protocol).to_vec()),
            ..JoinGroupResponseMember::default()
        });
        members.collect()
    }

    /// Gives a static member a new id; requests of the old one that wait are fenced.
    fn rename(&mut self, step: &mut Step<'_>, old: &str, new: &str) {
        let Some(mut member) = self.members.remove(old) else { return };
        if let Some(ticket) = member.awaiting_join.take() {
            step.effects.reply(ticket, Ok(join_error(ErrorCode::FencedInstanceId, old)));
        }
        if let Some(ticket) = member.awaiting_sync.take() {
            step.effects.reply(ticket, Ok(sync_error(ErrorCode::FencedInstanceId)));
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), new.to_owned());
        }
        if self.is_leader(old) {
            self.leader = Some(new.to_owned());
        }
        self.pending_syncs.remove(old);
        step.journal.renamed(&step.id, old, new);
        member.is_new = false;
        self.members.insert(new.to_owned(), member);
    }

    pub(super) fn answer_join(&mut self, step: &mut Step<'_>, id: &str, reply: Reply) -> bool {
        let ticket = self.members.get_mut(id).and_then(|member| member.awaiting_join.take());
        ticket.is_some_and(|ticket: Ticket| {
            step.effects.reply(ticket, Ok(reply));
            true
        })
    }
}

/// For the timer: the wait for joins is over.
pub(super) fn end_wait(group: &mut ClassicGroup, step: &mut Step<'_>) {
    complete_join(group, step);
}
