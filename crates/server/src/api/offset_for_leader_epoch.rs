//! OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ended in this log, so that a client or follower finds where it diverged.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::{LeaderEpoch, Offset, Refusal};
use net::Reply;
use protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition};
use protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use std::borrow::Cow;

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &OffsetForLeaderEpochRequest<'_>) -> Reply {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: Cow::Borrowed(&topic.topic),
        partitions: topic.partitions.iter().map(|asked| answer(asked, find(broker, &topic.topic, asked))).collect(),
        ..OffsetForLeaderTopicResult::default()
    });
    to.now(&OffsetForLeaderEpochResponse { topics: topics.collect(), ..OffsetForLeaderEpochResponse::default() })
}

fn find(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, Refusal> {
    let partition = broker.partition_by_name(topic, asked.partition)?;
    partition.epoch_end(LeaderEpoch(asked.current_leader_epoch), LeaderEpoch(asked.leader_epoch))
}

fn answer(asked: &OffsetForLeaderPartition, found: Result<Option<(LeaderEpoch, Offset)>, Refusal>) -> EpochEndOffset {
    let blank = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    match found {
        Ok(Some((epoch, end))) => EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..blank },
        Ok(None) => blank,
        Err(refusal) => EpochEndOffset { error_code: refusal.code.code(), ..blank },
    }
}
