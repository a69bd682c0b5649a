//! Recovery from the recovery point on: what it reads, and that it leaves what a recovery of everything would leave.

use super::{DIR, append, expect_prefix, new_log, options, read_all, reopen, sync};
use crate::{Disk, FaultyMemDisk, Log, LogConfig, LogError, LogOptions, ProducerEntry, RecoveryWatch, TxnEntry};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SeededRng, Timestamp};
use record::control::{ControlRecord, EndTxnMarker, end_txn_batch};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A log of one long segment.
fn long_log(disk: &FaultyMemDisk) -> Log {
    let mut log = new_log(disk);
    log.reconfigure(LogConfig { segment_bytes: 1 << 30, ..LogConfig::clone(&options(false).config) });
    log
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

/// The disk as a process that was killed leaves it.
fn copy(disk: &FaultyMemDisk) -> FaultyMemDisk {
    disk.sync_filesystem(Path::new("/d")).unwrap();
    disk.crash()
}

#[test]
fn only_what_lies_above_the_recovery_point_is_walked() {
    let disk = FaultyMemDisk::new(1);
    let mut log = long_log(&disk);
    for _ in 0..500 {
        append(&mut log, 2, 20);
    }
    sync(&disk, &mut log);
    let (point, flushed) = (log.log_end(), log.size_bytes());
    for _ in 0..20 {
        append(&mut log, 2, 20);
    }
    let written = log.size_bytes();
    drop(log);
    let (mut log, recovery) = reopen(&disk, false, point).unwrap();
    assert_eq!((log.log_end(), recovery.truncated_bytes, recovery.rebuilt_segments), (Offset(1_040), 0, 1));
    let most = written - flushed + 2 * 200;
    assert!(
        recovery.scanned_bytes <= most,
        "{} bytes of {written} were walked, {most} are new",
        recovery.scanned_bytes
    );
    expect_prefix(&mut log);
}

#[test]
fn a_torn_tail_above_the_recovery_point_is_cut_and_nothing_else() {
    let disk = FaultyMemDisk::new(1);
    let mut log = long_log(&disk);
    for _ in 0..50 {
        append(&mut log, 2, 20);
    }
    sync(&disk, &mut log);
    let (point, flushed) = (log.log_end(), log.size_bytes() as usize);
    for _ in 0..4 {
        append(&mut log, 2, 20);
    }
    drop(log);
    let path = file("00000000000000000000.log");
    let whole = disk.read(&path).unwrap().unwrap();
    let size = (whole.len() - flushed) / 4;
    // The third batch above the recovery point is torn.
    let mut torn = whole.clone();
    torn[flushed + 2 * size + 70] ^= 1;
    disk.overwrite(&path, &torn);
    let (mut log, recovery) = reopen(&disk, false, point).unwrap();
    assert_eq!((log.log_end(), recovery.truncated_bytes), (Offset(104), 2 * size as u64));
    expect_prefix(&mut log);
    append(&mut log, 2, 20);
    expect_prefix(&mut log);
    drop(log);
    // The last batch below it is damaged: it was synced, so it is not cut.
    let mut damaged = whole;
    damaged[flushed - 5] ^= 1;
    disk.overwrite(&path, &damaged);
    assert!(matches!(reopen(&disk, false, point), Err(LogError::Corrupt { .. })));
}

#[test]
fn r26_a_log_that_ends_below_its_recovery_point_is_reported() {
    for kept in [0, 30] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        for _ in 0..40 {
            append(&mut log, 2, 20);
        }
        sync(&disk, &mut log);
        let (point, segments) = (log.log_end(), log.segment_count());
        assert!(segments > 1);
        let last = log.segments.last().unwrap().base;
        let size = log.segments.last().unwrap().size;
        drop(log);
        let path = file(&format!("{:020}.log", last.0));
        let whole = disk.read(&path).unwrap().unwrap();
        let batch = 12 + u32::from_be_bytes(whole[8..12].try_into().unwrap()) as usize;
        // Cut where a batch ends, so that nothing looks torn.
        disk.overwrite(&path, &whole[..(size as usize / batch - 1) * batch * kept.min(1)]);
        let Err(LogError::Corrupt { what, .. }) = reopen(&disk, false, point) else {
            panic!("synced records are gone")
        };
        assert!(what.contains("recovery-point-offset-checkpoint"), "{what}");
        // As it says: without the recovery point it goes on.
        let (mut log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
        expect_prefix(&mut log);
    }
}

/// Hears of a recovery.
#[derive(Default)]
struct Heard {
    left: AtomicI64,
    most: AtomicI64,
    bytes: AtomicU64,
}

impl RecoveryWatch for Heard {
    fn segments_left(&self, change: i64) {
        let left = self.left.fetch_add(change, Ordering::Relaxed) + change;
        self.most.fetch_max(left, Ordering::Relaxed);
    }
    fn walked(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn whoever_watches_hears_of_every_segment_and_byte_also_of_those_that_are_cut() {
    for torn in [false, true] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        for _ in 0..40 {
            append(&mut log, 2, 60);
        }
        sync(&disk, &mut log);
        let segments = log.segment_count() as i64;
        let second = log.segments[1].base;
        drop(log);
        if torn {
            let path = file(&format!("{:020}.log", second.0));
            let mut bytes = disk.read(&path).unwrap().unwrap();
            bytes[40] ^= 1;
            disk.overwrite(&path, &bytes);
        }
        let heard = Heard::default();
        let (log, recovery) = Log::open_watched(Arc::new(disk), options(false), &heard).unwrap();
        assert_eq!(log.segment_count() as i64 == segments, !torn);
        assert_eq!((heard.left.into_inner(), heard.most.into_inner()), (0, segments));
        assert_eq!(heard.bytes.into_inner(), recovery.scanned_bytes);
    }
}

/// Appends a batch of two records; of a transaction when it is `transactional`.
fn send(log: &mut Log, id: i64, sequence: i32, time: i64, transactional: bool) {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    });
    for i in 0..2 {
        let record = NewRecord { timestamp: Timestamp(time - i), value: Some(&[1; 40]), ..NewRecord::default() };
        builder.append(&record);
    }
    let epoch = log.epochs().latest().unwrap_or(LeaderEpoch(0));
    log.append(Timestamp(time), &ValidBatch::internal(&builder.build()).unwrap(), epoch).unwrap();
}

