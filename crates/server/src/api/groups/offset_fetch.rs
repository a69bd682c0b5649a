//! OffsetFetch (KIP-447, KIP-709, KIP-848; by topic id since version 10).

use super::{Outcome, asker, mismatch, settled};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::coordinator::Answer;
use crate::session::Session;
use base::{ErrorCode, Refusal, Uuid};
use group::Groups;
use metadata::MetadataImage;
use net::Reply;
use protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use std::borrow::Cow;
use std::sync::Arc;

/// From this version on several groups are asked for at once (KIP-709).
const GROUPS_FROM: i16 = 8;
/// From this version on topics come by id.
const TOPIC_IDS_FROM: i16 = 10;
/// From this version on an error stands beside the topics.
const TOP_LEVEL_ERROR_FROM: i16 = 2;

/// One group that was asked for.
struct Asked {
    group_id: String,
    /// Topics and partitions, to answer them with an error where there is no other place for it.
    topics: Vec<OffsetFetchResponseTopics<'static>>,
    /// Topics whose ids nobody knows.
    unknown: Vec<OffsetFetchResponseTopics<'static>>,
    answer: Result<Answer<Groups>, Refusal>,
}

pub(crate) fn handle(broker: &Arc<Broker>, session: &Session, to: ReplyTo, request: OffsetFetchRequest<'_>) -> Reply {
    let (require_stable, version) = (request.require_stable, to.version);
    let asked: Vec<Asked> =
        groups_of(version, request).into_iter().map(|group| ask(broker, session, to, group, require_stable)).collect();
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(asked.len());
        for Asked { group_id, topics, unknown, answer } in asked {
            let outcome = settled(answer).await;
            groups.push(group_answer(&broker.image(), version, group_id, topics, unknown, outcome));
        }
        to.later(&response(version, groups))
    }))
}

/// Older versions ask for one group, in fields of their own.
fn groups_of(version: i16, request: OffsetFetchRequest<'_>) -> Vec<OffsetFetchRequestGroup<'_>> {
    if version >= GROUPS_FROM {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() }]
}

fn ask(
    broker: &Broker,
    session: &Session,
    to: ReplyTo,
    mut group: OffsetFetchRequestGroup<'_>,
    require_stable: bool,
) -> Asked {
    let image = broker.image();
    let mut unknown = Vec::new();
    if to.version >= TOPIC_IDS_FROM
        && let Some(topics) = &mut group.topics
    {
        topics.retain_mut(|topic| match image.topics().by_id(topic.topic_id) {
            Some(found) => {
                topic.name = Cow::Owned(found.name().to_string());
                true
            }
            None => {
                unknown.push(topic_error(topic, ErrorCode::UnknownTopicId));
                false
            }
        });
    }
    let topics = group.topics.iter().flatten().map(|topic| topic_error(topic, ErrorCode::None)).collect();
    let group_id = group.group_id.to_string();
    let group = &group;
    let answer = broker.groups.ask_group(&image, asker(session, to), &group_id, |groups, cx, effects| {
        groups.fetch_offsets(cx, group, require_stable, effects);
    });
    Asked { group_id, topics, unknown, answer }
}

fn topic_error(topic: &OffsetFetchRequestTopics<'_>, code: ErrorCode) -> OffsetFetchResponseTopics<'static> {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(Cow::Borrowed("")),
        error_code: code.code(),
        ..OffsetFetchResponsePartitions::default()
    });
    OffsetFetchResponseTopics {
        name: Cow::Owned(topic.name.to_string()),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

fn group_answer(
    image: &MetadataImage,
    version: i16,
    group_id: String,
    asked: Vec<OffsetFetchResponseTopics<'static>>,
    unknown: Vec<OffsetFetchResponseTopics<'static>>,
    outcome: Outcome,
) -> OffsetFetchResponseGroup<'static> {
    let mut response = match outcome {
        Ok(group::Reply::OffsetFetch(response)) if response.error_code == 0 => response,
        Ok(group::Reply::OffsetFetch(response)) => return failed(version, group_id, asked, response.error_code),
        Ok(_) => return failed(version, group_id, asked, mismatch().code.code()),
        Err(refusal) => return failed(version, group_id, asked, refusal.code.code()),
    };
    if version >= TOPIC_IDS_FROM {
        // Topics of a group that were not asked for by id have none yet; those that are gone cannot be told of.
        response.topics.retain_mut(|topic| {
            if topic.topic_id == Uuid::ZERO {
                topic.topic_id = image.topics().by_name(&topic.name).map_or(Uuid::ZERO, metadata::TopicImage::id);
            }
            topic.topic_id != Uuid::ZERO
        });
    }
    response.topics.extend(unknown);
    response
}

fn failed(
    version: i16,
    group_id: String,
    mut asked: Vec<OffsetFetchResponseTopics<'static>>,
    error_code: i16,
) -> OffsetFetchResponseGroup<'static> {
    if version >= TOP_LEVEL_ERROR_FROM {
        asked.clear();
    }
    let partitions = asked.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.for_each(|partition| partition.error_code = error_code);
    OffsetFetchResponseGroup {
        group_id: Cow::Owned(group_id),
        topics: asked,
        error_code,
        ..OffsetFetchResponseGroup::default()
    }
}

fn response(version: i16, mut groups: Vec<OffsetFetchResponseGroup<'static>>) -> OffsetFetchResponse<'static> {
    if version >= GROUPS_FROM {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let group = groups.pop().unwrap_or_default();
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
            ..OffsetFetchResponsePartition::default()
        });
        OffsetFetchResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
            ..OffsetFetchResponseTopic::default()
        }
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: group.error_code, ..OffsetFetchResponse::default() }
}
