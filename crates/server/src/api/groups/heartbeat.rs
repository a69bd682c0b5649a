//! Heartbeat (KIP-62, KIP-345).

use super::{ask_group, mismatch};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::heartbeat_response::HeartbeatResponse;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &HeartbeatRequest<'_>) -> Reply {
    if request.group_id.is_empty() {
        return to.now(&refused(&Refusal::new(ErrorCode::InvalidGroupId, "a group has a name")));
    }
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.heartbeat(cx, request, effects),
        |outcome| match outcome {
            Ok(group::Reply::Heartbeat(response)) => response,
            Ok(_) => refused(&mismatch()),
            // Members of a group that is being loaded are alive: they need not join again.
            Err(refusal) if refusal.code == ErrorCode::CoordinatorLoadInProgress => HeartbeatResponse::default(),
            Err(refusal) => refused(&refusal),
        },
    )
}

fn refused(refusal: &Refusal) -> HeartbeatResponse {
    HeartbeatResponse { error_code: refusal.code.code(), ..HeartbeatResponse::default() }
}
