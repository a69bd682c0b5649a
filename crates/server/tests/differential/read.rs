//! Fetch, ListOffsets, OffsetForLeaderEpoch and DeleteRecords on a log whose every offset is known.

use crate::batches::{FIRST_TIME, batch_at, compressed, idempotent, plain};
use crate::script::Script;
use base::Uuid;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState};
use protocol::messages::fetch_response::FetchResponse;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::Records;
use record::{Batches, Codec};

/// Records of the past stay: Kafka would look for what is too old half a minute after its start.
pub(crate) const KEPT: &[(&str, &str)] = &[("retention.ms", "-1")];

/// Appends a batch without noting it.
pub(crate) fn append(script: &mut Script, topic: &str, index: i32, bytes: Vec<u8>) {
    let partition =
        PartitionProduceData { index, records: Records::Bytes(bytes.into()), ..PartitionProduceData::default() };
    let topic = TopicProduceData {
        name: topic.to_owned().into(),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    script.look(9, &request, |response| {
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{answer:?}");
    });
}

/// Offsets 0-2 plain, 3-5 gzip, 6-10 of an idempotent producer; partition 1 is empty.
fn fill(script: &mut Script, topic: &str) {
    script.topic(topic, 2, KEPT);
    append(script, topic, 0, plain(3));
    append(script, topic, 0, compressed(Codec::Gzip));
    append(script, topic, 0, idempotent(7_200, 0, 0, 5));
}

fn records(response: &FetchResponse<'_>) -> String {
    let mut out = String::new();
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        let Records::Bytes(bytes) = &partition.records else { continue };
        for batch in Batches::new(bytes) {
            let Ok(batch) = batch else {
                out.push_str(" | a part of a batch");
                continue;
            };
            let h = batch.header;
            out.push_str(&format!(
                " | {} offsets {}-{} epoch {} codec {:?} {} records producer {} sequence {}",
                partition.partition_index,
                h.base_offset.0,
                h.last_offset().0,
                h.leader_epoch.0,
                h.codec(),
                h.record_count,
                h.producer_id.0,
                h.base_sequence
            ));
        }
    }
    out
}

/// A full fetch of one partition that waits for nothing.
fn fetch(script: &Script, v: i16, topic: &str, partition: FetchPartition) -> FetchRequest<'static> {
    fetch_all(script, v, &[(topic, vec![partition])])
}

fn fetch_all(script: &Script, v: i16, topics: &[(&str, Vec<FetchPartition>)]) -> FetchRequest<'static> {
    let topics = topics.iter().map(|(name, partitions)| {
        let topic = FetchTopic { partitions: partitions.clone(), ..FetchTopic::default() };
        if v >= 13 {
            FetchTopic { topic_id: script.id(name), ..topic }
        } else {
            FetchTopic { topic: (*name).to_owned().into(), ..topic }
        }
    });
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        session_epoch: -1,
        topics: topics.collect(),
        ..FetchRequest::default()
    }
}

fn from(fetch_offset: i64) -> FetchPartition {
    FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() }
}

const FETCH: std::ops::RangeInclusive<i16> = 4..=18;

pub(crate) fn fetches(script: &mut Script) {
    fill(script, "f");
    for v in FETCH {
        offsets(script, v);
        limits(script, v);
        epochs(script, v);
        for isolation_level in [1, 2, -1] {
            let asked = FetchRequest { isolation_level, ..fetch(script, v, "f", from(6)) };
            script.one_with(&format!("isolation-{isolation_level}"), v, &asked, records);
        }
        let asked = FetchRequest { rack_id: "r1".into(), ..fetch(script, v, "f", from(11)) };
        script.one("rack", v, &asked);
        for replica_id in [1, 7, -2] {
            let mut asked = fetch(script, v, "f", from(11));
            if v >= 15 {
                asked.replica_state = ReplicaState { replica_id, ..ReplicaState::default() };
            } else {
                asked.replica_id = replica_id;
            }
            script.one(&format!("replica-{replica_id}"), v, &asked);
        }
    }
    fill(script, "s");
    for v in 7..=18 {
        sessions(script, v);
        broken_sessions(script, v);
    }
}

