//! Validation of a produced batch, as Kafka does it before an append (KIP-98, KIP-467, KIP-937).
//!
//! The result borrows the frame it came in: only a wrong max timestamp, LogAppendTime or another codec make new bytes. Compressed
//! records are walked through a bounded stream, so memory stays flat whatever they decompress to (S16).

mod walk;

use crate::batch::{BATCH_OVERHEAD, BatchError, BatchHeader, BatchView, CRC_FROM, TimestampType, attribute};
use crate::compress::{Codec, CompressError, Compression, Compressor, reader};
use crate::crc::crc32c_of_two;
use base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use std::borrow::Cow;
use std::io::{Read, Write};

/// The numbers that validation needs of topic and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducePolicy {
    /// `max.message.bytes`: the largest batch, in bytes as it is stored.
    pub batch_bytes_max: usize,
    /// `max.decompressed.message.bytes`: the most that the records may decompress to.
    pub decompressed_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far in the past a create time may lie.
    pub timestamp_before_ms_max: i64,
    /// `message.timestamp.after.max.ms`: how far in the future a create time may lie.
    pub timestamp_after_ms_max: i64,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// `compression.type`: `None` for `producer`, which keeps what came.
    pub compression: Option<Compression>,
    /// Wall-clock time of the append.
    pub now: Timestamp,
}

/// Why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What the producer's program sees.
    pub code: ErrorCode,
    /// What its operator sees.
    pub message: String,
    /// The records at fault by index, with the reason, where single records are (KIP-467).
    pub record_errors: Vec<(u32, String)>,
}

impl Rejection {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), record_errors: Vec::new() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRecord, message)
    }
}

impl From<BatchError> for Rejection {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Checksum { .. } | BatchError::Truncated { .. } | BatchError::InvalidLength(_) => {
                ErrorCode::CorruptMessage
            }
            BatchError::UnsupportedMagic(_) => ErrorCode::InvalidRecord,
            BatchError::Record { .. } => ErrorCode::InvalidRecord,
            BatchError::Compression(CompressError::UnknownCodec) => ErrorCode::UnsupportedCompressionType,
            BatchError::Compression(CompressError::Corrupt(_)) => ErrorCode::CorruptMessage,
            BatchError::Compression(CompressError::TooLarge(_)) => ErrorCode::MessageTooLarge,
        };
        Rejection::new(code, error.to_string())
    }
}

impl From<CompressError> for Rejection {
    fn from(error: CompressError) -> Self {
        BatchError::Compression(error).into()
    }
}

/// Buffers that validation reuses from batch to batch.
#[derive(Debug, Default)]
pub struct Scratch {
    window: Vec<u8>,
}

/// A batch that may be appended: the proof that storage takes.
#[derive(Clone, Debug)]
pub struct ValidBatch<'a> {
    header: BatchHeader,
    payload: Cow<'a, [u8]>,
}

impl ValidBatch<'_> {
    /// Its fixed fields; base offset and leader epoch are not set yet.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Bytes that it takes in a log.
    #[must_use]
    pub fn size(&self) -> usize {
        self.header.size
    }

    /// How many records it has, and so how many offsets it takes; at least 1.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// How its records are compressed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.header.codec().expect("validation knows the codec")
    }

    /// The header's bytes with base offset and leader epoch set. The checksum covers neither.
    #[must_use]
    pub fn stamp(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; BATCH_OVERHEAD] {
        BatchHeader { base_offset, leader_epoch, ..self.header }.to_bytes()
    }

    /// The bytes after the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Accepts a batch that this node built itself: a control batch, or records of an internal log.
    ///
    /// # Errors
    /// When the bytes are not exactly one sound batch.
    pub fn internal(bytes: &[u8]) -> Result<ValidBatch<'_>, BatchError> {
        let (batch, rest) = BatchView::parse(bytes)?;
        if !rest.is_empty() {
            return Err(BatchError::Truncated { needed: batch.header.size, left: bytes.len() });
        }
        batch.verify_crc()?;
        Ok(ValidBatch { header: batch.header, payload: Cow::Borrowed(batch.payload()) })
    }
}

