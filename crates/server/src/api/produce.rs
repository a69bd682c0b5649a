//! Produce (KIP-98, KIP-467, KIP-516): validates each batch while its bytes are in cache, appends it under its partition's lock,
//! and answers at once (acks 0 and 1) or when the high watermark has passed it (acks=all).

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::partition::{Partition, Signal, Together};
use crate::session::Session;
use crate::timers::Timers;
use base::{ErrorCode, Monotonic, Offset, Refusal};
use net::Reply;
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use protocol::wire::Records;
use record::{DECOMPRESSED_BATCH_BYTES_MAX, ProducePolicy};
use std::borrow::Cow;
use std::sync::Arc;

/// The first version whose batches may be zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
const ACKS_ALL: i16 = -1;
/// Where a batch says its format.
const MAGIC_AT: usize = 16;
/// Where the low byte of a batch's attributes stands.
const ATTRIBUTES_AT: usize = 22;
const TRANSACTIONAL: u8 = 0x10;
const CODEC_MASK: u8 = 0x07;
const ZSTD: u8 = 4;

/// What one partition of the request still waits for.
struct PendingAck {
    partition: Arc<Partition>,
    /// The high watermark that confirms the batch: its last offset plus one.
    needed: Offset,
    /// Where its answer stands in the response.
    topic: usize,
    index: usize,
}

pub(crate) fn handle(broker: &Arc<Broker>, session: &Session, to: ReplyTo, request: &ProduceRequest<'_>) -> Reply {
    let mut pending = Vec::new();
    let mut response = ProduceResponse::default();
    let mut failed = None;
    let refused = transaction_refused(request);
    // A request may carry a thousand batches of a few KB each, and the whole of it is one turn of the loop.
    let mut decompressed_left = DECOMPRESSED_BATCH_BYTES_MAX;
    for topic in request.topic_data.iter().filter(|topic| !topic.partition_data.is_empty()) {
        let topic_index = response.responses.len();
        let mut answers = Vec::with_capacity(topic.partition_data.len());
        for (index, data) in topic.partition_data.iter().enumerate() {
            let outcome = match &refused {
                Some(refusal) => Err(refusal.clone().into()),
                None => produce_one(broker, session, to, request, (topic, data), &mut decompressed_left),
            };
            if let Err(error) = &outcome {
                failed = Some(error.refusal.clone());
            }
            let (answer, wait) = partition_answer(data.index, outcome);
            if let (Some((partition, needed)), ACKS_ALL) = (wait, request.acks) {
                pending.push(PendingAck { partition, needed, topic: topic_index, index });
            }
            answers.push(answer);
        }
        response.responses.push(TopicProduceResponse {
            name: Cow::Borrowed(&topic.name),
            topic_id: topic.topic_id,
            partition_responses: answers,
            ..TopicProduceResponse::default()
        });
    }
    answer(broker, session, to, request, response, pending, failed)
}

fn answer(
    broker: &Arc<Broker>,
    session: &Session,
    to: ReplyTo,
    request: &ProduceRequest<'_>,
    response: ProduceResponse<'_>,
    pending: Vec<PendingAck>,
    failed: Option<Refusal>,
) -> Reply {
    if request.acks == 0 {
        // Nothing tells an acks=0 producer of an error but a closed connection, on which it looks its metadata up again.
        return match failed {
            Some(refusal) => Reply::Close(format!("a Produce with acks=0 failed: {refusal}")),
            None => Reply::Nothing,
        };
    }
    if pending.iter().all(|ack| ack.partition.is_committed(ack.needed) == Ok(true)) {
        return to.now(&response);
    }
    let deadline = broker.clock.monotonic().plus_millis(i64::from(request.timeout_ms));
    let (broker, of_loop) = (Arc::clone(broker), session.of_loop());
    let mut response = response.into_owned();
    let (signal, mut refused) = (Arc::new(Signal::default()), Vec::new());
    let open = join(pending, &signal, &mut refused);
    Reply::Later(Box::pin(async move {
        wait_for_acks(&broker, of_loop.timers(), open, &signal, deadline, &mut refused).await;
        for (ack, refusal) in refused {
            let answer = &mut response.responses[ack.topic].partition_responses[ack.index];
            answer.error_code = refusal.code.code();
            answer.error_message = Some(refusal.message);
            answer.base_offset = -1;
        }
        to.later(&response)
    }))
}