/// Ends a producer's transaction, as the follower of a leader that did.
fn abort(log: &mut Log, id: i64) {
    let marker = ControlRecord::Abort(EndTxnMarker { coordinator_epoch: 3 });
    let mut marker = end_txn_batch(ProducerId(id), ProducerEpoch(0), Timestamp(9), &marker);
    let epoch = log.epochs().latest().unwrap_or(LeaderEpoch(0));
    // Neither is part of the checksum.
    marker[..8].copy_from_slice(&log.log_end().0.to_be_bytes());
    marker[12..16].copy_from_slice(&epoch.0.to_be_bytes());
    log.append_as_follower(Timestamp(9), &marker).unwrap();
}

/// Files of segments and indexes by name, aborted transactions, and what else there is as text.
type Everything = (Vec<(String, Vec<u8>)>, Vec<TxnEntry>, String);

/// All that a recovered log is.
fn everything(disk: &FaultyMemDisk, log: &mut Log) -> Everything {
    let is_compared = |name: &str| !name.ends_with("snapshot") && !name.ends_with("checkpoint");
    let names = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).filter(|name| is_compared(name));
    let files = names.map(|name| (name.clone(), disk.read(&file(&name)).unwrap().unwrap())).collect();
    let end = log.log_end();
    let aborted = log.aborted(Offset::ZERO, end).unwrap();
    // Of each producer a snapshot keeps the last batch only, and of that not the time.
    let last = |p: &ProducerEntry| p.batches.back().map(|batch| (batch.first_sequence, batch.last_offset));
    let producers: Vec<_> =
        log.producers().iter().map(|(id, p)| (id, p.epoch, last(p), p.last_timestamp, p.txn_first_offset)).collect();
    (files, aborted, format!("{end} {producers:?} {:?}", log.epochs().entries()))
}

#[test]
fn recovery_from_the_recovery_point_leaves_what_recovery_of_everything_leaves() {
    let (mut resumed, mut spared) = (0, 0);
    for seed in 0..300 {
        let mut rng = SeededRng::new(seed);
        let disk = FaultyMemDisk::new(seed);
        let mut log = new_log(&disk);
        let segment_bytes = 2_000 + rng.below(20_000);
        log.reconfigure(LogConfig { segment_bytes, ..LogConfig::clone(&options(false).config) });
        let (mut point, mut sequences, mut is_open) = (Offset::ZERO, [0; 4], [false; 4]);
        for step in 0..10 + rng.below(150) {
            let id = rng.below(4) as usize;
            match rng.below(20) {
                0 => {
                    log.flush().unwrap();
                    point = log.recovery_point();
                }
                1 => log.begin_epoch(LeaderEpoch(step as i32 + 1)),
                2 | 3 if is_open[id] => {
                    abort(&mut log, id as i64);
                    is_open[id] = false;
                }
                _ => {
                    let time = 1_000 + rng.below(500) as i64 + step as i64;
                    send(&mut log, id as i64, sequences[id], time, id > 1);
                    sequences[id] += 2;
                    is_open[id] |= id > 1;
                }
            }
        }
        drop(log);
        let (whole, part) = (copy(&disk), copy(&disk));
        let (mut from_start, all) = reopen(&whole, false, Offset::ZERO).unwrap();
        let (mut from_point, some) = reopen(&part, false, point).unwrap();
        assert!(everything(&part, &mut from_point) == everything(&whole, &mut from_start), "seed {seed}");
        resumed += u32::from(some.scanned_bytes < all.scanned_bytes);
        spared += all.scanned_bytes - some.scanned_bytes;
        // And it goes on alike.
        for (disk, log) in [(&whole, &mut from_start), (&part, &mut from_point)] {
            (0..20).for_each(|i| send(log, 9, i * 2, 1_200, false));
            log.flush().unwrap();
            assert!(disk.operations() > 0);
        }
        assert!(everything(&part, &mut from_point) == everything(&whole, &mut from_start), "seed {seed}, later");
    }
    assert!(resumed > 150 && spared > 100_000, "{resumed} runs spared {spared} bytes");
}

