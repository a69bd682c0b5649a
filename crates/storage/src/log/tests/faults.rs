//! Disks that fail at each operation in turn, and readers of files that are rolled, retained or removed under them.

use super::{
    Arc, DIR, Log, LogConfig, LogError, LogOptions, append, expect_prefix, new_log, options, read_all, reopen, sync,
};
use crate::{AppendError, Disk, FaultyMemDisk, ReadError};
use base::{LeaderEpoch, Offset, Timestamp};
use record::{Batches, ValidBatch};
use std::path::Path;

#[test]
fn r24_an_index_that_cannot_be_written_after_its_log_leaves_no_offset_twice() {
    let mut failed_in_index = false;
    for operations in 0..30 {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        for _ in 0..12 {
            append(&mut log, 2, 20);
        }
        sync(&disk, &mut log);
        let durable = log.log_end();
        disk.fail_after(Some(operations));
        // Appends that roll: the old segment's indexes are written between two batches.
        let mut end = durable;
        for _ in 0..10 {
            let bytes = super::batch(end.0, 2, 150);
            match log.append(Timestamp(0), &ValidBatch::internal(&bytes).unwrap(), LeaderEpoch(0)) {
                Ok(appended) => end = appended.last_offset.plus(1),
                Err(AppendError::Offline(error)) => {
                    failed_in_index |= error.path.to_string_lossy().ends_with("index");
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(log.log_end(), end, "an append that failed moves no end");
        let after = disk.crash();
        let (mut log, _) = reopen(&after, false, durable).unwrap();
        assert!(log.log_end() >= durable);
        expect_prefix(&mut log);
    }
    assert!(failed_in_index, "no run failed where this test means to look");
}

#[test]
fn r20_recovery_that_dies_at_any_operation_is_finished_by_the_next() {
    for operations in 0..60 {
        let disk = FaultyMemDisk::new(operations);
        let mut log = new_log(&disk);
        for _ in 0..10 {
            append(&mut log, 2, 60);
        }
        sync(&disk, &mut log);
        let durable = log.log_end();
        for _ in 0..30 {
            append(&mut log, 3, 90);
        }
        assert!(log.segment_count() > 3);
        // The names of the segments reach the disk before their bytes.
        disk.sync_dir(Path::new(DIR)).unwrap();
        let first = disk.crash();
        first.fail_after(Some(operations));
        drop(reopen(&first, false, durable));
        let second = first.crash();
        let (mut log, _) = reopen(&second, false, durable).unwrap();
        assert!(log.log_end() >= durable, "after {operations} operations");
        expect_prefix(&mut log);
        append(&mut log, 2, 10);
        sync(&second, &mut log);
        expect_prefix(&mut log);
    }
}

#[test]
fn r28_a_slice_keeps_its_bytes_while_the_log_rolls_and_retention_removes_its_segment() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..10 {
        append(&mut log, 2, 20);
    }
    let slice = log.read(Offset(0), log.log_end(), 1 << 20, true).unwrap();
    let before = log.read_slice(&slice).unwrap();
    for _ in 0..40 {
        append(&mut log, 2, 60);
    }
    assert!(log.segment_count() > 2);
    assert_eq!(log.read_slice(&slice).unwrap(), before);
    log.reconfigure(LogConfig { retention_bytes: 0, ..LogConfig::clone(&options(false).config) });
    let deletion = log.retain(Timestamp(0), log.log_end()).unwrap().unwrap();
    for file in deletion.paths {
        disk.remove_file(&file).unwrap();
    }
    assert_eq!(log.read_slice(&slice).unwrap(), before);
    let values: usize = Batches::new(&before).map(|batch| batch.unwrap().header.record_count as usize).sum();
    let start = log.log_start();
    assert!(values > 0 && read_all(&mut log, start).is_empty());
}

#[test]
fn r28_a_reader_sees_nothing_above_its_bound_whatever_is_appended_meanwhile() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..5 {
        append(&mut log, 2, 20);
    }
    let bound = log.log_end();
    let slice = log.read(Offset(0), bound, 1 << 20, true).unwrap();
    for _ in 0..5 {
        append(&mut log, 2, 20);
    }
    let bytes = log.read_slice(&slice).unwrap();
    assert!(Batches::new(&bytes).all(|batch| batch.unwrap().header.last_offset() < bound));
}

#[test]
fn r22_a_torn_epochs_file_is_an_error_that_names_it() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    append(&mut log, 2, 20);
    log.close().unwrap();
    let file = Path::new(DIR).join("leader-epoch-checkpoint");
    let whole = disk.read(&file).unwrap().unwrap();
    disk.overwrite(&file, &whole[..whole.len() / 2]);
    let refused = reopen(&disk, true, Offset::ZERO).unwrap_err().to_string();
    assert!(refused.contains("leader-epoch-checkpoint"), "{refused}");
}

