//! Recovery of a log: one of the partitions that Kafka wrote (`crates/storage/tests/golden`), edited, is opened as after a crash
//! or after a clean stop.
//!
//! What opens can be read to its end, appended to and opened again; opening it again finds the same end and changes nothing.

use crate::files::{shared, write};
use crate::heap::bounded;
use crate::records::mend;
use crate::take::Take;
use base::{LeaderEpoch, Offset, Timestamp};
use record::{BatchBuilder, BatchOptions, Batches, NewRecord, ValidBatch};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use storage::{Disk, FaultyMemDisk, Log, LogConfig, LogError, LogOptions, Recovery, offset_of_file};

/// Edits of one input.
const EDITS_MAX: usize = 12;
/// Bytes that an edit may add.
const ADDED_MAX: usize = 300;
/// Where the partition is on its disk.
const DIR: &str = "/d/t-0";
/// The partitions, and the index interval that each was written with.
pub(crate) const PARTITIONS: [(&str, u64); 6] = [
    ("codecs-0", 100),
    ("compacted-0", 100),
    ("epochs-0", 300),
    ("rolled-0", 500),
    ("trimmed-0", 4096),
    ("txn-0", 100),
];

type Files = BTreeMap<String, Vec<u8>>;

fn partitions() -> &'static [Files] {
    static READ: OnceLock<Vec<Files>> = OnceLock::new();
    READ.get_or_init(|| PARTITIONS.iter().map(|(name, _)| read(name)).collect())
}

fn read(partition: &str) -> Files {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/storage/tests/golden/data").join(partition);
    let entries = std::fs::read_dir(&golden).expect("Kafka's partitions are checked in");
    let mut files = Files::new();
    for entry in entries.map(|entry| entry.expect("a folder can be listed")) {
        let bytes = std::fs::read(entry.path()).expect("a file can be read");
        files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    files
}

/// See the module. The first bytes choose partition, recovery point, log start and whether the stop was clean; edits follow.
pub fn recovery(data: &[u8]) {
    let mut take = Take(data);
    let choice = usize::from(take.byte()) % PARTITIONS.len();
    let (name, index_interval_bytes) = PARTITIONS[choice];
    let (flags, recovery_point, log_start) = (take.byte(), Offset(take.short() as i64), Offset(take.short() as i64));
    let mut files = partitions()[choice].clone();
    for _ in 0..EDITS_MAX {
        if take.is_empty() {
            break;
        }
        edit(&mut files, &mut take);
    }
    let disk = FaultyMemDisk::new(1);
    files.iter().for_each(|(file, bytes)| write(&disk, &Path::new(DIR).join(file), bytes));
    let options = LogOptions {
        dir: PathBuf::from(DIR),
        config: LogConfig { index_interval_bytes, compact: name == "compacted-0", ..LogConfig::default() }.into(),
        recovery_point: if flags & 2 == 0 { Offset(0) } else { recovery_point },
        log_start: if flags & 4 == 0 { Offset(0) } else { log_start },
        compacted_to: if flags & 8 == 0 { Offset(0) } else { recovery_point },
        clean: flags & 1 != 0,
    };
    let size: usize = files.values().map(Vec::len).sum();
    // Reading a compressed batch by time is streamed; a block of lz4 or snappy is the most that it holds.
    bounded(size, (6 << 20) + 64 * size, || {
        let Ok((mut log, recovery)) = open(&disk, &options) else { return };
        check(&disk, &mut log, &options, &recovery, size);
        again(&disk, &options, &log);
        go_on(&disk, &options, log);
    });
}

fn open(disk: &FaultyMemDisk, options: &LogOptions) -> Result<(Log, Recovery), LogError> {
    Log::open(shared(disk), options.clone())
}

/// Reads the log from its start to its end, in as many steps as there can be batches.
fn check(disk: &FaultyMemDisk, log: &mut Log, options: &LogOptions, recovery: &Recovery, size: usize) {
    assert!(log.log_start() <= log.log_end(), "{} after {}", log.log_start(), log.log_end());
    assert!(log.recovery_point() <= log.log_end(), "{} after {}", log.recovery_point(), log.log_end());
    assert!(recovery.truncated_bytes <= size as u64);
    let whole = !options.clean && options.recovery_point == Offset(0);
    let mut at = log.log_start();
    for _ in 0..=size {
        let Ok(slice) = log.read(at, log.log_end(), 1 << 20, true) else { break };
        let bytes = log.read_slice(&slice).expect("this disk does not fail");
        if bytes.is_empty() {
            break;
        }
        let mut next = at;
        for batch in Batches::new(&bytes) {
            let Ok(batch) = batch else { break };
            if whole {
                batch.verify_crc().expect("what was recovered has right checksums");
                assert!(batch.header.next_offset() <= log.log_end(), "a batch beyond the end");
            }
            next = next.max(batch.header.next_offset());
        }
        if next <= at {
            assert!(!whole, "a recovered log cannot be read beyond {at}");
            break;
        }
        at = next;
    }
    if whole {
        assert_eq!(beyond(disk, at), None, "a batch that no read has come to, from {at} on");
        // Compaction may have removed the last records of the last segment but one, and what cut the log those of the last.
        let was_compacted = options.config.compact || log.log_end() <= options.compacted_to;
        let is_gap = was_compacted || at == log.log_start();
        assert!(at >= log.log_end() || is_gap, "{at} of {} can be read", log.log_end());
    }
    for time in [0, 1_700_000_000_000, i64::MAX] {
        drop(log.offset_for_time(Timestamp(time)));
    }
    drop(log.max_timestamp());
    drop(log.aborted(log.log_start(), log.log_end()));
}

/// The last offset of a batch in the segments' files that is not before `at`.
fn beyond(disk: &FaultyMemDisk, at: Offset) -> Option<Offset> {
    let names = disk.names(Path::new(DIR)).expect("this disk does not fail");
    let logs = names.iter().filter(|(name, _)| matches!(offset_of_file(name), Some((_, "log"))));
    let contents = logs.map(|(name, _)| disk.read(&Path::new(DIR).join(name)).expect("this disk does not fail"));
    contents.flatten().find_map(|bytes| {
        let lasts = Batches::new(&bytes).map_while(Result::ok).map(|batch| batch.header.last_offset());
        lasts.max().filter(|last| *last >= at)
    })
}

/// Opening it once more as after a crash finds the same and cuts nothing.
fn again(disk: &FaultyMemDisk, options: &LogOptions, log: &Log) {
    if options.clean {
        return;
    }
    let (second, recovery) = open(disk, options).expect("a log that was recovered can be recovered");
    assert_eq!((second.log_start(), second.log_end()), (log.log_start(), log.log_end()), "the second recovery");
    assert_eq!(recovery.truncated_bytes, 0, "the second recovery cut something");
    assert_eq!(second.producers().to_snapshot(), log.producers().to_snapshot(), "producers of the second recovery");
}

/// Appends, stops, starts, truncates.
fn go_on(disk: &FaultyMemDisk, options: &LogOptions, mut log: Log) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { timestamp: Timestamp(1_700_000_000_000), key: Some(b"k"), value: None, headers: &[] });
    let bytes = builder.build();
    let batch = ValidBatch::internal(&bytes).expect("our own batch is one");
    let now = Timestamp(1_700_000_000_000);
    let end = log.log_end();
    if log.append(now, &batch, LeaderEpoch(i32::MAX - 1)).is_err() {
        return;
    }
    assert_eq!(log.log_end(), Offset(end.0 + 1));
    log.close().expect("this disk does not fail");
    let clean =
        LogOptions { clean: true, recovery_point: log.log_end(), log_start: log.log_start(), ..options.clone() };
    let (mut log, _) = open(disk, &clean).expect("a log that was closed opens");
    assert_eq!(log.log_end(), Offset(end.0 + 1), "after a clean stop");
    let middle = Offset(log.log_start().0 + (log.log_end().0 - log.log_start().0) / 2);
    if log.truncate_to(middle).is_ok() {
        assert!(log.log_end() <= middle.max(log.log_start()), "{} after a cut at {middle}", log.log_end());
    }
}

