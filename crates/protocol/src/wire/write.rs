//! Sizing and writing primitives.

use super::{Records, UnknownTags};
use base::Uuid;
use std::fmt;
use std::ops::RangeBounds;

/// Why a message cannot be written in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A field holds a value, but the version has no such field and the field may not be dropped.
    UnsupportedField {
        /// `Message.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null in a version that allows no null there.
    NotNullable {
        /// `Message.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, bytes or array is longer than its length field can say.
    TooLong(usize),
    /// The message has no such version.
    UnsupportedVersion(i16),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::UnsupportedField { field, version } => write!(f, "version {version} has no field {field}"),
            EncodeError::NotNullable { field, version } => write!(f, "{field} may not be null in version {version}"),
            EncodeError::TooLong(len) => write!(f, "{len} is too long for the field's length"),
            EncodeError::UnsupportedVersion(version) => write!(f, "the message has no version {version}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Where bytes go: into a buffer, or only into a count.
pub trait Sink {
    /// Takes these bytes.
    fn put(&mut self, bytes: &[u8]);
    /// Takes a mark for this many bytes that come from elsewhere.
    fn splice(&mut self, len: usize);

    /// Writes a boolean.
    #[inline]
    fn bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }
    /// Writes an int8.
    #[inline]
    fn i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }
    /// Writes an int16.
    #[inline]
    fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }
    /// Writes an int32.
    #[inline]
    fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }
    /// Writes an int64.
    #[inline]
    fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }
    /// Writes a uint16.
    #[inline]
    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    /// Writes a uint32.
    #[inline]
    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
    /// Writes a float64.
    #[inline]
    fn f64(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }
    /// Writes 16 bytes of id.
    #[inline]
    fn uuid(&mut self, value: Uuid) {
        self.put(&value.to_bytes());
    }
    /// Writes an unsigned varint.
    #[inline]
    fn uvarint(&mut self, mut value: u32) {
        let mut bytes = [0_u8; 5];
        let mut len = 0;
        while value >= 0x80 {
            bytes[len] = (value & 0x7f) as u8 | 0x80;
            value >>= 7;
            len += 1;
        }
        bytes[len] = value as u8;
        self.put(&bytes[..=len]);
    }
    /// Writes the length of bytes or of an array, `None` for null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    #[inline]
    fn length(&mut self, compact: bool, len: Option<usize>) -> Result<(), EncodeError> {
        let signed = match len {
            None => -1,
            Some(len) => i32::try_from(len).map_err(|_| EncodeError::TooLong(len))?,
        };
        if compact {
            self.uvarint(signed.wrapping_add(1) as u32);
        } else {
            self.i32(signed);
        }
        Ok(())
    }
    /// Writes a string, `None` for null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    #[inline]
    fn string(&mut self, compact: bool, text: Option<&str>) -> Result<(), EncodeError> {
        let len = text.map(str::len);
        if let Some(len) = len
            && len > i16::MAX as usize
        {
            return Err(EncodeError::TooLong(len));
        }
        if compact {
            self.length(true, len)?;
        } else {
            self.i16(len.map_or(-1, |len| len as i16));
        }
        self.put(text.unwrap_or_default().as_bytes());
        Ok(())
    }
    /// Writes bytes, `None` for null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    #[inline]
    fn bytes(&mut self, compact: bool, bytes: Option<&[u8]>) -> Result<(), EncodeError> {
        self.length(compact, bytes.map(<[u8]>::len))?;
        self.put(bytes.unwrap_or_default());
        Ok(())
    }
    /// Writes records, or their length and a mark.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    #[inline]
    fn records(&mut self, compact: bool, records: &Records<'_>) -> Result<(), EncodeError> {
        match records {
            Records::Null => self.length(compact, None),
            Records::Bytes(bytes) => self.bytes(compact, Some(bytes)),
            Records::Spliced(len) => {
                self.length(compact, Some(*len))?;
                self.splice(*len);
                Ok(())
            }
        }
    }
    /// Writes one tagged field: its tag, its size, and what `value` writes.
    ///
    /// # Errors
    /// Those of the value.
    fn tag(&mut self, tag: u32, size: usize) -> Result<(), EncodeError> {
        self.uvarint(tag);
        self.uvarint(u32::try_from(size).map_err(|_| EncodeError::TooLong(size))?);
        Ok(())
    }

    /// Writes the unknown fields after the known ones.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn unknown_tags(&mut self, tags: &UnknownTags) -> Result<(), EncodeError> {
        self.unknown_tags_in(tags, ..)
    }

    /// Writes the unknown fields whose tags are in `range`, between known ones.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn unknown_tags_in(&mut self, tags: &UnknownTags, range: impl RangeBounds<u32>) -> Result<(), EncodeError> {
        for (tag, value) in tags.iter().filter(|(tag, _)| range.contains(tag)) {
            self.tag(tag, value.len())?;
            self.put(value);
        }
        Ok(())
    }
}

/// Counts bytes instead of keeping them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LengthSink(usize);

impl LengthSink {
    /// The bytes counted, spliced ones included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a count, not a container")]
    pub fn len(self) -> usize {
        self.0
    }
}

impl Sink for LengthSink {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
    #[inline]
    fn splice(&mut self, len: usize) {
        self.0 += len;
    }
}

/// A place in a [`Writer`]'s buffer where bytes from elsewhere belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Bytes of the buffer that come before.
    pub at: usize,
    /// Bytes that belong here.
    pub len: usize,
}

/// A buffer that messages are written into, and the places where file bytes belong.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    /// The bytes written.
    pub buf: Vec<u8>,
    /// Where file bytes belong, in ascending order.
    pub splices: Vec<Splice>,
}

impl Writer {
    /// Bytes that will be on the wire: the buffer's and the spliced ones.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.buf.len() + self.splices.iter().map(|splice| splice.len).sum::<usize>()
    }
}

impl Sink for Writer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }
    #[inline]
    fn splice(&mut self, len: usize) {
        self.splices.push(Splice { at: self.buf.len(), len });
    }
}
