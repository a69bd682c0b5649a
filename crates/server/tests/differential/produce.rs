//! Produce, InitProducerId and DescribeProducers: batches that are taken, and every way in which one is not.

use crate::batches::{
    FIRST_TIME, batch_at, compressed, from_offset, idempotent, keyless, old_message, plain, with_header,
};
use crate::read::KEPT;
use crate::script::Script;
use crate::wire::Answer;
use base::{ProducerEpoch, ProducerId};
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::{Records, Request};
use record::Codec;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

pub(crate) fn request(
    script: &Script,
    v: i16,
    topic: &str,
    partitions: Vec<(i32, Option<Vec<u8>>)>,
) -> ProduceRequest<'static> {
    let partition_data = partitions.into_iter().map(|(index, bytes)| PartitionProduceData {
        index,
        records: bytes.map_or(Records::Null, |bytes| Records::Bytes(bytes.into())),
        ..PartitionProduceData::default()
    });
    let mut data = TopicProduceData { partition_data: partition_data.collect(), ..TopicProduceData::default() };
    if v >= 13 {
        data.topic_id = script.id(topic);
    } else {
        data.name = topic.to_owned().into();
    }
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![data], ..ProduceRequest::default() }
}

/// A step that sends `bytes` to partition 0 of this version's topic.
fn step(script: &mut Script, label: &str, bytes: &dyn Fn() -> Vec<u8>) {
    for v in VERSIONS {
        let request = request(script, v, &format!("p-v{v}"), vec![(0, Some(bytes()))]);
        script.one(label, v, &request);
    }
}

/// What Kafka takes and this node does not, on a topic of its own, so that offsets stay the same elsewhere.
fn odd(script: &mut Script, label: &str, bytes: &dyn Fn() -> Vec<u8>) {
    for v in VERSIONS {
        let request = request(script, v, &format!("odd-v{v}"), vec![(0, Some(bytes()))]);
        script.one(label, v, &request);
    }
}

pub(crate) fn produce(script: &mut Script) {
    for v in VERSIONS {
        script.topic(&format!("p-v{v}"), 2, KEPT);
        for (name, config) in [
            ("compacted", ("cleanup.policy", "compact")),
            ("small", ("max.message.bytes", "200")),
            ("append-time", ("message.timestamp.type", "LogAppendTime")),
            ("zstd", ("compression.type", "zstd")),
            ("doubly", ("compression.type", "producer")),
            ("odd", ("compression.type", "producer")),
            ("strict", ("message.timestamp.before.max.ms", "1000")),
            ("insync", ("min.insync.replicas", "3")),
        ] {
            script.topic(&format!("{name}-v{v}"), 1, &[config, KEPT[0]]);
        }
    }
    taken(script);
    acks(script);
    targets(script);
    malformed(script);
    headers(script);
    topic_rules(script);
    sequences(script);
    describe_producers(script);
}

fn taken(script: &mut Script) {
    step(script, "three-records", &|| plain(3));
    step(script, "two-more", &|| plain(2));
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        step(script, &format!("{codec:?}").to_lowercase(), &|| compressed(codec));
    }
    for v in VERSIONS {
        let topic = format!("p-v{v}");
        let both = request(script, v, &topic, vec![(1, Some(plain(1))), (0, Some(plain(1)))]);
        script.one("two-partitions", v, &both);
        let twice = request(script, v, &format!("doubly-v{v}"), vec![(0, Some(plain(1))), (0, Some(plain(1)))]);
        script.one("same-partition-twice", v, &twice);
    }
}