fn offsets(script: &mut Script, v: i16) {
    for (label, offset) in [
        ("from-0", 0),
        ("from-4", 4),
        ("from-end", 11),
        ("after-end", 12),
        ("negative", -1),
        ("very-negative", i64::MIN),
        ("very-far", i64::MAX),
    ] {
        let asked = fetch(script, v, "f", from(offset));
        script.one_with(label, v, &asked, records);
    }
    for (label, partition) in [("empty-partition", 1), ("unknown-partition", 9), ("negative-partition", -1)] {
        let asked = fetch(script, v, "f", FetchPartition { partition, ..from(0) });
        script.one_with(label, v, &asked, records);
    }
    let asked = fetch(script, v, "absent", from(0));
    script.one("unknown-topic", v, &asked);
    let mut asked = fetch(script, v, "f", from(0));
    if v >= 13 {
        asked.topics[0].topic_id = Uuid(99);
    } else {
        asked.topics[0].topic = "a b".into();
    }
    script.one("odd-topic", v, &asked);
    let asked = fetch_all(script, v, &[("f", vec![from(6)]), ("absent", vec![from(0)])]);
    script.one_with("one-of-two-unknown", v, &asked, records);
    let asked = fetch_all(script, v, &[("f", vec![from(6), from(6)])]);
    script.one_with("same-partition-twice", v, &asked, records);
    let asked = fetch_all(script, v, &[]);
    script.one("no-topics", v, &asked);
    let asked = fetch_all(script, v, &[("f", vec![])]);
    script.one("no-partitions", v, &asked);
}

fn limits(script: &mut Script, v: i16) {
    for (label, max_bytes) in
        [("max-bytes-1", 1), ("max-bytes-0", 0), ("max-bytes-negative", -1), ("max-bytes-200", 200)]
    {
        let asked = FetchRequest { max_bytes, ..fetch(script, v, "f", from(0)) };
        script.one_with(label, v, &asked, records);
    }
    for (label, partition_max_bytes) in
        [("partition-max-bytes-1", 1), ("partition-max-bytes-0", 0), ("partition-max-bytes-negative", -1)]
    {
        let asked = fetch(script, v, "f", FetchPartition { partition_max_bytes, ..from(0) });
        script.one_with(label, v, &asked, records);
    }
    let asked = FetchRequest { min_bytes: 1_000_000, max_wait_ms: 5, ..fetch(script, v, "f", from(6)) };
    script.one_with("min-bytes-not-reached", v, &asked, records);
    let asked = FetchRequest { min_bytes: -1, max_wait_ms: 5, ..fetch(script, v, "f", from(11)) };
    script.one_with("min-bytes-negative", v, &asked, records);
    let asked = FetchRequest { max_wait_ms: -1, ..fetch(script, v, "f", from(11)) };
    script.one_with("max-wait-negative", v, &asked, records);
}

fn epochs(script: &mut Script, v: i16) {
    for current_leader_epoch in [0, 5, -2] {
        let asked = fetch(script, v, "f", FetchPartition { current_leader_epoch, ..from(6) });
        script.one_with(&format!("leader-epoch-{current_leader_epoch}"), v, &asked, records);
    }
    for (label, last_fetched_epoch, offset) in [
        ("fetched-epoch-0", 0, 6),
        ("fetched-epoch-0-after-end", 0, 12),
        ("fetched-epoch-4", 4, 6),
        ("fetched-epoch-4-at-end", 4, 11),
    ] {
        let asked = fetch(script, v, "f", FetchPartition { last_fetched_epoch, ..from(offset) });
        script.one_with(label, v, &asked, records);
    }
}

/// A session with both partitions of `s`; its id.
fn open_session(script: &mut Script, v: i16) -> i32 {
    let second = FetchPartition { partition: 1, ..from(0) };
    let asked = FetchRequest { session_epoch: 0, ..fetch_all(script, v, &[("s", vec![from(0), second])]) };
    script.look(v, &asked, |response| response.session_id)
}