/// Checks the records of one partition of a Produce request: exactly one batch, sound, within the policy.
///
/// # Errors
/// See [`Rejection`]; nothing of a rejected batch may be appended.
pub fn validate<'a>(
    bytes: &'a [u8],
    policy: &ProducePolicy,
    scratch: &mut Scratch,
) -> Result<ValidBatch<'a>, Rejection> {
    let (batch, rest) = BatchView::parse(bytes)?;
    if !rest.is_empty() {
        return Err(Rejection::invalid("a partition of a Produce request holds exactly one record batch"));
    }
    if batch.header.size > policy.batch_bytes_max {
        return Err(too_large(batch.header.size, policy));
    }
    batch.verify_crc()?;
    let codec = check_header(&batch.header)?;
    let walked = walk_records(&batch, codec, policy, scratch)?;
    finish(&batch, codec, walked, policy)
}

fn too_large(size: usize, policy: &ProducePolicy) -> Rejection {
    let why = format!("the batch of {size} bytes is over max.message.bytes, {}", policy.batch_bytes_max);
    Rejection::new(ErrorCode::MessageTooLarge, why)
}

fn check_header(header: &BatchHeader) -> Result<Codec, Rejection> {
    if header.is_control() {
        return Err(Rejection::invalid("clients may not write control records"));
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(Rejection::new(
            ErrorCode::InvalidTimestamp,
            "a producer may not set the timestamp type to LogAppendTime",
        ));
    }
    if header.has_delete_horizon() {
        return Err(Rejection::invalid("a producer may not set a delete horizon"));
    }
    if header.record_count <= 0 || header.last_offset_delta != header.record_count - 1 {
        let why =
            format!("{} records cannot have the last offset delta {}", header.record_count, header.last_offset_delta);
        return Err(Rejection::invalid(why));
    }
    if header.has_producer_id() {
        if header.base_sequence < 0 || header.producer_epoch.0 < 0 {
            let why = format!(
                "sequence {} or epoch {} of producer {} is negative",
                header.base_sequence, header.producer_epoch, header.producer_id
            );
            return Err(Rejection::invalid(why));
        }
    } else if header.is_transactional() {
        return Err(Rejection::invalid("a transactional batch needs a producer id"));
    }
    header.codec().ok_or_else(|| CompressError::UnknownCodec.into())
}

/// What the walk over the records found.
struct Walked {
    max_timestamp: Timestamp,
}

fn walk_records(
    batch: &BatchView<'_>,
    codec: Codec,
    policy: &ProducePolicy,
    scratch: &mut Scratch,
) -> Result<Walked, Rejection> {
    let mut checks =
        Checks { policy, base: batch.header.base_timestamp, max_timestamp: i64::MIN, errors: Vec::new(), code: None };
    let count = batch.header.record_count;
    match codec {
        Codec::None => walk::slice(batch.payload(), count, &mut |record| checks.record(record))?,
        codec => {
            let source = reader(codec, batch.payload())?;
            let limit = policy.decompressed_bytes_max;
            walk::stream(source, codec, limit, &mut scratch.window, count, &mut |record| checks.record(record))?;
        }
    }
    checks.finish()
}

/// What [`walk`] tells of each record.
pub(crate) struct Walk {
    index: i32,
    timestamp_delta: i64,
    has_key: bool,
}

struct Checks<'p> {
    policy: &'p ProducePolicy,
    base: Timestamp,
    max_timestamp: i64,
    errors: Vec<(u32, String)>,
    code: Option<ErrorCode>,
}

/// More single errors than this say nothing new, and each costs memory.
const RECORD_ERRORS_MAX: usize = 1_000;

