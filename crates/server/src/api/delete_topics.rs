//! DeleteTopics (KIP-516): by name, or by id since version 6.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use net::Reply;
use protocol::messages::delete_topics_request::DeleteTopicsRequest;
use protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: DeleteTopicsRequest<'_>) -> Reply {
    let request = request.into_owned();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let timeout_ms = request.timeout_ms;
        let outcome =
            broker.controller_call(timeout_ms, |controller| controller.delete_topics(&request, to.version)).await;
        let response = outcome.unwrap_or_else(|refusal| {
            let by_name = request.topic_names.iter().map(|name| (Some(Cow::Owned(name.to_string())), base::Uuid::ZERO));
            let by_state =
                request.topics.iter().map(|t| (t.name.as_ref().map(|n| Cow::Owned(n.to_string())), t.topic_id));
            let failed = by_name.chain(by_state).map(|(name, topic_id)| DeletableTopicResult {
                name,
                topic_id,
                error_code: refusal.code.code(),
                error_message: Some(refusal.message.clone()),
                ..DeletableTopicResult::default()
            });
            DeleteTopicsResponse { responses: failed.collect(), ..DeleteTopicsResponse::default() }
        });
        to.later(&response)
    }))
}
