//! Batches that Apache Kafka 4.4.0 made: testdata/kafka-batches.txt, by testdata/BatchVectors.java.

use crate::control::{
    self, ControlRecord, EndTxnMarker, KRaftVersion, LeaderChange, LeaderVoter, SnapshotFooter, SnapshotHeader, Voter,
    VoterEndpoint, Voters,
};
use crate::{
    BatchBuilder, BatchOptions, BatchView, Codec, DECOMPRESSED_BATCH_BYTES_MAX, Header, NewRecord, ProducePolicy,
    RecordView, Scratch, TimestampType, validate,
};
use base::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Timestamp, Uuid};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const DIRECTORY: Uuid = Uuid(0x0102_0304_0506_0708_1112_1314_1516_1718);

fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = include_str!("../../testdata/kafka-batches.txt").lines();
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, text)| (name, base64(text))).collect()
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|&c| c == byte).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn owned(record: &RecordView<'_>) -> Owned {
    let headers = record.headers().map(|(key, value)| (key.into_owned(), value.map(<[u8]>::to_vec)));
    let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
    (record.offset.0, record.timestamp.0, key, value, headers.collect())
}

/// The records as each of the three readers gives them, and the batch accepted as if it were produced.
fn read(name: &str, bytes: &[u8]) -> Vec<Owned> {
    let (batch, rest) = BatchView::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    assert!(rest.is_empty(), "{name}");
    let mut scratch = Scratch::default();
    let whole: Vec<_> =
        batch.records(&mut Vec::new(), 1 << 20).unwrap().map(|record| owned(&record.unwrap())).collect();
    let again: Vec<_> =
        batch.records_in(&mut scratch, 1 << 20).unwrap().map(|record| owned(&record.unwrap())).collect();
    let mut visited = Vec::new();
    let done = batch.for_each_record(&mut scratch, 1 << 20, |record| {
        visited.push(owned(record));
        ControlFlow::Continue(())
    });
    done.unwrap();
    assert_eq!((&whole, &whole), (&again, &visited), "{name}");
    whole
}

fn small(append_time: bool) -> Vec<Owned> {
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let at = |delta: i64| if append_time { NOW.0 } else { NOW.0 + delta };
    let headers = vec![("trace".to_owned(), bytes("1")), ("trace".to_owned(), None), (String::new(), bytes(""))];
    vec![
        (5, at(0), bytes("key"), bytes("value"), headers),
        (6, at(-1_000_000_000), None, bytes(""), vec![]),
        (7, at(86_400_000), bytes(""), None, vec![("\u{e4}\u{1f680}".to_owned(), Some(vec![0, 255]))]),
    ]
}

fn large() -> Vec<Owned> {
    let value = |i: i32| (0..60).map(|word| format!("zone {};", (i * 7 + word) % 13)).collect::<String>();
    let record = |i: i32| {
        (
            5 + i64::from(i),
            NOW.0 + i64::from(i),
            Some(format!("k{i}").into_bytes()),
            Some(value(i).into_bytes()),
            vec![],
        )
    };
    (0..160).map(record).collect()
}

#[test]
fn kafkas_batches_of_every_codec_and_level_are_read() {
    let mut codecs = Vec::new();
    for (name, bytes) in vectors() {
        let expected = match name.split('-').next().unwrap() {
            "small" | "transactional" => small(false),
            "appendtime" => small(true),
            "large" => large(),
            _ => continue,
        };
        assert_eq!(read(name, &bytes), expected, "{name}");
        codecs.push(BatchView::parse(&bytes).unwrap().0.header.codec().unwrap());
    }
    codecs.sort_unstable();
    codecs.dedup();
    assert_eq!(codecs, Codec::ALL);
}

#[test]
fn kafkas_batches_are_accepted_as_produced_and_keep_their_bytes() {
    let policy = ProducePolicy {
        batch_bytes_max: 1 << 20,
        decompressed_bytes_max: 1 << 20,
        decompressed_total_max: DECOMPRESSED_BATCH_BYTES_MAX,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        compacted: false,
        compression: None,
        now: NOW,
    };
    let mut scratch = Scratch::default();
    for (name, mut bytes) in vectors() {
        if !["small", "large", "transactional"].iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        bytes[..8].fill(0);
        let valid = validate(&bytes, &policy, &mut scratch).unwrap();
        assert_eq!(valid.stamp(Offset(0), LeaderEpoch(9))[..], bytes[..61], "{name}");
        assert_eq!(valid.payload(), &bytes[61..], "{name}");
        let newest =
            if name.starts_with("large") { (NOW.plus_millis(159), 159) } else { (NOW.plus_millis(86_400_000), 2) };
        assert_eq!(valid.time_index_entry(Offset(10)), (newest.0, Offset(10 + newest.1)), "{name}");
        let found = BatchView::parse(&bytes).unwrap().0.offset_of_max_timestamp(&mut scratch, 1 << 20);
        assert_eq!(found, Ok(Some(Offset(newest.1))), "{name}");
    }
}

