//! ListOffsets (KIP-79, KIP-734, KIP-1005, KIP-1023): offsets by special timestamp, or the first record at or after a time.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::pace::Pace;
use crate::partition::{FoundOffset, Isolation, Partition};
use base::{ErrorCode, LeaderEpoch, Refusal, Timestamp};
use net::Reply;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The timestamps that name a place instead of a time.
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    pub(super) const LATEST_TIERED: i64 = -5;
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

const CONSUMER: i32 = -1;
const READ_COMMITTED: i8 = 1;

pub(crate) fn handle(broker: &Arc<Broker>, to: ReplyTo, request: ListOffsetsRequest<'_>) -> Reply {
    if look_ups(&request) > 1 {
        let (broker, request) = (Arc::clone(broker), request.into_owned());
        return Reply::Later(Box::pin(async move { to.later(&in_turns(&broker, to, &request).await) }));
    }
    let mut asked = Asked::of(&request);
    let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: Cow::Borrowed(&topic.name),
        partitions: topic.partitions.iter().filter_map(|one| asked.answer(broker, to, &topic.name, one)).collect(),
        ..ListOffsetsTopicResponse::default()
    });
    // As Kafka: a topic of which nothing is asked is not answered.
    let topics = topics.filter(|topic| !topic.partitions.is_empty()).collect();
    to.now(&ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

/// Partitions whose batches have to be looked into, and perhaps decompressed: what takes time.
fn look_ups(request: &ListOffsetsRequest<'_>) -> usize {
    let all = request.topics.iter().flat_map(|topic| &topic.partitions);
    all.filter(|one| one.timestamp >= 0 || one.timestamp == special::MAX_TIMESTAMP).count()
}

/// Answers one partition after the other, and lets others run in between.
async fn in_turns<'a>(broker: &Broker, to: ReplyTo, request: &'a ListOffsetsRequest<'_>) -> ListOffsetsResponse<'a> {
    let (mut asked, mut pace) = (Asked::of(request), Pace::new(&broker.clock));
    let mut response = ListOffsetsResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::new();
        for one in &topic.partitions {
            partitions.extend(asked.answer(broker, to, &topic.name, one));
            pace.give_way().await;
        }
        let name = Cow::Borrowed(&*topic.name);
        response.topics.push(ListOffsetsTopicResponse { name, partitions, ..ListOffsetsTopicResponse::default() });
    }
    response
}

/// What is asked of every partition of a request.
struct Asked<'a> {
    isolation: Isolation,
    /// Named more than once, and of them those that this was told of.
    twice: BTreeSet<(&'a str, i32)>,
    told: BTreeSet<(&'a str, i32)>,
}

impl<'a> Asked<'a> {
    fn of(request: &'a ListOffsetsRequest<'_>) -> Asked<'a> {
        let isolation = match (request.replica_id, request.isolation_level) {
            (CONSUMER, READ_COMMITTED) => Isolation::ReadCommitted,
            (CONSUMER, _) => Isolation::ReadUncommitted,
            _ => Isolation::LogEnd,
        };
        Asked { isolation, twice: named_twice(request), told: BTreeSet::new() }
    }

    /// What is named twice is refused once.
    fn answer(
        &mut self,
        broker: &Broker,
        to: ReplyTo,
        topic: &'a str,
        wanted: &ListOffsetsPartition,
    ) -> Option<ListOffsetsPartitionResponse> {
        let named = (topic, wanted.partition_index);
        let found = if !self.twice.contains(&named) {
            find(broker, to.version, topic, wanted, self.isolation)
        } else if self.told.insert(named) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this partition twice"))
        } else {
            return None;
        };
        Some(partition_answer(to.version, wanted.partition_index, found))
    }
}

fn named_twice<'a>(request: &'a ListOffsetsRequest<'_>) -> BTreeSet<(&'a str, i32)> {
    let mut seen = BTreeSet::new();
    let all = request.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (&*t.name, p.partition_index)));
    all.filter(|named| !seen.insert(*named)).collect()
}

fn find(
    broker: &Broker,
    version: i16,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<FoundOffset>, Refusal> {
    let since = match wanted.timestamp {
        special::MAX_TIMESTAMP => 7,
        special::EARLIEST_LOCAL => 8,
        special::LATEST_TIERED => 9,
        special::EARLIEST_PENDING_UPLOAD => 11,
        i64::MIN..special::EARLIEST_PENDING_UPLOAD => i16::MAX,
        _ => 1,
    };
    if version < since {
        let why = format!("timestamp {} is not supported by ListOffsets version {version}", wanted.timestamp);
        return Err(Refusal::new(ErrorCode::UnsupportedVersion, why));
    }
    let partition = broker.partition_by_name(topic, wanted.partition_index)?;
    let epoch = LeaderEpoch(wanted.current_leader_epoch);
    look_up(&partition, wanted.timestamp, epoch, isolation)
}

fn look_up(
    partition: &Partition,
    timestamp: i64,
    epoch: LeaderEpoch,
    isolation: Isolation,
) -> Result<Option<FoundOffset>, Refusal> {
    match timestamp {
        special::LATEST => partition.latest(epoch, isolation).map(Some),
        special::EARLIEST | special::EARLIEST_LOCAL => partition.earliest(epoch).map(Some),
        special::MAX_TIMESTAMP => partition.at_max_timestamp(epoch, isolation),
        // Nothing is tiered here yet, which Kafka says with offset -1 and epoch -1.
        special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => {
            partition.check_epoch(epoch)?;
            Ok(Some(FoundOffset { timestamp: Timestamp::NONE, offset: -1, epoch: Some(LeaderEpoch::NONE) }))
        }
        time => partition.at_or_after(Timestamp(time), epoch, isolation),
    }
}

fn partition_answer(
    version: i16,
    partition_index: i32,
    found: Result<Option<FoundOffset>, Refusal>,
) -> ListOffsetsPartitionResponse {
    let blank = ListOffsetsPartitionResponse { partition_index, ..ListOffsetsPartitionResponse::default() };
    match found {
        Ok(None) => blank,
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp.0,
            offset: found.offset,
            leader_epoch: if version >= 4 { found.epoch.unwrap_or(LeaderEpoch::NONE).0 } else { -1 },
            ..blank
        },
        Err(refusal) => {
            // Clients before version 5 do not know OFFSET_NOT_AVAILABLE.
            let code = match refusal.code {
                ErrorCode::OffsetNotAvailable if version < 5 => ErrorCode::LeaderNotAvailable,
                code => code,
            };
            ListOffsetsPartitionResponse { error_code: code.code(), ..blank }
        }
    }
}
