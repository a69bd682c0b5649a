//! FindCoordinator (KIP-699): this node runs no coordinators yet, and says so as Kafka does while one is not available.
//!
//! Served all the same, because librdkafka compresses with lz4 only for brokers that advertise it.

use crate::answer::ReplyTo;
use base::ErrorCode;
use net::Reply;
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use std::borrow::Cow;

const WHY: &str = "this node runs no group or transaction coordinator yet: consume by assigned partitions, produce without transactions";

pub(crate) fn handle(to: ReplyTo, request: &FindCoordinatorRequest<'_>) -> Reply {
    let error_code = ErrorCode::CoordinatorNotAvailable.code();
    if to.version < 4 {
        return to.now(&FindCoordinatorResponse {
            error_code,
            error_message: Some(Cow::Borrowed(WHY)),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        });
    }
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: Cow::Borrowed(key),
        node_id: -1,
        port: -1,
        error_code,
        error_message: Some(Cow::Borrowed(WHY)),
        ..Coordinator::default()
    });
    to.now(&FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() })
}
