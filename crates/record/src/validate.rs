//! Validation of a produced batch, as Kafka does it before an append (KIP-98, KIP-467, KIP-937).
//!
//! The result borrows the frame it came in: only a wrong max timestamp, LogAppendTime or another codec make new bytes. Compressed
//! records are walked through a bounded stream, so memory stays flat whatever they decompress to (S16).
//!
//! Stricter than Kafka where it would store what a consumer cannot read or misreads: offset deltas must be 0 to n-1 (Kafka rewrites
//! a compressed batch that has others and stores an uncompressed one as it is), compressed bytes must end where their records do,
//! nothing may follow the batch, lengths below -1 are no nulls, a transactional batch needs a producer id and epoch, and neither
//! the LogAppendTime bit nor a delete horizon may come from a producer.
//!
//! What needs more than the batch is checked elsewhere: sequence and epoch against the log, zstd against the request's version.

mod walk;

use crate::batch::BatchView;
use crate::compress::{Codec, CompressError, Compression, DECOMPRESSED_BATCH_BYTES_MAX, Scratch};
use crate::crc::crc32c_of_two;
use crate::header::{BATCH_OVERHEAD, BatchError, BatchHeader, CRC_FROM, TimestampType, attribute};
use base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use std::borrow::Cow;
use walk::{Fault, Limits, Walk};

/// The numbers that validation needs of topic and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducePolicy {
    /// `max.message.bytes`: the largest batch, in bytes as it is stored.
    pub batch_bytes_max: usize,
    /// `max.decompressed.message.bytes`: the most that one record of a compressed batch may take when decompressed.
    pub decompressed_bytes_max: usize,
    /// The same for the whole batch: [`DECOMPRESSED_BATCH_BYTES_MAX`], less what the batches before it in the same request took, so that
    /// a request cannot make a node look through more than one batch can.
    pub decompressed_total_max: usize,
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
            BatchError::Checksum { .. } | BatchError::InvalidLength(_) => ErrorCode::CorruptMessage,
            // A magic that never was comes from damage; 0 and 1 come from a client before Kafka 0.11.
            BatchError::UnsupportedMagic(magic) if magic > 1 => ErrorCode::CorruptMessage,
            // A batch that is cut off is no batch at all to Kafka.
            BatchError::UnsupportedMagic(_) | BatchError::Truncated { .. } | BatchError::Record { .. } => {
                ErrorCode::InvalidRecord
            }
            BatchError::Compression(CompressError::UnknownCodec) => ErrorCode::UnsupportedCompressionType,
            // The checksum was right, so sending the same bytes again would not help: not the retriable CORRUPT_MESSAGE.
            BatchError::Compression(CompressError::Corrupt(_)) => ErrorCode::InvalidRecord,
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

/// The 61 header bytes as they are stored: base offset, leader epoch, and under LogAppendTime the time and its checksum are set.
/// A log writes them and [`ValidBatch::payload`] with one gathered write, so the received frame is never changed.
pub type StampedHeader = [u8; BATCH_OVERHEAD];

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
    pub fn stamp(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> StampedHeader {
        BatchHeader { base_offset, leader_epoch, ..self.header }.to_bytes()
    }

    /// What the time index says of it when it is appended at `base_offset`: its largest timestamp, under its last offset, as Kafka
    /// does without looking for the record that has it ([`BatchView::offset_of_max_timestamp`] does).
    #[must_use]
    pub fn time_index_entry(&self, base_offset: Offset) -> (Timestamp, Offset) {
        (self.header.max_timestamp, BatchHeader { base_offset, ..self.header }.last_offset())
    }

    /// The bytes after the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The same batch with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> ValidBatch<'static> {
        ValidBatch { header: self.header, payload: Cow::Owned(self.payload.into_owned()) }
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
    if batch.header.base_offset != Offset::ZERO {
        let why = format!("the base offset of a produced batch is 0, not {}", batch.header.base_offset);
        return Err(Rejection::invalid(why));
    }
    if batch.header.size > policy.batch_bytes_max {
        return Err(too_large(batch.header.size, policy));
    }
    batch.verify_crc()?;
    let codec = check_header(&batch.header)?;
    let done =
        walk_records(&batch, codec, policy, scratch).and_then(|walked| finish(&batch, codec, walked, policy, scratch));
    scratch.trim();
    done
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
    /// Bytes that the records take when not compressed.
    records_bytes: usize,
}

