//! The fixed header of a batch.
//!
//! Layout: base offset i64, length i32, partition leader epoch i32, magic i8, CRC-32C u32, attributes i16, last offset delta i32,
//! base timestamp i64, max timestamp i64, producer id i64, producer epoch i16, base sequence i32, record count i32, records.
//! The checksum covers everything from the attributes on, so offset and epoch are stamped without touching it.

use crate::compress::{Codec, CompressError};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

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
