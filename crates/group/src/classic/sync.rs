//! SyncGroup and Heartbeat.

use super::rebalance::prepare_rebalance;
use super::refused::sync_error;
use super::{ClassicGroup, State, Step};
use crate::groups::{Groups, Reply, RequestContext};
use crate::record::RECORD_BYTES_MAX;
use crate::{consumer, refuse};
use base::{ErrorCode, Refusal};
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::heartbeat_response::HeartbeatResponse;
use protocol::messages::sync_group_request::SyncGroupRequest;
use protocol::messages::sync_group_response::SyncGroupResponse;
use rsm::Effects;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Answers a SyncGroup, now or when the leader has assigned.
pub(crate) fn sync(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &SyncGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let Some((group, mut step)) = groups.classic_step(&request.group_id, cx.now, effects) else {
        return consumer::classic::sync(groups, cx, request, effects);
    };
    if let Err(refusal) = check(group, request) {
        step.effects.reply(cx.ticket, Ok(sync_error(refusal.code)));
        return;
    }
    let member_id = &*request.member_id;
    match group.state {
        State::Empty => step.effects.reply(cx.ticket, Ok(sync_error(ErrorCode::UnknownMemberId))),
        State::PreparingRebalance => step.effects.reply(cx.ticket, Ok(sync_error(ErrorCode::RebalanceInProgress))),
        State::CompletingRebalance => {
            let older = group.members.get_mut(member_id).and_then(|member| member.awaiting_sync.replace(cx.ticket));
            if let Some(older) = older {
                step.effects.reply(older, Ok(sync_error(ErrorCode::RebalanceInProgress)));
            }
            group.synced(member_id);
            if group.is_leader(member_id) {
                take_assignment(group, &mut step, request);
            }
        }
        State::Stable => {
            group.synced(member_id);
            group.keep_alive(&mut step, member_id);
            let reply = group.sync_response(member_id);
            step.effects.reply(cx.ticket, Ok(reply));
        }
    }
}

fn check(group: &ClassicGroup, request: &SyncGroupRequest<'_>) -> Result<(), Refusal> {
    if group.is_empty() {
        return Err(refuse(ErrorCode::UnknownMemberId));
    }
    group.check_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(refuse(ErrorCode::IllegalGeneration));
    }
    let differs = |theirs: Option<&str>, ours: Option<&str>| matches!((theirs, ours), (Some(a), Some(b)) if a != b);
    if differs(request.protocol_type.as_deref(), group.protocol_type.as_deref())
        || differs(request.protocol_name.as_deref(), group.protocol.as_deref())
    {
        return Err(refuse(ErrorCode::InconsistentGroupProtocol));
    }
    Ok(())
}

/// The leader's assignment: written down, then handed to everybody. Replies leave when the record is committed.
fn take_assignment(group: &mut ClassicGroup, step: &mut Step<'_>, request: &SyncGroupRequest<'_>) {
    let mut assigned: BTreeMap<&str, &[u8]> =
        request.assignments.iter().map(|one| (&*one.member_id, &*one.assignment)).collect();
    for (id, member) in &mut group.members {
        member.assignment = assigned.remove(id.as_str()).unwrap_or_default().to_vec();
    }
    let record = group.record(&step.id);
    if record.encoded_len() > RECORD_BYTES_MAX {
        return refuse_assignment(group, step);
    }
    step.effects.append_applied(record);
    group.transition(State::Stable, step.now);
    step.activity.classic_rebalances += 1;
    let ids: Vec<String> = group.members.keys().cloned().collect();
    for id in &ids {
        let reply = group.sync_response(id);
        if group.answer_sync(step, id, reply) {
            group.keep_alive(step, id);
        }
    }
    step.journal.assigned(&step.id, group.owners());
    step.journal.ended(&step.id, step.now, group.generation, ids.len());
}

/// What cannot be written down is not handed out: whoever waits is told, and the group joins anew, as in Kafka.
fn refuse_assignment(group: &mut ClassicGroup, step: &mut Step<'_>) {
    let ids: Vec<String> = group.members.keys().cloned().collect();
    for id in ids {
        if group.answer_sync(step, &id, sync_error(ErrorCode::UnknownServerError)) {
            group.keep_alive(step, &id);
        }
    }
    let why = "what the members said and the leader assigned is too much for a record";
    prepare_rebalance(group, step, why.to_owned());
}

/// Answers a Heartbeat.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &HeartbeatRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let outcome = match groups.classic_step(&request.group_id, cx.now, effects) {
        Some((group, mut step)) => beat(group, &mut step, request),
        None => consumer::classic::heartbeat(groups, cx, request, effects),
    };
    let error_code = outcome.map_or_else(|refusal| refusal.code.code(), |()| 0);
    effects.reply(cx.ticket, Ok(Reply::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() })));
}

fn beat(group: &mut ClassicGroup, step: &mut Step<'_>, request: &HeartbeatRequest<'_>) -> Result<(), Refusal> {
    group.check_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(refuse(ErrorCode::IllegalGeneration));
    }
    match group.state {
        State::Empty => return Err(refuse(ErrorCode::UnknownMemberId)),
        // A member may heartbeat while it waits for the assignment.
        State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
            group.keep_alive(step, &request.member_id)
        }
    }
    if group.state == State::PreparingRebalance { Err(refuse(ErrorCode::RebalanceInProgress)) } else { Ok(()) }
}

impl ClassicGroup {
    fn sync_response(&self, id: &str) -> Reply {
        let assignment = self.members.get(id).map_or_else(Vec::new, |member| member.assignment.clone());
        Reply::Sync(SyncGroupResponse {
            protocol_type: self.protocol_type.clone().map(Cow::Owned),
            protocol_name: self.protocol.clone().map(Cow::Owned),
            assignment: Cow::Owned(assignment),
            ..SyncGroupResponse::default()
        })
    }

    pub(super) fn answer_sync(&mut self, step: &mut Step<'_>, id: &str, reply: Reply) -> bool {
        let ticket = self.members.get_mut(id).and_then(|member| member.awaiting_sync.take());
        ticket.is_some_and(|ticket| {
            step.effects.reply(ticket, Ok(reply));
            true
        })
    }

    /// The member has asked for its assignment; when all have, nobody is waited for any more.
    fn synced(&mut self, id: &str) {
        self.pending_syncs.remove(id);
        if self.pending_syncs.is_empty() {
            self.sync_deadline = None;
        }
    }

    /// Moves the end of a member's session on.
    pub(super) fn keep_alive(&mut self, step: &mut Step<'_>, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        let at = step.after_ms(member.session_timeout_ms);
        // Moved on, the wake-up that is set for the earlier end does: the group looks again then.
        let is_set = member.deadline.is_some_and(|known| known <= at);
        member.deadline = Some(at);
        if !is_set {
            step.wake(at);
        }
    }
}
