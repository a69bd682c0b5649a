//! JoinGroup (KIP-62, KIP-345, KIP-394, KIP-559, KIP-800, KIP-814).

use super::{ask_group, mismatch};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::join_group_request::JoinGroupRequest;
use protocol::messages::join_group_response::JoinGroupResponse;
use std::borrow::Cow;

/// From this version on there may be no protocol in an answer.
const PROTOCOL_NULLABLE_FROM: i16 = 7;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &JoinGroupRequest<'_>) -> Reply {
    let member_id = request.member_id.to_string();
    if request.group_id.is_empty() {
        let refusal = Refusal::new(ErrorCode::InvalidGroupId, "a group has a name");
        return to.now(&refused(&refusal, member_id, to.version));
    }
    let version = to.version;
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.join(cx, request, effects),
        move |outcome| match outcome {
            Ok(group::Reply::Join(response)) => fit(response, version),
            Ok(_) => refused(&mismatch(), member_id, version),
            Err(refusal) => refused(&refusal, member_id, version),
        },
    )
}

fn refused(refusal: &Refusal, member_id: String, version: i16) -> JoinGroupResponse<'static> {
    let response = JoinGroupResponse {
        error_code: refusal.code.code(),
        member_id: Cow::Owned(member_id),
        protocol_name: None,
        ..JoinGroupResponse::default()
    };
    fit(response, version)
}

fn fit(mut response: JoinGroupResponse<'static>, version: i16) -> JoinGroupResponse<'static> {
    if version < PROTOCOL_NULLABLE_FROM {
        response.protocol_name.get_or_insert_default();
    }
    response
}
