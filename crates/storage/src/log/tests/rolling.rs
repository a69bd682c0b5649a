//! When a segment ends, as Apache Kafka 4.4.0 was seen to end its own.

use super::{DIR, new_log, options};
use crate::{AppendError, Appended, Disk, FaultyMemDisk, Log, LogConfig, LogOptions};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use std::path::Path;
use std::sync::Arc;

fn one(timestamp: i64, size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { timestamp: Timestamp(timestamp), value: Some(&vec![7; size]), ..NewRecord::default() });
    builder.build()
}

/// Appends a batch at `now`.
fn send(log: &mut Log, now: i64, bytes: &[u8]) -> Result<Appended, AppendError> {
    log.append(Timestamp(now), &ValidBatch::internal(bytes).unwrap(), LeaderEpoch(0))
}

fn log_with(disk: &FaultyMemDisk, change: impl FnOnce(&mut LogConfig)) -> Log {
    let mut log = new_log(disk);
    let mut config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::clone(&options(false).config) };
    change(&mut config);
    log.reconfigure(config);
    log
}

/// The base offsets of the segments, and the length of each one's file of this kind.
fn files(disk: &FaultyMemDisk, suffix: &str) -> Vec<(i64, u64)> {
    let all = disk.list(Path::new(DIR)).unwrap().into_iter();
    let of_kind = all.filter_map(|entry| {
        let (base, kind) = crate::offset_of_file(&entry.name)?;
        (kind == suffix).then_some((base.0, entry.len))
    });
    of_kind.collect()
}

/// Kafka maps an active segment's indexes with `segment.index.bytes` bytes, and does not start when one is longer.
#[test]
fn the_time_index_has_room_for_the_entry_that_closes_it() {
    let disk = FaultyMemDisk::new(1);
    let mut log = log_with(&disk, |config| {
        config.segment_index_bytes = 1_200;
        config.index_interval_bytes = 1;
    });
    for i in 0..300 {
        send(&mut log, 0, &one(1_000 + i, 10)).unwrap();
    }
    log.close().unwrap();
    assert_eq!(files(&disk, "timeindex"), [(0, 1_188), (100, 1_188), (200, 1_188)]);
    assert_eq!(files(&disk, "index"), [(0, 792), (100, 792), (200, 792)]);
}

#[test]
fn a_segment_of_records_without_a_time_ages_from_when_it_began() {
    let disk = FaultyMemDisk::new(1);
    let mut log = log_with(&disk, |config| config.segment_ms = 1_000);
    for now in [5_000, 6_000, 6_001, 7_500] {
        send(&mut log, now, &one(-1, 10)).unwrap();
    }
    assert_eq!(files(&disk, "log").iter().map(|(base, _)| *base).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn records_without_a_time_are_kept_for_retention_ms_after_they_were_written() {
    let disk = FaultyMemDisk::new(1);
    let mut log = log_with(&disk, |config| config.retention_ms = 1_000);
    disk.set_time(Timestamp(5_000));
    send(&mut log, 5_000, &one(-1, 10)).unwrap();
    log.roll().unwrap();
    disk.set_time(Timestamp(5_500));
    send(&mut log, 5_500, &one(-1, 10)).unwrap();
    assert_eq!(log.retain(Timestamp(6_000), log.log_end()).unwrap(), None);
    log.retain(Timestamp(6_001), log.log_end()).unwrap().unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(1), Offset(2)));
    // Of a log that was opened again nothing is known but its files.
    log.close().unwrap();
    let (mut log, _) = super::reopen(&disk, true, Offset::ZERO).unwrap();
    log.reconfigure(LogConfig { retention_ms: 1_000, ..LogConfig::clone(&options(false).config) });
    assert_eq!(log.retain(Timestamp(6_500), log.log_end()).unwrap(), None);
    log.retain(Timestamp(6_501), log.log_end()).unwrap().unwrap();
    assert_eq!((log.log_start(), log.segment_count()), (Offset(2), 1));
}

#[test]
fn a_segment_that_compaction_emptied_does_not_hold_retention_up() {
    let disk = FaultyMemDisk::new(1);
    let mut log = log_with(&disk, |_| ());
    for i in 0..3 {
        send(&mut log, 0, &one(1_000 + i, 10)).unwrap();
        log.roll().unwrap();
    }
    log.close().unwrap();
    for suffix in ["log", "index", "timeindex"] {
        disk.overwrite(&crate::file_names::path(Path::new(DIR), Offset(0), suffix), &[]);
    }
    let retain = |change: &dyn Fn(&mut LogConfig)| {
        let mut config = LogConfig { compact: true, ..LogConfig::clone(&options(true).config) };
        change(&mut config);
        let disk = disk.clone();
        let (mut log, _) = Log::open(Arc::new(disk), LogOptions { config: config.into(), ..options(true) }).unwrap();
        log.retain(Timestamp(5_000), log.log_end()).unwrap();
        (log.log_start(), log.log_end(), log.segment_count())
    };
    assert_eq!(retain(&|config| config.retention_ms = 1_000_000), (Offset(0), Offset(3), 4), "nothing is too old");
    assert_eq!(retain(&|config| config.retention_ms = 10), (Offset(3), Offset(3), 1));
}

#[test]
fn a_batch_without_a_time_does_not_age_a_segment_that_has_one() {
    let disk = FaultyMemDisk::new(1);
    let mut log = log_with(&disk, |config| config.segment_ms = 1_000);
    send(&mut log, 9_000, &one(1_000, 10)).unwrap();
    send(&mut log, 9_000, &one(-1, 10)).unwrap();
    assert_eq!(log.segment_count(), 1);
    send(&mut log, 9_000, &one(2_001, 10)).unwrap();
    assert_eq!(log.segment_count(), 2);
}

#[test]
fn a_repeated_batch_is_told_the_time_at_which_it_was_appended() {
    let sent = |append_time: bool| {
        let disk = FaultyMemDisk::new(1);
        let mut log = log_with(&disk, |_| ());
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(0),
            base_sequence: 0,
            ..BatchOptions::default()
        });
        builder.append(&NewRecord { timestamp: Timestamp(1_000), value: Some(b"v"), ..NewRecord::default() });
        let bytes = builder.build();
        let policy = |now: i64| record::ProducePolicy {
            batch_bytes_max: 1 << 20,
            decompressed_bytes_max: 1 << 20,
            decompressed_total_max: record::DECOMPRESSED_BATCH_BYTES_MAX,
            timestamp_type: if append_time {
                record::TimestampType::LogAppendTime
            } else {
                record::TimestampType::CreateTime
            },
            timestamp_before_ms_max: i64::MAX,
            timestamp_after_ms_max: i64::MAX,
            compacted: false,
            compression: None,
            now: Timestamp(now),
        };
        [5_000, 6_000].map(|now| {
            let valid = record::validate(&bytes, &policy(now), &mut record::Scratch::default()).unwrap();
            let appended = log.append(Timestamp(now), &valid, LeaderEpoch(0)).unwrap();
            (appended.duplicate, appended.log_append_time.0)
        })
    };
    assert_eq!(sent(true), [(false, 5_000), (true, 5_000)]);
    // A topic of create times has no append time, for a repeated batch as for the first.
    assert_eq!(sent(false), [(false, -1), (true, -1)]);
}
