//! A consumer: reads all partitions from their beginning with a fetch session, and asks for the ends of logs now and then.

use super::{Client, Cx, STATIC_TOPICS, Wire, decode, pick};
use crate::model::{Floor, Key};
use base::{ErrorCode, Monotonic, SeededRng, Uuid};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::fetch_response::{FetchResponse, PartitionData};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use protocol::wire::Records;
use record::Batches;
use std::borrow::Cow;
use std::collections::BTreeMap;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// A record of the simulator decompresses to far less.
const RECORD_BYTES_MAX: usize = 1 << 20;

enum Sent {
    /// Positions and floors of what the session covers.
    Fetch(BTreeMap<Key, (i64, Floor)>),
    Offsets {
        key: Key,
        time: i64,
        floor: Floor,
    },
}

/// A consumer.
pub(crate) struct Consumer {
    rng: SeededRng,
    wire: Wire<Sent>,
    version: i16,
    positions: BTreeMap<Key, i64>,
    /// The session's id, and the epoch of its next request.
    session: (i32, i32),
    /// What the session holds.
    told: BTreeMap<Key, i64>,
    rests_until: Monotonic,
}

impl Consumer {
    pub(crate) fn new(number: usize, mut rng: SeededRng) -> Consumer {
        let version = 13 + rng.below(5) as i16;
        Consumer {
            rng,
            wire: Wire::new(format!("consumer-{number}")),
            version,
            positions: BTreeMap::new(),
            session: (0, 0),
            told: BTreeMap::new(),
            rests_until: Monotonic(0),
        }
    }

    fn begin_session(&mut self) {
        self.session = (0, 0);
        self.told.clear();
    }

    fn fetch(&mut self, cx: &mut Cx<'_>) {
        let topics = cx.model.topics.iter();
        let keys: Vec<Key> =
            topics.flat_map(|(_, topic)| (0..topic.partitions).map(|index| (topic.id, index))).collect();
        if keys.is_empty() || keys.iter().any(|key| !self.positions.contains_key(key)) || self.is_behind(&keys) {
            self.positions.retain(|key, _| keys.contains(key));
            for key in keys {
                let start = cx.model.log(key).log_start();
                self.positions.entry(key).or_insert(start);
            }
            // Partitions are only ever added to or taken from a new session.
            self.begin_session();
        }
        let bytes = [200, 3_000, 40_000][self.rng.below(3) as usize];
        let mut request = FetchRequest {
            replica_id: -1,
            max_wait_ms: self.rng.below(2_000) as i32,
            min_bytes: 1 + self.rng.below(3_000) as i32,
            max_bytes: 60_000,
            isolation_level: self.rng.below(2) as i8,
            session_id: self.session.0,
            session_epoch: self.session.1,
            ..FetchRequest::default()
        };
        let mut floors = BTreeMap::new();
        for (key, position) in &self.positions {
            floors.insert(*key, (*position, cx.model.log(*key).floor()));
            if self.told.insert(*key, *position) == Some(*position) {
                continue;
            }
            let partition = FetchPartition {
                partition: key.1,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                fetch_offset: *position,
                partition_max_bytes: bytes,
                ..FetchPartition::default()
            };
            match request.topics.last_mut().filter(|topic| topic.topic_id == key.0) {
                Some(topic) => topic.partitions.push(partition),
                None => request.topics.push(FetchTopic {
                    topic_id: key.0,
                    partitions: vec![partition],
                    ..FetchTopic::default()
                }),
            }
        }
        self.wire.send(cx, self.version, &request, Sent::Fetch(floors));
    }

    /// Reads partitions that are gone.
    fn is_behind(&self, keys: &[Key]) -> bool {
        self.positions.keys().any(|key| !keys.contains(key))
    }