fn sessions(script: &mut Script, v: i16) {
    let second = FetchPartition { partition: 1, ..from(0) };
    let asked = FetchRequest { session_epoch: 0, ..fetch_all(script, v, &[("s", vec![from(6), second])]) };
    script.one_with("session-open", v, &asked, records);
    let asked = FetchRequest { session_epoch: 0, ..fetch_all(script, v, &[]) };
    script.one("session-open-empty", v, &asked);
    let id = open_session(script, v);
    let next = |script: &Script, epoch, topics: &[(&str, Vec<FetchPartition>)]| FetchRequest {
        session_id: id,
        session_epoch: epoch,
        ..fetch_all(script, v, topics)
    };
    let asked = next(script, 1, &[]);
    script.one_with("session-next", v, &asked, records);
    let asked = next(script, 2, &[("s", vec![from(11)])]);
    script.one_with("session-moved-to-end", v, &asked, records);
    let asked = next(script, 3, &[("s", vec![FetchPartition { partition: 7, ..from(0) }])]);
    script.one_with("session-unknown-partition", v, &asked, records);
    let asked = next(script, 4, &[]);
    script.one_with("session-unknown-partition-again", v, &asked, records);
    let forgotten = |script: &Script, partitions: Vec<i32>| {
        let topic = ForgottenTopic { partitions, ..ForgottenTopic::default() };
        if v >= 13 {
            vec![ForgottenTopic { topic_id: script.id("s"), ..topic }]
        } else {
            vec![ForgottenTopic { topic: "s".into(), ..topic }]
        }
    };
    let asked = FetchRequest { forgotten_topics_data: forgotten(script, vec![7]), ..next(script, 5, &[]) };
    script.one_with("session-forget", v, &asked, records);
    let asked = FetchRequest { forgotten_topics_data: forgotten(script, vec![0, 1]), ..next(script, 6, &[]) };
    script.one_with("session-forget-all", v, &asked, records);
    let asked = next(script, 7, &[("s", vec![from(0)])]);
    script.one_with("session-after-all-forgotten", v, &asked, records);
}

fn broken_sessions(script: &mut Script, v: i16) {
    let id = open_session(script, v);
    let cases = [
        ("session-epoch-skipped", id, 5),
        ("session-epoch-negative", id, -2),
        ("session-unknown", 123, 1),
        ("session-zero-with-epoch", 0, 1),
        ("session-negative", -1, 1),
    ];
    for (label, session_id, session_epoch) in cases {
        let asked = FetchRequest { session_id, session_epoch, ..fetch_all(script, v, &[]) };
        script.one(label, v, &asked);
    }
    let asked = FetchRequest { session_id: id, session_epoch: -1, ..fetch_all(script, v, &[("s", vec![from(11)])]) };
    script.one_with("session-close", v, &asked, records);
    let asked = FetchRequest { session_id: id, session_epoch: 1, ..fetch_all(script, v, &[]) };
    script.one("session-closed", v, &asked);
    let id = open_session(script, v);
    let asked = FetchRequest { session_id: id, session_epoch: 0, ..fetch_all(script, v, &[("s", vec![from(11)])]) };
    script.one("session-replaced", v, &asked);
    let asked = FetchRequest { session_id: id, session_epoch: 1, ..fetch_all(script, v, &[]) };
    script.one("session-replaced-old", v, &asked);
    let id = open_session(script, v);
    let mut asked = FetchRequest { session_id: id, session_epoch: 1, ..fetch_all(script, v, &[("s", vec![from(11)])]) };
    if v >= 13 {
        asked.topics[0].topic_id = Uuid(98);
    } else {
        asked.topics[0].topic = "absent".into();
    }
    script.one("session-unknown-topic", v, &asked);
}

