//! The records of a batch over decompressed bytes, without allocation.
//!
//! A record: length varint, attributes i8, timestamp delta varlong, offset delta varint, key, value, headers.

use crate::batch::{BatchError, BatchHeader, TimestampType};
use crate::varint::get_i64;
use base::{Offset, Timestamp};

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
    header_count: u32,
}

impl<'a> RecordView<'a> {
    /// Its headers, in order; keys may repeat.
    #[must_use]
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter { rest: Fields(self.headers), left: self.header_count }
    }
}

/// The headers of a record: already checked, so there is no error.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    rest: Fields<'a>,
    left: u32,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.rest.header().ok()
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

    fn read(&mut self) -> Result<RecordView<'a>, &'static str> {
        let length = self.rest.int()?;
        let length = usize::try_from(length).map_err(|_| "a negative length")?;
        let mut fields = Fields(self.rest.take(length)?);
        fields.take(1)?;
        let timestamp_delta = fields.int()?;
        let offset_delta = i32::try_from(fields.int()?).map_err(|_| "an offset delta beyond 32 bits")?;
        let key = fields.bytes()?;
        let value = fields.bytes()?;
        let header_count = u32::try_from(fields.int()?).map_err(|_| "an impossible count of headers")?;
        let headers = fields.0;
        for _ in 0..header_count {
            fields.header()?;
        }
        if !fields.0.is_empty() {
            return Err("bytes after the last header");
        }
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => Timestamp(self.header.base_timestamp.0.wrapping_add(timestamp_delta)),
        };
        let offset = Offset(self.header.base_offset.0.saturating_add(i64::from(offset_delta)));
        Ok(RecordView { offset, timestamp, key, value, headers, header_count })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

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

/// A cursor over a record's fields.
#[derive(Clone, Copy, Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    fn int(&mut self) -> Result<i64, &'static str> {
        let (value, len) = get_i64(self.0).ok_or("a variable-length integer is cut off or too long")?;
        self.0 = &self.0[len..];
        Ok(value)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("a length goes past the end")?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn bytes(&mut self) -> Result<Option<&'a [u8]>, &'static str> {
        match self.int()? {
            -1 => Ok(None),
            len => Ok(Some(self.take(usize::try_from(len).map_err(|_| "a negative length")?)?)),
        }
    }

    #[inline]
    fn header(&mut self) -> Result<(&'a str, Option<&'a [u8]>), &'static str> {
        let key = self.bytes()?.ok_or("a header without a key")?;
        let key = std::str::from_utf8(key).map_err(|_| "a header's key is not UTF-8")?;
        Ok((key, self.bytes()?))
    }
}

#[cfg(test)]
mod tests;
