//! AlterConfigs and IncrementalAlterConfigs (KIP-339): topic and broker configs, decided by the controller.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use net::Reply;
use protocol::messages::alter_configs_request::AlterConfigsRequest;
use protocol::messages::alter_configs_response::{self, AlterConfigsResponse};
use protocol::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;
use protocol::messages::incremental_alter_configs_response::{self, IncrementalAlterConfigsResponse};
use std::borrow::Cow;
use std::sync::Arc;

/// These two requests carry no time-out of their own; this is Kafka's default for admin requests.
const TIMEOUT_MS: i32 = 60_000;

pub(crate) fn handle_legacy(broker: &Arc<Broker>, to: ReplyTo, request: AlterConfigsRequest<'_>) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let outcome = broker.controller_call(TIMEOUT_MS, |controller| controller.alter_configs(&request)).await;
        let response = outcome.unwrap_or_else(|refusal| AlterConfigsResponse {
            responses: request
                .resources
                .iter()
                .map(|resource| alter_configs_response::AlterConfigsResourceResponse {
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message.clone()),
                    resource_type: resource.resource_type,
                    resource_name: Cow::Owned(resource.resource_name.to_string()),
                    ..Default::default()
                })
                .collect(),
            ..AlterConfigsResponse::default()
        });
        to.later(&response)
    }))
}

pub(crate) fn handle_incremental(
    broker: &Arc<Broker>,
    to: ReplyTo,
    request: IncrementalAlterConfigsRequest<'_>,
) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let outcome =
            broker.controller_call(TIMEOUT_MS, |controller| controller.incremental_alter_configs(&request)).await;
        let response = outcome.unwrap_or_else(|refusal| IncrementalAlterConfigsResponse {
            responses: request
                .resources
                .iter()
                .map(|resource| incremental_alter_configs_response::AlterConfigsResourceResponse {
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message.clone()),
                    resource_type: resource.resource_type,
                    resource_name: Cow::Owned(resource.resource_name.to_string()),
                    ..Default::default()
                })
                .collect(),
            ..IncrementalAlterConfigsResponse::default()
        });
        to.later(&response)
    }))
}
