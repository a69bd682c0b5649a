//! Record batches of Kafka's format v2 (KIP-98): view, build, validate, stamp; compression; control records.
//!
//! Pure. A produced batch keeps its bytes: validation borrows the received frame and gives back a proof that storage takes, and
//! only the 61 header bytes are ever written anew. It knows bytes, not topics, partitions or logs.

mod batch;
mod builder;
mod compress;
pub mod control;
mod crc;
mod header;
mod records;
mod validate;
mod varint;

pub use batch::{BatchView, Batches};
pub use builder::{BatchBuilder, BatchOptions, Header, NewRecord};
pub use compress::{Codec, CompressError, Compression, DECOMPRESSED_BATCH_BYTES_MAX, Scratch, compress, decompress};
pub use crc::crc32c;
pub use header::{BATCH_OVERHEAD, BatchError, BatchHeader, LOG_OVERHEAD, TimestampType};
pub use records::{HeaderIter, RecordIter, RecordView};
pub use validate::{ProducePolicy, Rejection, StampedHeader, ValidBatch, validate};

#[cfg(test)]
mod tests;
