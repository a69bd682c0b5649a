//! A data dir that Apache Kafka 4.4.0 wrote, opened by ours: every look-up answers what that broker answered (`golden/expected.txt`),
//! producers and aborted transactions are those that its own tool shows (`golden/dumped.txt`), and indexes made anew from the `.log`
//! are Kafka's to the byte. `golden/make.sh` makes all of it again.

#![expect(clippy::unwrap_used, reason = "a test")]

use base::{Offset, Timestamp};
use record::Batches;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{
    Disk, FaultyMemDisk, Log, LogConfig, LogDir, LogDirState, LogOptions, OpenMode, PartitionDir, ProducerStates,
    Recovery, TxnEntry, offset_of_file,
};

const TOPICS: [&str; 6] = ["codecs", "compacted", "epochs", "rolled", "trimmed", "txn"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn load(disk: &FaultyMemDisk, from: &Path, to: &Path) {
    disk.create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            load(disk, &entry.path(), &target);
        } else {
            let file = disk.open(&target, OpenMode::Truncate).unwrap();
            file.write_all_at(&[&fs::read(entry.path()).unwrap()], 0).unwrap();
        }
    }
}

fn data() -> (FaultyMemDisk, LogDirState) {
    let disk = FaultyMemDisk::new(1);
    load(&disk, &golden().join("data"), Path::new("/d"));
    let (_, state) = LogDir::open(Arc::new(disk.clone()), Path::new("/d")).unwrap();
    (disk, state)
}

fn dir(topic: &str) -> PathBuf {
    Path::new("/d").join(format!("{topic}-0"))
}

/// The index interval that the topic was made with.
fn config(topic: &str) -> LogConfig {
    let index_interval_bytes = match topic {
        "codecs" | "compacted" | "txn" => 100,
        "epochs" => 300,
        "rolled" => 500,
        _ => 4_096,
    };
    LogConfig { index_interval_bytes, compact: topic == "compacted", ..LogConfig::default() }
}

fn open(disk: &FaultyMemDisk, state: &LogDirState, topic: &str, clean: bool) -> (Log, Recovery) {
    let tp = base::TopicPartition::new(topic, 0);
    let log_start = state.log_starts.0.get(&tp).copied().unwrap_or(Offset::ZERO);
    let recovery_point = if clean { state.recovery_points.0[&tp] } else { Offset::ZERO };
    let options = LogOptions {
        dir: dir(topic),
        config: config(topic).into(),
        recovery_point,
        log_start,
        compacted_to: Offset::ZERO,
        clean,
    };
    Log::open(Arc::new(disk.clone()), options).unwrap()
}

/// What the broker said of one partition.
#[derive(Default)]
struct Expected {
    start: i64,
    end: i64,
    newest: (i64, i64),
    /// Offset, timestamp, leader epoch, key and value.
    records: Vec<(i64, i64, i32, String)>,
    /// A time, and the offset and timestamp that were found, -1 for none.
    times: Vec<(i64, i64, i64)>,
    producers: Vec<(i64, i16, i32)>,
}

fn expected() -> BTreeMap<String, Expected> {
    let mut all = BTreeMap::new();
    let mut topic = String::new();
    for line in fs::read_to_string(golden().join("expected.txt")).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        if words[0] == "partition" {
            topic = words[1].trim_end_matches("-0").to_owned();
            all.insert(topic.clone(), Expected { start: number(3), end: number(5), ..Expected::default() });
            continue;
        }
        let known = all.get_mut(&topic).unwrap();
        match words[0] {
            "newest" => known.newest = (number(1), number(2)),
            "record" => known.records.push((number(1), number(2), number(3) as i32, words[4..].join(" "))),
            "time" => known.times.push((number(1), number(2), number(3))),
            "producer" => known.producers.push((number(1), number(2) as i16, number(3) as i32)),
            other => panic!("{other}"),
        }
    }
    assert_eq!(all.keys().collect::<Vec<_>>(), TOPICS);
    all
}

/// The records from the batch that holds `from` on, without control records: offset, timestamp, epoch, key and value.
fn read(log: &mut Log, from: i64) -> Vec<(i64, i64, i32, String)> {
    let (mut at, mut records) = (Offset(from), Vec::new());
    while at < log.log_end() {
        let slice = log.read(at, log.log_end(), 700, true).unwrap();
        let bytes = log.read_slice(&slice).unwrap();
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            batch.verify_crc().unwrap();
            at = batch.header.next_offset();
            if batch.header.is_control() {
                continue;
            }
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                let record = record.unwrap();
                if record.offset.0 < from {
                    continue;
                }
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let pair = format!("{} {}", text(record.key), text(record.value).trim());
                records.push((record.offset.0, record.timestamp.0, batch.header.leader_epoch.0, pair));
            }
        }
    }
    records
}

