//! The records of a batch over decompressed bytes, without allocation.
//!
//! A record: length varint, attributes i8, timestamp delta varlong, offset delta varint, key, value, headers.

use crate::compress::{Codec, CompressError, DECOMPRESSED_BATCH_BYTES_MAX, Reader, Scratch};
use crate::header::{BatchError, BatchHeader, TimestampType};
use crate::varint::{get_i32, get_i64};
use base::{Offset, Timestamp};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp; the batch's append time under LogAppendTime.
    pub timestamp: Timestamp,
    /// Its key, if any.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: i32,
}

impl<'a> RecordView<'a> {
    /// Its headers, in order; keys may repeat.
    #[must_use]
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter { rest: Fields(self.headers), left: self.header_count }
    }

    /// Reads the record whose bytes, its length not included, `body` is.
    #[inline]
    fn read(header: &BatchHeader, body: &'a [u8]) -> Result<RecordView<'a>, &'static str> {
        let mut fields = Fields(body);
        fields.take(1)?;
        let timestamp_delta = fields.long()?;
        let offset_delta = fields.int()?;
        let key = fields.bytes()?;
        let value = fields.bytes()?;
        let header_count = fields.int()?;
        let headers = fields.0;
        fields.check_headers(header_count)?;
        let (timestamp, offset) = place(header, timestamp_delta, offset_delta);
        Ok(RecordView { offset, timestamp, key, value, headers, header_count })
    }
}

/// The headers of a record: already checked, so there is no error. A key that is not UTF-8 comes with its bad bytes replaced,
/// as in Java; no broker refuses one.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    rest: Fields<'a>,
    left: i32,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let (key, value) = self.rest.header().ok()?;
        Some((String::from_utf8_lossy(key), value))
    }
}

/// The records of one batch; ends at the first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    rest: Fields<'a>,
    index: i32,
}

impl<'a> RecordIter<'a> {
    pub(crate) fn new(header: &BatchHeader, payload: &'a [u8]) -> Self {
        Self { header: *header, rest: Fields(payload), index: 0 }
    }

    #[inline]
    fn read(&mut self) -> Result<RecordView<'a>, &'static str> {
        let length = usize::try_from(self.rest.int()?).map_err(|_| "a negative length")?;
        RecordView::read(&self.header, self.rest.take(length)?)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.record_count {
            if self.rest.0.is_empty() {
                return None;
            }
            self.rest = Fields(&[]);
            return Some(Err(BatchError::Record { index: self.index, what: "bytes after the last record" }));
        }
        let record = self.read().map_err(|what| BatchError::Record { index: self.index, what });
        self.index = if record.is_ok() { self.index + 1 } else { i32::MAX };
        if record.is_err() {
            self.rest = Fields(&[]);
        }
        Some(record)
    }
}

/// Visits the records until `visit` breaks, holding one record of a compressed batch at a time.
pub(crate) fn visit(
    header: &BatchHeader,
    codec: Codec,
    payload: &[u8],
    scratch: &mut Scratch,
    record_bytes_max: usize,
    mut visit: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    if codec == Codec::None {
        for record in RecordIter::new(header, payload) {
            if visit(&record?).is_break() {
                break;
            }
        }
        return Ok(());
    }
    let source = scratch.contexts.reader(codec, payload, DECOMPRESSED_BATCH_BYTES_MAX)?;
    let mut stream = Stream { source, window: &mut scratch.window, from: 0, to: 0, passed: 0 };
    for index in 0..header.record_count {
        let malformed = |what| BatchError::Record { index, what };
        let body = stream.next(record_bytes_max)?.map_err(malformed)?;
        if visit(&RecordView::read(header, body).map_err(malformed)?).is_break() {
            return Ok(());
        }
    }
    if stream.hold(1)? {
        return Err(BatchError::Record { index: header.record_count, what: "bytes after the last record" });
    }
    Ok(())
}

/// Visits timestamp and offset of the records until `visit` breaks. Of a compressed batch nothing is held but the window, so that a
/// look-up by time costs no memory whatever a record decompresses to (S16); its keys, values and headers are not looked at.
pub(crate) fn visit_times(
    header: &BatchHeader,
    codec: Codec,
    payload: &[u8],
    scratch: &mut Scratch,
    record_bytes_max: usize,
    mut visit: impl FnMut(Timestamp, Offset) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    if codec == Codec::None {
        for record in RecordIter::new(header, payload) {
            let record = record?;
            if visit(record.timestamp, record.offset).is_break() {
                break;
            }
        }
        return Ok(());
    }
    let source = scratch.contexts.reader(codec, payload, DECOMPRESSED_BATCH_BYTES_MAX)?;
    let mut stream = Stream { source, window: &mut scratch.window, from: 0, to: 0, passed: 0 };
    for index in 0..header.record_count {
        let malformed = |what| BatchError::Record { index, what };
        let (timestamp_delta, offset_delta) = stream.next_head(record_bytes_max)?.map_err(malformed)?;
        let (timestamp, offset) = place(header, timestamp_delta, offset_delta);
        if visit(timestamp, offset).is_break() {
            break;
        }
    }
    Ok(())
}