#[test]
fn an_uncompressed_batch_is_built_byte_for_byte_as_kafka_does() {
    let headers = [
        Header { key: "trace", value: Some(b"1") },
        Header { key: "trace", value: None },
        Header { key: "", value: Some(b"") },
    ];
    let rocket = [Header { key: "\u{e4}\u{1f680}", value: Some(&[0, 255]) }];
    let plain = BatchOptions { base_offset: Offset(5), leader_epoch: LeaderEpoch(9), ..BatchOptions::default() };
    let transactional = BatchOptions {
        producer_id: ProducerId(77),
        producer_epoch: ProducerEpoch(3),
        base_sequence: i32::MAX - 1,
        transactional: true,
        ..plain
    };
    for (name, options) in [("small-none", plain), ("transactional", transactional)] {
        let mut builder = BatchBuilder::new(options);
        builder.append(&NewRecord { timestamp: NOW, key: Some(b"key"), value: Some(b"value"), headers: &headers });
        let earlier = NOW.plus_millis(-1_000_000_000);
        builder.append(&NewRecord { timestamp: earlier, key: None, value: Some(b""), headers: &[] });
        let later = NOW.plus_millis(86_400_000);
        builder.append(&NewRecord { timestamp: later, key: Some(b""), value: None, headers: &rocket });
        assert_eq!(builder.build(), vectors()[name], "{name}");
    }
    let (batch, _) = BatchView::parse(&vectors()["transactional"]).map(|(batch, _)| (batch.header, ())).unwrap();
    assert_eq!((batch.last_sequence(), batch.is_transactional()), (0, true));
}

fn leader_change(version: i16, one: Uuid, two: Uuid) -> LeaderChange {
    let voter = |node, directory_id| LeaderVoter { node: NodeId(node), directory_id };
    LeaderChange {
        version,
        leader: NodeId(2),
        voters: vec![voter(1, one), voter(2, two)],
        granting: vec![voter(2, two)],
    }
}

#[test]
fn control_batches_are_kafkas_byte_for_byte() {
    let voter = Voter {
        node: NodeId(1),
        directory_id: DIRECTORY,
        endpoints: vec![VoterEndpoint { name: "CONTROLLER".into(), host: "localhost".into(), port: 65_000 }],
        kraft_version_min: 0,
        kraft_version_max: 1,
    };
    let header = SnapshotHeader { last_contained_log_timestamp: NOW.plus_millis(-5) };
    let cases = [
        ("leader-change-0", 42, ControlRecord::LeaderChange(leader_change(0, Uuid::ZERO, Uuid::ZERO))),
        ("snapshot-header", 0, ControlRecord::SnapshotHeader(header)),
        ("snapshot-footer", 1, ControlRecord::SnapshotFooter(SnapshotFooter)),
        ("kraft-version", 2, ControlRecord::KRaftVersion(KRaftVersion { level: 1 })),
        ("voters", 3, ControlRecord::KRaftVoters(Voters { voters: vec![voter] })),
    ];
    let vectors = vectors();
    for (name, offset, record) in cases {
        let built = control::batch(Offset(offset), LeaderEpoch(9), NOW, std::slice::from_ref(&record));
        assert_eq!(built, vectors[name], "{name}");
        assert_eq!(decoded(&vectors[name]), [record], "{name}");
    }
    for (name, record) in [
        ("commit", ControlRecord::Commit(EndTxnMarker { coordinator_epoch: 12 })),
        ("abort", ControlRecord::Abort(EndTxnMarker { coordinator_epoch: -1 })),
    ] {
        let built = control::end_txn_batch(ProducerId(77), ProducerEpoch(3), NOW, &record);
        assert_eq!(built[16..], vectors[name][16..], "{name}: all but offset and epoch, which the log stamps");
        assert_eq!(decoded(&vectors[name]), [record], "{name}");
    }
    let change = leader_change(1, DIRECTORY, Uuid(1));
    assert_eq!(change.encode(), vectors["leader-change-1-value"]);
}

fn decoded(bytes: &[u8]) -> Vec<ControlRecord> {
    let (batch, _) = BatchView::parse(bytes).unwrap();
    assert!(batch.header.is_control());
    let mut scratch = Vec::new();
    let records = batch.records(&mut scratch, 1 << 20).unwrap();
    records.map(|record| ControlRecord::decode(&record.unwrap()).unwrap().unwrap()).collect()
}