#[test]
fn indexes_that_recovery_wrote_are_synced_before_the_recovery_point_makes_them_trusted() {
    for seed in 0..40 {
        let disk = FaultyMemDisk::new(seed);
        let mut log = new_log(&disk);
        for _ in 0..30 {
            append(&mut log, 3, 90);
        }
        sync(&disk, &mut log);
        drop(log);
        let (mut log, recovery) = reopen(&disk, false, Offset::ZERO).unwrap();
        assert!(recovery.rebuilt_segments > 3);
        sync(&disk, &mut log);
        let bases: Vec<Offset> = log.segments.iter().map(|segment| segment.base).collect();
        let after = disk.crash();
        for base in &bases[..bases.len() - 1] {
            for suffix in ["index", "timeindex"] {
                let file = crate::file_names::path(Path::new(DIR), *base, suffix);
                assert_eq!(after.read(&file).unwrap(), disk.read(&file).unwrap(), "{}", file.display());
            }
        }
    }
}

#[test]
fn a_new_folders_own_name_is_synced_with_its_first_records() {
    for seed in 0..20 {
        let disk = FaultyMemDisk::new(seed);
        disk.create_dir(Path::new("/d")).unwrap();
        let mut log = crate::Log::create(std::sync::Arc::new(disk.clone()), options(false)).unwrap();
        append(&mut log, 2, 20);
        sync(&disk, &mut log);
        let (mut log, _) = reopen(&disk.crash(), false, Offset::ZERO).expect("the folder is there");
        assert_eq!(log.log_end(), Offset(2));
        expect_prefix(&mut log);
    }
}

#[test]
fn found_by_fuzzing_a_log_without_segments_opens_twice_alike() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    append(&mut log, 3, 20);
    sync(&disk, &mut log);
    drop(log);
    disk.remove_file(&Path::new(DIR).join("00000000000000000000.log")).unwrap();
    let snapshot = Path::new(DIR).join("00000000000000000000.snapshot");
    disk.open(&snapshot, crate::OpenMode::Truncate).unwrap();
    // What was synced must be there: a new log in its place would take the old one's offsets.
    for clean in [false, true] {
        let refused = reopen(&disk, clean, Offset(3));
        assert!(matches!(refused, Err(LogError::Corrupt { .. })), "clean {clean}: {refused:?}");
    }
    let (mut log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
    assert_eq!(disk.read(&snapshot).unwrap(), None, "producers of the log that is gone");
    log.begin_epoch(LeaderEpoch(5));
    sync(&disk, &mut log);
    // The epochs of the log that is gone are gone too.
    let (log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
    assert_eq!((log.log_end(), log.epochs().entries()), (Offset::ZERO, &[][..]));
    // And where they cannot be read, the first start says so, not the second.
    disk.remove_file(&Path::new(DIR).join("00000000000000000000.log")).unwrap();
    disk.overwrite(&Path::new(DIR).join("leader-epoch-checkpoint"), b"0\n3\n");
    assert!(matches!(reopen(&disk, false, Offset::ZERO), Err(LogError::Malformed { .. })));
}

#[test]
fn found_by_fuzzing_a_base_offset_beyond_its_segment_is_damage() {
    for base_offset in [1_i64 << 40, i64::MAX, -1] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        for _ in 0..3 {
            append(&mut log, 1, 20);
        }
        sync(&disk, &mut log);
        log.close().unwrap();
        drop(log);
        let path = Path::new(DIR).join("00000000000000000000.log");
        let mut bytes = disk.read(&path).unwrap().unwrap();
        let last = bytes.len() / 3 * 2;
        bytes[last..last + 8].copy_from_slice(&base_offset.to_be_bytes());
        disk.overwrite(&path, &bytes);
        assert!(matches!(reopen(&disk, true, Offset(3)), Err(LogError::Corrupt { .. })), "{base_offset}");
        // Not known to be on disk, it is a torn tail.
        let (mut log, recovery) = reopen(&disk, false, Offset::ZERO).unwrap();
        assert_eq!((log.log_end(), recovery.truncated_bytes), (Offset(2), last as u64 / 2));
        append(&mut log, 1, 20);
        log.roll().unwrap();
        expect_prefix(&mut log);
    }
}