fn list(topic: &str, partition: ListOffsetsPartition) -> ListOffsetsRequest<'static> {
    let topic =
        ListOffsetsTopic { name: topic.to_owned().into(), partitions: vec![partition], ..ListOffsetsTopic::default() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], timeout_ms: 10_000, ..ListOffsetsRequest::default() }
}

fn at(timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }
}

pub(crate) fn list_offsets(script: &mut Script) {
    script.topic("l", 2, KEPT);
    append(script, "l", 0, plain(3));
    append(script, "l", 0, batch_at(record::BatchOptions::default(), 2, FIRST_TIME + 1_000));
    append(script, "l", 0, batch_at(record::BatchOptions::default(), 2, FIRST_TIME + 500));
    for timestamp in [
        -1,
        -2,
        -3,
        -4,
        -5,
        -6,
        -7,
        i64::MIN,
        0,
        FIRST_TIME,
        FIRST_TIME + 5,
        FIRST_TIME + 20,
        FIRST_TIME + 21,
        FIRST_TIME + 1_010,
        FIRST_TIME + 1_011,
        i64::MAX,
    ] {
        let shown = if timestamp > 1_000 && timestamp < i64::MAX {
            format!("first+{}", timestamp - FIRST_TIME)
        } else {
            timestamp.to_string()
        };
        script.all(&format!("time-{shown}"), |_| list("l", at(timestamp)));
        script.all(&format!("empty-partition-time-{shown}"), |_| {
            list("l", ListOffsetsPartition { partition_index: 1, ..at(timestamp) })
        });
    }
    for current_leader_epoch in [0, 5, -2] {
        script.all(&format!("leader-epoch-{current_leader_epoch}"), |_| {
            list("l", ListOffsetsPartition { current_leader_epoch, ..at(-1) })
        });
    }
    for isolation_level in [1, 2] {
        script.all(&format!("isolation-{isolation_level}"), |_| ListOffsetsRequest {
            isolation_level,
            ..list("l", at(-1))
        });
    }
    for replica_id in [1, -2, 9] {
        script.all(&format!("replica-{replica_id}"), |_| ListOffsetsRequest { replica_id, ..list("l", at(-1)) });
    }
    script.all("unknown-topic", |_| list("absent", at(-1)));
    script.all("invalid-name", |_| list("a b", at(-1)));
    script.all("empty-name", |_| list("", at(-1)));
    script.all("same-topic-twice", |_| {
        let one = list("l", at(-1)).topics;
        ListOffsetsRequest { topics: [one.clone(), one].concat(), ..list("l", at(-1)) }
    });
    script.all("no-partitions", |_| {
        let mut request = list("l", at(-1));
        request.topics[0].partitions.clear();
        request
    });
    script.all("unknown-partition", |_| list("l", ListOffsetsPartition { partition_index: 9, ..at(-1) }));
    script.all("negative-partition", |_| list("l", ListOffsetsPartition { partition_index: -1, ..at(-1) }));
    script.all("twice", |_| {
        let mut request = list("l", at(-1));
        request.topics[0].partitions.push(at(-2));
        request
    });
    script.all("none", |_| ListOffsetsRequest { topics: vec![], ..list("l", at(-1)) });
    script.all("timeout-0", |_| ListOffsetsRequest { timeout_ms: 0, ..list("l", at(-1)) });
}

