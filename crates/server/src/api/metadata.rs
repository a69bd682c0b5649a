//! Metadata: brokers, topics and partitions as this listener's clients should see them; makes missing topics when both the node
//! and the client allow it.

use super::create_topics::AutoCreated;
use super::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use ::metadata::{MetadataImage, PartitionRegistration, TopicImage};
use base::{ErrorCode, Uuid};
use net::Reply;
use protocol::messages::metadata_request::MetadataRequest;
use protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the client asked about.
enum Asked {
    Everything,
    Names(BTreeSet<String>),
    Ids(BTreeSet<Uuid>),
}

pub(crate) fn handle(broker: &Arc<Broker>, session: &Session, to: ReplyTo, request: &MetadataRequest<'_>) -> Reply {
    if let Err(reason) = super::check_named(request.topics.as_ref().map_or(0, Vec::len)) {
        return Reply::Close(reason);
    }
    let Some(asked) = asked(to.version, request) else { return to.now(&ids_refused(request)) };
    let listener = session.listener_name().to_owned();
    let image = broker.image();
    let missing = missing_names(&image, &asked);
    if missing.is_empty() || !request.allow_auto_topic_creation || !broker.config.auto_create_topics_enable {
        let mut answer = response(broker, &image, to.version, &asked, &listener, &[]);
        add_operations(request.into(), &mut answer);
        return to.now(&answer);
    }
    let broker = Arc::clone(broker);
    let wanted = Operations::from(request);
    Reply::Later(Box::pin(async move {
        let created = super::create_topics::create_missing(&broker, &missing).await;
        let mut answer = response(&broker, &broker.image(), to.version, &asked, &listener, &created);
        add_operations(wanted, &mut answer);
        to.later(&answer)
    }))
}

/// Whose authorized operations the client wants to know (KIP-430).
struct Operations {
    cluster: bool,
    topics: bool,
}

impl From<&MetadataRequest<'_>> for Operations {
    fn from(request: &MetadataRequest<'_>) -> Self {
        Self {
            cluster: request.include_cluster_authorized_operations,
            topics: request.include_topic_authorized_operations,
        }
    }
}

fn add_operations(wanted: Operations, answer: &mut MetadataResponse<'_>) {
    if wanted.cluster {
        answer.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    if wanted.topics {
        let known = answer.topics.iter_mut().filter(|topic| topic.error_code == ErrorCode::None.code());
        known.for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
    }
}

/// Versions 10 and 11 have a field for ids that no broker could look up yet: the topics are refused, and nothing else is said.
fn ids_refused(request: &MetadataRequest<'_>) -> MetadataResponse<'static> {
    let topics = request.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(Cow::Owned(topic.name.as_deref().unwrap_or_default().to_owned())),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    MetadataResponse { topics: topics.collect(), ..MetadataResponse::default() }
}

/// What is asked about; `None` when it is named by id in a version before 12.
fn asked(version: i16, request: &MetadataRequest<'_>) -> Option<Asked> {
    let Some(topics) = &request.topics else { return Some(Asked::Everything) };
    if version == 0 && topics.is_empty() {
        return Some(Asked::Everything);
    }
    let ids: BTreeSet<Uuid> = topics.iter().map(|topic| topic.topic_id).filter(|id| *id != Uuid::ZERO).collect();
    if version < 12 && (!ids.is_empty() || topics.iter().any(|topic| topic.name.is_none())) {
        return None;
    }
    if !ids.is_empty() {
        return Some(Asked::Ids(ids));
    }
    Some(Asked::Names(topics.iter().filter_map(|topic| topic.name.as_deref()).map(str::to_owned).collect()))
}

fn missing_names(image: &MetadataImage, asked: &Asked) -> Vec<String> {
    match asked {
        Asked::Names(names) => names.iter().filter(|name| image.topics().by_name(name).is_none()).cloned().collect(),
        Asked::Everything | Asked::Ids(_) => Vec::new(),
    }
}

fn response(
    broker: &Broker,
    image: &MetadataImage,
    version: i16,
    asked: &Asked,
    listener: &str,
    created: &[AutoCreated],
) -> MetadataResponse<'static> {
    let created: BTreeMap<&str, ErrorCode> = created.iter().map(|topic| (&*topic.name, topic.code)).collect();
    let topics = match asked {
        Asked::Everything => {
            image.topics().iter().map(|topic| known(broker, image, version, listener, topic)).collect()
        }
        Asked::Ids(ids) => ids
            .iter()
            .map(|id| match image.topics().by_id(*id) {
                Some(topic) => known(broker, image, version, listener, topic),
                None => unknown_id(*id),
            })
            .collect(),
        Asked::Names(names) => names
            .iter()
            .map(|name| match image.topics().by_name(name) {
                Some(topic) => known(broker, image, version, listener, topic),
                None => unknown_name(name, created.get(&**name).copied()),
            })
            .collect(),
    };
    MetadataResponse {
        brokers: broker
            .endpoints(image, listener, false)
            .into_iter()
            .map(|endpoint| MetadataResponseBroker {
                node_id: endpoint.node.0,
                host: Cow::Owned(endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.map(Cow::Owned),
                ..MetadataResponseBroker::default()
            })
            .collect(),
        cluster_id: Some(Cow::Owned(broker.cluster_id.clone())),
        controller_id: broker.any_alive_broker(image).0,
        topics,
        ..MetadataResponse::default()
    }
}

fn unknown_id(topic_id: Uuid) -> MetadataResponseTopic<'static> {
    MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicId.code(),
        topic_id,
        name: None,
        ..MetadataResponseTopic::default()
    }
}

