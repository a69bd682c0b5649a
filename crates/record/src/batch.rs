//! The fixed header of a batch over borrowed bytes, and walking a buffer batch by batch.
//!
//! Layout: base offset i64, length i32, partition leader epoch i32, magic i8, CRC-32C u32, attributes i16, last offset delta i32,
//! base timestamp i64, max timestamp i64, producer id i64, producer epoch i16, base sequence i32, record count i32, records.
//! The checksum covers everything from the attributes on, so offset and epoch are stamped without touching it.

use crate::compress::{Codec, CompressError, Scratch, decompress};
use crate::crc::crc32c;
use crate::records::{RecordIter, RecordView};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use std::ops::ControlFlow;

/// Bytes of a batch before its records.
pub const BATCH_OVERHEAD: usize = 61;
/// Bytes before what the length field counts: the base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// Where the bytes begin that the checksum covers.
pub(crate) const CRC_FROM: usize = 21;
const MAGIC: u8 = 2;

pub(crate) mod attribute {
    pub(crate) const CODEC: i16 = 0x07;
    pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
    pub(crate) const TRANSACTIONAL: i16 = 0x10;
    pub(crate) const CONTROL: i16 = 0x20;
    pub(crate) const DELETE_HORIZON: i16 = 0x40;
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch, or its header, has.
    #[error("a batch of {needed} bytes is cut off after {left}")]
    Truncated {
        /// Bytes of the batch, as far as known.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A length that no batch can have.
    #[error("{0} is no length of a batch")]
    InvalidLength(i32),
    /// Message formats 0 and 1 (before Kafka 0.11) and unknown ones.
    #[error("message format {0} is not supported, only 2 is")]
    UnsupportedMagic(u8),
    /// The checksum does not match: the bytes were damaged.
    #[error("the checksum is {stored:#010x} but the bytes give {computed:#010x}")]
    Checksum {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A record, or the count of records, contradicts the batch.
    #[error("record {index} is malformed: {what}")]
    Record {
        /// Which record of the batch, from 0.
        index: i32,
        /// What is wrong.
        what: &'static str,
    },
    /// The records cannot be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressError),
}

/// What a batch's timestamps mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the producer.
    CreateTime,
    /// Set by the broker when it appended: the batch's max timestamp is every record's.
    LogAppendTime,
}

/// The fixed fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Bytes of the whole batch, [`LOG_OVERHEAD`] included.
    pub size: usize,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// The stored checksum.
    pub crc: u32,
    /// The raw attributes.
    pub attributes: i16,
    /// Offset of the last record, from the base.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from; the delete horizon when [`BatchHeader::has_delete_horizon`].
    pub base_timestamp: Timestamp,
    /// Largest timestamp of the batch.
    pub max_timestamp: Timestamp,
    /// The producer's id, -1 when not idempotent.
    pub producer_id: ProducerId,
    /// The producer's epoch, -1 when not idempotent.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, -1 when not idempotent.
    pub base_sequence: i32,
    /// How many records there are (fewer than the offsets after compaction).
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which need hold no more than the header.
    ///
    /// # Errors
    /// When the bytes are too few, the length is impossible or the format is not 2.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let short = BatchError::Truncated { needed: BATCH_OVERHEAD, left: bytes.len() };
        let Some(length) = bytes.get(8..12) else { return Err(short) };
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        // The magic stands at the same place in every format: look at it before the rest.
        let Some(&magic) = bytes.get(16) else { return Err(short) };
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let size = usize::try_from(length).ok().and_then(|length| length.checked_add(LOG_OVERHEAD));
        let size = size.filter(|&size| size >= BATCH_OVERHEAD).ok_or(BatchError::InvalidLength(length))?;
        let Some(header) = bytes.first_chunk::<BATCH_OVERHEAD>() else { return Err(short) };
        Ok(Self::from_fixed(header, size))
    }

    fn from_fixed(h: &[u8; BATCH_OVERHEAD], size: usize) -> BatchHeader {
        let i64_at = |at: usize| i64::from_be_bytes(h[at..at + 8].try_into().expect("eight bytes"));
        let i32_at = |at: usize| i32::from_be_bytes(h[at..at + 4].try_into().expect("four bytes"));
        let i16_at = |at: usize| i16::from_be_bytes(h[at..at + 2].try_into().expect("two bytes"));
        BatchHeader {
            base_offset: Offset(i64_at(0)),
            size,
            leader_epoch: LeaderEpoch(i32_at(12)),
            crc: i32_at(17) as u32,
            attributes: i16_at(21),
            last_offset_delta: i32_at(23),
            base_timestamp: Timestamp(i64_at(27)),
            max_timestamp: Timestamp(i64_at(35)),
            producer_id: ProducerId(i64_at(43)),
            producer_epoch: ProducerEpoch(i16_at(51)),
            base_sequence: i32_at(53),
            record_count: i32_at(57),
        }
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BATCH_OVERHEAD] {
        let mut h = [0; BATCH_OVERHEAD];
        let length = i32::try_from(self.size - LOG_OVERHEAD).expect("a batch is smaller than 2 GiB");
        h[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        h[8..12].copy_from_slice(&length.to_be_bytes());
        h[12..16].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        h[16] = MAGIC;
        h[17..21].copy_from_slice(&self.crc.to_be_bytes());
        h[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        h[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        h[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        h[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        h[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        h[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        h[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        h[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        h
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// How the records are compressed; `None` for a codec that does not exist.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_id(self.attributes & attribute::CODEC)
    }

    /// What the timestamps mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & attribute::LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & attribute::TRANSACTIONAL != 0
    }

    /// Whether it holds a control record instead of data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & attribute::CONTROL != 0
    }

    /// Whether the base timestamp is the time after which compaction may drop tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & attribute::DELETE_HORIZON != 0
    }

    /// Whether an idempotent producer made it.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// Sequence number of the last record: wraps from 2^31-1 to 0.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) % (i64::from(i32::MAX) + 1)) as i32
    }
}

/// One whole batch over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Its fixed fields.
    pub header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the front of `bytes`, and what follows it. The checksum is not looked at.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and when the batch is longer than `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<(BatchView<'a>, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.split_at_checked(header.size) {
            Some((bytes, rest)) => Ok((BatchView { header, bytes }, rest)),
            None => Err(BatchError::Truncated { needed: header.size, left: bytes.len() }),
        }
    }

    /// All bytes of the batch.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records' bytes, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_OVERHEAD..]
    }

    /// Compares the stored checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Checksum`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[CRC_FROM..]);
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(BatchError::Checksum { stored, computed }) }
    }

    /// The records. Compressed ones are first decompressed into `scratch`, of which they then borrow. Who reads many batches keeps
    /// a [`Scratch`] and uses [`BatchView::records_in`]; who should not hold a whole batch, [`BatchView::for_each_record`].
    ///
    /// # Errors
    /// When the records cannot be decompressed, or into no more than `bytes_max` bytes. Malformed records are errors of the
    /// iterator.
    pub fn records<'s>(&self, scratch: &'s mut Vec<u8>, bytes_max: usize) -> Result<RecordIter<'s>, BatchError>
    where
        'a: 's,
    {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let payload: &'s [u8] = match codec {
            Codec::None => self.payload(),
            codec => {
                scratch.clear();
                decompress(codec, self.payload(), bytes_max, scratch)?;
                scratch
            }
        };
        Ok(RecordIter::new(&self.header, payload))
    }

    /// As [`BatchView::records`], with codec contexts that are kept between batches.
    ///
    /// # Errors
    /// As [`BatchView::records`].
    pub fn records_in<'s>(&self, scratch: &'s mut Scratch, bytes_max: usize) -> Result<RecordIter<'s>, BatchError>
    where
        'a: 's,
    {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        if codec == Codec::None {
            return Ok(RecordIter::new(&self.header, self.payload()));
        }
        let mut records = std::mem::take(&mut scratch.records);
        records.clear();
        let done = scratch.decompress(codec, self.payload(), bytes_max, &mut records);
        scratch.records = records;
        done?;
        Ok(RecordIter::new(&self.header, &scratch.records))
    }

    /// Visits the records in order until `visit` breaks. Of a compressed batch one record at a time is held, of at most
    /// `record_bytes_max` bytes (`max.decompressed.message.bytes`), whatever the batch decompresses to (S23).
    ///
    /// # Errors
    /// When the records cannot be decompressed, one is malformed or over the limit; those before it were visited.
    pub fn for_each_record(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
        visit: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let done = crate::records::visit(&self.header, codec, self.payload(), scratch, record_bytes_max, visit);
        scratch.trim();
        done
    }

    /// Visits timestamp and offset of the records in order until `visit` breaks. Nothing of a compressed batch is held, whatever its
    /// records decompress to; one over `record_bytes_max` bytes is an error all the same.
    ///
    /// # Errors
    /// As [`BatchView::for_each_record`], keys, values and headers aside, which are passed over.
    pub fn for_each_time(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
        visit: impl FnMut(Timestamp, Offset) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let done = crate::records::visit_times(&self.header, codec, self.payload(), scratch, record_bytes_max, visit);
        scratch.trim();
        done
    }

    /// The offset of the first record that has the batch's largest timestamp; `None` when none has, which only damage or another
    /// broker's mistake can cause.
    ///
    /// # Errors
    /// As [`BatchView::for_each_record`].
    pub fn offset_of_max_timestamp(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
    ) -> Result<Option<Offset>, BatchError> {
        let mut found = None;
        self.for_each_time(scratch, record_bytes_max, |timestamp, offset| {
            if timestamp == self.header.max_timestamp {
                found = Some(offset);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

/// The batches of a buffer, one after another; ends at the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The batches of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not walked yet; where the bad batch begins after an error.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
