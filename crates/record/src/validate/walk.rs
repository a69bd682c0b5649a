//! Walking records without keeping them: over a slice, or over a decompressed stream through a small window.

use crate::compress::{CompressError, Reader};
use crate::records::Fields;
use crate::varint::{get_i32, get_i64};

/// The window over a stream; the longest varint always fits.
pub(super) const WINDOW: usize = 16 * 1024;
/// Bytes of the longest varint.
const VARINT_MAX: usize = 10;

/// What the walk tells of each record.
pub(super) struct Walk {
    pub(super) index: i32,
    pub(super) timestamp_delta: i64,
    pub(super) has_key: bool,
}

/// Why a walk stopped. Small, because it is the error of every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A record, or what follows the last one, is not what it should be.
    Malformed(&'static str),
    /// The records cannot be decompressed, or to too much.
    Compression(CompressError),
    /// A record of this many bytes is over the limit for one.
    RecordTooLarge(usize),
}

impl From<CompressError> for Fault {
    fn from(error: CompressError) -> Self {
        Fault::Compression(error)
    }
}

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Fault::Malformed(what)
    }
}

const DELTA: &str = "its offset delta does not follow its predecessor's";
const AFTER_LAST: &str = "bytes after the last record";
const NEGATIVE: &str = "a negative length";

/// Walks `count` records that fill `payload` exactly. The index of the record at fault comes with the fault.
pub(super) fn slice(payload: &[u8], count: i32, mut each: impl FnMut(Walk)) -> Result<(), (i32, Fault)> {
    let mut rest = payload;
    for index in 0..count {
        let malformed = |what| (index, Fault::Malformed(what));
        let (body, after) = match short_length(rest) {
            Some(split) => split,
            None => any_length(rest).map_err(malformed)?,
        };
        rest = after;
        body_of(body, index, &mut each).map_err(malformed)?;
    }
    if rest.is_empty() { Ok(()) } else { Err((count, Fault::Malformed(AFTER_LAST))) }
}

#[inline(always)]
fn short_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (zigzag, at) = short(bytes, 0)?;
    let (_, rest) = bytes.split_at_checked(at)?;
    if zigzag & 1 == 0 { rest.split_at_checked(zigzag as usize >> 1) } else { None }
}

#[cold]
fn any_length(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let mut fields = Fields(bytes);
    let length = usize::try_from(fields.int()?).map_err(|_| NEGATIVE)?;
    let body = fields.take(length)?;
    Ok((body, fields.0))
}

/// Walks over a record without its length. Calls `each` in two places, so that the common case never goes through memory: a
/// [`Walk`] that does costs three times what reading it costs.
#[inline(always)]
fn body_of(body: &[u8], index: i32, each: &mut impl FnMut(Walk)) -> Result<(), &'static str> {
    match common(body, index) {
        Some(walk) => each(walk),
        None => each(any(body, index)?),
    }
    Ok(())
}

/// The record that most records are: no headers, no number over 3 bytes. `None` for any other, sound or not, which [`any`] then
/// tells apart.
#[inline(always)]
fn common(body: &[u8], index: i32) -> Option<Walk> {
    let (timestamp, at) = short(body, 1)?;
    let (offset, at) = short(body, at)?;
    let (key, at) = short(body, at)?;
    let at = after(body, key, at)?;
    let (value, at) = short(body, at)?;
    let at = after(body, value, at)?;
    let (headers, at) = short(body, at)?;
    if headers != 0 || at != body.len() || offset != index.cast_unsigned() << 1 {
        return None;
    }
    let timestamp_delta = i64::from(timestamp >> 1) ^ -i64::from(timestamp & 1);
    Some(Walk { index, timestamp_delta, has_key: key != ZIGZAG_NULL })
}

/// -1 in zigzag.
const ZIGZAG_NULL: u32 = 1;

/// Where bytes end that begin at `at` and have this length in zigzag; the end may be past the record's.
#[inline(always)]
fn after(body: &[u8], zigzag: u32, at: usize) -> Option<usize> {
    if zigzag == ZIGZAG_NULL {
        return Some(at);
    }
    (zigzag & 1 == 0 && at <= body.len()).then(|| at + (zigzag as usize >> 1))
}

/// A varint of at most 3 bytes, still in zigzag, and where it ends.
#[inline(always)]
fn short(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = u32::from(*bytes.get(at)?);
    if first < 0x80 {
        return Some((first, at + 1));
    }
    let second = u32::from(*bytes.get(at + 1)?);
    if second < 0x80 {
        return Some((first & 0x7f | second << 7, at + 2));
    }
    let third = u32::from(*bytes.get(at + 2)?);
    (third < 0x80).then_some((first & 0x7f | (second & 0x7f) << 7 | third << 14, at + 3))
}

