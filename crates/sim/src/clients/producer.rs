//! A producer. With idempotence it keeps up to five batches in flight and sends them again, in order and with their sequence numbers,
//! until they are confirmed, as Kafka's clients do; without, it sends each batch once.

use super::{Client, Cx, STATIC_TOPICS, Wire, decode, pick};
use crate::model::Key;
use base::{ErrorCode, Monotonic, ProducerEpoch, ProducerId, SeededRng};
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::wire::Records;
use record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// Batches in flight: Kafka's limit for idempotence.
const IN_FLIGHT_MAX: usize = 5;
/// With topic ids, and the newest before.
const VERSIONS: [i16; 2] = [13, 9];

/// A batch that is not confirmed.
#[derive(Clone, Debug)]
struct Batch {
    key: Key,
    topic: String,
    values: Vec<u64>,
    bytes: Vec<u8>,
    acks: i16,
    /// It was sent before.
    is_retry: bool,
    /// How often the process had ended when it was made.
    ends_before: u64,
    /// Of the disks' shortages of room, when it was made.
    shortages_mark: u64,
}

enum Sent {
    Init,
    Batch(Batch),
}

/// A producer.
pub(crate) struct Producer {
    number: usize,
    rng: SeededRng,
    wire: Wire<Sent>,
    version: i16,
    idempotent: bool,
    acks: i16,
    /// Its id and epoch, once it has one.
    id: Option<(i64, i16)>,
    sequences: BTreeMap<Key, i32>,
    orders: u64,
    /// Batches to be sent again, in order.
    again: VecDeque<Batch>,
    /// Not before then.
    rests_until: Monotonic,
}

impl Producer {
    pub(crate) fn new(number: usize, mut rng: SeededRng) -> Producer {
        let idempotent = rng.below(3) != 0;
        let version = VERSIONS[rng.below(2) as usize];
        let acks = match rng.below(8) {
            0 if !idempotent => 0,
            0 | 1 => 1,
            _ => -1,
        };
        Producer {
            number,
            rng,
            wire: Wire::new(format!("producer-{number}")),
            version,
            idempotent,
            acks,
            id: None,
            sequences: BTreeMap::new(),
            orders: 0,
            again: VecDeque::new(),
            rests_until: Monotonic(0),
        }
    }

    fn rest(&mut self, cx: &Cx<'_>) {
        self.rests_until = cx.now.plus_millis(10 + self.rng.below(200) as i64);
    }