#[test]
fn large_batches_are_found_by_their_own_entry_unless_it_is_damaged() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let config = Arc::new(LogConfig::default());
    let mut log = Log::create(Arc::new(disk.clone()), LogOptions { config, ..options(false) }).unwrap();
    for _ in 0..12 {
        append(&mut log, 2, 10_000);
    }
    let find = |log: &mut Log, offset: i64| {
        let slice = log.read(Offset(offset), log.log_end(), 1, true).unwrap();
        let bytes = log.read_slice(&slice).unwrap();
        let first = Batches::new(&bytes).next().unwrap().unwrap().header.base_offset.0;
        assert_eq!(first, offset / 2 * 2);
    };
    find(&mut log, 5);
    let reads = disk.reads();
    (6..22).for_each(|offset| find(&mut log, offset));
    assert_eq!(disk.reads() - reads, 2 * 16, "the batch before was looked at, too");
    sync(&disk, &mut log);
    log.close().unwrap();
    drop(log);
    // Entries that name a batch which is not theirs, or no batch.
    let path = Path::new(DIR).join("00000000000000000000.index");
    let sound = disk.read(&path).unwrap().unwrap();
    let (next, shifted) = (sound[4 * 8 + 4..5 * 8].to_vec(), 5_u32.to_be_bytes());
    for damage in [&next[..], &shifted] {
        let mut bytes = sound.clone();
        bytes[3 * 8 + 4..4 * 8].copy_from_slice(damage);
        disk.overwrite(&path, &bytes);
        let options = LogOptions { config: LogConfig::default().into(), recovery_point: Offset(24), ..options(true) };
        let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
        (0..24).chain((0..24).rev()).for_each(|offset| find(&mut log, offset));
    }
}

#[test]
fn found_by_fuzzing_a_cut_does_not_believe_a_damaged_index() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..20 {
        append(&mut log, 1, 20);
    }
    sync(&disk, &mut log);
    log.close().unwrap();
    drop(log);
    // Every entry of the index says that offset 0 and what follows it stand at the last batch.
    let path = Path::new(DIR).join("00000000000000000000.index");
    let mut bytes = disk.read(&path).unwrap().unwrap();
    let last: [u8; 4] = bytes[bytes.len() - 4..].try_into().unwrap();
    for entry in bytes.chunks_exact_mut(8) {
        entry[4..].copy_from_slice(&last);
    }
    disk.overwrite(&path, &bytes);
    let (mut log, _) = reopen(&disk, true, Offset(20)).unwrap();
    log.truncate_to(Offset(4)).unwrap();
    assert_eq!(log.log_end(), Offset(4));
    expect_prefix(&mut log);
}

