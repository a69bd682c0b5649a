//! DeleteRecords (KIP-107): moves a partition's log start offset up, answered once that is on disk; segments below it go with the next
//! retention pass.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::partition::Partition;
use base::{ErrorCode, Offset, Refusal};
use net::Reply;
use protocol::messages::delete_records_request::{DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Asks for the high watermark as the new log start.
const HIGH_WATERMARK: i64 = -1;

/// A partition whose new start is still to be written.
struct Wanted {
    partition: Arc<Partition>,
    start: Offset,
    /// Where its answer stands in the response.
    topic: usize,
    index: usize,
}

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: &DeleteRecordsRequest<'_>) -> Reply {
    let mut response = DeleteRecordsResponse::default();
    let mut wanted = Vec::new();
    for topic in request.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let last = last_words(topic);
        // The last word on a partition counts, and is answered once.
        let counting = topic.partitions.iter().enumerate();
        let counting = counting.filter(|(at, asked)| last.get(&asked.partition_index) == Some(at));
        let mut partitions = Vec::new();
        for (_, asked) in counting {
            let blank = DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: -1,
                ..DeleteRecordsPartitionResult::default()
            };
            match want_start(broker, &topic.name, asked.partition_index, asked.offset) {
                Ok((partition, start)) => {
                    wanted.push(Wanted { partition, start, topic: response.topics.len(), index: partitions.len() });
                    partitions.push(blank);
                }
                Err(refusal) => {
                    partitions.push(DeleteRecordsPartitionResult { error_code: refusal.code.code(), ..blank })
                }
            }
        }
        response.topics.push(DeleteRecordsTopicResult {
            name: Cow::Owned(topic.name.to_string()),
            partitions,
            ..DeleteRecordsTopicResult::default()
        });
    }
    if wanted.is_empty() {
        return to.now(&response);
    }
    let dirs: BTreeSet<usize> = wanted.iter().map(|wanted| wanted.partition.dir).collect();
    let kept: Vec<_> = dirs.into_iter().map(|dir| (dir, broker.log_dirs[dir].flusher.want_log_starts())).collect();
    Reply::Later(Box::pin(async move {
        let mut codes = BTreeMap::new();
        for (dir, kept) in kept {
            // The request's timeout is for other replicas; this is the leader's own work, which Kafka does at once.
            let code = if kept.await == Ok(true) { ErrorCode::None } else { ErrorCode::KafkaStorageError };
            codes.insert(dir, code);
        }
        for Wanted { partition, start, topic, index } in wanted {
            let answer = &mut response.topics[topic].partitions[index];
            let low_watermark = partition.log_start_offset();
            match codes.get(&partition.dir) {
                Some(ErrorCode::None) if low_watermark >= start => answer.low_watermark = low_watermark.0,
                // It was removed in the meantime.
                Some(ErrorCode::None) | None => answer.error_code = ErrorCode::UnknownTopicOrPartition.code(),
                Some(code) => answer.error_code = code.code(),
            }
        }
        to.later(&response)
    }))
}

/// Where each partition of a topic is named for the last time.
fn last_words(topic: &DeleteRecordsTopic<'_>) -> BTreeMap<i32, usize> {
    topic.partitions.iter().enumerate().map(|(at, wanted)| (wanted.partition_index, at)).collect()
}

fn want_start(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<(Arc<Partition>, Offset), Refusal> {
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
    let start = partition.delete_records(before)?;
    Ok((partition, start))
}
