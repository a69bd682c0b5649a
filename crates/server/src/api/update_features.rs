//! UpdateFeatures (KIP-584, KIP-1022): raises or lowers finalized feature levels.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use net::Reply;
use protocol::messages::update_features_request::UpdateFeaturesRequest;
use protocol::messages::update_features_response::UpdateFeaturesResponse;
use std::sync::Arc;

/// As Kafka, which does not look at the request's own timeout.
const TIMEOUT_MS: i32 = 60_000;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: UpdateFeaturesRequest<'_>) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    let kraft_version = broker.quorum.kraft_version();
    Reply::Later(Box::pin(async move {
        let outcome = broker
            .controller_call(TIMEOUT_MS, |controller| controller.update_features(&request, to.version, kraft_version))
            .await;
        let response = outcome.unwrap_or_else(|refusal| UpdateFeaturesResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..UpdateFeaturesResponse::default()
        });
        to.later(&response)
    }))
}
