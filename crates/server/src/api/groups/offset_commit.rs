//! OffsetCommit (KIP-211, KIP-320, KIP-345, KIP-848; by topic id since version 10).

use super::{ask_group, mismatch, places};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Uuid};
use metadata::MetadataImage;
use net::Reply;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use std::borrow::Cow;

/// From this version on topics come by id.
const TOPIC_IDS_FROM: i16 = 10;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, mut request: OffsetCommitRequest<'_>) -> Reply {
    let mut unknown = Vec::new();
    let asked = std::mem::take(&mut request.topics);
    request.topics = known_topics(&broker.image(), to.version, asked, &mut unknown);
    if request.topics.is_empty() {
        return to.now(&OffsetCommitResponse { topics: merged(unknown), ..OffsetCommitResponse::default() });
    }
    let all_refused = answers(&request.topics);
    let request = &request;
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.commit_offsets(cx, request, effects),
        move |outcome| {
            let mut topics = unknown;
            match outcome {
                Ok(group::Reply::OffsetCommit(response)) => topics.extend(response.topics),
                Ok(_) => topics.extend(with_code(all_refused, mismatch().code)),
                Err(refusal) => topics.extend(with_code(all_refused, refusal.code)),
            }
            OffsetCommitResponse { topics: merged(topics), ..OffsetCommitResponse::default() }
        },
    )
}

/// The topics and partitions that exist, with name and id; the others are answered in `unknown`.
fn known_topics<'a>(
    image: &MetadataImage,
    version: i16,
    asked: Vec<OffsetCommitRequestTopic<'a>>,
    unknown: &mut Vec<OffsetCommitResponseTopic<'static>>,
) -> Vec<OffsetCommitRequestTopic<'a>> {
    let mut known = Vec::with_capacity(asked.len());
    for mut topic in asked {
        let by_id = version >= TOPIC_IDS_FROM;
        let found = if by_id { image.topics().by_id(topic.topic_id) } else { image.topics().by_name(&topic.name) };
        let Some(found) = found else {
            let code = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
            unknown.push(answer(&topic.name, topic.topic_id, &topic.partitions, code));
            continue;
        };
        topic.topic_id = found.id();
        topic.name = Cow::Owned(found.name().to_string());
        let (exist, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut topic.partitions)
            .into_iter()
            .partition(|partition| found.partition(partition.partition_index).is_some());
        if !missing.is_empty() {
            unknown.push(answer(&topic.name, topic.topic_id, &missing, ErrorCode::UnknownTopicOrPartition));
        }
        if !exist.is_empty() {
            topic.partitions = exist;
            known.push(topic);
        }
    }
    known
}

fn answer(
    name: &str,
    topic_id: Uuid,
    partitions: &[OffsetCommitRequestPartition<'_>],
    code: ErrorCode,
) -> OffsetCommitResponseTopic<'static> {
    let partitions = partitions.iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: code.code(),
        ..OffsetCommitResponsePartition::default()
    });
    OffsetCommitResponseTopic {
        name: Cow::Owned(name.to_owned()),
        topic_id,
        partitions: partitions.collect(),
        ..OffsetCommitResponseTopic::default()
    }
}

fn answers(topics: &[OffsetCommitRequestTopic<'_>]) -> Vec<OffsetCommitResponseTopic<'static>> {
    topics.iter().map(|topic| answer(&topic.name, topic.topic_id, &topic.partitions, ErrorCode::None)).collect()
}

fn with_code(
    mut topics: Vec<OffsetCommitResponseTopic<'static>>,
    code: ErrorCode,
) -> Vec<OffsetCommitResponseTopic<'static>> {
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.for_each(|partition| partition.error_code = code.code());
    topics
}

/// A topic is answered once, also when only some of its partitions exist.
fn merged(topics: Vec<OffsetCommitResponseTopic<'static>>) -> Vec<OffsetCommitResponseTopic<'static>> {
    let places = places(topics.iter().map(|topic| (&*topic.name, topic.topic_id)));
    let mut merged: Vec<OffsetCommitResponseTopic<'static>> = Vec::new();
    for (topic, place) in topics.into_iter().zip(places) {
        match merged.get_mut(place) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => merged.push(topic),
        }
    }
    merged
}