#[test]
fn r22_a_topic_id_is_there_whole_or_not_at_all() {
    let (mut whole, mut none) = (0, 0);
    for seed in 0..60 {
        let disk = FaultyMemDisk::new(seed);
        let mut log = new_log(&disk);
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.cut_power_after(seed % 6);
        log.write_topic_id(base::Uuid(7)).unwrap();
        append(&mut log, 1, 20);
        sync(&disk, &mut log);
        let Some(after) = disk.take_cut() else { continue };
        let (log, _) = reopen(&after, false, Offset::ZERO).unwrap();
        match log.read_topic_id().expect("no torn file") {
            Some(id) => whole += u32::from(id == base::Uuid(7)),
            None => none += 1,
        }
    }
    assert!(whole > 0 && none > 0, "{whole} {none}");
}

#[test]
fn a_folder_that_is_renamed_before_its_sync_does_not_fail_the_log_dir() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    append(&mut log, 2, 20);
    let ticket = log.ticket().unwrap().unwrap();
    assert!(!ticket.dirs.is_empty());
    // The topic is deleted between the ticket and its sync.
    disk.rename(Path::new(DIR), Path::new("/d/t-0.00000000000000000000000000000007-delete")).unwrap();
    crate::commit(&disk, Path::new("/d"), None, std::slice::from_ref(&ticket)).unwrap();
}

#[test]
fn r25_after_a_failed_sync_recovery_goes_by_the_device_and_not_by_memory() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = FaultyMemDisk::new(seed);
        let mut log = new_log(&disk);
        append(&mut log, 2, 20);
        sync(&disk, &mut log);
        append(&mut log, 3, 900);
        let ticket = log.ticket().unwrap().unwrap();
        disk.inject(crate::DiskFault::Sync, 0);
        crate::commit(&disk, Path::new("/d"), None, std::slice::from_ref(&ticket)).unwrap_err();
        drop(log);
        // The process is started again; memory still holds all of it, marked as written.
        let (mut log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
        sync(&disk, &mut log);
        let shown = log.log_end();
        let (mut after, _) = reopen(&disk.crash(), false, Offset::ZERO).unwrap();
        assert_eq!(after.log_end(), shown, "what a start shows a power cut may not take");
        expect_prefix(&mut after);
        lost += u32::from(shown == Offset(2));
    }
    assert!(lost > 0, "no sync lost anything");
}

#[test]
fn found_by_fuzzing_a_batch_longer_than_its_segment_is_damage() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..3 {
        append(&mut log, 1, 20);
    }
    sync(&disk, &mut log);
    log.close().unwrap();
    drop(log);
    let path = Path::new(DIR).join("00000000000000000000.log");
    let mut bytes = disk.read(&path).unwrap().unwrap();
    let second = bytes.len() / 3;
    bytes[second + 8..second + 12].copy_from_slice(&i32::MAX.to_be_bytes());
    disk.overwrite(&path, &bytes);
    // Two gigabytes were asked of the allocator for a look-up in it.
    let opened = reopen(&disk, true, Offset(3)).map(|(mut log, _)| log.offset_for_time(Timestamp(1_001)).map(|_| ()));
    assert!(matches!(opened, Err(LogError::Corrupt { .. }) | Ok(Err(ReadError::Corrupt(_)))), "{opened:?}");
}

#[test]
fn found_by_fuzzing_a_batch_beyond_the_next_segments_base_is_damage() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..2 {
        append(&mut log, 1, 20);
    }
    log.roll().unwrap();
    append(&mut log, 1, 20);
    sync(&disk, &mut log);
    drop(log);
    let path = Path::new(DIR).join("00000000000000000000.log");
    let mut bytes = disk.read(&path).unwrap().unwrap();
    let second = bytes.len() / 2;
    bytes[second..second + 8].copy_from_slice(&900_i64.to_be_bytes());
    disk.overwrite(&path, &bytes);
    // Nothing was known to be on disk: the log ends before it.
    let (mut log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
    assert_eq!(log.log_end(), Offset(1));
    expect_prefix(&mut log);
}