#[test]
fn zeros_that_a_crash_leaves_in_an_aborted_transactions_file_are_no_transaction() {
    let disk = FaultyMemDisk::new(1);
    let mut log = long_log(&disk);
    send(&mut log, 7, 0, 1_000, true);
    abort(&mut log, 7);
    (0..20).for_each(|i| send(&mut log, 8, i * 2, 1_000, false));
    sync(&disk, &mut log);
    let point = log.log_end();
    send(&mut log, 7, 2, 1_000, true);
    abort(&mut log, 7);
    let known = log.aborted(Offset::ZERO, log.log_end()).unwrap();
    assert_eq!(known.len(), 2);
    drop(log);
    let path = file("00000000000000000000.txnindex");
    let mut bytes = disk.read(&path).unwrap().unwrap();
    bytes[TxnEntry::SIZE..].fill(0);
    disk.overwrite(&path, &bytes);
    let (mut log, recovery) = reopen(&disk, false, point).unwrap();
    assert!(recovery.scanned_bytes < log.size_bytes() / 2);
    let end = log.log_end();
    assert_eq!(log.aborted(Offset::ZERO, end).unwrap(), known);
}

#[test]
fn an_index_that_does_not_lead_to_the_batch_it_names_is_made_anew() {
    for (name, at) in [("index", 7), ("index", 3), ("timeindex", 6), ("timeindex", 11)] {
        let disk = FaultyMemDisk::new(1);
        let mut log = long_log(&disk);
        for _ in 0..100 {
            append(&mut log, 2, 20);
        }
        sync(&disk, &mut log);
        let point = log.log_end();
        drop(log);
        let path = file(&format!("00000000000000000000.{name}"));
        let whole = disk.read(&path).unwrap().unwrap();
        let size = if name == "index" { 8 } else { 12 };
        let mut damaged = whole.clone();
        let last = damaged.len() - size;
        damaged[last + at] ^= 2;
        disk.overwrite(&path, &damaged);
        let (mut log, _) = reopen(&disk, false, point).unwrap();
        assert_eq!(disk.read(&path).unwrap().unwrap(), whole, "{name}, byte {at} of the last entry");
        expect_prefix(&mut log);
        assert_eq!(log.offset_for_time(Timestamp(1_150)).unwrap().unwrap().offset, Offset(150));
    }
}

#[test]
fn zeros_that_kafka_allocates_ahead_in_an_index_are_no_entries() {
    let disk = FaultyMemDisk::new(1);
    let mut log = long_log(&disk);
    for _ in 0..500 {
        append(&mut log, 2, 20);
    }
    sync(&disk, &mut log);
    let point = log.log_end();
    append(&mut log, 2, 20);
    drop(log);
    let expected: Vec<Vec<u8>> = ["index", "timeindex"]
        .into_iter()
        .map(|suffix| {
            let path = file(&format!("00000000000000000000.{suffix}"));
            let bytes = disk.read(&path).unwrap().unwrap();
            let mut ahead = bytes.clone();
            ahead.resize(bytes.len() + 12 * 8 * 100, 0);
            disk.overwrite(&path, &ahead);
            bytes
        })
        .collect();
    let (mut log, recovery) = reopen(&disk, false, point).unwrap();
    assert!(recovery.scanned_bytes < 1_000, "{recovery:?}");
    for (suffix, expected) in ["index", "timeindex"].into_iter().zip(expected) {
        let found = disk.read(&file(&format!("00000000000000000000.{suffix}"))).unwrap().unwrap();
        assert!(found.starts_with(&expected) && found.len() <= expected.len() + 12, "{suffix}");
    }
    expect_prefix(&mut log);
}

#[test]
fn older_records_after_a_clean_start_do_not_hide_newer_ones_before_it() {
    let disk = FaultyMemDisk::new(1);
    let mut log = long_log(&disk);
    send(&mut log, 7, 0, 5_000, false);
    log.close().unwrap();
    drop(log);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), LogOptions { ..options(true) }).unwrap();
    send(&mut log, 7, 2, 1_000, false);
    assert_eq!(log.max_timestamp().unwrap().unwrap().timestamp, Timestamp(5_000));
    assert_eq!(log.offset_for_time(Timestamp(3_000)).unwrap().map(|found| found.offset), Some(Offset(0)));
    assert_eq!(read_all(&mut log, Offset(4)).len(), 0);
}
