//! Looking records up by time in compressed batches.

use super::{append, new_log, options, sync};
use crate::{Disk, FaultyMemDisk, LogConfig};
use base::{LeaderEpoch, Offset, Timestamp};
use record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord, ValidBatch};

/// Ten records of 400 bytes each, a millisecond apart.
fn compressed(codec: Codec) -> Vec<u8> {
    let compression = Compression { codec, level: None };
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for i in 0..10 {
        builder.append(&NewRecord { timestamp: Timestamp(1_000 + i), value: Some(&[7; 400]), ..NewRecord::default() });
    }
    builder.build()
}

#[test]
fn max_decompressed_message_bytes_bounds_one_record_not_the_batch() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        log.reconfigure(LogConfig { decompressed_bytes_max: 1_000, ..LogConfig::clone(&options(false).config) });
        log.append(Timestamp(0), &ValidBatch::internal(&compressed(codec)).unwrap(), LeaderEpoch(0)).unwrap();
        let found = log.offset_for_time(Timestamp(1_009)).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (Offset(9), Timestamp(1_009)), "{codec:?}");
        assert_eq!(log.max_timestamp().unwrap().unwrap().offset, Offset(9), "{codec:?}");
    }
}

#[test]
fn only_what_this_process_appended_counts_as_recent() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..2 {
        log.append(Timestamp(0), &ValidBatch::internal(&compressed(Codec::Lz4)).unwrap(), LeaderEpoch(0)).unwrap();
    }
    let end = log.log_end();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, 0);
    log.close().unwrap();
    let (mut log, _) = super::reopen(&disk, true, Offset::ZERO).unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, u64::MAX);
    let size = log.size_bytes();
    log.append(Timestamp(0), &ValidBatch::internal(&compressed(Codec::Lz4)).unwrap(), LeaderEpoch(0)).unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, size);
    log.roll().unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, u64::MAX);
}

/// The log is durable up to where it rolls, so the recovery point has passed the segment before its indexes were synced.
#[test]
fn indexes_of_a_segment_that_ends_at_the_recovery_point_are_not_trusted_after_a_crash() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    // Old records at the end, so that only the index tells that newer ones come before.
    for time in [1_000, 5_000, 1_001, 1_002, 1_003, 1_004, 1_005] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { timestamp: Timestamp(time), value: Some(&[7; 150]), ..NewRecord::default() });
        log.append(Timestamp(0), &ValidBatch::internal(&builder.build()).unwrap(), LeaderEpoch(0)).unwrap();
    }
    sync(&disk, &mut log);
    log.roll().unwrap();
    let recovery_point = log.log_end();
    drop(log);
    // What a crash may leave: the one index reached the disk and the other did not.
    disk.overwrite(&std::path::Path::new(super::DIR).join("00000000000000000000.timeindex"), &[]);
    let (mut log, _) = super::reopen(&disk, false, recovery_point).unwrap();
    assert_eq!((log.log_end(), log.segment_count()), (Offset(7), 2));
    assert_eq!(log.max_timestamp().unwrap().unwrap().offset, Offset(1));
    assert_eq!(log.offset_for_time(Timestamp(4_000)).unwrap().unwrap().offset, Offset(1));
}

#[test]
fn a_log_that_was_flushed_before_it_is_closed_has_its_last_time_entry_too() {
    let entries = |flushes: bool| {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        append(&mut log, 2, 10);
        if flushes {
            sync(&disk, &mut log);
        }
        log.close().unwrap();
        disk.read(&std::path::Path::new(super::DIR).join("00000000000000000000.timeindex")).unwrap().unwrap()
    };
    assert_eq!(entries(false).len(), 12, "Kafka closes a segment with its largest timestamp");
    assert_eq!(entries(true), entries(false));
}
