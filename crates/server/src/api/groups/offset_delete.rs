//! OffsetDelete (KIP-496).

use super::{ask_group, mismatch, places};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::offset_delete_request::OffsetDeleteRequest;
use protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use std::borrow::Cow;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, mut request: OffsetDeleteRequest<'_>) -> Reply {
    if request.group_id.is_empty() {
        return to.now(&refused(&Refusal::new(ErrorCode::InvalidGroupId, "a group has a name")));
    }
    let image = broker.image();
    let mut unknown: Vec<OffsetDeleteResponseTopic<'static>> = Vec::new();
    request.topics.retain_mut(|topic| {
        let found = image.topics().by_name(&topic.name);
        let exists = |index: i32| found.is_some_and(|found| found.partition(index).is_some());
        let missing = topic.partitions.iter().filter(|partition| !exists(partition.partition_index));
        let missing: Vec<OffsetDeleteResponsePartition> = missing
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
            })
            .collect();
        if !missing.is_empty() {
            unknown.push(OffsetDeleteResponseTopic { name: Cow::Owned(topic.name.to_string()), partitions: missing });
        }
        topic.partitions.retain(|partition| exists(partition.partition_index));
        !topic.partitions.is_empty()
    });
    let request = &request;
    ask_group(
        broker,
        session,
        to,
        &request.group_id,
        |groups, cx, effects| groups.delete_offsets(cx, request, effects),
        move |outcome| match outcome {
            Ok(group::Reply::OffsetDelete(mut response)) => {
                response.topics.extend(unknown);
                OffsetDeleteResponse { topics: merged(response.topics), ..response }
            }
            Ok(_) => refused(&mismatch()),
            Err(refusal) => refused(&refusal),
        },
    )
}

/// A topic is answered once, also when only some of its partitions exist.
fn merged(topics: Vec<OffsetDeleteResponseTopic<'static>>) -> Vec<OffsetDeleteResponseTopic<'static>> {
    let places = places(topics.iter().map(|topic| &*topic.name));
    let mut merged: Vec<OffsetDeleteResponseTopic<'static>> = Vec::new();
    for (topic, place) in topics.into_iter().zip(places) {
        match merged.get_mut(place) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => merged.push(topic),
        }
    }
    merged
}

fn refused(refusal: &Refusal) -> OffsetDeleteResponse<'static> {
    OffsetDeleteResponse { error_code: refusal.code.code(), ..OffsetDeleteResponse::default() }
}
