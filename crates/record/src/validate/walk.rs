//! Walking records without keeping them: over a slice, or over a stream through a small window.

use super::{Rejection, Walk};
use crate::compress::{Codec, CompressError};
use crate::varint::get_i64;
use base::ErrorCode;
use std::io::Read;

/// The window over a stream; the fixed part of a record and the longest varint always fit.
const WINDOW: usize = 16 * 1024;

/// Walks `count` records that fill `payload` exactly.
pub(super) fn slice(payload: &[u8], count: i32, each: &mut dyn FnMut(Walk)) -> Result<(), Rejection> {
    let mut source = Slice(payload);
    records(&mut source, count, each)
}

/// Walks `count` records that fill the decompressed stream exactly, of at most `limit` bytes.
pub(super) fn stream<'a>(
    source: Box<dyn Read + 'a>,
    codec: Codec,
    limit: usize,
    window: &mut Vec<u8>,
    count: i32,
    each: &mut dyn FnMut(Walk),
) -> Result<(), Rejection> {
    window.resize(WINDOW, 0);
    let mut source = Stream { source, codec, limit, passed: 0, window, from: 0, to: 0 };
    records(&mut source, count, each)
}

/// Bytes that can only be walked over.
trait Source {
    fn int(&mut self) -> Result<(i64, usize), Rejection>;
    fn skip(&mut self, len: usize) -> Result<(), Rejection>;
    fn at_end(&mut self) -> Result<bool, Rejection>;
}

fn malformed(index: i32, what: &str) -> Rejection {
    Rejection::new(ErrorCode::InvalidRecord, format!("record {index} is malformed: {what}"))
}

fn records<S: Source>(source: &mut S, count: i32, each: &mut dyn FnMut(Walk)) -> Result<(), Rejection> {
    for index in 0..count {
        let (length, _) = source.int()?;
        let left = usize::try_from(length).map_err(|_| malformed(index, "a negative length"))?;
        let mut record = Bounded { source, left, index };
        record.skip(1)?;
        let timestamp_delta = record.int()?;
        if record.int()? != i64::from(index) {
            return Err(malformed(index, "its offset delta does not follow its predecessor's"));
        }
        let has_key = record.skip_bytes()?;
        record.skip_bytes()?;
        let headers = record.int()?;
        if headers < 0 || headers > record.left as i64 {
            return Err(malformed(index, "an impossible count of headers"));
        }
        for _ in 0..headers {
            if !record.skip_bytes()? {
                return Err(malformed(index, "a header without a key"));
            }
            record.skip_bytes()?;
        }
        if record.left != 0 {
            return Err(malformed(index, "bytes after the last header"));
        }
        each(Walk { index, timestamp_delta, has_key });
    }
    if source.at_end()? { Ok(()) } else { Err(malformed(count, "bytes after the last record")) }
}

/// One record's bytes of a source.
struct Bounded<'s, S> {
    source: &'s mut S,
    left: usize,
    index: i32,
}

impl<S: Source> Bounded<'_, S> {
    #[inline]
    fn int(&mut self) -> Result<i64, Rejection> {
        let (value, len) = self.source.int()?;
        self.left =
            self.left.checked_sub(len).ok_or_else(|| malformed(self.index, "its fields are longer than it is"))?;
        Ok(value)
    }

    #[inline]
    fn skip(&mut self, len: usize) -> Result<(), Rejection> {
        self.left =
            self.left.checked_sub(len).ok_or_else(|| malformed(self.index, "its fields are longer than it is"))?;
        self.source.skip(len)
    }

    /// Skips bytes with their length; false for null.
    #[inline]
    fn skip_bytes(&mut self) -> Result<bool, Rejection> {
        match self.int()? {
            -1 => Ok(false),
            len => {
                let len = usize::try_from(len).map_err(|_| malformed(self.index, "a negative length"))?;
                self.skip(len)?;
                Ok(true)
            }
        }
    }
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    #[inline]
    fn int(&mut self) -> Result<(i64, usize), Rejection> {
        let (value, len) =
            get_i64(self.0).ok_or_else(|| malformed_stream("a variable-length integer is cut off or too long"))?;
        self.0 = &self.0[len..];
        Ok((value, len))
    }

    #[inline]
    fn skip(&mut self, len: usize) -> Result<(), Rejection> {
        self.0 = self.0.get(len..).ok_or_else(|| malformed_stream("a length goes past the end"))?;
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, Rejection> {
        Ok(self.0.is_empty())
    }
}

#[cold]
fn malformed_stream(what: &str) -> Rejection {
    Rejection::new(ErrorCode::InvalidRecord, format!("the records are malformed: {what}"))
}

struct Stream<'a, 'w> {
    source: Box<dyn Read + 'a>,
    codec: Codec,
    limit: usize,
    passed: usize,
    window: &'w mut Vec<u8>,
    from: usize,
    to: usize,
}

impl Stream<'_, '_> {
    /// Reads more behind what is left in the window; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, Rejection> {
        self.window.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        let n = self.source.read(&mut self.window[self.to..]).map_err(|_| CompressError::Corrupt(self.codec.name()))?;
        self.to += n;
        self.passed += n;
        if self.passed > self.limit {
            return Err(CompressError::TooLarge(self.limit).into());
        }
        Ok(n > 0)
    }
}

impl Source for Stream<'_, '_> {
    #[inline]
    fn int(&mut self) -> Result<(i64, usize), Rejection> {
        loop {
            if let Some((value, len)) = get_i64(&self.window[self.from..self.to]) {
                self.from += len;
                return Ok((value, len));
            }
            if self.to - self.from >= 10 || !self.fill()? {
                return Err(malformed_stream("a variable-length integer is cut off or too long"));
            }
        }
    }

    #[inline]
    fn skip(&mut self, mut len: usize) -> Result<(), Rejection> {
        loop {
            let here = len.min(self.to - self.from);
            self.from += here;
            len -= here;
            if len == 0 {
                return Ok(());
            }
            if !self.fill()? {
                return Err(malformed_stream("a length goes past the end"));
            }
        }
    }

    fn at_end(&mut self) -> Result<bool, Rejection> {
        Ok(self.from == self.to && !self.fill()?)
    }
}