fn acks(script: &mut Script) {
    for v in VERSIONS {
        let topic = format!("p-v{v}");
        for acks in [1, 2, -2, i16::MAX] {
            let asked = ProduceRequest { acks, ..request(script, v, &topic, vec![(0, Some(plain(1)))]) };
            script.one(&format!("acks-{acks}"), v, &asked);
        }
        for timeout_ms in [0, -1] {
            let asked = ProduceRequest { timeout_ms, acks: 1, ..request(script, v, &topic, vec![(0, Some(plain(1)))]) };
            script.one(&format!("timeout-{timeout_ms}"), v, &asked);
        }
        let asked = ProduceRequest { acks: 0, ..request(script, v, &topic, vec![(0, Some(plain(1)))]) };
        unanswered(script, "acks-0", v, &asked);
        let asked = ProduceRequest { acks: 0, ..request(script, v, "absent", vec![(0, Some(plain(1)))]) };
        unanswered(script, "acks-0-unknown-topic", v, &asked);
        // Not tried: acks=0 without records, after which Kafka leaves its connection for dead.
        let asked = ProduceRequest { topic_data: vec![], ..request(script, v, &topic, vec![]) };
        script.one("no-topics", v, &asked);
        let asked = request(script, v, &topic, vec![]);
        script.one("no-partitions", v, &asked);
        let asked = ProduceRequest {
            transactional_id: Some("tx".into()),
            ..request(script, v, &topic, vec![(0, Some(plain(1)))])
        };
        script.one("plain-with-transactional-id", v, &asked);
    }
}

/// A request that is not answered: what the connection does is seen by the next one.
fn unanswered(script: &mut Script, label: &str, v: i16, request: &ProduceRequest<'_>) {
    let line = if script.wire.send(v, request) {
        script.wire.send(0, &ApiVersionsRequest::default());
        match script.wire.receive() {
            Answer::Frame(_) => "unanswered",
            _ => "closed",
        }
    } else {
        return;
    };
    script.note::<ProduceRequest<'_>>(label, v, line.to_owned());
}

fn targets(script: &mut Script) {
    for v in VERSIONS {
        let topic = format!("p-v{v}");
        for (label, index) in [("unknown-partition", 9), ("negative-partition", -1)] {
            let asked = request(script, v, &topic, vec![(index, Some(plain(1)))]);
            script.one(label, v, &asked);
        }
        let asked = request(script, v, "absent", vec![(0, Some(plain(1)))]);
        script.one("unknown-topic", v, &asked);
        let mut asked = request(script, v, "absent", vec![(0, Some(plain(1)))]);
        if v >= 13 {
            asked.topic_data[0].topic_id = base::Uuid(99);
        } else {
            asked.topic_data[0].name = "a b".into();
        }
        script.one("odd-topic", v, &asked);
        let mut asked = request(script, v, &topic, vec![(0, Some(plain(1)))]);
        asked.topic_data.extend(request(script, v, "absent", vec![(0, Some(plain(1)))]).topic_data);
        script.one("one-of-two-unknown", v, &asked);
    }
}

fn malformed(script: &mut Script) {
    // Kafka 4.4.0 stumbles over null records and leaves the connection for dead, so one version is enough to show it.
    let asked = request(script, 9, "p-v9", vec![(0, None)]);
    script.one("null", 9, &asked);
    step(script, "empty", &Vec::new);
    step(script, "few-bytes", &|| vec![0; 11]);
    step(script, "zeroes", &|| vec![0; 100]);
    step(script, "bad-checksum", &|| {
        let mut bytes = plain(3);
        *bytes.last_mut().expect("a batch has bytes") ^= 1;
        bytes
    });
    step(script, "cut-short", &|| {
        let mut bytes = plain(3);
        bytes.truncate(bytes.len() - 1);
        bytes
    });
    odd(script, "trailing-byte", &|| [plain(3), vec![0]].concat());
    step(script, "two-batches", &|| [plain(1), plain(1)].concat());
    step(script, "format-1", &old_message);
    step(script, "format-0", &|| {
        let mut bytes = plain(3);
        bytes[16] = 0;
        bytes
    });
    step(script, "format-3", &|| {
        let mut bytes = plain(3);
        bytes[16] = 3;
        bytes
    });
    step(script, "length-negative", &|| {
        let mut bytes = plain(3);
        bytes[8..12].copy_from_slice(&(-1_i32).to_be_bytes());
        bytes
    });
    step(script, "garbled-gzip", &|| with_header(plain(3), |header| header.attributes = 1));
    step(script, "garbled-zstd", &|| with_header(plain(3), |header| header.attributes = 4));
    step(script, "codec-7", &|| with_header(plain(3), |header| header.attributes = 7));
}

