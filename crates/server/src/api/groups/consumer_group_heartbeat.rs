//! ConsumerGroupHeartbeat (KIP-848, KIP-1082).

use super::{ask_group, consumer_protocol, mismatch};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::Refusal;
use net::Reply;
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;

pub(crate) fn handle(
    broker: &Broker,
    session: &Session,
    to: ReplyTo,
    request: &ConsumerGroupHeartbeatRequest<'_>,
) -> Reply {
    if let Err(refusal) = consumer_protocol(broker) {
        return to.now(&refused(refusal));
    }
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.consumer_heartbeat(cx, request, effects),
        |outcome| match outcome {
            Ok(group::Reply::ConsumerHeartbeat(response)) => response,
            Ok(_) => refused(mismatch()),
            Err(refusal) => refused(refusal),
        },
    )
}

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse<'static> {
    ConsumerGroupHeartbeatResponse {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}
