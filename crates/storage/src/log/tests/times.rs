//! Looking records up by time in compressed batches.

use super::{new_log, options};
use crate::{FaultyMemDisk, LogConfig};
use base::{LeaderEpoch, Offset, Timestamp};
use record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord, ValidBatch};

/// Ten records of 400 bytes each, a millisecond apart.
fn compressed(codec: Codec) -> Vec<u8> {
    let compression = Compression { codec, level: None };
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for i in 0..10 {
        builder.append(&NewRecord { timestamp: Timestamp(1_000 + i), value: Some(&[7; 400]), ..NewRecord::default() });
    }
    builder.build()
}

#[test]
fn max_decompressed_message_bytes_bounds_one_record_not_the_batch() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let disk = FaultyMemDisk::new(1);
        let mut log = new_log(&disk);
        log.reconfigure(LogConfig { decompressed_bytes_max: 1_000, ..options(false).config });
        log.append(Timestamp(0), &ValidBatch::internal(&compressed(codec)).unwrap(), LeaderEpoch(0)).unwrap();
        let found = log.offset_for_time(Timestamp(1_009)).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (Offset(9), Timestamp(1_009)), "{codec:?}");
        assert_eq!(log.max_timestamp().unwrap().unwrap().offset, Offset(9), "{codec:?}");
    }
}

#[test]
fn only_what_this_process_appended_counts_as_recent() {
    let disk = FaultyMemDisk::new(1);
    let mut log = new_log(&disk);
    for _ in 0..2 {
        log.append(Timestamp(0), &ValidBatch::internal(&compressed(Codec::Lz4)).unwrap(), LeaderEpoch(0)).unwrap();
    }
    let end = log.log_end();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, 0);
    log.close().unwrap();
    let (mut log, _) = super::reopen(&disk, true, Offset::ZERO).unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, u64::MAX);
    let size = log.size_bytes();
    log.append(Timestamp(0), &ValidBatch::internal(&compressed(Codec::Lz4)).unwrap(), LeaderEpoch(0)).unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, size);
    log.roll().unwrap();
    assert_eq!(log.read(Offset(0), end, 1 << 20, true).unwrap().recent_from, u64::MAX);
}
