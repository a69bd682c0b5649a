//! Building batches: a producer's, the metadata log's, control batches.

use crate::compress::{Codec, Compression, Scratch};
use crate::crc::crc32c;
use crate::header::{BATCH_OVERHEAD, BatchHeader, CRC_FROM, TimestampType, attribute};
use crate::varint::{len_i64, put_i32, put_i64};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key; keys may repeat.
    pub key: &'a str,
    /// Its value, if any.
    pub value: Option<&'a [u8]>,
}

/// A record to be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Its create time.
    pub timestamp: Timestamp,
    /// Its key, if any.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [Header<'a>],
}

/// The fixed fields of a batch to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record; a producer's batch has 0.
    pub base_offset: Offset,
    /// Epoch of the leader that appends it; -1 in a producer's batch.
    pub leader_epoch: LeaderEpoch,
    /// How the records are compressed.
    pub compression: Compression,
    /// The producer's id, -1 when not idempotent.
    pub producer_id: ProducerId,
    /// The producer's epoch, -1 when not idempotent.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, -1 when not idempotent.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// A control batch.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            compression: Compression::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            transactional: false,
            control: false,
        }
    }
}

/// A batch that grows record by record.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    records: Vec<u8>,
    count: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            records: Vec::new(),
            count: 0,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp(i64::MIN),
        }
    }

    /// Adds a record and returns its offset delta, from 0.
    ///
    /// # Panics
    /// After 2^31-1 records: no batch holds more.
    pub fn append(&mut self, record: &NewRecord<'_>) -> i32 {
        let delta = self.count;
        if delta == 0 {
            self.base_timestamp = record.timestamp;
        }
        let timestamp_delta = record.timestamp.0.wrapping_sub(self.base_timestamp.0);
        let size = body_len(record, timestamp_delta, delta);
        self.records.reserve(size + 5);
        put_i64(&mut self.records, size as i64);
        self.records.push(0);
        put_i64(&mut self.records, timestamp_delta);
        put_i32(&mut self.records, delta);
        put_bytes(&mut self.records, record.key);
        put_bytes(&mut self.records, record.value);
        put_i64(&mut self.records, record.headers.len() as i64);
        for header in record.headers {
            put_bytes(&mut self.records, Some(header.key.as_bytes()));
            put_bytes(&mut self.records, header.value);
        }
        self.count = self.count.checked_add(1).expect("a batch holds fewer than 2^31 records");
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        delta
    }

    /// Adds a record unless the batch would then take more than `bytes_max` bytes without compression; `None` when it did not
    /// fit. The first record always fits: a record larger than a batch goes in a batch of its own.
    ///
    /// # Panics
    /// As [`BatchBuilder::append`].
    pub fn try_append(&mut self, record: &NewRecord<'_>, bytes_max: usize) -> Option<i32> {
        (self.is_empty() || self.size_with(record) <= bytes_max).then(|| self.append(record))
    }

    /// Empties it for the next batch, keeping its memory.
    pub fn reset(&mut self, options: BatchOptions) {
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        *self = Self { records, ..Self::new(options) };
    }

    /// Bytes that the batch would have without compression.
    #[must_use]
    pub fn uncompressed_size(&self) -> usize {
        BATCH_OVERHEAD + self.records.len()
    }

    /// Bytes that `record` would add without compression, at most.
    #[must_use]
    pub fn size_with(&self, record: &NewRecord<'_>) -> usize {
        let delta =
            record.timestamp.0.wrapping_sub(if self.count == 0 { record.timestamp.0 } else { self.base_timestamp.0 });
        let body = body_len(record, delta, self.count);
        self.uncompressed_size() + body + len_i64(body as i64)
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch's bytes. Who builds many keeps a [`Scratch`] and uses [`BatchBuilder::build_in`].
    ///
    /// # Panics
    /// When there is no record: an empty batch is not appended.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.build_in(&mut Scratch::default())
    }

    /// The batch's bytes, compressed with contexts that are kept between batches.
    ///
    /// # Panics
    /// As [`BatchBuilder::build`].
    #[must_use]
    pub fn build_in(&self, scratch: &mut Scratch) -> Vec<u8> {
        assert!(self.count > 0, "a batch needs a record");
        let options = &self.options;
        let room = if options.compression.codec == Codec::None { self.records.len() } else { self.records.len() / 2 };
        let mut bytes = Vec::with_capacity(BATCH_OVERHEAD + room);
        bytes.resize(BATCH_OVERHEAD, 0);
        scratch.compress(options.compression, &self.records, &mut bytes);
        let mut attributes = options.compression.codec as i16;
        attributes |= if options.transactional { attribute::TRANSACTIONAL } else { 0 };
        attributes |= if options.control { attribute::CONTROL } else { 0 };
        let mut header = BatchHeader {
            base_offset: options.base_offset,
            size: bytes.len(),
            leader_epoch: options.leader_epoch,
            crc: 0,
            attributes,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.count,
        };
        debug_assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
        bytes[..BATCH_OVERHEAD].copy_from_slice(&header.to_bytes());
        header.crc = crc32c(&bytes[CRC_FROM..]);
        bytes[..BATCH_OVERHEAD].copy_from_slice(&header.to_bytes());
        bytes
    }
}

fn body_len(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> usize {
    let headers = record.headers.iter().map(|header| bytes_len(Some(header.key.as_bytes())) + bytes_len(header.value));
    1 + len_i64(timestamp_delta)
        + len_i64(i64::from(offset_delta))
        + bytes_len(record.key)
        + bytes_len(record.value)
        + len_i64(record.headers.len() as i64)
        + headers.sum::<usize>()
}

fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| len_i64(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_i64(out, -1),
        Some(bytes) => {
            put_i64(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
