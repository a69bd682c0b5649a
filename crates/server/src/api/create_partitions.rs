//! CreatePartitions (KIP-195): more partitions for a topic; never fewer.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use net::Reply;
use protocol::messages::create_partitions_request::CreatePartitionsRequest;
use protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: CreatePartitionsRequest<'_>) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let timeout_ms = request.timeout_ms;
        let outcome = broker.controller_call(timeout_ms, |controller| controller.create_partitions(&request)).await;
        let response = outcome.unwrap_or_else(|refusal| CreatePartitionsResponse {
            results: request
                .topics
                .iter()
                .map(|topic| CreatePartitionsTopicResult {
                    name: Cow::Owned(topic.name.to_string()),
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message.clone()),
                    ..CreatePartitionsTopicResult::default()
                })
                .collect(),
            ..CreatePartitionsResponse::default()
        });
        to.later(&response)
    }))
}
