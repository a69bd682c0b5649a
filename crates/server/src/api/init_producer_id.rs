//! InitProducerId (KIP-98, KIP-360) for idempotent producers. Transactional ids belong to a coordinator that this node does not run
//! yet, so it answers like any broker that is not the coordinator; clients do not get that far, since FindCoordinator names none.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::ErrorCode;
use net::Reply;
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::init_producer_id_response::InitProducerIdResponse;
use std::sync::Arc;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: &InitProducerIdRequest<'_>) -> Reply {
    let code = match request.transactional_id.as_deref() {
        Some("") => ErrorCode::InvalidRequest,
        Some(_) => ErrorCode::NotCoordinator,
        // KIP-360: both or neither.
        None if (request.producer_id == -1) != (request.producer_epoch == -1) => ErrorCode::InvalidRequest,
        None => ErrorCode::None,
    };
    if code != ErrorCode::None {
        return to.now(&failed(code));
    }
    if let Some(id) = broker.producer_ids.next_cached() {
        return to.now(&granted(id));
    }
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let response = match broker.next_producer_id().await {
            Ok(id) => granted(id),
            Err(refusal) => failed(refusal.code),
        };
        to.later(&response)
    }))
}

fn granted(id: base::ProducerId) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..InitProducerIdResponse::default() }
}

fn failed(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}
