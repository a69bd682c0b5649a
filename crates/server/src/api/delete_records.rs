//! DeleteRecords (KIP-107): moves a partition's log start offset up; segments below it go with the next retention pass.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::{ErrorCode, Offset, Refusal};
use net::Reply;
use protocol::messages::delete_records_request::{DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Asks for the high watermark as the new log start.
const HIGH_WATERMARK: i64 = -1;

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DeleteRecordsRequest<'_>) -> Reply {
    let topics = request.topics.iter().filter(|topic| !topic.partitions.is_empty());
    let topics = topics.map(|topic| (topic, last_words(topic))).map(|(topic, last)| DeleteRecordsTopicResult {
        name: Cow::Borrowed(&topic.name),
        partitions: topic
            .partitions
            .iter()
            .enumerate()
            // The last word on a partition counts, and is answered once.
            .filter(|(at, wanted)| last.get(&wanted.partition_index) == Some(at))
            .map(|(_, wanted)| {
                let blank = DeleteRecordsPartitionResult {
                    partition_index: wanted.partition_index,
                    ..DeleteRecordsPartitionResult::default()
                };
                match delete_before(broker, &topic.name, wanted.partition_index, wanted.offset) {
                    Ok(low) => DeleteRecordsPartitionResult { low_watermark: low.0, ..blank },
                    Err(refusal) => {
                        DeleteRecordsPartitionResult { low_watermark: -1, error_code: refusal.code.code(), ..blank }
                    }
                }
            })
            .collect(),
        ..DeleteRecordsTopicResult::default()
    });
    to.now(&DeleteRecordsResponse { topics: topics.collect(), ..DeleteRecordsResponse::default() })
}

/// Where each partition of a topic is named for the last time.
fn last_words(topic: &DeleteRecordsTopic<'_>) -> BTreeMap<i32, usize> {
    topic.partitions.iter().enumerate().map(|(at, wanted)| (wanted.partition_index, at)).collect()
}

fn delete_before(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<Offset, Refusal> {
    let partition = broker.partition_by_name(topic, index)?;
    if broker.is_internal(topic) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            format!("records of internal topic {topic} cannot be deleted"),
        ));
    }
    let before = match offset {
        HIGH_WATERMARK => None,
        offset if offset >= 0 => Some(Offset(offset)),
        offset => {
            let why = format!("offset {offset} is neither -1 (the high watermark) nor a position in the log");
            return Err(Refusal::new(ErrorCode::OffsetOutOfRange, why));
        }
    };
    partition.delete_records(before)
}
