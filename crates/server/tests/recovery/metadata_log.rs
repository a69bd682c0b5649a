//! How long the metadata log and its snapshots are kept.

use super::{Driven, ManualClock, config, environment, format};
use protocol::metadata_record::MetadataRecord;
use raft::SnapshotId;
use record::Batches;
use server::{Environment, SteppedNode};
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, FaultyMemDisk, offset_of_file};

const FOLDER: &str = "/d1/__cluster_metadata-0";
/// Topics that are made, one after the other, with seconds in between.
const TOPICS: usize = 40;
const BETWEEN_MS: u64 = 3_000;
/// Snapshots and segments come often.
const OFTEN: [(&str, &str); 2] =
    [("metadata.log.max.record.bytes.between.snapshots", "1500"), ("metadata.log.segment.ms", "5000")];

fn start(disk: &FaultyMemDisk, retention: &[(&str, &str)]) -> Result<Driven, String> {
    let clock = Arc::new(ManualClock::default());
    let more = [&OFTEN[..], retention].concat();
    let environment = environment(Arc::new(disk.clone()), &clock);
    let mut node = SteppedNode::start(config(&["/d1"], &more), &environment).map_err(|error| error.to_string())?;
    let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
    Ok(Driven { node, connection, clock })
}

/// A disk on which a node made all topics, one after the other, and was then cut off from power.
fn grown(retention: &[(&str, &str)]) -> FaultyMemDisk {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1"]);
    let mut driven = start(&disk, retention).expect("the node starts");
    for topic in 0..TOPICS {
        driven.create(&format!("t{topic}"), 1);
        driven.wait(BETWEEN_MS);
    }
    drop(driven);
    disk.crash()
}

/// The base offsets of the segments, the end offsets of the snapshots, and the bytes of both.
fn kept(disk: &FaultyMemDisk) -> (Vec<i64>, Vec<i64>, u64) {
    let (mut segments, mut snapshots, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (name, _) in disk.names(Path::new(FOLDER)).expect("a list") {
        let snapshot = SnapshotId::parse(&name).filter(|id| *id != SnapshotId::BOOTSTRAP);
        if let Some((base, "log")) = offset_of_file(&name) {
            segments.push(base.0);
        } else if let Some(id) = snapshot {
            snapshots.push(id.end_offset.0);
        } else {
            continue;
        }
        bytes += disk.file_len(&Path::new(FOLDER).join(name)).expect("a length");
    }
    segments.sort_unstable();
    snapshots.sort_unstable();
    (segments, snapshots, bytes)
}

fn assert_all_topics(disk: &FaultyMemDisk, retention: &[(&str, &str)]) {
    let driven = start(disk, retention).expect("the node starts");
    (0..TOPICS).for_each(|topic| assert_eq!(driven.ends(&format!("t{topic}")), [(0, 0)], "t{topic}"));
}

#[tokio::test]
async fn without_a_limit_nothing_of_the_metadata_log_goes() {
    let unlimited = [("metadata.max.retention.ms", "-1"), ("metadata.max.retention.bytes", "-1")];
    let disk = grown(&unlimited);
    let (segments, snapshots, _) = kept(&disk);
    assert!(segments.len() > 10 && segments[0] == 0, "{segments:?}");
    assert!(snapshots.len() > 5, "{snapshots:?}");
    assert_all_topics(&disk, &unlimited);
}

#[tokio::test]
async fn what_newer_snapshots_hold_goes_when_it_is_old() {
    let ten_seconds = [("metadata.max.retention.ms", "10000"), ("metadata.max.retention.bytes", "-1")];
    let disk = grown(&ten_seconds);
    let (segments, snapshots, _) = kept(&disk);
    assert!(segments[0] > 0 && segments.len() < 10, "{segments:?}");
    assert!(snapshots.len() < 8 && segments[0] <= snapshots[0], "{snapshots:?} of {segments:?}");
    assert_all_topics(&disk, &ten_seconds);
}

#[tokio::test]
async fn what_newer_snapshots_hold_goes_when_it_is_too_much() {
    let few_bytes = [("metadata.max.retention.ms", "-1"), ("metadata.max.retention.bytes", "20000")];
    let disk = grown(&few_bytes);
    let (segments, snapshots, bytes) = kept(&disk);
    assert!(segments[0] > 0 && segments[0] <= snapshots[0], "{snapshots:?} of {segments:?}");
    // What came after the last snapshot was made is counted with the next one.
    assert!(bytes < 25_000, "{bytes} bytes: {segments:?} and {snapshots:?}");
    assert_all_topics(&disk, &few_bytes);
}

#[tokio::test]
async fn a_log_whose_beginning_no_snapshot_holds_refuses_a_start() {
    let ten_seconds = [("metadata.max.retention.ms", "10000"), ("metadata.max.retention.bytes", "-1")];
    let disk = grown(&ten_seconds);
    for (name, _) in disk.names(Path::new(FOLDER)).expect("a list") {
        if SnapshotId::parse(&name).is_some_and(|id| id != SnapshotId::BOOTSTRAP) {
            disk.remove_file(&Path::new(FOLDER).join(name)).expect("a removal");
        }
    }
    let why = start(&disk, &ten_seconds).err().expect("topics would be gone");
    assert!(why.contains("no snapshot holds") && why.contains("put the .checkpoint files back"), "{why}");
}

/// Each start says how this controller is reached, as Kafka's does (KIP-919).
#[tokio::test]
async fn each_start_registers_the_controller() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1"]);
    let mut incarnations = Vec::new();
    for start_count in 1..=2 {
        let environment =
            Environment { seed: start_count as u64, ..environment(Arc::new(disk.clone()), &Arc::default()) };
        drop(SteppedNode::start(config(&["/d1"], &[]), &environment).expect("the node starts"));
        let log = disk.read(&Path::new(FOLDER).join("00000000000000000000.log")).expect("a read").expect("a log");
        let mut scratch = Vec::new();
        incarnations.clear();
        for batch in Batches::new(&log).map(|batch| batch.expect("a batch")).filter(|batch| !batch.header.is_control())
        {
            for record in batch.records(&mut scratch, 1 << 20).expect("records") {
                let frame = record.expect("a record").value.expect("a value");
                if let Ok((MetadataRecord::RegisterController(said), 0)) = MetadataRecord::decode_frame(frame) {
                    assert_eq!((said.controller_id, said.end_points[0].name.as_ref()), (1, "CONTROLLER"));
                    assert_eq!(said.features.len(), metadata::SUPPORTED_FEATURES.len());
                    incarnations.push(said.incarnation_id);
                }
            }
        }
        assert_eq!(incarnations.len(), start_count);
    }
    assert_ne!(incarnations[0], incarnations[1]);
}
