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
