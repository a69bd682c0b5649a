//! Every byte cut and every bit turned of every file of a small log: what opens must read as it was written, or not at all.
//!
//! Offset and leader epoch of a batch lie outside of its checksum, as in Kafka; their bits are left alone in segments.

use super::{DIR, append, options};
use crate::{Disk, FaultyMemDisk, Log, LogOptions, OpenMode, ReadError};
use base::{Offset, Timestamp};
use record::Batches;
use std::path::Path;
use std::sync::Arc;

/// Records of the whole log.
const RECORDS: i64 = 18;

/// The last segment's name.
const LAST: &str = "00000000000000000012";

/// What is in the folder of a log of three segments, by name.
type Files = Vec<(String, Vec<u8>)>;

fn written(closed: bool) -> Files {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let small = |log: &mut Log| log.reconfigure(crate::LogConfig { index_interval_bytes: 100, ..log.config().clone() });
    let mut log = Log::create(Arc::new(disk.clone()), options(false)).unwrap();
    small(&mut log);
    for segment in 0..3 {
        for _ in 0..3 {
            append(&mut log, 2, 10);
        }
        if segment < 2 {
            log.roll().unwrap();
        }
    }
    if closed {
        log.close().unwrap();
    }
    drop(log);
    let files = disk.list(Path::new(DIR)).unwrap();
    files.into_iter().map(|e| (e.name.clone(), disk.read(&Path::new(DIR).join(&e.name)).unwrap().unwrap())).collect()
}

/// Opens a log of these files.
fn open(files: &Files, changed: (usize, &[u8]), clean: bool, recovery_point: i64) -> Result<Log, crate::LogError> {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new(DIR)).unwrap();
    for (at, (name, bytes)) in files.iter().enumerate() {
        let bytes = if at == changed.0 { changed.1 } else { bytes };
        disk.open(&Path::new(DIR).join(name), OpenMode::Truncate).unwrap().write_all_at(&[bytes], 0).unwrap();
    }
    let options = LogOptions { recovery_point: Offset(recovery_point), ..options(clean) };
    Log::open(Arc::new(disk), options).map(|(log, _)| log)
}

/// The values from `from` on as a consumer gets them that checks checksums; `None` once it finds damage.
fn read_from(log: &mut Log, from: Offset) -> Option<Vec<i64>> {
    let (mut at, mut values) = (from, Vec::new());
    while at < log.log_end() {
        let slice = match log.read(at, log.log_end(), 1 << 20, true) {
            Ok(slice) => slice,
            Err(ReadError::OutOfRange { .. } | ReadError::Corrupt { .. } | ReadError::Disk(_)) => return None,
        };
        let bytes = log.read_slice(&slice).ok()?;
        let before = at;
        for batch in Batches::new(&bytes) {
            let batch = batch.ok()?;
            batch.verify_crc().ok()?;
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch, 1 << 20).ok()? {
                let record = record.ok()?;
                if record.offset >= at {
                    values.push(std::str::from_utf8(record.value?).ok()?.parse().ok()?);
                }
            }
            at = batch.header.next_offset();
        }
        if at == before {
            return None;
        }
    }
    Some(values)
}

/// How often damage was reported at the start, found by readers, cut away, and without effect.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    reported: u32,
    found: u32,
    cut: u32,
    harmless: u32,
}

impl Seen {
    /// Everything that opens is right: nothing at or above `least` is missing, and nothing is another value than was written.
    fn judge(&mut self, opened: Result<Log, crate::LogError>, least: i64, what: &str) {
        let Ok(mut log) = opened else {
            self.reported += 1;
            return;
        };
        let (start, end) = (log.log_start().0, log.log_end().0);
        assert!(start == 0 && (least..=RECORDS).contains(&end), "{what}: it goes from {start} to {end}");
        let mut is_found = false;
        for from in 0..end {
            match read_from(&mut log, Offset(from)) {
                None => is_found = true,
                Some(values) => assert_eq!(values, (from..end).collect::<Vec<_>>(), "{what}: from {from}"),
            }
        }
        for value in 0..end {
            // A look-up by time says where the first record with that time is, or that it cannot.
            if let Ok(at) = log.offset_for_time(Timestamp(1_000 + value)) {
                let at = at.map(|at| at.offset.0);
                assert!(at == Some(value) || is_found, "{what}: the time of {value} is at {at:?}");
            }
        }
        match (is_found, end == RECORDS) {
            (true, _) => self.found += 1,
            (false, false) => self.cut += 1,
            (false, true) => self.harmless += 1,
        }
    }
}

/// Whether a batch ends at this byte of a segment that is not the last. A segment that was cut there looks whole: only whoever reads all
/// segments, as `storage verify` does, misses the offsets up to the next one. The last segment's end is known.
fn looks_whole(name: &str, bytes: &[u8], at: usize) -> bool {
    let mut end = 0;
    while name.ends_with(".log") && end < at {
        end += 12 + u32::from_be_bytes(bytes[end + 8..end + 12].try_into().unwrap()) as usize;
    }
    name.ends_with(".log") && end == at && at > 0 && !name.starts_with(LAST)
}

/// Bytes of a file whose bits mean something that a checksum or an order can tell.
fn is_covered(name: &str, bytes: &[u8], at: usize) -> bool {
    if !name.ends_with(".log") {
        return true;
    }
    let mut batch = 0;
    loop {
        let len = 12 + u32::from_be_bytes(bytes[batch + 8..batch + 12].try_into().unwrap()) as usize;
        if at < batch + len {
            // How many offsets the last batch has is taken from it, and what it holds is looked at when it is read.
            let is_last = name.starts_with(LAST) && batch + len == bytes.len();
            let at = at - batch;
            return !((0..8).contains(&at) || (12..16).contains(&at) || is_last && (23..27).contains(&at));
        }
        batch += len;
    }
}

fn every_damage(clean: bool, recovery_point: i64, least: impl Fn(&str) -> i64) -> Seen {
    let files = written(clean);
    let mut seen = Seen::default();
    for (number, (name, bytes)) in files.iter().enumerate() {
        for at in 0..bytes.len() {
            if recovery_point == 0 || !looks_whole(name, bytes, at) {
                let what = format!("{name} cut at {at}");
                seen.judge(open(&files, (number, &bytes[..at]), clean, recovery_point), least(name), &what);
            }
            if !is_covered(name, bytes, at) {
                continue;
            }
            for bit in 0..8 {
                let mut turned = bytes.clone();
                turned[at] ^= 1 << bit;
                let what = format!("{name} byte {at} bit {bit}");
                seen.judge(open(&files, (number, &turned), clean, recovery_point), least(name), &what);
            }
        }
    }
    seen
}

#[test]
fn r20_r26_after_a_crash_every_damage_above_the_recovery_point_is_cut_or_reported() {
    let seen = every_damage(false, 0, |name| if name.ends_with(".log") { 0 } else { RECORDS });
    assert!(seen.cut > 1_000 && seen.harmless > 100 && seen.found == 0, "{seen:?}");
}

#[test]
fn r26_after_a_crash_every_damage_below_the_recovery_point_is_reported_or_harmless() {
    let seen = every_damage(false, RECORDS, |_| RECORDS);
    assert!(seen.cut == 0 && seen.reported > 500, "{seen:?}");
}

#[test]
fn after_a_clean_stop_no_damage_is_read_as_if_it_were_none() {
    let seen = every_damage(true, RECORDS, |_| RECORDS);
    assert!(seen.cut == 0 && seen.found + seen.reported > 1_000 && seen.harmless > 100, "{seen:?}");
}