/// A record's timestamp and offset from its deltas.
#[inline(always)]
fn place(header: &BatchHeader, timestamp_delta: i64, offset_delta: i32) -> (Timestamp, Offset) {
    let timestamp = match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => Timestamp(header.base_timestamp.0.wrapping_add(timestamp_delta)),
    };
    (timestamp, Offset(header.base_offset.0.saturating_add(i64::from(offset_delta))))
}

/// Bytes of the longest head of a record: its length, attributes, timestamp delta and offset delta.
const HEAD_BYTES_MAX: usize = 5 + 1 + 10 + 5;

/// A window over decompressed bytes that grows, with what has arrived, until a whole record is in it.
struct Stream<'a, 'w> {
    source: Reader<'a>,
    window: &'w mut Vec<u8>,
    from: usize,
    to: usize,
    passed: usize,
}

impl Stream<'_, '_> {
    fn next(&mut self, record_bytes_max: usize) -> Result<Result<&[u8], &'static str>, CompressError> {
        self.hold(5)?;
        let Some((length, len)) = get_i32(&self.window[self.from..self.to]) else { return Ok(Err(BAD_VARINT)) };
        let Ok(length) = usize::try_from(length) else { return Ok(Err("a negative length")) };
        if length > record_bytes_max {
            return Err(CompressError::TooLarge(record_bytes_max));
        }
        if !self.hold(len + length)? {
            return Ok(Err("a length goes past the end"));
        }
        let start = self.from + len;
        self.from = start + length;
        Ok(Ok(&self.window[start..self.from]))
    }

    /// The deltas of the next record, which is passed over.
    fn next_head(&mut self, record_bytes_max: usize) -> Result<Result<(i64, i32), &'static str>, CompressError> {
        self.hold(HEAD_BYTES_MAX)?;
        let window = &self.window[self.from..self.to];
        let Some((length, len)) = get_i32(window) else { return Ok(Err(BAD_VARINT)) };
        let Ok(length) = usize::try_from(length) else { return Ok(Err("a negative length")) };
        if length > record_bytes_max {
            return Err(CompressError::TooLarge(record_bytes_max));
        }
        let mut head = Fields(&window[len..window.len().min(len + length)]);
        let deltas = head.take(1).and_then(|_| Ok((head.long()?, head.int()?)));
        if !self.pass(len + length)? {
            return Ok(Err("a length goes past the end"));
        }
        Ok(deltas)
    }

    /// Passes over `len` bytes without holding them; false when the stream ends before.
    fn pass(&mut self, mut len: usize) -> Result<bool, CompressError> {
        loop {
            let here = len.min(self.to - self.from);
            self.from += here;
            len -= here;
            if len == 0 {
                return Ok(true);
            }
            if !self.hold(1)? {
                return Ok(false);
            }
        }
    }

    /// Brings `len` bytes into the window; false when the stream ends before.
    fn hold(&mut self, len: usize) -> Result<bool, CompressError> {
        const WINDOW: usize = 16 * 1024;
        while self.to - self.from < len {
            self.window.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            if self.to == self.window.len() {
                self.window.resize((self.to * 2).max(WINDOW), 0);
            }
            let n = self.source.read(&mut self.window[self.to..])?;
            if n == 0 {
                return Ok(false);
            }
            self.to += n;
            self.passed = self.passed.saturating_add(n);
            if self.passed > DECOMPRESSED_BATCH_BYTES_MAX {
                return Err(CompressError::TooLarge(DECOMPRESSED_BATCH_BYTES_MAX));
            }
        }
        Ok(true)
    }
}

/// A cursor over a record's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

const BAD_VARINT: &str = "a variable-length integer is cut off or too long";

impl<'a> Fields<'a> {
    #[inline(always)]
    pub(crate) fn int(&mut self) -> Result<i32, &'static str> {
        let (value, len) = get_i32(self.0).ok_or(BAD_VARINT)?;
        self.0 = &self.0[len..];
        Ok(value)
    }

    #[inline(always)]
    pub(crate) fn long(&mut self) -> Result<i64, &'static str> {
        let (value, len) = get_i64(self.0).ok_or(BAD_VARINT)?;
        self.0 = &self.0[len..];
        Ok(value)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("a length goes past the end")?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes with their length; `None` for null.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<Option<&'a [u8]>, &'static str> {
        match self.int()? {
            -1 => Ok(None),
            len => Ok(Some(self.take(usize::try_from(len).map_err(|_| "a negative length")?)?)),
        }
    }

    /// Walks over `count` headers, after which nothing may be left.
    #[inline]
    pub(crate) fn check_headers(&mut self, count: i32) -> Result<(), &'static str> {
        if count != 0 {
            // A header takes at least two bytes: a count beyond the bytes is refused before it is looped over (S23).
            if usize::try_from(count).map_or(true, |count| count > self.0.len()) {
                return Err("an impossible count of headers");
            }
            for _ in 0..count {
                self.header()?;
            }
        }
        if self.0.is_empty() { Ok(()) } else { Err("bytes after the last header") }
    }

    fn header(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), &'static str> {
        Ok((self.bytes()?.ok_or("a header without a key")?, self.bytes()?))
    }
}

#[cfg(test)]
mod tests;
