//! Builds the answer of a Fetch: what the session has to be told, records as file ranges or, when they are few, as bytes.

use super::Attempt;
use super::plan::{Plan, Target};
use crate::answer::{FileRange, ReplyTo};
use crate::broker::Broker;
use crate::partition::ReadOutcome;
use crate::send_file::SegmentFile;
use base::{ErrorCode, Refusal};
use net::Outgoing;
use protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use protocol::wire::Records;
use replication::{FetchKind, Fetched, SessionTopic};
use std::borrow::Cow;
use std::sync::Arc;

/// Records of at most this many bytes are copied into the response: cheaper than a system call of their own.
const COPY_MAX: usize = 8 * 1024;
/// The first version that tells a client which broker leads now.
const LEADER_SINCE: i16 = 16;

pub(super) fn encode(broker: &Broker, to: ReplyTo, plan: &Plan, attempt: Attempt) -> Result<Outgoing, String> {
    let mut answers: Vec<_> = plan.targets.iter().zip(attempt.outcomes).collect();
    let told = {
        let fetched: Vec<_> = answers.iter().map(|(target, outcome)| (target.key.clone(), fetched(outcome))).collect();
        broker.sessions.lock().answer(plan.kind, &fetched)
    };
    let mut response = FetchResponse {
        session_id: match plan.kind {
            FetchKind::Sessionless => 0,
            FetchKind::Full(id) | FetchKind::Incremental(id) => id,
        },
        ..FetchResponse::default()
    };
    let mut files = Vec::new();
    let mut bytes = 0;
    for ((target, outcome), is_told) in answers.drain(..).zip(told) {
        if !is_told {
            continue;
        }
        let data = match outcome {
            Ok(read) => {
                bytes += read.len();
                partition_data(to, target, read, &mut files)?
            }
            Err(refusal) => refused(to, target, &refusal),
        };
        push(&mut response, target, data);
    }
    broker.metrics.fetched_bytes.add(bytes as u64);
    to.encode(&response, files)
}

fn fetched(outcome: &Result<ReadOutcome, Refusal>) -> Fetched {
    match outcome {
        Ok(read) => Fetched {
            high_watermark: read.high_watermark.0,
            log_start: read.log_start.0,
            must_tell: read.slice.is_some() || read.diverging.is_some(),
            failed: false,
        },
        Err(_) => Fetched { high_watermark: -1, log_start: -1, must_tell: true, failed: true },
    }
}

/// Adds a partition's data to its topic; partitions of a topic that follow each other share an entry.
fn push(response: &mut FetchResponse<'static>, target: &Target, data: PartitionData<'static>) {
    let same = |topic: &FetchableTopicResponse<'static>| match &target.key.0 {
        SessionTopic::Id(id) => topic.topic_id == *id,
        SessionTopic::Name(name) => *topic.topic == **name,
    };
    if let Some(topic) = response.responses.last_mut().filter(|topic| same(topic)) {
        topic.partitions.push(data);
        return;
    }
    let mut topic = FetchableTopicResponse { partitions: vec![data], ..FetchableTopicResponse::default() };
    match &target.key.0 {
        SessionTopic::Id(id) => topic.topic_id = *id,
        SessionTopic::Name(name) => topic.topic = Cow::Owned(String::from(&**name)),
    }
    response.responses.push(topic);
}

fn partition_data(
    to: ReplyTo,
    target: &Target,
    read: ReadOutcome,
    files: &mut Vec<FileRange>,
) -> Result<PartitionData<'static>, String> {
    let records = match read.slice {
        None => Records::Bytes(Cow::Borrowed(&[])),
        Some(slice) if slice.len <= COPY_MAX => {
            let mut bytes = vec![0; slice.len];
            let got = slice
                .file
                .read_at(&mut bytes, slice.position)
                .map_err(|error| format!("a segment cannot be read: {error}"))?;
            bytes.truncate(got);
            Records::Bytes(Cow::Owned(bytes))
        }
        Some(slice) => {
            let (position, len) = (slice.position, slice.len);
            let file = Arc::new(SegmentFile { file: slice.file, recent_from: slice.recent_from });
            files.push(FileRange { file, position, len });
            Records::Spliced(len)
        }
    };
    let aborted = read.aborted.map(|entries| {
        let entries = entries.into_iter().map(|entry| AbortedTransaction {
            producer_id: entry.producer_id.0,
            first_offset: entry.first_offset.0,
            ..AbortedTransaction::default()
        });
        entries.collect()
    });
    let diverging = read.diverging.map(|(epoch, end)| EpochEndOffset {
        epoch: epoch.0,
        end_offset: end.0,
        ..EpochEndOffset::default()
    });
    Ok(PartitionData {
        partition_index: target.key.1,
        high_watermark: read.high_watermark.0,
        last_stable_offset: if to.version >= 4 { read.last_stable_offset.0 } else { -1 },
        log_start_offset: read.log_start.0,
        diverging_epoch: diverging.unwrap_or_default(),
        aborted_transactions: aborted,
        records,
        ..PartitionData::default()
    })
}

/// The answer for a partition that could not be read.
fn refused(to: ReplyTo, target: &Target, refusal: &Refusal) -> PartitionData<'static> {
    let code = match refusal.code {
        // Clients before version 6 do not know KAFKA_STORAGE_ERROR; this one makes them look their metadata up.
        ErrorCode::KafkaStorageError if to.version <= 5 => ErrorCode::NotLeaderOrFollower,
        code => code,
    };
    let mut data = PartitionData {
        partition_index: target.key.1,
        error_code: code.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        records: Records::Bytes(Cow::Borrowed(&[])),
        ..PartitionData::default()
    };
    if target.partition.is_err() {
        // Kafka says null of a partition that it read and an empty list of one that it does not have.
        data.aborted_transactions = Some(Vec::new());
    }
    // KIP-951: the leader travels along, which saves the client a look-up. Older versions cannot, or do not, carry it.
    if to.version >= LEADER_SINCE
        && matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
        && let Ok(partition) = &target.partition
    {
        let (leader, epoch) = partition.leader();
        data.current_leader =
            LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0, ..LeaderIdAndEpoch::default() };
    }
    data
}
