mod damage;
mod foreign;
mod model;

use super::{AREAS_AT, WRITE_AHEAD_FILE, WriteAhead};
use crate::mem_disk::DiskFault;
use crate::{Committed, Disk, FaultyMemDisk, Log, LogConfig, LogError, LogOptions, SyncTicket, commit, replay};
use base::{LeaderEpoch, Offset, SeededRng, Timestamp, Uuid};
use record::{BatchBuilder, BatchOptions, Batches, NewRecord, ValidBatch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const AREA: u64 = 128 << 10;

fn options(dir: PathBuf, recovery_point: Offset, clean: bool) -> LogOptions {
    let config = LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 200,
        retention_ms: -1,
        retention_bytes: 5_000,
        ..LogConfig::default()
    };
    LogOptions {
        dir,
        config: config.into(),
        recovery_point,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean,
    }
}

/// Records with ascending values from `first` on.
fn batch(first: i64, count: i64, size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for i in first..first + count {
        let value = format!("{i:0>size$}");
        builder.append(&NewRecord {
            timestamp: Timestamp(1_000),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build()
}

/// The values of a log from its start on.
fn values(log: &mut Log) -> Vec<i64> {
    let (mut at, mut found) = (log.log_start(), Vec::new());
    while at < log.log_end() {
        let slice = log.read(at, log.log_end(), 1 << 20, true).unwrap();
        let bytes = log.read_slice(&slice).unwrap();
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                let record = record.unwrap();
                if record.offset >= at {
                    found.push(std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
                }
            }
            at = batch.header.next_offset();
        }
    }
    found
}

/// Some logs on a disk with their write-ahead file; names are durable.
fn logs(disk: &FaultyMemDisk, count: usize) -> (Arc<WriteAhead>, Vec<Log>) {
    let root = Path::new("/d");
    disk.create_dir(root).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let write_ahead = Arc::new(WriteAhead::with_area_bytes(Arc::clone(&shared), root, &mut SeededRng::new(7), AREA));
    let open = |at: usize| {
        let mut log =
            Log::create(Arc::clone(&shared), options(root.join(format!("t-{at}")), Offset::ZERO, false)).unwrap();
        log.write_topic_id(Uuid(at as u128 + 1)).unwrap();
        log.attach(Arc::clone(&write_ahead), Uuid(at as u128 + 1));
        log
    };
    let mut logs: Vec<Log> = (0..count).map(open).collect();
    tickets(&mut logs);
    disk.sync_filesystem(root).unwrap();
    (write_ahead, logs)
}

fn append(logs: &mut [Log], size: usize) {
    for log in logs {
        let bytes = batch(log.log_end().0, 1, size);
        log.append(Timestamp(1_000), &ValidBatch::internal(&bytes).unwrap(), LeaderEpoch(0)).unwrap();
    }
}

fn tickets(logs: &mut [Log]) -> Vec<SyncTicket> {
    logs.iter_mut().filter_map(|log| log.ticket().unwrap()).collect()
}

fn round(disk: &FaultyMemDisk, write_ahead: &WriteAhead, logs: &mut [Log]) -> Result<Committed, crate::DiskError> {
    commit(disk, Path::new("/d"), Some(write_ahead), &tickets(logs))
}

fn file(disk: &FaultyMemDisk) -> Vec<u8> {
    disk.read(&Path::new("/d").join(WRITE_AHEAD_FILE)).unwrap().unwrap()
}

#[test]
fn many_dirty_segments_cost_one_sync() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 20);
    append(&mut logs, 10);
    assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::WriteAhead);
    append(&mut logs, 10);
    let before = disk.operations();
    assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::WriteAhead);
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
    assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::Nothing);
    append(&mut logs[..2], 10);
    assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::Files);
    append(&mut logs, 1_500);
    append(&mut logs[..1], 60_000);
    assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::FileSystem, "much is not written twice");
}

#[test]
fn its_size_is_bounded_and_its_space_used_again() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    let (mut by_file_system, mut retired) = (0, 0);
    for _ in 0..300 {
        append(&mut logs, 200);
        by_file_system += usize::from(round(&disk, &write_ahead, &mut logs).unwrap() == Committed::FileSystem);
        if write_ahead.is_filling() {
            retired += usize::from(write_ahead.retire().unwrap());
        }
    }
    assert_eq!(by_file_system, 0, "there was always room");
    assert!(retired > 5);
    assert!(file(&disk).len() as u64 <= AREAS_AT + 2 * AREA);
    for _ in 0..100 {
        append(&mut logs, 200);
        by_file_system += usize::from(round(&disk, &write_ahead, &mut logs).unwrap() == Committed::FileSystem);
    }
    assert!(by_file_system > 0, "a full file that nobody retires is passed by");
    assert!(write_ahead.retire().unwrap() && write_ahead.is_empty());
    write_ahead.remove().unwrap();
    assert!(disk.read(&Path::new("/d").join(WRITE_AHEAD_FILE)).unwrap().is_none());
}

#[test]
fn r25_a_sync_of_the_write_ahead_file_that_failed_is_not_tried_again() {
    for fault in [DiskFault::Sync, DiskFault::Write, DiskFault::ShortWrite] {
        let disk = FaultyMemDisk::new(1);
        let (write_ahead, mut logs) = logs(&disk, 5);
        append(&mut logs, 10);
        round(&disk, &write_ahead, &mut logs).unwrap();
        append(&mut logs, 10);
        disk.inject(fault, 0);
        let error = round(&disk, &write_ahead, &mut logs).unwrap_err();
        assert!(error.path.ends_with(WRITE_AHEAD_FILE), "{error}");
        append(&mut logs, 10);
        let before = disk.operations();
        assert!(round(&disk, &write_ahead, &mut logs).is_err());
        assert!(write_ahead.retire().is_err() && write_ahead.remove().is_err());
        assert_eq!(disk.operations(), before, "a second sync would succeed and lie");
    }
}