    fn ask_offsets(&mut self, cx: &mut Cx<'_>) {
        let topics = cx.model.topics.iter().filter(|(name, _)| STATIC_TOPICS.contains(name));
        let all: Vec<(String, Key)> = topics
            .flat_map(|(name, topic)| (0..topic.partitions).map(move |index| (name.to_owned(), (topic.id, index))))
            .collect();
        let Some((name, key)) = pick(&mut self.rng, &all).cloned() else { return };
        let time = if self.rng.below(2) == 0 { LATEST } else { EARLIEST };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: Cow::Borrowed(&name),
                partitions: vec![ListOffsetsPartition {
                    partition_index: key.1,
                    current_leader_epoch: -1,
                    timestamp: time,
                    ..ListOffsetsPartition::default()
                }],
                ..ListOffsetsTopic::default()
            }],
            timeout_ms: 30_000,
            ..ListOffsetsRequest::default()
        };
        let floor = cx.model.log(key).floor();
        self.wire.send(cx, 7, &request, Sent::Offsets { key, time, floor });
    }

    fn fetched(&mut self, cx: &mut Cx<'_>, asked: &BTreeMap<Key, (i64, Floor)>, answer: &FetchResponse<'_>) {
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(
                ErrorCode::FetchSessionIdNotFound
                | ErrorCode::InvalidFetchSessionEpoch
                | ErrorCode::FetchSessionTopicIdError,
            ) => {
                // The session went with the node.
                return self.begin_session();
            }
            other => return cx.model.breach(format!("a Fetch was refused with {other:?}")),
        }
        self.session = if answer.session_id == 0 { (0, 0) } else { (answer.session_id, self.session.1 + 1) };
        if answer.session_id == 0 {
            self.told.clear();
        }
        for topic in &answer.responses {
            for data in &topic.partitions {
                let key = (topic.topic_id, data.partition_index);
                match asked.get(&key) {
                    Some((position, floor)) => self.took(cx, key, *position, *floor, data),
                    None => cx.model.breach(format!("a Fetch was answered for {key:?}, which it had not asked for")),
                }
            }
        }
    }

    fn took(&mut self, cx: &mut Cx<'_>, key: Key, position: i64, floor: Floor, data: &PartitionData<'_>) {
        let code = ErrorCode::from_code(data.error_code);
        let is_doomed = cx.model.log(key).is_doomed;
        match code {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::OffsetOutOfRange) => return self.out_of_range(cx, key, position),
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) if is_doomed => {
                return self.begin_session();
            }
            Some(ErrorCode::KafkaStorageError) => return self.begin_session(),
            Some(ErrorCode::CorruptMessage) if cx.model.is_damaged => return self.begin_session(),
            other => return cx.model.breach(format!("a Fetch of {key:?} at {position} was refused with {other:?}")),
        }
        let records = match &data.records {
            Records::Bytes(bytes) => read(bytes, position),
            Records::Null | Records::Spliced(_) => Ok(Vec::new()),
        };
        match records {
            Ok(records) => {
                cx.model.seen.read += records.len() as u64;
                let bounds = (data.high_watermark, data.log_start_offset);
                let found = cx.model.log(key).read(floor, position, bounds, &records);
                cx.model.check_log(found.map_err(|what| format!("{} {key:?}: {what}", self.wire.name)));
                if let Some((last, _)) = records.last() {
                    self.positions.insert(key, last + 1);
                }
            }
            Err(what) if cx.model.is_damaged => drop(what),
            Err(what) => cx.model.breach(format!("{} {key:?} at {position}: {what}", self.wire.name)),
        }
    }

    /// Legal only when the log's start has passed the position.
    fn out_of_range(&mut self, cx: &mut Cx<'_>, key: Key, position: i64) {
        let log = cx.model.log(key);
        if position >= log.deleted_to && !log.has_retention && !log.is_doomed && !cx.model.is_damaged {
            cx.model.breach(format!("{key:?}: offset {position}, which was read up to before, is out of range"));
        }
        // The start may be anywhere up to there; what is skipped is read at the run's end.
        let start = cx.model.log(key).deleted_to;
        self.positions.insert(key, start.max(position + 1));
        self.begin_session();
    }

    fn told_offset(&mut self, cx: &mut Cx<'_>, key: Key, time: i64, floor: Floor, told: (i16, i64)) {
        match ErrorCode::from_code(told.0) {
            Some(ErrorCode::None) => {
                let log = cx.model.log(key);
                let found = if time == LATEST {
                    log.bounds(floor, Some(told.1), None)
                } else {
                    log.bounds(floor, None, Some(told.1))
                };
                cx.model.check(found.map_err(|what| format!("ListOffsets of {key:?}: {what}")));
            }
            Some(ErrorCode::OffsetNotAvailable | ErrorCode::KafkaStorageError) => {}
            other => cx.model.breach(format!("ListOffsets of {key:?} was refused with {other:?}")),
        }
    }
}

/// The records of a response from `position` on: offset and value of each.
pub(crate) fn read(bytes: &[u8], position: i64) -> Result<Vec<(i64, u64)>, String> {
    let mut records = Vec::new();
    let mut scratch = Vec::new();
    // The last batch may be cut off.
    for batch in Batches::new(bytes).map_while(Result::ok) {
        batch.verify_crc().map_err(|error| format!("a batch at {}: {error}", batch.header.base_offset))?;
        for record in batch.records(&mut scratch, RECORD_BYTES_MAX).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.and_then(|value| value.first_chunk::<8>()).ok_or("a record without its value")?;
            if record.offset.0 >= position {
                records.push((record.offset.0, u64::from_be_bytes(*value)));
            }
        }
    }
    Ok(records)
}

impl Client for Consumer {
    fn act(&mut self, cx: &mut Cx<'_>) {
        self.wire.check_patience(cx);
        if cx.disconnect || cx.is_ending || self.wire.len() > 0 || cx.now < self.rests_until {
            return;
        }
        self.rests_until = cx.now.plus_millis(self.rng.below(20) as i64);
        if self.rng.below(5) == 0 { self.ask_offsets(cx) } else { self.fetch(cx) }
    }

    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let Some((version, sent)) = self.wire.next() else { return };
        match sent {
            Sent::Fetch(asked) => match decode::<FetchRequest<'_>>(frame, version) {
                Ok(answer) => self.fetched(cx, &asked, &answer),
                Err(what) => cx.model.breach(what),
            },
            Sent::Offsets { key, time, floor } => match decode::<ListOffsetsRequest<'_>>(frame, version) {
                Ok(answer) => match answer.topics.first().and_then(|topic| topic.partitions.first()) {
                    Some(told) => self.told_offset(cx, key, time, floor, (told.error_code, told.offset)),
                    None => cx.model.breach("ListOffsets was answered without its partition".to_owned()),
                },
                Err(what) => cx.model.breach(what),
            },
        }
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>) {
        drop(self.wire.drain());
        self.begin_session();
        self.rests_until = cx.now.plus_millis(self.rng.below(100) as i64);
    }

    fn waits_for(&self) -> Option<String> {
        (self.wire.len() > 0).then(|| format!("{} waits for a reply", self.wire.name))
    }
}

/// A fetch of one partition without a session.
pub(crate) fn plain_fetch(topic_id: Uuid, index: i32, offset: i64) -> FetchRequest<'static> {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        session_id: 0,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic_id,
            partitions: vec![FetchPartition {
                partition: index,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