pub(crate) fn leader_epochs(script: &mut Script) {
    fill(script, "e");
    let asked = |topic: &str, partition, current_leader_epoch, leader_epoch| {
        let partition = OffsetForLeaderPartition {
            partition,
            current_leader_epoch,
            leader_epoch,
            ..OffsetForLeaderPartition::default()
        };
        let topic = OffsetForLeaderTopic {
            topic: topic.to_owned().into(),
            partitions: vec![partition],
            ..OffsetForLeaderTopic::default()
        };
        OffsetForLeaderEpochRequest { replica_id: -2, topics: vec![topic], ..OffsetForLeaderEpochRequest::default() }
    };
    for (label, partition, current, epoch) in [
        ("epoch-0", 0, -1, 0),
        ("epoch-0-known", 0, 0, 0),
        ("epoch-1", 0, -1, 1),
        ("epoch-minus-1", 0, -1, -1),
        ("epoch-minus-2", 0, -1, -2),
        ("current-epoch-5", 0, 5, 0),
        ("current-epoch-minus-2", 0, -2, 0),
        ("empty-partition", 1, -1, 0),
        ("unknown-partition", 9, -1, 0),
        ("negative-partition", -1, -1, 0),
    ] {
        script.all(label, |_| asked("e", partition, current, epoch));
    }
    script.all("unknown-topic", |_| asked("absent", 0, -1, 0));
    script.all("invalid-name", |_| asked("a b", 0, -1, 0));
    script.all("empty-name", |_| asked("", 0, -1, 0));
    script.all("same-topic-twice", |_| {
        let one = asked("e", 0, -1, 0).topics;
        OffsetForLeaderEpochRequest { topics: [one.clone(), one].concat(), ..asked("e", 0, -1, 0) }
    });
    script.all("no-partitions", |_| {
        let mut request = asked("e", 0, -1, 0);
        request.topics[0].partitions.clear();
        request
    });
    script.all("replica-1", |_| OffsetForLeaderEpochRequest { replica_id: 1, ..asked("e", 0, -1, 0) });
    script.all("none", |_| OffsetForLeaderEpochRequest { topics: vec![], ..asked("e", 0, -1, 0) });
}

pub(crate) fn delete_records(script: &mut Script) {
    for v in 0..=2 {
        fill(script, &format!("d-v{v}"));
    }
    let asked = |name: String, partitions: &[(i32, i64)]| {
        let partitions = partitions.iter().map(|(partition_index, offset)| DeleteRecordsPartition {
            partition_index: *partition_index,
            offset: *offset,
            ..DeleteRecordsPartition::default()
        });
        let topic =
            DeleteRecordsTopic { name: name.into(), partitions: partitions.collect(), ..DeleteRecordsTopic::default() };
        DeleteRecordsRequest { topics: vec![topic], timeout_ms: 30_000, ..DeleteRecordsRequest::default() }
    };
    let cases: [(&str, &[(i32, i64)]); 9] = [
        ("before-2", &[(0, 2)]),
        ("before-1", &[(0, 1)]),
        ("after-end", &[(0, 12)]),
        ("minus-2", &[(0, -2)]),
        ("empty-partition", &[(1, 0)]),
        ("unknown-partition", &[(9, 0), (-1, 0)]),
        ("high-watermark", &[(0, -1)]),
        ("high-watermark-again", &[(0, -1)]),
        ("same-partition-twice", &[(0, 11), (0, 11)]),
    ];
    for (label, partitions) in cases {
        script.all(label, |v| asked(format!("d-v{v}"), partitions));
    }
    script.all("unknown-topic", |_| asked("absent".into(), &[(0, 0)]));
    script.all("invalid-name", |_| asked("a b".into(), &[(0, 0)]));
    script.all("empty-name", |_| asked(String::new(), &[(0, 0)]));
    script.all("far-below", |v| asked(format!("d-v{v}"), &[(0, i64::MIN)]));
    script.all("far-above", |v| asked(format!("d-v{v}"), &[(0, i64::MAX)]));
    script.all("none", |_| DeleteRecordsRequest::default());
    script.all("no-partitions", |v| asked(format!("d-v{v}"), &[]));
    script.all("timeout-0", |v| DeleteRecordsRequest { timeout_ms: 0, ..asked(format!("d-v{v}"), &[(0, 11)]) });
    for v in 4..=4 {
        let (name, id) = ("d-v2", script.id("d-v2"));
        assert_ne!(id, Uuid::ZERO);
        let cut = fetch(script, v, name, from(3));
        script.one("below-log-start", v, &cut);
    }
    script.within("max-timestamp-of-deleted-records", 7..=11, |_| list("d-v2", at(-3)));
}