fn headers(script: &mut Script) {
    step(script, "base-offset-5", &|| from_offset(5));
    step(script, "leader-epoch-9", &|| with_header(plain(1), |header| header.leader_epoch = base::LeaderEpoch(9)));
    step(script, "count-too-large", &|| with_header(plain(3), |header| header.record_count = 4));
    step(script, "count-too-small", &|| with_header(plain(3), |header| header.record_count = 2));
    step(script, "count-zero", &|| with_header(plain(3), |header| header.record_count = 0));
    step(script, "count-negative", &|| with_header(plain(3), |header| header.record_count = -1));
    step(script, "last-offset-delta-too-large", &|| with_header(plain(3), |header| header.last_offset_delta = 7));
    step(script, "last-offset-delta-negative", &|| with_header(plain(3), |header| header.last_offset_delta = -1));
    step(script, "control", &|| with_header(plain(1), |header| header.attributes = 0x20));
    step(script, "transactional-without-producer", &|| with_header(plain(1), |header| header.attributes = 0x10));
    odd(script, "delete-horizon", &|| with_header(plain(1), |header| header.attributes = 0x40));
    odd(script, "log-append-time", &|| with_header(plain(1), |header| header.attributes = 0x08));
    step(script, "unused-attributes", &|| with_header(plain(1), |header| header.attributes = 0x100));
    step(script, "max-timestamp-wrong", &|| {
        with_header(plain(2), |header| header.max_timestamp = base::Timestamp(FIRST_TIME + 1_000_000))
    });
    step(script, "timestamp-negative", &|| batch_at(record::BatchOptions::default(), 1, -1));
    step(script, "timestamp-very-negative", &|| batch_at(record::BatchOptions::default(), 1, -5));
    step(script, "timestamp-far-future", &|| batch_at(record::BatchOptions::default(), 2, 4_000_000_000_000));
    step(script, "producer-without-sequence", &|| with_header(plain(1), |header| header.producer_id = ProducerId(5)));
    step(script, "sequence-without-producer", &|| with_header(plain(1), |header| header.base_sequence = 5));
    step(script, "epoch-without-producer", &|| {
        with_header(plain(1), |header| header.producer_epoch = ProducerEpoch(5))
    });
}

fn topic_rules(script: &mut Script) {
    let cases: [(&str, &str, fn() -> Vec<u8>); 10] = [
        ("compacted-keyless", "compacted", keyless),
        ("compacted-keyed", "compacted", || plain(2)),
        ("too-large", "small", || plain(9)),
        ("just-small", "small", || plain(1)),
        ("append-time", "append-time", || plain(2)),
        ("append-time-compressed", "append-time", || compressed(Codec::Gzip)),
        ("recompressed", "zstd", || plain(2)),
        ("recompressed-from-gzip", "zstd", || compressed(Codec::Gzip)),
        ("too-old", "strict", || plain(2)),
        ("more-in-sync-than-replicas", "insync", || plain(2)),
    ];
    for (label, topic, bytes) in cases {
        for v in VERSIONS {
            let asked = request(script, v, &format!("{topic}-v{v}"), vec![(0, Some(bytes()))]);
            script.one(label, v, &asked);
        }
    }
}

