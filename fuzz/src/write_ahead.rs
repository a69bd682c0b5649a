//! Replay of a write-ahead file: a log dir in which some segments lack what was not synced, and whose file is edited.
//!
//! It is put back or refused, and doing it again changes nothing. As long as no checksum was made right after an edit, a segment holds only
//! bytes that were written to it.

use crate::files::{shared, write};
use crate::heap::bounded;
use crate::take::Take;
use base::{LeaderEpoch, Offset, SeededRng, Timestamp, Uuid};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch, crc32c};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use storage::{
    Disk, FaultyMemDisk, Log, LogConfig, LogOptions, PASSED_BY_FILE, SyncTicket, WRITE_AHEAD_FILE, WriteAhead, commit,
    offset_of_file, replay,
};

const ROOT: &str = "/d";
/// More than are synced one by one.
const LOGS: usize = 4;
/// Rounds, between which the space is given back twice: so there are blocks of several generations in both areas.
const ROUNDS: usize = 9;
const AREA_BYTES: u64 = 128 << 10;
const EDITS_MAX: usize = 8;
/// Bytes that an edit may put in.
const CHANGED_MAX: usize = 64;
/// Blocks and control slots begin at multiples of this.
const ALIGN: usize = 4_096;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A log dir with everything that was written: before one of its logs was cut, and when the power went.
struct Written {
    before_cut: Files,
    last: Files,
}

fn written() -> &'static Written {
    static MADE: OnceLock<Written> = OnceLock::new();
    MADE.get_or_init(make)
}

fn make() -> Written {
    let disk = FaultyMemDisk::new(1);
    let root = Path::new(ROOT);
    disk.create_dir(root).expect("this disk does not fail");
    let mut rng = SeededRng::new(7);
    let write_ahead = Arc::new(WriteAhead::with_area_bytes(shared(&disk), root, &mut rng, AREA_BYTES));
    let config = Arc::new(LogConfig { segment_bytes: 1_500, ..LogConfig::default() });
    let open = |at: usize| {
        let (dir, id) = (root.join(format!("t-{at}")), Uuid(at as u128 + 1));
        let (log_start, recovery_point) = (Offset::ZERO, Offset::ZERO);
        let compacted_to = Offset(0);
        let options =
            LogOptions { dir, config: Arc::clone(&config), recovery_point, log_start, compacted_to, clean: false };
        let mut log = Log::create(shared(&disk), options).expect("this disk does not fail");
        log.write_topic_id(id).expect("this disk does not fail");
        log.attach(Arc::clone(&write_ahead), id);
        log
    };
    let mut logs: Vec<Log> = (0..LOGS).map(open).collect();
    let mut before_cut = Files::new();
    for round in 0..ROUNDS {
        logs.iter_mut().for_each(|log| append(log, round));
        if round == ROUNDS - 2 {
            before_cut = contents(&disk);
            let cut = Offset(logs[0].log_end().0 - 2);
            logs[0].truncate_to(cut).expect("this disk does not fail");
        }
        let tickets: Vec<SyncTicket> =
            logs.iter_mut().filter_map(|log| log.ticket().expect("this disk does not fail")).collect();
        commit(&disk, root, Some(&write_ahead), &tickets).expect("this disk does not fail");
        if round % 4 == 3 {
            write_ahead.retire().expect("this disk does not fail");
        }
    }
    Written { before_cut, last: contents(&disk) }
}

fn append(log: &mut Log, round: usize) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = [round as u8; 150];
    builder.append(&NewRecord { timestamp: Timestamp(1_000), value: Some(&value), ..NewRecord::default() });
    let bytes = builder.build();
    let batch = ValidBatch::internal(&bytes).expect("our own batch is one");
    log.append(Timestamp(1_000), &batch, LeaderEpoch(0)).expect("this disk does not fail");
}

/// All files below the log dir.
fn contents(disk: &FaultyMemDisk) -> Files {
    let mut files = Files::new();
    for (name, is_dir) in disk.names(Path::new(ROOT)).expect("this disk does not fail") {
        let path = Path::new(ROOT).join(name);
        let inner = if is_dir { disk.names(&path).expect("this disk does not fail") } else { Vec::new() };
        let paths = inner.into_iter().map(|(name, _)| path.join(name)).chain((!is_dir).then(|| path.clone()));
        for file in paths {
            let bytes = disk.read(&file).expect("this disk does not fail").expect("a file that is listed");
            files.insert(file, bytes);
        }
    }
    files
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    matches!(offset_of_file(&name), Some((_, "log")))
}