/// One edit of the files.
fn edit(files: &mut Files, take: &mut Take<'_>) {
    let (what, which, at) = (take.byte(), usize::from(take.byte()), take.short());
    let count = files.len().max(1);
    let Some((name, bytes)) = files.iter_mut().nth(which % count) else { return };
    let at = at % (bytes.len() + 1);
    match what % 8 {
        0 => bytes.truncate(at),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (what >> 5)),
        2 => bytes.iter_mut().skip(at).take(take.short()).for_each(|byte| *byte = 0),
        3 => {
            let name = name.clone();
            files.remove(&name);
        }
        4 => {
            let new = take.sized();
            bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
        }
        5 => {
            let new = take.sized();
            bytes.splice(at..at, new.iter().take(ADDED_MAX).copied());
        }
        6 => {
            // A stale or foreign file: another's bytes.
            let (other, name) = (usize::from(take.byte()) % count, name.clone());
            let other = files.values().nth(other).cloned().unwrap_or_default();
            files.insert(name, other);
        }
        _ => mend_batch(bytes, at),
    }
}

/// Makes right the checksum of the batch that `at` lies in, so that an edit inside of it is seen.
fn mend_batch(bytes: &mut [u8], at: usize) {
    let mut start = 0;
    while let Some(length) = bytes.get(start + 8..start + 12) {
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        let size = usize::try_from(length).unwrap_or(0).saturating_add(12);
        if start + size > at {
            mend(&mut bytes[start..], size);
            return;
        }
        start += size;
    }
}
