//! Producers across restarts.

use super::{DIR, new_log, reopen};
use crate::{AppendError, Appended, Disk, FaultyMemDisk, Log};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use std::path::Path;

/// Appends a batch of two records.
fn send(log: &mut Log, id: i64, epoch: i16, sequence: i32) -> Result<Appended, AppendError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        ..BatchOptions::default()
    });
    for _ in 0..2 {
        builder.append(&NewRecord { value: Some(&[1; 40]), ..NewRecord::default() });
    }
    log.append(Timestamp(0), &ValidBatch::internal(&builder.build()).unwrap(), LeaderEpoch(0))
}

fn restarted(disk: &FaultyMemDisk, mut log: Log) -> Log {
    log.close().unwrap();
    reopen(disk, true, Offset::ZERO).unwrap().0
}

#[test]
fn r31_after_a_clean_stop_each_of_the_last_five_batches_is_answered_again() {
    for others in [0, 3, 40] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        let mut first_offsets = Vec::new();
        for i in 0..8 {
            first_offsets.push(send(&mut log, 7, 0, i * 2).unwrap().first_offset);
            for other in 0..others {
                send(&mut log, 100 + other, 0, i * 2).unwrap();
            }
        }
        let mut log = restarted(&disk, log);
        let end = log.log_end();
        for i in [4, 3, 7, 5, 6] {
            let again = send(&mut log, 7, 0, i * 2).unwrap();
            assert_eq!((again.duplicate, again.first_offset), (true, first_offsets[i as usize]), "batch {i}");
        }
        assert_eq!(log.log_end(), end, "nothing was written twice");
        for sequence in [4, 18, 15] {
            assert!(matches!(send(&mut log, 7, 0, sequence), Err(AppendError::Producer(_))), "sequence {sequence}");
        }
        assert!(!send(&mut log, 7, 0, 16).unwrap().duplicate);
    }
}

#[test]
fn r31_a_window_is_completed_with_batches_of_its_epoch_only() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for i in 0..3 {
        send(&mut log, 7, 0, i * 2).unwrap();
    }
    send(&mut log, 7, 1, 0).unwrap();
    let kept = send(&mut log, 7, 1, 2).unwrap();
    let mut log = restarted(&disk, log);
    assert!(matches!(send(&mut log, 7, 1, 4 + 2), Err(AppendError::Producer(_))), "a gap stays a gap");
    assert_eq!(send(&mut log, 7, 1, 0).unwrap().first_offset, Offset(6));
    assert_eq!(send(&mut log, 7, 1, 2).unwrap().first_offset, kept.first_offset);
    assert!(matches!(send(&mut log, 7, 0, 6), Err(AppendError::Producer(_))), "the old epoch stays fenced");
    let entry = log.producers().iter().next().unwrap().1;
    assert_eq!(entry.batches.len(), 2);
}

#[test]
fn r31_a_window_grows_on_after_a_restart_and_survives_another() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for i in 0..4 {
        send(&mut log, 7, 0, i * 2).unwrap();
    }
    let mut log = restarted(&disk, log);
    send(&mut log, 7, 0, 8).unwrap();
    let mut log = restarted(&disk, log);
    send(&mut log, 7, 0, 10).unwrap();
    for i in 1..6 {
        assert_eq!(send(&mut log, 7, 0, i * 2).unwrap().first_offset, Offset(i64::from(i) * 2));
    }
    assert_eq!(log.log_end(), Offset(12));
}

#[test]
fn r23_a_snapshot_of_batches_that_were_cut_off_is_not_believed() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for i in 0..5 {
        send(&mut log, 7, 0, i * 2).unwrap();
    }
    let mut log = restarted(&disk, log);
    log.truncate_to(Offset(4)).unwrap();
    assert_eq!(log.producers().iter().next().unwrap().1.last_sequence(), 3);
    for i in 0..6 {
        send(&mut log, 8, 0, i * 2).unwrap();
    }
    log.roll().unwrap();
    send(&mut log, 8, 0, 12).unwrap();
    // The newest snapshot left is the one at offset 10, if it is still there: it was taken of other batches.
    log.truncate_to(Offset(14)).unwrap();
    let known: Vec<_> = log.producers().iter().map(|(id, entry)| (id.0, entry.last_sequence())).collect();
    assert_eq!(known, [(7, 3), (8, 9)]);
}

#[test]
fn r23_an_emptied_log_forgets_its_producers() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    send(&mut log, 7, 0, 0).unwrap();
    let mut log = restarted(&disk, log);
    log.truncate_fully(Offset(2)).unwrap();
    let (log, _) = reopen(&disk, false, Offset::ZERO).unwrap();
    assert_eq!((log.log_end(), log.producers().iter().count()), (Offset(2), 0));
}

#[test]
fn r23_recovery_removes_every_torn_snapshot() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    let snapshot = |offset: i64| Path::new(DIR).join(format!("{offset:020}.snapshot"));
    for i in 0..3 {
        send(&mut log, 7, 0, i * 2).unwrap();
        log.roll().unwrap();
    }
    drop(log);
    assert!(disk.read(&snapshot(2)).unwrap().is_some() && disk.read(&snapshot(4)).unwrap().is_some());
    for torn in [2, 4] {
        let sound = disk.read(&snapshot(torn)).unwrap().unwrap();
        disk.overwrite(&snapshot(torn), &sound[..sound.len() - 1]);
        let (log, _) = reopen(&disk, false, Offset(6)).unwrap();
        assert_eq!(log.producers().iter().next().unwrap().1.last_sequence(), 5);
        assert!(disk.read(&snapshot(torn)).unwrap().is_none(), "{torn}");
    }
}