impl Checks<'_> {
    #[inline]
    fn record(&mut self, record: Walk) {
        let timestamp = self.base.0.wrapping_add(record.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        if self.policy.compacted && !record.has_key {
            self.fail(record.index, ErrorCode::InvalidRecord, || {
                "a compacted topic takes no record without a key".to_owned()
            });
        }
        if self.policy.timestamp_type == TimestampType::CreateTime && timestamp != Timestamp::NONE.0 {
            let age = self.policy.now.0.saturating_sub(timestamp);
            if age > self.policy.timestamp_before_ms_max || age.saturating_neg() > self.policy.timestamp_after_ms_max {
                let (now, before, after) =
                    (self.policy.now.0, self.policy.timestamp_before_ms_max, self.policy.timestamp_after_ms_max);
                self.fail(record.index, ErrorCode::InvalidTimestamp, || {
                    format!("timestamp {timestamp} is out of range: at {now} it may lie {before} ms before and {after} ms after")
                });
            }
        }
    }

    #[cold]
    fn fail(&mut self, index: i32, code: ErrorCode, message: impl FnOnce() -> String) {
        self.code.get_or_insert(code);
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push((u32::try_from(index).unwrap_or(0), message()));
        }
    }

    fn finish(self) -> Result<Walked, Rejection> {
        match self.code {
            None => Ok(Walked { max_timestamp: Timestamp(self.max_timestamp) }),
            Some(code) => Err(Rejection {
                code,
                message: format!("one or more records of the batch are invalid: {}", self.errors[0].1),
                record_errors: self.errors,
            }),
        }
    }
}

fn finish<'a>(
    batch: &BatchView<'a>,
    codec: Codec,
    walked: Walked,
    policy: &ProducePolicy,
) -> Result<ValidBatch<'a>, Rejection> {
    let mut header = batch.header;
    header.max_timestamp = walked.max_timestamp;
    if policy.timestamp_type == TimestampType::LogAppendTime {
        header.attributes |= attribute::LOG_APPEND_TIME;
        header.max_timestamp = policy.now;
    }
    let mut payload = Cow::Borrowed(batch.payload());
    if let Some(target) = policy.compression
        && target.codec != codec
    {
        payload = Cow::Owned(recompress(codec, target, batch.payload(), policy)?);
        header.attributes = (header.attributes & !attribute::CODEC) | target.codec as i16;
        header.size = BATCH_OVERHEAD + payload.len();
        if header.size > policy.batch_bytes_max {
            return Err(too_large(header.size, policy));
        }
    }
    if header != batch.header {
        header.crc = crc32c_of_two(&header.to_bytes()[CRC_FROM..], &payload);
    }
    Ok(ValidBatch { header, payload })
}

/// The records in another codec, through a fixed window; gives up as soon as the batch would be too large to append.
fn recompress(from: Codec, to: Compression, payload: &[u8], policy: &ProducePolicy) -> Result<Vec<u8>, Rejection> {
    let mut source = reader(from, payload)?;
    let mut out = Vec::with_capacity(payload.len());
    let mut chunk = vec![0_u8; 16 * 1024];
    let mut passed = 0_usize;
    let mut writer = Compressor::new(to, &mut out);
    loop {
        let n = source.read(&mut chunk).map_err(|_| CompressError::Corrupt(from.name()))?;
        if n == 0 {
            break;
        }
        passed += n;
        if to.codec == Codec::None && passed + BATCH_OVERHEAD > policy.batch_bytes_max {
            return Err(too_large(passed + BATCH_OVERHEAD, policy));
        }
        writer
            .write_all(&chunk[..n])
            .map_err(|error| Rejection::new(ErrorCode::UnknownServerError, error.to_string()))?;
    }
    writer.finish().map_err(|error| Rejection::new(ErrorCode::UnknownServerError, error.to_string()))?;
    Ok(out)
}

#[cfg(test)]
mod tests;