#[inline(never)]
fn any(body: &[u8], index: i32) -> Result<Walk, &'static str> {
    let mut fields = Fields(body);
    fields.take(1)?;
    let timestamp_delta = fields.long()?;
    if fields.int()? != index {
        return Err(DELTA);
    }
    let has_key = fields.bytes()?.is_some();
    fields.bytes()?;
    let headers = fields.int()?;
    fields.check_headers(headers)?;
    Ok(Walk { index, timestamp_delta, has_key })
}

/// Bounds on what a stream may decompress to, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) record: usize,
    pub(super) total: usize,
}

/// Walks `count` records that fill the decompressed stream exactly. Gives the bytes that were decompressed, also where they are wrong.
pub(super) fn stream(
    source: Reader<'_>,
    limits: Limits,
    window: &mut Vec<u8>,
    count: i32,
    mut each: impl FnMut(Walk),
) -> (usize, Result<(), (i32, Fault)>) {
    window.resize(WINDOW, 0);
    let mut stream = Stream { source, limits, passed: 0, window, from: 0, to: 0, left: 0 };
    let walked = stream.walk(count, &mut each);
    (stream.passed, walked)
}

struct Stream<'a, 'w> {
    source: Reader<'a>,
    limits: Limits,
    passed: usize,
    window: &'w mut [u8],
    from: usize,
    to: usize,
    /// Bytes left of the record that is being walked.
    left: usize,
}

impl Stream<'_, '_> {
    fn walk(&mut self, count: i32, each: &mut impl FnMut(Walk)) -> Result<(), (i32, Fault)> {
        for index in 0..count {
            self.record(index, each).map_err(|fault| (index, fault))?;
        }
        match self.at_end() {
            Ok(true) => Ok(()),
            Ok(false) => Err((count, Fault::Malformed(AFTER_LAST))),
            Err(fault) => Err((count, fault)),
        }
    }

    fn record(&mut self, index: i32, each: &mut impl FnMut(Walk)) -> Result<(), Fault> {
        self.left = usize::MAX;
        let length = usize::try_from(self.int()?).map_err(|_| NEGATIVE)?;
        if length > self.limits.record {
            return Err(Fault::RecordTooLarge(length));
        }
        // Most records are whole in the window: those are walked as a slice is.
        if let Some(body) = self.window[self.from..self.to].get(..length) {
            body_of(body, index, each)?;
            self.from += length;
            return Ok(());
        }
        self.left = length;
        self.skip(1)?;
        let timestamp_delta = self.long()?;
        if self.int()? != index {
            return Err(DELTA.into());
        }
        let has_key = self.skip_bytes()?;
        self.skip_bytes()?;
        let headers = self.int()?;
        if usize::try_from(headers).map_or(true, |headers| headers > self.left) {
            return Err("an impossible count of headers".into());
        }
        for _ in 0..headers {
            if !self.skip_bytes()? {
                return Err("a header without a key".into());
            }
            self.skip_bytes()?;
        }
        if self.left != 0 {
            return Err("bytes after the last header".into());
        }
        each(Walk { index, timestamp_delta, has_key });
        Ok(())
    }

    fn int(&mut self) -> Result<i32, Fault> {
        self.need_varint()?;
        let found = get_i32(&self.window[self.from..self.to]);
        let (value, len) = found.ok_or("a variable-length integer is cut off or too long")?;
        self.taken(len)?;
        Ok(value)
    }

    fn long(&mut self) -> Result<i64, Fault> {
        self.need_varint()?;
        let found = get_i64(&self.window[self.from..self.to]);
        let (value, len) = found.ok_or("a variable-length integer is cut off or too long")?;
        self.taken(len)?;
        Ok(value)
    }

    fn taken(&mut self, len: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(len).ok_or("its fields are longer than it is")?;
        self.from += len;
        Ok(())
    }

    /// Skips bytes with their length; false for null.
    fn skip_bytes(&mut self) -> Result<bool, Fault> {
        match self.int()? {
            -1 => Ok(false),
            len => {
                self.skip(usize::try_from(len).map_err(|_| NEGATIVE)?)?;
                Ok(true)
            }
        }
    }

    fn skip(&mut self, mut len: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(len).ok_or("its fields are longer than it is")?;
        loop {
            let here = len.min(self.to - self.from);
            self.from += here;
            len -= here;
            if len == 0 {
                return Ok(());
            }
            if !self.fill()? {
                return Err("a length goes past the end".into());
            }
        }
    }

    /// Brings a whole varint into the window, or all that is left.
    #[inline]
    fn need_varint(&mut self) -> Result<(), Fault> {
        while self.to - self.from < VARINT_MAX && self.fill()? {}
        Ok(())
    }

    /// Reads more behind what is left in the window; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, Fault> {
        self.window.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.window.len() {
            return Ok(false);
        }
        let n = self.source.read(&mut self.window[self.to..])?;
        self.to += n;
        self.passed = self.passed.saturating_add(n);
        if self.passed > self.limits.total {
            return Err(CompressError::TooLarge(self.limits.total).into());
        }
        Ok(n > 0)
    }

    fn at_end(&mut self) -> Result<bool, Fault> {
        Ok(self.from == self.to && !self.fill()?)
    }
}