/// Asks for the commit of every batch that still needs it, of all of them at once, and returns these: `signal` wakes once each of them may be
/// committed. Adds what never will be to `refused`, with the reason.
fn join(pending: Vec<PendingAck>, signal: &Arc<Signal>, refused: &mut Vec<(PendingAck, Refusal)>) -> Vec<PendingAck> {
    signal.expect(pending.len());
    let mut together = Together::default();
    let mut open = Vec::new();
    for ack in pending {
        match ack.partition.wait_committed(ack.needed, signal, &mut together) {
            Ok(false) => {
                open.push(ack);
                continue;
            }
            Ok(true) => {}
            Err(refusal) => refused.push((ack, refusal)),
        }
        signal.tell();
    }
    open
}

/// Waits until every batch is committed or `deadline`; adds those that were not to `refused`.
async fn wait_for_acks(
    broker: &Broker,
    timers: &Timers,
    mut open: Vec<PendingAck>,
    signal: &Arc<Signal>,
    deadline: Monotonic,
    refused: &mut Vec<(PendingAck, Refusal)>,
) {
    while !open.is_empty() {
        if !broker.wait(timers, signal, deadline).await {
            refused.extend(open.into_iter().filter_map(|ack| too_late(ack, signal)));
            return;
        }
        open = join(open, signal, refused);
    }
}

/// The batch with the reason why it is not confirmed, unless it was just committed, while others of its request were not.
fn too_late(ack: PendingAck, signal: &Arc<Signal>) -> Option<(PendingAck, Refusal)> {
    ack.partition.forget(signal);
    let refusal = match ack.partition.is_committed(ack.needed) {
        Ok(true) => return None,
        Ok(false) => {
            let why =
                "the batch was appended but not confirmed within the request's timeout; it may still become visible";
            Refusal::new(ErrorCode::RequestTimedOut, why)
        }
        Err(refusal) => refusal,
    };
    Some((ack, refusal))
}

/// Why nothing of the request is appended, when it holds transactional batches: the producer of one names its transactional id, and
/// no transaction is open on a node that has no transaction coordinator yet. Appended, such a batch would hold back the last stable
/// offset for ever, since no marker would end it.
fn transaction_refused(request: &ProduceRequest<'_>) -> Option<Refusal> {
    let mut all = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    all.any(|data| attributes(data) & TRANSACTIONAL != 0).then(|| match &request.transactional_id {
        None => Refusal::new(
            ErrorCode::TransactionalIdAuthorizationFailed,
            "a transactional batch came without its producer's transactional id",
        ),
        Some(_) => Refusal::new(
            ErrorCode::InvalidTxnState,
            "no transaction is open for this partition: this node does not coordinate transactions yet",
        ),
    })
}

/// The low byte of the attributes of a partition's batch; 0 when there is none, and of older formats.
fn attributes(data: &PartitionProduceData<'_>) -> u8 {
    match &data.records {
        Records::Bytes(bytes) if bytes.get(MAGIC_AT) == Some(&2) => bytes.get(ATTRIBUTES_AT).copied().unwrap_or(0),
        Records::Bytes(_) | Records::Null | Records::Spliced(_) => 0,
    }
}

/// Why one partition's batch was not appended.
struct ProduceError {
    refusal: Refusal,
    record_errors: Vec<(u32, String)>,
    log_start_offset: Offset,
    leader: Option<(i32, i32)>,
}

impl From<Refusal> for ProduceError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, record_errors: Vec::new(), log_start_offset: Offset::NONE, leader: None }
    }
}

struct Produced {
    partition: Arc<Partition>,
    appended: storage::Appended,
}

