//! A log dir that Apache Kafka left while it put segments in place of others: nothing of it is lost, wherever it was.

use super::{DIR, Log, append, new_log, options, read_all, sync};
use crate::{Disk, FaultyMemDisk, LogError, LogOptions, OpenMode};
use base::Offset;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far Kafka was with its swap, in the order of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Cleaned,
    LogIsSwap,
    AllAreSwap,
    FirstIsDeleted,
    AllAreDeleted,
    LogIsInPlace,
}

const STEPS: [Step; 6] =
    [Step::Cleaned, Step::LogIsSwap, Step::AllAreSwap, Step::FirstIsDeleted, Step::AllAreDeleted, Step::LogIsInPlace];

fn file(base: i64, suffix: &str) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.{suffix}"))
}

fn read(disk: &FaultyMemDisk, base: i64, suffix: &str) -> Vec<u8> {
    disk.read(&file(base, suffix)).unwrap().unwrap()
}

fn write(disk: &FaultyMemDisk, base: i64, suffix: &str, bytes: &[u8]) {
    disk.open(&file(base, suffix), OpenMode::Truncate).unwrap().write_all_at(&[bytes], 0).unwrap();
}

fn rename(disk: &FaultyMemDisk, base: i64, from: &str, to: &str) {
    disk.rename(&file(base, from), &file(base, to)).unwrap();
}

/// A synced log of several segments, and where they begin.
fn log(disk: &FaultyMemDisk) -> (Vec<i64>, Offset) {
    let mut log = new_log(disk);
    for _ in 0..40 {
        append(&mut log, 2, 60);
    }
    sync(disk, &mut log);
    let end = log.log_end();
    drop(log);
    let names = disk.list(Path::new(DIR)).unwrap();
    let base = |name: &str| name.strip_suffix(".log").map(|digits| digits.parse().unwrap());
    (names.iter().filter_map(|entry| base(&entry.name)).collect(), end)
}

/// The first two segments of a log in the midst of being replaced by one; how many segments there will be.
fn left_at(disk: &FaultyMemDisk, step: Step) -> (usize, Offset) {
    let (bases, end) = log(disk);
    let second = bases[1];
    write(disk, 0, "log.cleaned", &[read(disk, 0, "log"), read(disk, second, "log")].concat());
    write(disk, 0, "index.cleaned", &read(disk, 0, "index"));
    write(disk, 0, "timeindex.cleaned", &read(disk, 0, "timeindex"));
    let is_past = |other: Step| step as u8 >= other as u8;
    if is_past(Step::LogIsSwap) {
        rename(disk, 0, "log.cleaned", "log.swap");
    }
    if is_past(Step::AllAreSwap) {
        rename(disk, 0, "index.cleaned", "index.swap");
        rename(disk, 0, "timeindex.cleaned", "timeindex.swap");
    }
    let deletes = |base: i64| {
        for suffix in ["log", "index", "timeindex"] {
            rename(disk, base, suffix, &format!("{suffix}.deleted"));
        }
    };
    if is_past(Step::FirstIsDeleted) {
        deletes(0);
    }
    if is_past(Step::AllAreDeleted) {
        deletes(second);
    }
    if is_past(Step::LogIsInPlace) {
        rename(disk, 0, "log.swap", "log");
    }
    disk.sync_filesystem(Path::new("/d")).unwrap();
    (bases.len() - usize::from(is_past(Step::AllAreSwap)), end)
}

fn open(disk: &FaultyMemDisk, recovery_point: Offset, clean: bool) -> Result<Log, LogError> {
    let options = LogOptions { recovery_point, ..options(clean) };
    Log::open(Arc::new(disk.clone()), options).map(|(log, _)| log)
}

fn expect_whole(disk: &FaultyMemDisk, end: Offset, segments: usize, clean: bool, when: &str) {
    let mut log = open(disk, end, clean).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (Offset::ZERO, end, segments), "{when}");
    assert_eq!(read_all(&mut log, Offset::ZERO), (0..end.0).collect::<Vec<_>>(), "{when}");
    let names: Vec<String> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    let is_left = |name: &String| [".swap", ".cleaned", ".deleted"].iter().any(|mark| name.ends_with(mark));
    assert!(!names.iter().any(is_left), "{when}: {names:?}");
}

#[test]
fn a_swap_that_kafka_did_not_finish_is_finished_or_taken_back() {
    for step in STEPS {
        for clean in [false, true] {
            let disk = FaultyMemDisk::new(1);
            let (segments, end) = left_at(&disk, step);
            expect_whole(&disk, end, segments, clean, &format!("{step:?}"));
        }
    }
}

#[test]
fn r20_a_power_cut_while_a_swap_is_finished_loses_nothing() {
    let mut cuts = 0;
    for step in STEPS {
        for seed in 0..5 {
            for operation in 0.. {
                let disk = FaultyMemDisk::new(seed);
                let (segments, end) = left_at(&disk, step);
                disk.cut_power_after(operation);
                drop(open(&disk, end, false).unwrap());
                let Some(cut) = disk.take_cut() else { break };
                cuts += 1;
                expect_whole(&cut, end, segments, false, &format!("{step:?}, seed {seed}, operation {operation}"));
            }
        }
    }
    assert!(cuts > 200, "{cuts}");
}

/// KAFKA-6264: a segment is split in two; the later half is ready, the earlier one is or is not.
#[test]
fn half_a_split_is_taken_back_and_a_whole_one_is_finished() {
    for ready in [false, true] {
        let disk = FaultyMemDisk::new(1);
        let (bases, end) = log(&disk);
        let second = bases[1];
        let halves = [read(&disk, 0, "log"), read(&disk, second, "log")];
        for suffix in ["log", "index", "timeindex"] {
            disk.remove_file(&file(second, suffix)).unwrap();
        }
        let both = halves.concat();
        write(&disk, 0, if ready { "log.deleted" } else { "log" }, &both);
        if ready {
            disk.remove_file(&file(0, "log")).unwrap();
        }
        write(&disk, second, "log.swap", &halves[1]);
        write(&disk, 0, if ready { "log.swap" } else { "log.cleaned" }, &halves[0]);
        disk.sync_filesystem(Path::new("/d")).unwrap();
        expect_whole(&disk, end, bases.len() - usize::from(!ready), false, &format!("ready: {ready}"));
    }
}

#[test]
fn r26_a_damaged_segment_that_was_to_take_its_place_is_reported_and_nothing_removed() {
    let disk = FaultyMemDisk::new(1);
    let (_, end) = left_at(&disk, Step::AllAreSwap);
    disk.flip_bit(&file(0, "log.swap"), 100, 1);
    let before = disk.list(Path::new(DIR)).unwrap().len();
    assert!(matches!(open(&disk, end, false), Err(LogError::Corrupt { .. })));
    assert_eq!(disk.list(Path::new(DIR)).unwrap().len(), before);
}
