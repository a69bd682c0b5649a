//! A write-ahead file that was left behind, and another program that went on with the logs, as Apache Kafka may: what it wrote stays.

use super::super::{PASSED_BY_FILE, WRITE_AHEAD_FILE, replay};
use super::{append, batch, logs, options, round, values};
use crate::{Disk, FaultyMemDisk, Log, LogError, OpenMode};
use base::{LeaderEpoch, Offset, SeededRng, Timestamp, Uuid};
use record::ValidBatch;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOGS: usize = 4;
/// Records of each log that are in its segment, and that are only in the write-ahead file.
const SYNCED: i64 = 3;
const LOGGED: i64 = 4;

fn dir(at: usize) -> PathBuf {
    Path::new("/d").join(format!("t-{at}"))
}

fn open(disk: &FaultyMemDisk, at: usize) -> Log {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(shared, options(dir(at), Offset::ZERO, false)).unwrap().0
}

/// A disk after a power cut: of each log the first records are in its segment, the others in the write-ahead file, and, as the seed will have
/// it, torn in the segment or not there at all.
fn left_behind(seed: u64) -> FaultyMemDisk {
    let disk = FaultyMemDisk::new(seed);
    let (write_ahead, mut logs) = logs(&disk, LOGS);
    (0..SYNCED).for_each(|_| append(&mut logs, 100));
    round(&disk, &write_ahead, &mut logs).unwrap();
    write_ahead.retire().unwrap();
    for _ in 0..LOGGED {
        append(&mut logs, 100);
        round(&disk, &write_ahead, &mut logs).unwrap();
    }
    let left = disk.crash();
    assert!(left.read(&Path::new("/d").join(WRITE_AHEAD_FILE)).unwrap().is_some());
    left
}

/// What another program does with a log: recovers it without the file, and appends values from 1,000 on.
fn go_on(disk: &FaultyMemDisk, at: usize, records: i64, rolls: bool) -> Vec<i64> {
    let mut log = open(disk, at);
    if rolls {
        log.roll().unwrap();
    }
    for i in 0..records {
        let bytes = batch(1_000 + i, 1, 100);
        log.append(Timestamp(1_000), &ValidBatch::internal(&bytes).unwrap(), LeaderEpoch(1)).unwrap();
    }
    log.flush().unwrap();
    values(&mut log)
}

#[test]
fn what_another_program_has_written_since_is_not_overwritten() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..60 {
        for rolls in [false, true] {
            let disk = left_behind(seed);
            let theirs: Vec<_> = (0..LOGS).map(|at| go_on(&disk, at, 2, rolls && at % 2 == 0)).collect();
            let control = {
                disk.sync_filesystem(Path::new("/d")).unwrap();
                disk.crash()
            };
            let replayed = replay(&disk, Path::new("/d")).unwrap();
            for (at, theirs) in theirs.iter().enumerate() {
                let mut log = open(&disk, at);
                assert_eq!(&values(&mut log), theirs, "seed {seed}, log {at}");
            }
            // Where the crash had left everything in the segments there was nothing to put back.
            let had_all = theirs.iter().filter(|values| values.len() as i64 == SYNCED + LOGGED + 2).count();
            assert!(replayed.passed_by.len() <= LOGS - had_all || rolls, "{replayed:?}");
            let is_kept = disk.read(&Path::new("/d").join(PASSED_BY_FILE)).unwrap().is_some();
            assert_eq!(is_kept, !replayed.passed_by.is_empty());
            assert_eq!(disk.read(&Path::new("/d").join(WRITE_AHEAD_FILE)).unwrap(), None);
            kept += replayed.passed_by.len();
            // Negative control: put back blindly, it takes the other program's records away.
            super::super::replay::replay_checked(&control, Path::new("/d"), false).unwrap();
            lost += (0..LOGS).filter(|at| values(&mut open(&control, *at)) != theirs[*at]).count();
        }
    }
    assert!(kept > 50 && lost > 50, "{kept} {lost}");
}

#[test]
fn a_log_that_another_program_only_cut_or_left_alone_gets_its_records_back() {
    let mut back = 0;
    for seed in 0..60 {
        let disk = left_behind(seed);
        for at in 0..LOGS {
            if at % 2 == 0 {
                back += LOGGED + SYNCED - go_on(&disk, at, 0, false).len() as i64;
            }
        }
        let replayed = replay(&disk, Path::new("/d")).unwrap();
        assert!(replayed.passed_by.is_empty(), "{replayed:?}");
        for at in 0..LOGS {
            assert_eq!(values(&mut open(&disk, at)), (0..SYNCED + LOGGED).collect::<Vec<_>>(), "seed {seed}, log {at}");
        }
    }
    assert!(back > 0, "nothing was ever cut");
}

#[test]
fn a_log_that_ends_before_what_the_file_holds_is_passed_by() {
    let disk = left_behind(1);
    let path = dir(0).join("00000000000000000000.log");
    let whole = disk.read(&path).unwrap().unwrap();
    disk.overwrite(&path, &whole[..whole.len().min(2 * 170)]);
    let mut before = open(&disk, 0);
    let (end, found) = (before.log_end(), values(&mut before));
    assert!(end.0 < SYNCED);
    drop(before);
    let replayed = replay(&disk, Path::new("/d")).unwrap();
    assert_eq!(replayed.passed_by.len(), 1, "{replayed:?}");
    assert_eq!(values(&mut open(&disk, 0)), found);
}

#[test]
fn a_flipped_bit_in_a_topic_id_takes_no_record_of_the_file_away() {
    let id = Uuid::random(&mut SeededRng::new(5));
    for at in [0, 12, 25, 35, 40] {
        let disk = FaultyMemDisk::new(9);
        let (write_ahead, mut logs) = logs(&disk, LOGS);
        logs[0].write_topic_id(id).unwrap();
        logs[0].attach(Arc::clone(&write_ahead), id);
        append(&mut logs, 100);
        round(&disk, &write_ahead, &mut logs).unwrap();
        drop(logs);
        let disk = disk.crash();
        let path = dir(0).join("partition.metadata");
        let mut bytes = disk.read(&path).unwrap().unwrap();
        bytes[at] ^= 4;
        disk.overwrite(&path, &bytes);
        replay(&disk, Path::new("/d")).unwrap();
        assert_eq!(values(&mut open(&disk, 0)), [0], "byte {at}");
    }
    // Damaged beyond that, nobody can say whose the folder is: the file stays, and so does the node's start.
    let disk = FaultyMemDisk::new(9);
    let (write_ahead, mut logs) = logs(&disk, LOGS);
    append(&mut logs, 100);
    round(&disk, &write_ahead, &mut logs).unwrap();
    drop(logs);
    let path = dir(0).join("partition.metadata");
    disk.open(&path, OpenMode::Truncate).unwrap();
    let Err(LogError::Malformed { what, .. }) = replay(&disk, Path::new("/d")) else { panic!("records are dropped") };
    assert!(what.contains(&format!("`topic_id: {}`", Uuid(1))), "{what}");
    assert!(disk.read(&Path::new("/d").join(WRITE_AHEAD_FILE)).unwrap().is_some());
}