fn walk_records(
    batch: &BatchView<'_>,
    codec: Codec,
    policy: &ProducePolicy,
    scratch: &mut Scratch,
) -> Result<Walked, Rejection> {
    let mut checks = Checks::new(policy);
    let base = batch.header.base_timestamp.0;
    // As in Kafka, timestamps before "none" do not count. A local, not a field, so that it stays in a register.
    let mut largest = Timestamp::NONE.0;
    let mut check = |record: Walk| {
        let timestamp = base.wrapping_add(record.timestamp_delta);
        largest = largest.max(timestamp);
        checks.record(&record, timestamp);
    };
    let (payload, count) = (batch.payload(), batch.header.record_count);
    let records_bytes = match codec {
        Codec::None => {
            walk::slice(payload, count, check).map_err(malformed)?;
            payload.len()
        }
        codec => {
            let limits = Limits { record: policy.decompressed_bytes_max, total: policy.decompressed_total_max };
            let source = scratch.contexts.reader(codec, payload, limits.total)?;
            let (decompressed, walked) = walk::stream(source, limits, &mut scratch.window, count, &mut check);
            scratch.decompressed = scratch.decompressed.saturating_add(decompressed);
            walked.map_err(malformed)?;
            decompressed
        }
    };
    checks.finish()?;
    Ok(Walked { max_timestamp: Timestamp(largest), records_bytes })
}

#[cold]
fn malformed((index, fault): (i32, Fault)) -> Rejection {
    match fault {
        Fault::Malformed(what) => BatchError::Record { index, what }.into(),
        Fault::Compression(error) => error.into(),
        Fault::RecordTooLarge(len) => {
            Rejection::invalid(format!("record {index} of {len} bytes is over max.decompressed.message.bytes"))
        }
    }
}

/// What is checked of each record against the policy. The timestamps' bounds are worked out once.
struct Checks<'p> {
    policy: &'p ProducePolicy,
    timestamp_min: i64,
    timestamp_max: i64,
    errors: Vec<(u32, String)>,
    code: Option<ErrorCode>,
}

/// More single errors than this say nothing new, and each costs memory.
const RECORD_ERRORS_MAX: usize = 1_000;

impl<'p> Checks<'p> {
    fn new(policy: &'p ProducePolicy) -> Self {
        let bounded = policy.timestamp_type == TimestampType::CreateTime;
        Checks {
            policy,
            timestamp_min: if bounded { policy.now.0.saturating_sub(policy.timestamp_before_ms_max) } else { i64::MIN },
            timestamp_max: if bounded { policy.now.0.saturating_add(policy.timestamp_after_ms_max) } else { i64::MAX },
            errors: Vec::new(),
            code: None,
        }
    }

    #[inline]
    fn record(&mut self, record: &Walk, timestamp: i64) {
        let out_of_range = timestamp < self.timestamp_min || timestamp > self.timestamp_max;
        if (self.policy.compacted && !record.has_key) || (out_of_range && timestamp != Timestamp::NONE.0) {
            self.fail(record, timestamp);
        }
    }

    /// One error a record, and a missing key comes first, as in Kafka.
    #[cold]
    fn fail(&mut self, record: &Walk, timestamp: i64) {
        let (code, why) = if self.policy.compacted && !record.has_key {
            (ErrorCode::InvalidRecord, "a compacted topic takes no record without a key".to_owned())
        } else {
            let (min, max) = (self.timestamp_min, self.timestamp_max);
            (ErrorCode::InvalidTimestamp, format!("timestamp {timestamp} is out of range: {min} to {max} is allowed"))
        };
        // A single bad timestamp makes INVALID_TIMESTAMP the code of the batch.
        if self.code != Some(ErrorCode::InvalidTimestamp) {
            self.code = Some(code);
        }
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push((u32::try_from(record.index).unwrap_or(0), why));
        }
    }

    fn finish(self) -> Result<(), Rejection> {
        match self.code {
            None => Ok(()),
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
    scratch: &mut Scratch,
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
        payload = Cow::Owned(recompress(batch.payload(), codec, walked.records_bytes, target, policy, scratch)?);
        header.attributes = (header.attributes & !attribute::CODEC) | target.codec as i16;
        header.size = BATCH_OVERHEAD + payload.len();
    }
    if header != batch.header {
        header.crc = crc32c_of_two(&header.to_bytes()[CRC_FROM..], &payload);
    }
    Ok(ValidBatch { header, payload })
}

/// The records in another codec, through a fixed window; gives up as soon as the batch would be too large to append.
fn recompress(
    payload: &[u8],
    from: Codec,
    records_bytes: usize,
    to: Compression,
    policy: &ProducePolicy,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::new();
    // The contexts of two codecs are in use at once, and blocks share a buffer: so the target brings its own.
    let mut target = std::mem::take(&mut scratch.target);
    let mut writer = target.writer(to, Some(records_bytes), &mut out);
    let mut source = scratch.contexts.reader(from, payload, DECOMPRESSED_BATCH_BYTES_MAX)?;
    let window = &mut scratch.window;
    window.resize(walk::WINDOW, 0);
    loop {
        let n = source.read(window)?;
        if n == 0 {
            break;
        }
        writer.write(&window[..n], &mut out);
        if out.len() + BATCH_OVERHEAD > policy.batch_bytes_max {
            return Err(too_large(out.len() + BATCH_OVERHEAD, policy));
        }
    }
    writer.finish(&mut out);
    scratch.target = target;
    if out.len() + BATCH_OVERHEAD > policy.batch_bytes_max {
        return Err(too_large(out.len() + BATCH_OVERHEAD, policy));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