fn sequences(script: &mut Script) {
    // Producer ids are the client's word: ones that no broker gave out are taken from a first batch on.
    step(script, "sequence-first", &|| idempotent(7_000, 0, 0, 2));
    step(script, "sequence-next", &|| idempotent(7_000, 0, 2, 3));
    step(script, "sequence-repeated", &|| idempotent(7_000, 0, 2, 3));
    step(script, "sequence-repeated-older", &|| idempotent(7_000, 0, 0, 2));
    step(script, "sequence-repeated-in-part", &|| idempotent(7_000, 0, 2, 2));
    step(script, "sequence-gap", &|| idempotent(7_000, 0, 9, 1));
    step(script, "sequence-backwards", &|| idempotent(7_000, 0, 4, 1));
    step(script, "epoch-new-not-from-0", &|| idempotent(7_000, 1, 5, 1));
    step(script, "epoch-new", &|| idempotent(7_000, 1, 0, 1));
    step(script, "epoch-old", &|| idempotent(7_000, 0, 5, 1));
    odd(script, "epoch-negative", &|| idempotent(7_001, -1, 0, 1));
    step(script, "sequence-negative", &|| idempotent(7_001, 0, -1, 1));
    step(script, "sequence-first-not-0", &|| idempotent(7_002, 0, 3, 1));
    step(script, "sequence-first-not-0-next", &|| idempotent(7_002, 0, 4, 1));
    step(script, "sequence-wraps", &|| idempotent(7_003, 0, i32::MAX, 1));
    step(script, "sequence-wrapped", &|| idempotent(7_003, 0, 0, 1));
    step(script, "transactional-not-in-transaction", &|| {
        with_header(idempotent(7_004, 0, 0, 1), |header| header.attributes = 0x10)
    });
}

fn describe_producers(script: &mut Script) {
    let asked = |name: &str, partition_indexes: Vec<i32>| DescribeProducersRequest {
        topics: vec![TopicRequest { name: name.to_owned().into(), partition_indexes, ..TopicRequest::default() }],
        ..DescribeProducersRequest::default()
    };
    script.all("plain", |_| asked("p-v9", vec![1]));
    script.all("one-producer", |_| asked("one-producer", vec![0]));
    script.topic("one-producer", 1, KEPT);
    let first = request(script, 9, "one-producer", vec![(0, Some(idempotent(7_100, 3, 0, 4)))]);
    script.look(9, &first, |response| assert_eq!(response.responses[0].partition_responses[0].error_code, 0));
    script.all("after-a-batch", |_| asked("one-producer", vec![0]));
    script.all("unknown-partition", |_| asked("one-producer", vec![5, -1]));
    script.all("unknown-topic", |_| asked("absent", vec![0]));
    script.all("invalid-name", |_| asked("a b", vec![0]));
    script.all("empty-name", |_| asked("", vec![0]));
    script.all("same-partition-twice", |_| asked("one-producer", vec![0, 0]));
    script.all("no-partitions", |_| asked("one-producer", vec![]));
    script.all("none", |_| DescribeProducersRequest::default());
    assert_eq!(DescribeProducersRequest::KEY.code(), 61);
}

pub(crate) fn init_producer_id(script: &mut Script) {
    let asked = |transactional_id: Option<&str>, producer_id, producer_epoch| InitProducerIdRequest {
        transactional_id: transactional_id.map(|id| id.to_owned().into()),
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
        ..InitProducerIdRequest::default()
    };
    // A broker gets its ids in blocks, and until the first has come it says so.
    while script.look(4, &asked(None, -1, -1), |response| response.error_code) != 0 {}
    script.all("idempotent", |_| asked(None, -1, -1));
    script.all("empty-transactional-id", |_| asked(Some(""), -1, -1));
    for (label, id, epoch) in [
        ("id-without-epoch", 5, -1),
        ("epoch-without-id", -1, 5),
        ("unknown-id-and-epoch", 5, 0),
        ("last-epoch", 5, i16::MAX),
        ("negative-id", -2, -2),
    ] {
        script.within(label, 3..=6, |_| asked(None, id, epoch));
    }
    script.all("timeout-0", |_| InitProducerIdRequest { transaction_timeout_ms: 0, ..asked(None, -1, -1) });
    script.all("timeout-negative", |_| InitProducerIdRequest { transaction_timeout_ms: -1, ..asked(None, -1, -1) });
}
