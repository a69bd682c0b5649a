//! LeaveGroup.

use super::rebalance::{after_removal, remove_member};
use super::{ClassicGroup, Step};
use crate::consumer;
use crate::groups::{Group, Groups, Reply, RequestContext};
use base::ErrorCode;
use protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use rsm::Effects;
use std::borrow::Cow;

/// From this version on several members can leave at once (KIP-345); before, the one that asks does.
const SEVERAL_FROM: i16 = 3;

/// Answers a LeaveGroup.
pub(crate) fn leave(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &LeaveGroupRequest<'_>,
    effects: &mut Effects<Groups>,
) {
    let id = groups.id(&request.group_id);
    let single = [MemberIdentity { member_id: Cow::Borrowed(&*request.member_id), ..MemberIdentity::default() }];
    let leaving: &[MemberIdentity<'_>] = if cx.version < SEVERAL_FROM { &single } else { &request.members };
    if matches!(groups.groups.get(&id), Some(Group::Consumer(..))) {
        let codes = consumer::classic::leave(groups, &id, cx, leaving, effects);
        let members = leaving.iter().zip(codes).map(|(member, code)| said(member, code)).collect();
        return answer(cx, members, effects);
    }
    let members: Vec<MemberResponse<'static>> = match groups.classic_step(&id, cx.now, effects) {
        Some((group, mut step)) if !group.is_empty() || !group.pending_joins.is_empty() => {
            leave_group(group, &mut step, leaving)
        }
        _ => leaving.iter().map(|member| said(member, ErrorCode::UnknownMemberId)).collect(),
    };
    answer(cx, members, effects);
}

fn answer(cx: RequestContext<'_>, members: Vec<MemberResponse<'static>>, effects: &mut Effects<Groups>) {
    let mut response = LeaveGroupResponse::default();
    if cx.version < SEVERAL_FROM {
        response.error_code = members.first().map_or(0, |member| member.error_code);
    } else {
        response.members = members;
    }
    effects.reply(cx.ticket, Ok(Reply::Leave(response)));
}

fn said(member: &MemberIdentity<'_>, code: ErrorCode) -> MemberResponse<'static> {
    MemberResponse {
        member_id: Cow::Owned(member.member_id.to_string()),
        group_instance_id: member.group_instance_id.as_deref().map(|id| Cow::Owned(id.to_owned())),
        error_code: code.code(),
        ..MemberResponse::default()
    }
}

fn leave_group(
    group: &mut ClassicGroup,
    step: &mut Step<'_>,
    leaving: &[MemberIdentity<'_>],
) -> Vec<MemberResponse<'static>> {
    let mut responses = Vec::with_capacity(leaving.len());
    let mut gone = Vec::new();
    for member in leaving {
        let code = leave_one(group, step, member, &mut gone);
        responses.push(said(member, code));
    }
    if !gone.is_empty() {
        after_removal(group, step, format!("left: {}", gone.join(", ")));
    }
    responses
}

fn leave_one(
    group: &mut ClassicGroup,
    step: &mut Step<'_>,
    member: &MemberIdentity<'_>,
    gone: &mut Vec<String>,
) -> ErrorCode {
    let why = member.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("no reason given");
    let instance = member.group_instance_id.as_deref();
    let id = if member.member_id.is_empty() {
        // An operator removes a static member by its instance id.
        match instance.and_then(|instance| group.static_members.get(instance)) {
            Some(id) => id.clone(),
            None => return ErrorCode::UnknownMemberId,
        }
    } else if group.pending_joins.remove(&*member.member_id).is_some() {
        gone.push(format!("{} ({why})", member.member_id));
        return ErrorCode::None;
    } else if let Err(refusal) = group.check_member(&member.member_id, instance) {
        return refusal.code;
    } else {
        member.member_id.to_string()
    };
    remove_member(group, step, &id);
    gone.push(format!("{id} ({why})"));
    ErrorCode::None
}