#[test]
fn r21_a_full_disk_fails_the_round() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    append(&mut logs, 10);
    disk.limit_room(Some(1_000));
    let error = round(&disk, &write_ahead, &mut logs).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn r26_a_damaged_block_that_is_not_the_last_is_reported_and_a_damaged_last_one_is_cut() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    for _ in 0..3 {
        append(&mut logs, 10);
        round(&disk, &write_ahead, &mut logs).unwrap();
    }
    drop(logs);
    let path = Path::new("/d").join(WRITE_AHEAD_FILE);
    let whole = file(&disk);
    for block in 0..3 {
        for at in [0, 9, 20, 25, 29, 40, 300] {
            let mut bad = whole.clone();
            bad[(AREAS_AT + block * 4_096) as usize + at] ^= 4;
            drop(disk.open(&path, crate::OpenMode::Write).unwrap());
            disk.overwrite(&path, &bad);
            match replay(&disk, Path::new("/d")) {
                Err(LogError::Corrupt { .. }) => assert!(block < 2, "block {block} byte {at}"),
                Ok(replayed) => assert_eq!((block, replayed.blocks), (2, 2), "byte {at}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What a log's first record is once a block was torn whose place held an older one of the same shape.
fn first_value_after_a_torn_block(verify: bool) -> i64 {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    let path = Path::new("/d").join(WRITE_AHEAD_FILE);
    // The file's first generation follows none, so that its block has another shape.
    for _ in 0..2 {
        append(&mut logs[..4], 300);
        round(&disk, &write_ahead, &mut logs[..4]).unwrap();
        write_ahead.retire().unwrap();
    }
    append(&mut logs, 300);
    round(&disk, &write_ahead, &mut logs).unwrap();
    let old = file(&disk);
    write_ahead.retire().unwrap();
    // The last log is cut, and another record stands in place of its first.
    logs[4].truncate_to(Offset::ZERO).unwrap();
    let bytes = batch(7, 1, 300);
    logs[4].append(Timestamp(1_000), &ValidBatch::internal(&bytes).unwrap(), LeaderEpoch(0)).unwrap();
    append(&mut logs[..4], 300);
    round(&disk, &write_ahead, &mut logs).unwrap();
    write_ahead.retire().unwrap();
    append(&mut logs, 300);
    round(&disk, &write_ahead, &mut logs).unwrap();
    // Of the last round, which nobody was told of yet, one sector was written: behind it stands what was there before.
    let mut torn = file(&disk);
    let from = AREAS_AT as usize + 512;
    torn[from..from + 4_096 - 512].copy_from_slice(&old[from..from + 4_096 - 512]);
    disk.overwrite(&path, &torn);
    drop(logs);
    super::replay::replay_checked(&disk, Path::new("/d"), verify).unwrap();
    let dir = Path::new("/d").join("t-4");
    let (mut log, _) = Log::open(Arc::new(disk), options(dir, Offset::ZERO, false)).unwrap();
    values(&mut log)[0]
}

#[test]
fn r20_a_torn_block_is_cut_and_without_the_checksum_it_would_bring_old_records_back() {
    assert_eq!(first_value_after_a_torn_block(true), 7);
    assert_eq!(first_value_after_a_torn_block(false), 0, "negative control");
}

#[test]
fn replay_takes_any_bytes() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 4);
    append(&mut logs, 100);
    round(&disk, &write_ahead, &mut logs).unwrap();
    drop(logs);
    let whole = file(&disk);
    let path = Path::new("/d").join(WRITE_AHEAD_FILE);
    let mut rng = SeededRng::new(3);
    for _ in 0..500 {
        let mut bad = whole.clone();
        bad.truncate(rng.below(AREAS_AT + 4_096) as usize + 1);
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] = rng.next_u64() as u8;
        drop(disk.open(&path, crate::OpenMode::Write).unwrap());
        disk.overwrite(&path, &bad);
        drop(replay(&disk, Path::new("/d")));
        drop(super::replay::replay_checked(&disk, Path::new("/d"), false));
    }
}

#[test]
fn r25_what_a_failed_sync_of_a_segment_may_have_lost_is_not_retired() {
    for seed in 0..50 {
        let disk = FaultyMemDisk::new(seed);
        let (write_ahead, mut logs) = logs(&disk, 5);
        append(&mut logs, 10);
        assert_eq!(round(&disk, &write_ahead, &mut logs).unwrap(), Committed::WriteAhead);
        append(&mut logs[..1], 10);
        disk.inject(DiskFault::Sync, 0);
        round(&disk, &write_ahead, &mut logs[..1]).unwrap_err();
        // The segments would be opened again for it, and synced without a word.
        write_ahead.retire().unwrap_err();
        write_ahead.settle().unwrap_err();
        drop(logs);
        let after = disk.crash();
        replay(&after, Path::new("/d")).unwrap();
        let dir = Path::new("/d").join("t-0");
        let (log, _) = Log::open(Arc::new(after), options(dir, Offset::ZERO, false)).unwrap();
        assert!(log.log_end() >= Offset(1), "seed {seed}: what was confirmed is lost");
    }
}

#[test]
fn r25_a_sync_that_failed_elsewhere_meanwhile_is_the_rounds_failure() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 1);
    append(&mut logs, 10);
    let error = crate::DiskError::on("sync", Path::new("/d"))(std::io::Error::other("input/output error"));
    let done = write_ahead.in_round(|| {
        write_ahead.fail(&error);
        Ok(())
    });
    assert!(done.is_err());
    assert!(round(&disk, &write_ahead, &mut logs).is_err(), "and of every one after it");
}
