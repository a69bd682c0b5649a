//! Damage of the file itself: what was confirmed is put back or missed, and never passed over in silence.

use super::super::block::SLOTS_AT;
use super::super::live::runs;
use super::{AREA, append, file, logs, round};
use crate::write_ahead::{ALIGN, AREAS_AT, WRITE_AHEAD_FILE, WriteAhead, replay};
use crate::{Committed, Disk, FaultyMemDisk, LogError, OpenMode};
use std::path::{Path, PathBuf};

fn path() -> PathBuf {
    Path::new("/d").join(WRITE_AHEAD_FILE)
}

/// Some rounds, each a block.
fn rounds(disk: &FaultyMemDisk, write_ahead: &WriteAhead, logs: &mut [crate::Log], count: usize) {
    for _ in 0..count {
        append(logs, 10);
        assert_eq!(round(disk, write_ahead, logs).unwrap(), Committed::WriteAhead);
    }
}

/// How many blocks are put back once the file has these bytes; the file is gone if they are, and is left if they are not.
fn blocks_of(disk: &FaultyMemDisk, bytes: &[u8]) -> Result<u64, LogError> {
    drop(disk.open(&path(), OpenMode::Write).unwrap());
    disk.overwrite(&path(), bytes);
    let replayed = replay(disk, Path::new("/d")).map(|replayed| replayed.blocks);
    assert_eq!(disk.read(&path()).unwrap().is_some(), replayed.is_err(), "what is damaged is left as it is");
    replayed
}

/// Bytes of a slot of which each matters.
const SLOT_BYTES: usize = 36;

#[test]
fn r26_a_flipped_bit_of_a_control_slot_costs_nothing() {
    for retired in [0, 1, 2] {
        let disk = FaultyMemDisk::new(1);
        let (write_ahead, mut logs) = logs(&disk, 5);
        for _ in 0..retired {
            rounds(&disk, &write_ahead, &mut logs, 1);
            assert!(write_ahead.retire().unwrap());
        }
        rounds(&disk, &write_ahead, &mut logs, 3);
        let whole = file(&disk);
        for slot in SLOTS_AT {
            for bit in 0..SLOT_BYTES * 8 {
                let mut bad = whole.clone();
                bad[slot as usize + bit / 8] ^= 1 << (bit % 8);
                assert_eq!(blocks_of(&disk, &bad).unwrap(), 3, "slot at {slot}, bit {bit}, {retired} retired");
            }
        }
    }
}

#[test]
fn r26_blocks_without_any_control_are_reported_and_a_file_that_was_just_begun_is_not() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    rounds(&disk, &write_ahead, &mut logs, 1);
    let mut bad = file(&disk);
    SLOTS_AT.iter().for_each(|at| bad[*at as usize + 20] ^= 4);
    assert!(matches!(blocks_of(&disk, &bad), Err(LogError::Corrupt { .. })));
    // One torn while the file was made: nothing was confirmed by it.
    bad[AREAS_AT as usize..].fill(0);
    assert_eq!(blocks_of(&disk, &bad).unwrap(), 0);
    assert_eq!(blocks_of(&disk, &[]).unwrap(), 0);
}

#[test]
fn r26_a_damaged_block_of_the_area_that_is_being_retired_is_reported() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    rounds(&disk, &write_ahead, &mut logs, 2);
    let before = file(&disk);
    assert!(write_ahead.retire().unwrap());
    rounds(&disk, &write_ahead, &mut logs, 1);
    // A power cut before the control said that the segments are synced.
    let mut left = file(&disk);
    let (control, _) = before.split_at(AREAS_AT as usize);
    left[..control.len()].copy_from_slice(control);
    assert_eq!(blocks_of(&disk, &left).unwrap(), 3);
    for block in 0..2 {
        for at in [0, 9, 20, 25, 29, 40, 100] {
            let mut bad = left.clone();
            bad[(AREAS_AT + block * ALIGN) as usize + at] ^= 4;
            let found = blocks_of(&disk, &bad);
            assert!(matches!(found, Err(LogError::Corrupt { .. })), "block {block} byte {at}: {found:?}");
        }
    }
    // The last block of all may be a torn one.
    let mut torn = left.clone();
    torn[(AREAS_AT + AREA) as usize + 40] ^= 4;
    assert_eq!(blocks_of(&disk, &torn).unwrap(), 2);
    // What is retired may be anything.
    let mut retired = retired(&left);
    retired[AREAS_AT as usize + 40] ^= 4;
    assert_eq!(blocks_of(&disk, &retired).unwrap(), 1);
}

/// `left` with a control that says that its first area is retired.
fn retired(left: &[u8]) -> Vec<u8> {
    let other = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&other, 5);
    rounds(&other, &write_ahead, &mut logs, 2);
    assert!(write_ahead.retire().unwrap());
    let mut bytes = left.to_vec();
    bytes[..AREAS_AT as usize].copy_from_slice(&file(&other)[..AREAS_AT as usize]);
    bytes
}

#[test]
fn many_headers_that_are_not_whole_cost_no_more_than_some_passes() {
    let disk = FaultyMemDisk::new(1);
    let (write_ahead, mut logs) = logs(&disk, 5);
    rounds(&disk, &write_ahead, &mut logs, 1);
    let mut bad = file(&disk);
    let (from, to) = (AREAS_AT as usize, (AREAS_AT + AREA) as usize);
    bad.resize(to, 0);
    let header = bad[from..from + 32].to_vec();
    for at in (from..to).step_by(ALIGN as usize) {
        bad[at..at + 32].copy_from_slice(&header);
        let len = u32::try_from(to - at).unwrap();
        bad[at + 24..at + 28].copy_from_slice(&len.to_be_bytes());
    }
    let error = runs(&path(), &bad, true).err().expect("refused");
    assert!(error.to_string().contains("than a power cut leaves"), "{error}");
}

#[test]
fn r20_a_power_cut_while_a_control_is_written_leaves_one() {
    let mut found = Vec::new();
    for operation in 0..8 {
        for seed in 0..10 {
            let disk = FaultyMemDisk::new(seed);
            let (write_ahead, mut logs) = logs(&disk, 5);
            rounds(&disk, &write_ahead, &mut logs, 2);
            disk.cut_power_after(operation);
            assert!(write_ahead.retire().unwrap());
            let Some(after) = disk.take_cut() else { continue };
            found.push(replay(&after, Path::new("/d")).unwrap().blocks);
        }
    }
    assert!(found.contains(&2) && found.contains(&0), "{found:?}");
    assert!(found.iter().all(|blocks| [0, 2].contains(blocks)), "{found:?}");
}
