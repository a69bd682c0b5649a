//! CreateTopics (KIP-4, KIP-195, KIP-525) and the automatic creation that Metadata asks for.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::ErrorCode;
use net::Reply;
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::create_topics_response::CreateTopicsResponse;
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: CreateTopicsRequest<'_>) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let timeout_ms = request.timeout_ms;
        let outcome = broker.controller_call(timeout_ms, |controller| controller.create_topics(&request)).await;
        let response = outcome.unwrap_or_else(|refusal| CreateTopicsResponse {
            topics: request
                .topics
                .iter()
                .map(|topic| protocol::messages::create_topics_response::CreatableTopicResult {
                    name: Cow::Owned(topic.name.to_string()),
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message.clone()),
                    ..Default::default()
                })
                .collect(),
            ..CreateTopicsResponse::default()
        });
        to.later(&response)
    }))
}

/// What became of a topic that was to be made automatically.
pub(crate) struct AutoCreated {
    pub(crate) name: String,
    pub(crate) code: ErrorCode,
}

/// Makes the topics that a Metadata request found missing, with the node's default partition count and replication factor.
pub(crate) async fn create_missing(broker: &Arc<Broker>, names: &[String]) -> Vec<AutoCreated> {
    let topics = names.iter().map(|name| CreatableTopic {
        name: Cow::Owned(name.clone()),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    });
    let request = CreateTopicsRequest { topics: topics.collect(), ..CreateTopicsRequest::default() };
    let timeout_ms = request.timeout_ms;
    match broker.controller_call(timeout_ms, |controller| controller.create_topics(&request)).await {
        Ok(response) => response
            .topics
            .iter()
            .map(|topic| AutoCreated {
                name: topic.name.to_string(),
                code: ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError),
            })
            .collect(),
        Err(refusal) => names.iter().map(|name| AutoCreated { name: name.clone(), code: refusal.code }).collect(),
    }
}
