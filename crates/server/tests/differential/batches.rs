//! Batches to produce: sound ones, and ones with one thing wrong.

use base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use record::{BatchBuilder, BatchHeader, BatchOptions, Codec, Compression, NewRecord, crc32c};

/// The create time of the first record; further ones follow by 10 ms. Within `message.timestamp.before.max.ms`, whose default is for ever.
pub(crate) const FIRST_TIME: i64 = 1_750_000_000_000;

/// A producer's batch of `count` records.
pub(crate) fn batch(options: BatchOptions, count: usize) -> Vec<u8> {
    batch_at(options, count, FIRST_TIME)
}

/// A producer's batch whose first record has this create time.
pub(crate) fn batch_at(options: BatchOptions, count: usize, first: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for at in 0..count {
        let (key, value) = (format!("key-{at}"), format!("value-{at}-{}", "x".repeat(20)));
        builder.append(&NewRecord {
            timestamp: Timestamp(first + 10 * at as i64),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        });
    }
    builder.build()
}

/// A plain batch.
pub(crate) fn plain(count: usize) -> Vec<u8> {
    batch(BatchOptions::default(), count)
}

/// A batch without keys, one record of which is for a compacted topic.
pub(crate) fn keyless() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for key in [Some(&b"k"[..]), None, None] {
        builder.append(&NewRecord { timestamp: Timestamp(FIRST_TIME), key, value: Some(b"v"), headers: &[] });
    }
    builder.build()
}

/// A compressed batch.
pub(crate) fn compressed(codec: Codec) -> Vec<u8> {
    batch(BatchOptions { compression: Compression::of(codec), ..BatchOptions::default() }, 3)
}

/// A batch of an idempotent producer.
pub(crate) fn idempotent(producer: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let options = BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    batch(options, count)
}

/// A batch with a changed header and a sound checksum.
pub(crate) fn with_header(bytes: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(&bytes).expect("a sound batch");
    change(&mut header);
    let mut out = header.to_bytes().to_vec();
    out.extend_from_slice(&bytes[out.len()..]);
    let crc = crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

/// A batch that starts at another offset.
pub(crate) fn from_offset(offset: i64) -> Vec<u8> {
    batch(BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() }, 2)
}

/// One message of format 1, as producers before Kafka 0.11 sent.
pub(crate) fn old_message() -> Vec<u8> {
    let mut message = vec![1, 0];
    message.extend_from_slice(&FIRST_TIME.to_be_bytes());
    message.extend_from_slice(&(-1_i32).to_be_bytes());
    message.extend_from_slice(&3_i32.to_be_bytes());
    message.extend_from_slice(b"old");
    let mut out = 0_i64.to_be_bytes().to_vec();
    out.extend_from_slice(&(4 + message.len() as i32).to_be_bytes());
    out.extend_from_slice(&crc32(&message).to_be_bytes());
    out.extend_from_slice(&message);
    out
}

/// The checksum of formats 0 and 1.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}