/// See the module. Each edit says what, of which file, and where.
pub fn write_ahead(data: &[u8]) {
    let mut take = Take(data);
    let mut files = written().last.clone();
    let mut is_mended = false;
    for _ in 0..EDITS_MAX {
        if take.is_empty() {
            break;
        }
        is_mended |= edit(&mut files, &mut take);
    }
    let disk = FaultyMemDisk::new(1);
    files.iter().for_each(|(path, bytes)| write(&disk, path, bytes));
    let size: usize = files.values().map(Vec::len).sum();
    let replayed = bounded(size, 8 * size, || replay(&disk, Path::new(ROOT)));
    let after = contents(&disk);
    let Ok(replayed) = replayed else {
        assert_eq!(after.get(&wal()), files.get(&wal()), "a file that is refused is left as it is");
        return;
    };
    assert!(!after.contains_key(&wal()), "a file that was put back is gone");
    let is_aside = after.contains_key(&Path::new(ROOT).join(PASSED_BY_FILE));
    assert_eq!(is_aside, !replayed.passed_by.is_empty(), "what was not put back as a whole is kept");
    if !is_mended {
        after.iter().filter(|(path, _)| is_segment(path)).for_each(|(path, bytes)| {
            assert_is_written(path, bytes, &files);
        });
    }
    // As after a crash just before the file was removed: all that it holds is there already.
    if !is_aside && let Some(bytes) = files.get(&wal()) {
        write(&disk, &wal(), bytes);
        replay(&disk, Path::new(ROOT)).expect("what was put back can be put back again");
        assert_eq!(contents(&disk), after, "the second replay");
    }
}

fn wal() -> PathBuf {
    Path::new(ROOT).join(WRITE_AHEAD_FILE)
}

/// Each byte of a segment is what replay found there, or what was written there once; before what was put back may be a hole, where an edit
/// took bytes that had been synced.
fn assert_is_written(path: &Path, bytes: &[u8], found: &Files) {
    let versions = [found, &written().before_cut, &written().last].map(|files| files.get(path));
    for (at, byte) in bytes.iter().enumerate() {
        let is_hole = *byte == 0 && versions[0].is_none_or(|found| at >= found.len());
        let is_known = is_hole || versions.iter().flatten().any(|version| version.get(at) == Some(byte));
        assert!(is_known, "{}: byte {at} was never written", path.display());
    }
}

/// One edit; whether it made a checksum right.
fn edit(files: &mut Files, take: &mut Take<'_>) -> bool {
    let (what, which, at) = (take.byte(), usize::from(take.byte()), take.short());
    if what % 8 < 3 {
        // What was not synced is lost: a segment's end.
        let segments = files.iter_mut().filter(|(path, _)| is_segment(path));
        let mut segments: Vec<&mut Vec<u8>> = segments.map(|(_, bytes)| bytes).collect();
        let count = segments.len().max(1);
        if let Some(bytes) = segments.get_mut(which % count) {
            bytes.truncate(at % (bytes.len() + 1));
        }
        return false;
    }
    if what % 8 == 3 {
        let which = which % files.len().max(1);
        files.retain({
            let mut number = 0..;
            move |_, _| number.next() != Some(which)
        });
        return false;
    }
    let Some(bytes) = files.get_mut(&wal()) else { return false };
    // Most of the file is zeros: a place is a block or slot, and one in its first bytes.
    let start = which % (bytes.len() / ALIGN).max(1) * ALIGN;
    let at = (start + at % ALIGN).min(bytes.len());
    match what % 8 {
        4 => bytes.truncate(at),
        5 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (what >> 5)),
        6 => {
            let count = CHANGED_MAX.min(usize::from(take.byte()));
            let new = take.bytes(count);
            bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
        }
        _ => return mend(&mut bytes[start..]),
    }
    false
}

/// Gives the block or control slot at the start its right checksum; whether there is one.
fn mend(bytes: &mut [u8]) -> bool {
    if bytes.starts_with(b"thalctl1") && bytes.len() >= 36 {
        let sum = crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&sum.to_be_bytes());
        return true;
    }
    let Some(header) = bytes.get(..32).filter(|header| header.starts_with(b"thalwal1")) else { return false };
    let len = u32::from_be_bytes(header[24..28].try_into().expect("four bytes")) as usize;
    let Some(block) = bytes.get_mut(..len).filter(|block| block.len() >= 32) else { return false };
    let sum = crc32c(&block[..28]).rotate_left(7) ^ crc32c(&block[32..]);
    block[28..32].copy_from_slice(&sum.to_be_bytes());
    true
}
