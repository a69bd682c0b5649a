//! FindCoordinator (KIP-699): who coordinates a group. The topic of the groups is made when the first group is looked for.

use crate::answer::ReplyTo;
use crate::broker::{Broker, NodeEndpoint};
use crate::coordinator::shard_of;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use std::borrow::Cow;
use std::sync::Arc;

const GROUPS_TOPIC: &str = "__consumer_offsets";
/// Key types of the request.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// From this version on share coordinators are told.
const SHARE_FROM: i16 = 6;
/// From this version on several keys are asked for at once.
const SEVERAL_FROM: i16 = 4;
/// A producer must not ask again and time out in the end without a cause. Java's shows this message with any code that is not retriable;
/// librdkafka goes on asking unless it is an authorization that failed, and then shows it too.
const NO_TRANSACTIONS: &str = "this node does not coordinate transactions yet, which no authorization changes: leave transactional.id out, an idempotent producer works without it";
/// Kafka answers the same code for keys that are none of a share group.
const NO_SHARE_GROUPS: &str = "this node does not coordinate share groups yet: use a consumer group";
/// How long making the topic may take.
const CREATE_TIMEOUT_MS: i32 = 5_000;

type Found = Result<NodeEndpoint, Refusal>;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    session: &Session,
    to: ReplyTo,
    request: &FindCoordinatorRequest<'_>,
) -> Reply {
    let keys: Vec<String> = if to.version < SEVERAL_FROM {
        vec![request.key.to_string()]
    } else {
        request.coordinator_keys.iter().map(ToString::to_string).collect()
    };
    let why = match request.key_type {
        GROUP => None,
        TRANSACTION => Some((ErrorCode::ClusterAuthorizationFailed, NO_TRANSACTIONS)),
        SHARE if to.version >= SHARE_FROM => Some((ErrorCode::InvalidRequest, NO_SHARE_GROUPS)),
        _ => Some((ErrorCode::InvalidRequest, "there is no such kind of coordinator in this version")),
    };
    if let Some((code, why)) = why {
        let found = keys.into_iter().map(|key| (key, Err(Refusal::new(code, why))));
        return to.now(&response(to.version, found.collect()));
    }
    let listener = session.listener_name().to_owned();
    if broker.image().topics().by_name(GROUPS_TOPIC).is_some() {
        return to.now(&response(to.version, find(broker, &listener, keys, None)));
    }
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let failed = create_topic(&broker).await.err();
        if let Some(refusal) = &failed {
            tracing::warn!(%refusal, "{GROUPS_TOPIC} cannot be made: no group can be coordinated");
        }
        to.later(&response(to.version, find(&broker, &listener, keys, failed.as_ref())))
    }))
}

/// That there is no topic of the groups. Whoever asks for a coordinator again and again is told why it could not be made, too.
fn no_topic(failed: Option<&Refusal>) -> Refusal {
    let why = match failed {
        Some(failed) => Cow::Owned(format!("{GROUPS_TOPIC} cannot be made: {}", failed.message)),
        None => Cow::Borrowed("the topic of the groups does not exist"),
    };
    Refusal::new(ErrorCode::CoordinatorNotAvailable, why)
}

fn find(broker: &Broker, listener: &str, keys: Vec<String>, failed: Option<&Refusal>) -> Vec<(String, Found)> {
    let image = broker.image();
    let unavailable = |why: &'static str| Refusal::new(ErrorCode::CoordinatorNotAvailable, why);
    let find_one = |key: &str| {
        let index = shard_of(&image, key).ok_or_else(|| no_topic(failed))?;
        let topic = image.topics().by_name(GROUPS_TOPIC);
        let partition = topic.and_then(|topic| topic.partition(index));
        let leader = partition.map(|partition| partition.leader);
        let endpoints = broker.endpoints(&image, listener, false);
        let found = endpoints.into_iter().find(|endpoint| Some(endpoint.node) == leader);
        found.ok_or_else(|| unavailable("the group's partition has no leader that can be reached on this listener"))
    };
    keys.into_iter()
        .map(|key| {
            let found = find_one(&key);
            (key, found)
        })
        .collect()
}

/// Makes the topic with the partitions and replicas that the configs say, compacted, as Kafka does.
async fn create_topic(broker: &Arc<Broker>) -> Result<(), Refusal> {
    let config = |name: &'static str, value: String| CreatableTopicConfig {
        name: Cow::Borrowed(name),
        value: Some(Cow::Owned(value)),
        ..CreatableTopicConfig::default()
    };
    let number = |name: &str| broker.config.number(name);
    let topic = CreatableTopic {
        name: Cow::Borrowed(GROUPS_TOPIC),
        num_partitions: i32::try_from(number("offsets.topic.num.partitions")).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(number("offsets.topic.replication.factor")).unwrap_or(i16::MAX),
        configs: vec![
            config("cleanup.policy", "compact".to_owned()),
            config("compression.type", "producer".to_owned()),
            config("segment.bytes", number("offsets.topic.segment.bytes").to_string()),
        ],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let response = broker.controller_call(CREATE_TIMEOUT_MS, |controller| controller.create_topics(&request)).await?;
    let code = response.topics.first().and_then(|topic| ErrorCode::from_code(topic.error_code));
    match code.unwrap_or(ErrorCode::UnknownServerError) {
        // Another request was faster.
        ErrorCode::None | ErrorCode::TopicAlreadyExists => Ok(()),
        code => {
            let why = response.topics.first().and_then(|topic| topic.error_message.as_deref()).unwrap_or_default();
            Err(Refusal::new(code, format!("{why} (offsets.topic.replication.factor says how many replicas)")))
        }
    }
}

fn response(version: i16, found: Vec<(String, Found)>) -> FindCoordinatorResponse<'static> {
    let coordinators = found.into_iter().map(|(key, found)| match found {
        Ok(endpoint) => Coordinator {
            key: Cow::Owned(key),
            node_id: endpoint.node.0,
            host: Cow::Owned(endpoint.host),
            port: endpoint.port,
            ..Coordinator::default()
        },
        Err(refusal) => Coordinator {
            key: Cow::Owned(key),
            node_id: -1,
            port: -1,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Coordinator::default()
        },
    });
    let mut coordinators: Vec<Coordinator<'static>> = coordinators.collect();
    if version >= SEVERAL_FROM {
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let one = coordinators.pop().unwrap_or_default();
    FindCoordinatorResponse {
        error_code: one.error_code,
        // Kafka spells out in these versions, and in no other, that there is no error.
        error_message: if one.error_code == 0 { Some(Cow::Borrowed("NONE")) } else { one.error_message },
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..FindCoordinatorResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::no_topic;
    use base::{ErrorCode, Refusal};

    #[test]
    fn a_client_is_told_why_there_is_no_coordinator() {
        let failed = Refusal::new(ErrorCode::InvalidReplicationFactor, "3 replicas need 3 brokers");
        let refusal = no_topic(Some(&failed));
        assert_eq!(refusal.code, ErrorCode::CoordinatorNotAvailable, "a client asks again");
        assert!(refusal.message.contains("3 replicas need 3 brokers"), "{refusal}");
    }
}
