//! DescribeCluster (KIP-700, KIP-919, KIP-1073): the cluster's id, its brokers as this listener sees them, or its controllers.

use super::CLUSTER_OPERATIONS;
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::messages::describe_cluster_request::DescribeClusterRequest;
use protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use std::borrow::Cow;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &DescribeClusterRequest) -> Reply {
    let wanted = if session.is_controller_listener() { CONTROLLERS } else { BROKERS };
    if request.endpoint_type != wanted {
        let (code, why) = match request.endpoint_type {
            BROKERS | CONTROLLERS => (
                // Version 0 could not have asked for the other kind.
                if to.version == 0 { ErrorCode::InvalidRequest } else { ErrorCode::MismatchedEndpointType },
                "this listener describes the other kind of endpoint: ask a broker for brokers, a controller for controllers".to_owned(),
            ),
            other => (ErrorCode::UnsupportedEndpointType, format!("endpoint type {other} is neither 1 (brokers) nor 2 (controllers)")),
        };
        return to.now(&DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(Cow::Owned(why)),
            ..DescribeClusterResponse::default()
        });
    }
    let image = broker.image();
    let brokers = if wanted == BROKERS {
        broker.endpoints(&image, session.listener_name(), request.include_fenced_brokers)
    } else {
        broker.controller_endpoints()
    };
    let controller_id = if wanted == BROKERS { broker.any_alive_broker(&image) } else { broker.leader_of_quorum() };
    to.now(&DescribeClusterResponse {
        endpoint_type: wanted,
        cluster_id: Cow::Owned(broker.cluster_id.clone()),
        controller_id: controller_id.0,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        brokers: brokers
            .into_iter()
            .map(|endpoint| DescribeClusterBroker {
                broker_id: endpoint.node.0,
                host: Cow::Owned(endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.map(Cow::Owned),
                is_fenced: endpoint.fenced,
                ..DescribeClusterBroker::default()
            })
            .collect(),
        ..DescribeClusterResponse::default()
    })
}