#[test]
fn a_log_at_rest_holds_no_file_open_after_a_recovery_nor_while_many_are_flushed() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..30 {
        append(&mut log, 3, 90);
    }
    sync(&disk, &mut log);
    drop(log);
    let before = disk.holders();
    let (mut log, recovery) = reopen(&disk, false, Offset::ZERO).unwrap();
    assert!(recovery.rebuilt_segments > 3);
    log.release_files();
    // The log holds its disk. Ten thousand of them found the system out of descriptors when a start after a crash kept their indexes open.
    assert_eq!(disk.holders(), before + 1);
    append(&mut log, 3, 90);
    log.roll().unwrap();
    drop(log.ticket().unwrap());
    log.release_files();
    let ticket = log.flush_ticket().unwrap().unwrap();
    assert_eq!(disk.holders(), before + 1, "{ticket:?}");
}

/// A closed log of offsets 0 to 6 whose second segment, from 2 to 3, was emptied; where it ends.
fn with_an_emptied_segment(disk: &FaultyMemDisk) -> Offset {
    let mut log = new_log(disk);
    for _ in 0..3 {
        append(&mut log, 2, 20);
        log.roll().unwrap();
    }
    append(&mut log, 1, 20);
    log.close().unwrap();
    for suffix in ["log", "index", "timeindex"] {
        disk.overwrite(&Path::new(DIR).join(format!("{:020}.{suffix}", 2)), &[]);
    }
    log.log_end()
}

#[test]
fn found_by_fuzzing_compaction_may_leave_a_segment_empty_and_nothing_else_may() {
    let disk = FaultyMemDisk::new(1);
    let end = with_an_emptied_segment(&disk);
    let open = |compact: bool| {
        let closed = LogOptions { recovery_point: end, ..options(true) };
        let config = Arc::new(LogConfig { compact, ..LogConfig::clone(&closed.config) });
        Log::open(Arc::new(disk.clone()), LogOptions { config, ..closed })
    };
    let Err(LogError::Corrupt { what, .. }) = open(false) else { panic!("an emptied segment was taken for whole") };
    assert!(what.starts_with("it is empty"), "{what}");
    let (mut log, _) = open(true).unwrap();
    assert_eq!((log.log_end(), read_all(&mut log, Offset(4)).len()), (end, 3));
}

/// What is left of a compacted topic when its policy becomes `delete`: Kafka's cleaner keeps a segment of which nothing is left, and empties it.
#[test]
fn a_segment_that_compaction_emptied_is_no_damage_when_the_topic_is_compacted_no_more() {
    let read = |compacted_to: i64, clean: bool, recovery_point: i64| {
        let disk = FaultyMemDisk::new(1);
        with_an_emptied_segment(&disk);
        let (recovery_point, compacted_to) = (Offset(recovery_point), Offset(compacted_to));
        let found = LogOptions { recovery_point, compacted_to, ..options(clean) };
        let (mut log, _) = Log::open(Arc::new(disk), found)?;
        // Readers begin at offset 0 and, where nothing is left of it, behind the hole.
        let values = [Offset(0), Offset(4)].map(|from| read_all(&mut log, from).len());
        Ok::<_, LogError>((values, log.log_end()))
    };
    assert!(read(3, true, 7).is_err() && read(3, false, 5).is_err(), "the cleaner has not come so far");
    assert_eq!(read(3, false, 0).unwrap().1, Offset(2), "above the recovery point it was lost in a power cut");
    assert_eq!(read(4, true, 7).unwrap(), ([5, 3], Offset(7)));
    for recovery_point in 0..=7 {
        assert_eq!(read(4, false, recovery_point).unwrap(), ([5, 3], Offset(7)), "{recovery_point}");
    }
}

#[test]
fn a_segment_whose_file_is_gone_is_not_made_anew() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    append(&mut log, 2, 60);
    sync(&disk, &mut log);
    log.release_files();
    // As when a topic of the name was deleted and made again.
    disk.rename(Path::new(DIR), Path::new("/d/t-0.x-delete")).unwrap();
    disk.create_dir(Path::new(DIR)).unwrap();
    let end = log.log_end();
    assert!(log.read(Offset(0), end, 1 << 20, true).is_err());
    assert!(disk.list(Path::new(DIR)).unwrap().is_empty());
}
