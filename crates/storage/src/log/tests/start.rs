//! A log whose end is below the start that its checkpoint tells: what the start was moved past has not all reached the disk.

use super::{DIR, Log, LogOptions, append, batch, new_log, options, read_all, sync};
use crate::{Disk, FaultyMemDisk, LogError};
use base::{LeaderEpoch, Offset, Timestamp};
use record::ValidBatch;
use std::path::Path;
use std::sync::Arc;

/// Where the checkpoint says that the log begins.
const START: Offset = Offset(100);

fn open(disk: &FaultyMemDisk, recovery_point: Offset, clean: bool) -> Result<Log, LogError> {
    let options = LogOptions { log_start: START, recovery_point, ..options(clean) };
    Log::open(Arc::new(disk.clone()), options).map(|(log, _)| log)
}

/// A log of several segments that ends below the start, and its recovery point.
fn ends_below(disk: &FaultyMemDisk, unsynced: i64) -> Offset {
    let mut log = new_log(disk);
    for _ in 0..25 {
        append(&mut log, 2, 60);
    }
    sync(disk, &mut log);
    assert!(log.segment_count() > 2);
    let point = log.recovery_point();
    for _ in 0..unsynced {
        append(&mut log, 1, 60);
    }
    point
}

fn add(log: &mut Log, first: i64) {
    let bytes = batch(first, 10, 20);
    log.append(Timestamp(5_000), &ValidBatch::internal(&bytes).unwrap(), LeaderEpoch(3)).unwrap();
}

#[test]
fn a_log_that_ends_below_its_start_begins_anew_there_and_hides_nothing_later() {
    for clean in [false, true] {
        let disk = FaultyMemDisk::new(1);
        let point = ends_below(&disk, 0);
        let mut log = open(&disk, point, clean).unwrap();
        assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (START, START, 1));
        add(&mut log, START.0);
        sync(&disk, &mut log);
        drop(log);
        // Neither checkpoint was written since.
        let mut log = open(&disk.crash(), point, false).unwrap();
        assert_eq!((log.log_start(), log.log_end()), (START, Offset(110)));
        assert_eq!(read_all(&mut log, START), (100..110).collect::<Vec<_>>());
        assert_eq!(log.epochs().epoch_of(START), Some(LeaderEpoch(3)));
        assert_eq!(log.epochs().epoch_of(Offset(0)), None, "epochs of what is gone are gone");
    }
}

#[test]
fn r20_a_power_cut_while_a_log_begins_anew_is_no_damage() {
    let mut cuts = 0;
    for seed in 0..20 {
        for operation in 0.. {
            let disk = FaultyMemDisk::new(seed);
            let point = ends_below(&disk, seed as i64 % 3);
            disk.cut_power_after(operation);
            let mut log = open(&disk, point, false).unwrap();
            add(&mut log, START.0);
            let cut = disk.take_cut();
            sync(&disk, &mut log);
            drop(log);
            let Some(cut) = cut else { break };
            cuts += 1;
            let mut log = open(&cut, point, false).unwrap_or_else(|error| panic!("seed {seed}, {operation}: {error}"));
            assert_eq!(log.log_start(), START, "seed {seed}, {operation}");
            assert!([START, Offset(110)].contains(&log.log_end()), "seed {seed}, {operation}: {}", log.log_end());
            let first = log.log_end().0;
            add(&mut log, first);
            sync(&cut, &mut log);
            drop(log);
            let mut log = open(&cut.crash(), point, false).unwrap();
            assert_eq!(read_all(&mut log, START), (100..first + 10).collect::<Vec<_>>());
        }
    }
    assert!(cuts > 200, "{cuts}");
}

#[test]
fn r26_a_log_that_lost_what_was_synced_is_reported_also_below_its_start() {
    let disk = FaultyMemDisk::new(1);
    let point = ends_below(&disk, 0);
    let names = disk.list(Path::new(DIR)).unwrap();
    let last = names.iter().rev().find(|entry| entry.name.ends_with(".log")).unwrap();
    disk.remove_file(&Path::new(DIR).join(&last.name)).unwrap();
    assert!(matches!(open(&disk, point, false), Err(LogError::Corrupt { .. })));
}