fn expect_answers(log: &mut Log, topic: &str, known: &Expected) {
    assert_eq!((log.log_start().0, log.log_end().0), (known.start, known.end), "{topic}");
    assert_eq!(read(log, known.start), known.records, "{topic}");
    for from in known.start..known.end {
        let first = known.records.iter().find(|record| record.0 >= from);
        let slice = log.read(Offset(from), log.log_end(), 1, true).unwrap();
        let found = Batches::new(&log.read_slice(&slice).unwrap()).next().unwrap().unwrap().header;
        assert!(found.last_offset().0 >= from, "{topic} {from}");
        let control = found.is_control();
        assert!(
            control || first.is_some_and(|first| found.base_offset.0 <= first.0 && first.0 <= found.last_offset().0)
        );
    }
    for (offset, _, epoch, _) in &known.records {
        assert_eq!(log.epochs().epoch_of(Offset(*offset)).unwrap().0, *epoch, "{topic} {offset}");
    }
    for (time, offset, timestamp) in &known.times {
        let found = log.offset_for_time(Timestamp(*time)).unwrap();
        let found = found.map_or((-1, -1), |found| (found.offset.0, found.timestamp.0));
        assert_eq!(found, (*offset, *timestamp), "{topic} at {time}");
    }
    let newest = log.max_timestamp().unwrap().unwrap();
    assert_eq!((newest.offset.0, newest.timestamp.0), known.newest, "{topic}");
}

/// The producers in the snapshots, as Kafka's tool prints them.
fn dumped_producers() -> BTreeMap<(String, i64), Vec<[i64; 8]>> {
    let mut all: BTreeMap<(String, i64), Vec<[i64; 8]>> = BTreeMap::new();
    for line in fs::read_to_string(golden().join("dumped.txt")).unwrap().lines() {
        let (file, line) = line.split_once(' ').unwrap();
        let Some((folder, name)) = file.trim_start_matches("data/").split_once('/') else { panic!("{file}") };
        let Some((offset, "snapshot")) = offset_of_file(name) else { continue };
        let value = |name: &str| {
            let word = line.split_once(&format!("{name}: ")).unwrap().1.split(' ').next().unwrap();
            if word == "OptionalLong.empty" {
                -1
            } else {
                word.trim_matches(|c: char| !c.is_ascii_digit() && c != '-').parse().unwrap()
            }
        };
        let names = ["producerId", "producerEpoch", "coordinatorEpoch", "currentTxnFirstOffset", "lastTimestamp"];
        let mut row = [0; 8];
        row[..5].copy_from_slice(&names.map(value));
        row[5..].copy_from_slice(&["firstSequence", "lastSequence", "lastOffset"].map(|name| {
            // A producer without a batch in its epoch has none of these.
            if line.contains(name) { value(name) } else { -1 }
        }));
        all.entry((folder.trim_end_matches("-0").to_owned(), offset.0)).or_default().push(row);
    }
    all
}

fn rows(states: &ProducerStates) -> Vec<[i64; 8]> {
    let row = |(id, entry): (base::ProducerId, &storage::ProducerEntry)| {
        let last = entry.batches.back();
        [
            id.0,
            i64::from(entry.epoch.0),
            i64::from(entry.coordinator_epoch),
            entry.txn_first_offset.map_or(-1, |offset| offset.0),
            entry.last_timestamp.0,
            last.map_or(-1, |last| i64::from(last.first_sequence)),
            last.map_or(-1, |last| i64::from(last.last_sequence)),
            last.map_or(-1, |last| last.last_offset.0),
        ]
    };
    states.iter().map(row).collect()
}

#[test]
fn the_log_dir_is_understood() {
    let (_, state) = data();
    assert!(state.clean.unwrap().broker_epoch > 0);
    let live = |name: &(String, PartitionDir)| matches!(&name.1, PartitionDir::Live(tp) if name.0 == tp.to_string());
    assert_eq!(state.partitions.iter().filter(|partition| live(partition)).count(), TOPICS.len());
    assert!(state.partitions.iter().any(|(_, dir)| matches!(dir, PartitionDir::Deleted(tp) if &*tp.topic == "gone")));
    assert!(state.unknown.is_empty());
    let known = expected();
    for topic in TOPICS {
        let tp = base::TopicPartition::new(topic, 0);
        assert_eq!(state.high_watermarks.0[&tp].0, known[topic].end);
    }
}

#[test]
fn a_clean_start_scans_nothing_and_answers_as_kafka_did() {
    let known = expected();
    let (disk, state) = data();
    for topic in TOPICS {
        let (mut log, recovery) = open(&disk, &state, topic, true);
        assert_eq!(recovery, Recovery::default(), "{topic}");
        expect_answers(&mut log, topic, &known[topic]);
        assert!(log.read_topic_id().unwrap().is_some());
    }
}

