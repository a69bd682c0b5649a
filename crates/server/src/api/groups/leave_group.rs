//! LeaveGroup (KIP-345, KIP-800).

use super::{ask_group, mismatch};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::leave_group_request::LeaveGroupRequest;
use protocol::messages::leave_group_response::LeaveGroupResponse;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &LeaveGroupRequest<'_>) -> Reply {
    if request.group_id.is_empty() {
        return to.now(&refused(&Refusal::new(ErrorCode::InvalidGroupId, "a group has a name")));
    }
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.leave(cx, request, effects),
        |outcome| match outcome {
            Ok(group::Reply::Leave(response)) => response,
            Ok(_) => refused(&mismatch()),
            Err(refusal) => refused(&refusal),
        },
    )
}

fn refused(refusal: &Refusal) -> LeaveGroupResponse<'static> {
    LeaveGroupResponse { error_code: refusal.code.code(), ..LeaveGroupResponse::default() }
}
