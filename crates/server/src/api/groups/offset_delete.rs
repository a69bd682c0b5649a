//! OffsetDelete (KIP-496).

use super::{ask_group, mismatch};
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
                for topic in unknown {
                    match response.topics.iter_mut().find(|known| known.name == topic.name) {
                        Some(known) => known.partitions.extend(topic.partitions),
                        None => response.topics.push(topic),
                    }
                }
                response
            }
            Ok(_) => refused(&mismatch()),
            Err(refusal) => refused(&refusal),
        },
    )
}

fn refused(refusal: &Refusal) -> OffsetDeleteResponse<'static> {
    OffsetDeleteResponse { error_code: refusal.code.code(), ..OffsetDeleteResponse::default() }
}