fn produce_one(
    broker: &Broker,
    session: &Session,
    to: ReplyTo,
    request: &ProduceRequest<'_>,
    (topic, data): (&TopicProduceData<'_>, &PartitionProduceData<'_>),
    decompressed_left: &mut usize,
) -> Result<Produced, ProduceError> {
    if !(-1..=1).contains(&request.acks) {
        let why = format!("acks={} is not one of -1 (all), 0 and 1", request.acks);
        return Err(Refusal::new(ErrorCode::InvalidRequiredAcks, why).into());
    }
    let partition = if to.version >= 13 {
        broker.partition_by_id(topic.topic_id, data.index)?
    } else {
        broker.partition_by_name(&topic.name, data.index)?
    };
    if broker.is_internal(&partition.tp.topic) && session.client_id() != crate::broker::ADMIN_CLIENT_ID {
        let why = format!("topic {} is internal: only the brokers write to it", partition.tp.topic);
        return Err(Refusal::new(ErrorCode::InvalidTopicException, why).into());
    }
    let bytes = match &data.records {
        Records::Bytes(bytes) if !bytes.is_empty() => bytes,
        _ => {
            return Err(Refusal::new(
                ErrorCode::InvalidRecord,
                "a partition of a Produce request needs one record batch",
            )
            .into());
        }
    };
    let policy = partition.produce_policy(broker.clock.wall());
    let policy = ProducePolicy { decompressed_total_max: *decompressed_left, ..policy };
    let mut scratch = session.scratch();
    // What the producer sent counts, not what the topic makes of it: an old producer may write to a topic that is kept in zstd.
    if to.version < ZSTD_SINCE && attributes(data) & CODEC_MASK == ZSTD {
        let why = format!("zstd needs Produce version {ZSTD_SINCE} or newer, this is version {}", to.version);
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, why).into());
    }
    let validated = record::validate(bytes, &policy, &mut scratch);
    *decompressed_left = decompressed_left.saturating_sub(scratch.take_decompressed());
    let batch = validated.map_err(|rejection| rejected(rejection, bytes, &partition))?;
    let appended = partition.append_produced(&batch, request.acks, broker.clock.wall());
    match appended {
        Ok(appended) => {
            broker.metrics.produced_bytes.add(bytes.len() as u64);
            broker.metrics.produced_records.add(u64::from(batch.record_count().unsigned_abs()));
            Ok(Produced { partition, appended })
        }
        Err(refusal) => Err(ProduceError {
            leader: moved(&refusal).then(|| partition.leader()).map(|(leader, epoch)| (leader.0, epoch.0)),
            log_start_offset: match refusal.code {
                ErrorCode::RecordListTooLarge => Offset::NONE,
                _ => partition.log_start_offset(),
            },
            ..ProduceError::from(refusal)
        }),
    }
}

/// Whether the client should look its metadata up, for which the leader travels along (KIP-951).
fn moved(refusal: &Refusal) -> bool {
    matches!(refusal.code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
}

/// As in Kafka, the log's start travels with what the records themselves did wrong, not with bytes that are no batch.
fn rejected(rejection: record::Rejection, bytes: &[u8], partition: &Partition) -> ProduceError {
    let is_one_batch = record::BatchHeader::parse(bytes).is_ok_and(|header| header.size == bytes.len());
    let about_records =
        is_one_batch && !matches!(rejection.code, ErrorCode::CorruptMessage | ErrorCode::MessageTooLarge);
    ProduceError {
        record_errors: rejection.record_errors,
        log_start_offset: if about_records { partition.log_start_offset() } else { Offset::NONE },
        ..ProduceError::from(Refusal::new(rejection.code, rejection.message))
    }
}

type Wait = Option<(Arc<Partition>, Offset)>;

fn partition_answer(index: i32, outcome: Result<Produced, ProduceError>) -> (PartitionProduceResponse<'static>, Wait) {
    match outcome {
        Ok(Produced { partition, appended }) => {
            let answer = PartitionProduceResponse {
                index,
                base_offset: appended.first_offset.0,
                log_append_time_ms: appended.log_append_time.0,
                log_start_offset: appended.log_start_offset.0,
                ..PartitionProduceResponse::default()
            };
            (answer, Some((partition, appended.last_offset.plus(1))))
        }
        Err(error) => {
            let record_errors = error.record_errors.into_iter().map(|(index, message)| BatchIndexAndErrorMessage {
                batch_index: i32::try_from(index).unwrap_or(i32::MAX),
                batch_index_error_message: Some(Cow::Owned(message)),
                ..BatchIndexAndErrorMessage::default()
            });
            let (leader_id, leader_epoch) = error.leader.unwrap_or((-1, -1));
            let answer = PartitionProduceResponse {
                index,
                error_code: error.refusal.code.code(),
                base_offset: -1,
                log_start_offset: error.log_start_offset.0,
                record_errors: record_errors.collect(),
                error_message: Some(error.refusal.message),
                current_leader: LeaderIdAndEpoch { leader_id, leader_epoch, ..LeaderIdAndEpoch::default() },
                ..PartitionProduceResponse::default()
            };
            (answer, None)
        }
    }
}
