//! ListConfigResources (KIP-1142): which resources have, or may have, configs.

use super::describe_configs::resource;
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use protocol::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};
use std::borrow::Cow;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &ListConfigResourcesRequest) -> Reply {
    use resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
    // Version 0 was ListClientMetricsResources and can name nothing else.
    let supported: &[i8] =
        if to.version == 0 { &[CLIENT_METRICS] } else { &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC] };
    let wanted = if request.resource_types.is_empty() { supported } else { &request.resource_types };
    if wanted.iter().any(|kind| !supported.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return to.now(&ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() });
    }
    let image = broker.image();
    let mut config_resources = Vec::new();
    let mut add = |kind: i8, names: Vec<String>| {
        config_resources.extend(names.into_iter().map(|name| ConfigResource {
            resource_name: Cow::Owned(name),
            resource_type: kind,
            ..ConfigResource::default()
        }));
    };
    for kind in supported.iter().copied().filter(|kind| wanted.contains(kind)) {
        let names = match kind {
            TOPIC => image.topics().names().map(str::to_owned).collect(),
            BROKER | BROKER_LOGGER => {
                broker.endpoints(&image, session.listener_name(), true).iter().map(|e| e.node.to_string()).collect()
            }
            kind => image.config_resources(kind).map(str::to_owned).collect(),
        };
        add(kind, names);
    }
    to.now(&ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() })
}