/// A name that no topic has; `created` is what came of making it.
fn unknown_name(name: &str, created: Option<ErrorCode>) -> MetadataResponseTopic<'static> {
    let code = match created {
        // Made, but not in this image yet: the client asks again.
        Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => ErrorCode::LeaderNotAvailable,
        Some(refused) => refused,
        None if ::metadata::check_topic_name(name).is_err() => ErrorCode::InvalidTopicException,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    MetadataResponseTopic {
        error_code: code.code(),
        name: Some(Cow::Owned(name.to_owned())),
        is_internal: ::metadata::is_internal_topic(name),
        ..MetadataResponseTopic::default()
    }
}

fn known(
    broker: &Broker,
    image: &MetadataImage,
    version: i16,
    listener: &str,
    topic: &TopicImage,
) -> MetadataResponseTopic<'static> {
    let partitions =
        topic.partitions_from(0).map(|(index, partition)| describe(image, version, listener, index, partition));
    MetadataResponseTopic {
        name: Some(Cow::Owned(topic.name().to_string())),
        topic_id: topic.id(),
        is_internal: broker.is_internal(topic.name()),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn describe(
    image: &MetadataImage,
    version: i16,
    listener: &str,
    index: i32,
    partition: &PartitionRegistration,
) -> MetadataResponsePartition {
    let ids = |nodes: &[base::NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let offline: Vec<_> = image.offline_replicas(partition);
    let leader_alive = image.is_alive(partition.leader);
    let code = if !leader_alive {
        ErrorCode::LeaderNotAvailable
    } else if image.broker(partition.leader).is_none_or(|broker| broker.endpoint(listener).is_none()) {
        // Since version 6 a missing listener is told apart, so that a wrong configuration can be found.
        if version >= 6 { ErrorCode::ListenerNotFound } else { ErrorCode::LeaderNotAvailable }
    } else if version == 0 && !offline.is_empty() {
        ErrorCode::ReplicaNotAvailable
    } else {
        ErrorCode::None
    };
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index: index,
        leader_id: if leader_alive { partition.leader.0 } else { -1 },
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        offline_replicas: ids(&offline),
        ..MetadataResponsePartition::default()
    }
}