    fn new_batch(&mut self, cx: &mut Cx<'_>) -> Option<Batch> {
        let by_id = self.version >= 13;
        let topics = cx.model.topics.iter().filter(|(name, _)| by_id || STATIC_TOPICS.contains(name));
        let all: Vec<(String, Key)> = topics
            .flat_map(|(name, topic)| (0..topic.partitions).map(move |index| (name.to_owned(), (topic.id, index))))
            .collect();
        let (topic, key) = pick(&mut self.rng, &all)?.clone();
        let count = 1 + self.rng.below(4) as usize;
        let values: Vec<u64> = (0..count).map(|_| cx.model.next_value()).collect();
        let (id, epoch) = self.id.unwrap_or((-1, -1));
        let sequence = self.sequences.entry(key).or_insert(0);
        let base_sequence = if self.idempotent { *sequence } else { -1 };
        *sequence += i32::try_from(count).unwrap_or(1);
        let codec = if self.rng.below(4) == 0 { Codec::Lz4 } else { Codec::None };
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence,
            compression: Compression { codec, level: None },
            ..BatchOptions::default()
        });
        // Now and then more than a response copies, so that a fetch is sent from the file.
        let padding = if self.rng.below(6) == 0 { 4_000 } else { self.rng.below(300) as usize };
        for value in &values {
            self.orders += 1;
            cx.model.log(key).write(*value, (self.number, id), self.orders, self.idempotent);
            let mut bytes = value.to_be_bytes().to_vec();
            bytes.resize(8 + padding, b'.');
            builder.append(&NewRecord { timestamp: cx.wall, value: Some(&bytes), ..NewRecord::default() });
        }
        Some(Batch {
            key,
            topic,
            values,
            bytes: builder.build(),
            acks: self.acks,
            is_retry: false,
            ends_before: cx.model.seen.ends(),
            shortages_mark: cx.model.shortages.mark(),
        })
    }

    fn send(&mut self, cx: &mut Cx<'_>, batch: Batch) {
        if batch.is_retry {
            cx.model.seen.retried += 1;
        }
        let acks = if cx.acks_early && batch.acks == -1 { 1 } else { batch.acks };
        let request = ProduceRequest {
            transactional_id: None,
            acks,
            timeout_ms: 500 + self.rng.below(20_000) as i32,
            topic_data: vec![TopicProduceData {
                name: if self.version >= 13 { Cow::Borrowed("") } else { Cow::Borrowed(&batch.topic) },
                topic_id: if self.version >= 13 { batch.key.0 } else { base::Uuid::ZERO },
                partition_data: vec![PartitionProduceData {
                    index: batch.key.1,
                    records: Records::Bytes(Cow::Borrowed(&batch.bytes)),
                    ..PartitionProduceData::default()
                }],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        if batch.acks == 0 {
            self.wire.send_only(cx, self.version, &request);
        } else {
            self.wire.send(cx, self.version, &request, Sent::Batch(batch.clone()));
        }
    }

    fn produced(&mut self, cx: &mut Cx<'_>, batch: Batch, answer: &PartitionProduceResponse<'_>) {
        let code = ErrorCode::from_code(answer.error_code);
        match code {
            Some(ErrorCode::None) => self.confirmed(cx, &batch, answer.base_offset),
            Some(ErrorCode::DuplicateSequenceNumber) => {}
            Some(
                ErrorCode::RequestTimedOut
                | ErrorCode::KafkaStorageError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId,
            ) => {
                let is_gone = cx.model.log(batch.key).is_doomed;
                let is_unknown = matches!(code, Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId));
                if is_unknown && !is_gone {
                    cx.model.breach(format!("{code:?} for a partition of {}, which exists", batch.topic));
                }
                if self.idempotent && !is_gone {
                    // Everything in flight is sent again in its order, on a new connection.
                    self.again.push_front(batch);
                    cx.disconnect = true;
                }
            }
            Some(ErrorCode::OutOfOrderSequenceNumber) if self.idempotent => self.out_of_order(cx, batch, answer),
            other => {
                let what = format!("Produce to {:?} was refused with {other:?}: {:?}", batch.key, answer.error_message);
                cx.model.breach(what);
            }
        }
    }

    fn confirmed(&mut self, cx: &mut Cx<'_>, batch: &Batch, base_offset: i64) {
        let log = cx.model.log(batch.key);
        let floor = log.seen_end();
        let found = if batch.acks == -1 {
            log.confirm(base_offset, &batch.values)
        } else {
            log.confirm_softly(base_offset, &batch.values)
        };
        if batch.is_retry && base_offset < floor {
            cx.model.seen.duplicates += 1;
        }
        if batch.acks == -1 {
            cx.model.seen.confirmed += 1;
        }
        cx.model.check_log(found.map_err(|what| format!("{} {:?}: {what}", self.wire.name, batch.key)));
    }

    /// Legal only when an earlier batch is missing: one that is in flight too or one that acks=1 may lose. Or when the batch was written, and a
    /// restart since left nothing that tells of it: Kafka's snapshot has each producer's last batch only. Or when it was refused for want of
    /// room: a producer that is not known yet may begin with any sequence, also with that of the batch behind it.
    fn out_of_order(&mut self, cx: &mut Cx<'_>, batch: Batch, answer: &PartitionProduceResponse<'_>) {
        let earlier = self.again.iter().any(|before| before.key == batch.key && before.values[0] < batch.values[0]);
        // Of a topic that is to be removed batches are given up.
        let is_doomed = cx.model.log(batch.key).is_doomed;
        let was_refused = batch.is_retry && cx.model.shortages.has_been_since(batch.shortages_mark);
        let is_forgotten = batch.is_retry && cx.model.seen.ends() > batch.ends_before;
        if !earlier && batch.acks == -1 && !is_doomed && !was_refused && !cx.model.is_damaged {
            if is_forgotten {
                cx.model.log(batch.key).assume_written(&batch.values);
            } else {
                let what = format!("{:?}: a batch that follows its predecessor is out of order", batch.key);
                cx.model.breach(format!("{what}: {:?}", answer.error_message));
            }
        }
        if earlier {
            self.again.push_back(batch);
        } else {
            // It begins anew, as a client does that cannot know what was written.
            self.id = None;
            self.again.clear();
        }
        cx.disconnect = true;
    }
}

impl Client for Producer {
    fn act(&mut self, cx: &mut Cx<'_>) {
        self.wire.check_patience(cx);
        if cx.now < self.rests_until || cx.disconnect {
            return;
        }
        if self.idempotent && self.id.is_none() {
            if self.wire.len() == 0 && (!cx.is_ending || !self.again.is_empty()) {
                self.sequences.clear();
                self.wire.send(
                    cx,
                    4,
                    &InitProducerIdRequest {
                        transactional_id: None,
                        producer_id: -1,
                        producer_epoch: -1,
                        ..Default::default()
                    },
                    Sent::Init,
                );
            }
            return;
        }
        if self.wire.len() >= IN_FLIGHT_MAX {
            return;
        }
        if let Some(mut batch) = self.again.pop_front() {
            batch.is_retry = true;
            self.send(cx, batch);
        } else if !cx.is_ending
            && let Some(batch) = self.new_batch(cx)
        {
            self.send(cx, batch);
        }
    }

    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let Some((version, sent)) = self.wire.next() else { return };
        match sent {
            Sent::Init => match decode::<InitProducerIdRequest>(frame, version) {
                Ok(answer) if answer.error_code == 0 => self.id = Some((answer.producer_id, answer.producer_epoch)),
                Ok(answer) => match ErrorCode::from_code(answer.error_code) {
                    Some(ErrorCode::KafkaStorageError) => self.rest(cx),
                    other => cx.model.breach(format!("InitProducerId was refused with {other:?}")),
                },
                Err(what) => cx.model.breach(what),
            },
            Sent::Batch(batch) => match decode::<ProduceRequest<'_>>(frame, version) {
                Ok(answer) => match answer.responses.first().and_then(|topic| topic.partition_responses.first()) {
                    Some(partition) => self.produced(cx, batch, partition),
                    None => cx.model.breach("a Produce was answered without its partition".to_owned()),
                },
                Err(what) => cx.model.breach(what),
            },
        }
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>) {
        let mut lost: Vec<Batch> = self.again.drain(..).collect();
        lost.extend(self.wire.drain().into_iter().filter_map(|sent| match sent {
            Sent::Batch(batch) => Some(batch),
            Sent::Init => None,
        }));
        if self.idempotent && self.id.is_some() {
            lost.retain(|batch| !cx.model.logs.get(&batch.key).is_some_and(|log| log.is_doomed));
            lost.sort_by_key(|batch| batch.values[0]);
            self.again = lost.into();
        }
        self.rest(cx);
    }

    fn waits_for(&self) -> Option<String> {
        let count = self.wire.len() + self.again.len();
        (count > 0).then(|| format!("{} waits for {count} batches to be confirmed", self.wire.name))
    }
}
