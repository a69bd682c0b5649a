//! SyncGroup (KIP-62, KIP-345, KIP-559).

use super::{ask_group, mismatch};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::sync_group_request::SyncGroupRequest;
use protocol::messages::sync_group_response::SyncGroupResponse;

/// From this version on a member says which protocol it takes the group to have (KIP-559).
const PROTOCOL_REQUIRED_FROM: i16 = 5;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &SyncGroupRequest<'_>) -> Reply {
    let is_vague = request.protocol_type.is_none() || request.protocol_name.is_none();
    if to.version >= PROTOCOL_REQUIRED_FROM && is_vague {
        let why = "protocol type and name must be given";
        return to.now(&refused(&Refusal::new(ErrorCode::InconsistentGroupProtocol, why)));
    }
    if request.group_id.is_empty() {
        return to.now(&refused(&Refusal::new(ErrorCode::InvalidGroupId, "a group has a name")));
    }
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.sync(cx, request, effects),
        |outcome| match outcome {
            Ok(group::Reply::Sync(response)) => response,
            Ok(_) => refused(&mismatch()),
            Err(refusal) => refused(&refusal),
        },
    )
}

fn refused(refusal: &Refusal) -> SyncGroupResponse<'static> {
    SyncGroupResponse { error_code: refusal.code.code(), ..SyncGroupResponse::default() }
}