#[test]
fn an_unclean_start_answers_as_kafka_did() {
    let known = expected();
    let (disk, state) = data();
    for topic in TOPICS {
        let (mut log, recovery) = open(&disk, &state, topic, false);
        assert_eq!(recovery.truncated_bytes, 0, "{topic}");
        assert_eq!(recovery.rebuilt_segments, log.segment_count(), "{topic}");
        expect_answers(&mut log, topic, &known[topic]);
    }
}

#[test]
fn snapshots_of_producers_say_what_kafkas_tool_says() {
    let dumped = dumped_producers();
    let (disk, _) = data();
    for topic in TOPICS {
        for entry in disk.list(&dir(topic)).unwrap() {
            let Some((offset, "snapshot")) = offset_of_file(&entry.name) else { continue };
            let bytes = disk.read(&dir(topic).join(&entry.name)).unwrap().unwrap();
            let states = ProducerStates::from_snapshot(&bytes).unwrap();
            let said = dumped.get(&(topic.to_owned(), offset.0)).cloned().unwrap_or_default();
            assert_eq!(rows(&states), said, "{topic} {offset}");
            assert_eq!(states.to_snapshot(), bytes, "{topic} {offset}: what we write is what Kafka wrote");
        }
    }
}

#[test]
fn producers_folded_from_the_log_are_those_of_kafkas_last_snapshot() {
    let dumped = dumped_producers();
    // Others have producers that expired while Kafka ran (their records are of 2023), or batches that were compacted away.
    for topic in ["rolled", "trimmed", "txn"] {
        let (disk, state) = data();
        let known = &dumped[&(topic.to_owned(), state.recovery_points.0[&base::TopicPartition::new(topic, 0)].0)];
        for entry in disk.list(&dir(topic)).unwrap() {
            if entry.name.ends_with(".snapshot") {
                disk.remove_file(&dir(topic).join(entry.name)).unwrap();
            }
        }
        let (log, _) = open(&disk, &state, topic, true);
        assert_eq!(&rows(log.producers()), known, "{topic}");
    }
    let (disk, state) = data();
    let known = expected();
    let (log, _) = open(&disk, &state, "epochs", true);
    let found: Vec<_> = rows(log.producers()).iter().map(|row| (row[0], row[1] as i16, row[6] as i32)).collect();
    assert_eq!(found, known["epochs"].producers);
}

#[test]
fn indexes_made_anew_are_kafkas_to_the_byte() {
    // The segments of the others were continued after a restart, or written by the cleaner.
    for topic in ["codecs", "rolled", "trimmed", "txn"] {
        for clean in [true, false] {
            let (disk, state) = data();
            let mut kafkas = BTreeMap::new();
            for entry in disk.list(&dir(topic)).unwrap() {
                let file = dir(topic).join(&entry.name);
                if entry.name.ends_with("index") {
                    kafkas.insert(entry.name, disk.read(&file).unwrap().unwrap());
                    disk.remove_file(&file).unwrap();
                }
            }
            assert!(kafkas.len() >= 2 && kafkas.values().any(|bytes| !bytes.is_empty()));
            let (mut log, recovery) = open(&disk, &state, topic, clean);
            assert_eq!(recovery.rebuilt_segments, log.segment_count());
            // What Kafka leaves when it stops; without an append nothing would be written.
            log.roll().unwrap();
            log.close().unwrap();
            for (name, bytes) in kafkas {
                // Without a crash nothing says that transactions were aborted but the file that is gone.
                if !name.ends_with("txnindex") || !clean {
                    let ours = disk.read(&dir(topic).join(&name)).unwrap();
                    assert_eq!(ours.as_ref(), Some(&bytes), "{topic} {name} clean={clean}");
                }
            }
        }
    }
}

#[test]
fn aborted_transactions_are_found() {
    let dumped = fs::read_to_string(golden().join("dumped.txt")).unwrap();
    let lines: Vec<&str> = dumped.lines().filter(|line| line.contains(".txnindex ")).collect();
    for clean in [true, false] {
        let (disk, state) = data();
        let (mut log, _) = open(&disk, &state, "txn", clean);
        let end = log.log_end();
        let found = log.aborted(Offset::ZERO, end).unwrap();
        let shown = |entry: &TxnEntry| {
            format!(
                "producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset
            )
        };
        assert_eq!(found.len(), lines.len());
        found.iter().zip(&lines).for_each(|(entry, line)| assert!(line.ends_with(&shown(entry)), "{line}"));
        log.truncate_to(Offset(30)).unwrap();
        assert_eq!(log.aborted(Offset::ZERO, end).unwrap(), found[..2], "what was cut off is not aborted any more");
    }
}
