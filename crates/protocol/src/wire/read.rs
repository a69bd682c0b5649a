//! Reading primitives from borrowed bytes.

use super::UnknownTags;
use base::Uuid;
use std::borrow::Cow;
use std::fmt;

/// The most elements one array may have, as in Kafka 4.4 (CVE-2026-111108).
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;
/// The most tagged fields one structure may have, as in Kafka 4.4 (CVE-2026-111115).
pub const TAGGED_FIELDS_MAX: u32 = 10_000;
/// The longest string in bytes, compact or not, as in Kafka.
const STRING_BYTES_MAX: usize = 0x7fff;
/// Decoding may allocate this many bytes for each byte received, which names of three letters need ...
const BUDGET_PER_BYTE: usize = 16;
/// ... of so many bytes, 1 MiB; beyond them ...
const DENSE_BYTES_MAX: usize = 1 << 20;
/// ... this many for each: nothing that is that large is made of names of three letters (S07) ...
const BUDGET_PER_FURTHER_BYTE: usize = 4;
/// ... and this many on top, so that small messages never meet the limit.
const BUDGET_BASE: usize = 64 * 1024;

/// Why bytes are not the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes are needed than are left.
    Truncated {
        /// Bytes that the next field needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A length below -1, or -1 where the version allows no null.
    InvalidLength(i64),
    /// More elements than [`ARRAY_ELEMENTS_MAX`].
    TooManyElements(usize),
    /// More tagged fields than [`TAGGED_FIELDS_MAX`].
    TooManyTags(u32),
    /// A tag that does not follow its predecessor in ascending order.
    UnorderedTag(u32),
    /// A tagged field whose bytes are more than its value.
    TrailingBytes(usize),
    /// A variable-length integer of more bytes than its type has.
    InvalidVarint,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// The message would need much more memory than the bytes it came in.
    OverBudget,
    /// The message has no such version.
    UnsupportedVersion(i16),
    /// A record of this type, or in this frame version, is unknown.
    UnknownRecord(i64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated { needed, left } => write!(f, "{needed} more bytes are needed, {left} are left"),
            DecodeError::InvalidLength(length) => write!(f, "{length} is not a valid length here"),
            DecodeError::TooManyElements(n) => {
                write!(f, "an array of {n} elements is over the limit of {ARRAY_ELEMENTS_MAX}")
            }
            DecodeError::TooManyTags(n) => write!(f, "{n} tagged fields are over the limit of {TAGGED_FIELDS_MAX}"),
            DecodeError::UnorderedTag(tag) => write!(f, "tag {tag} does not follow its predecessor in ascending order"),
            DecodeError::TrailingBytes(n) => write!(f, "{n} bytes follow the end of the value"),
            DecodeError::InvalidVarint => f.write_str("a variable-length integer is too long"),
            DecodeError::InvalidUtf8 => f.write_str("a string is not UTF-8"),
            DecodeError::OverBudget => f.write_str("the message would need far more memory than the bytes it came in"),
            DecodeError::UnsupportedVersion(version) => write!(f, "the message has no version {version}"),
            DecodeError::UnknownRecord(id) => write!(f, "record type or frame version {id} is unknown"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over the bytes of one frame.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    budget: usize,
}

macro_rules! fixed {
    ($($name:ident -> $type:ty;)*) => {$(
        #[doc = concat!("Reads a big-endian `", stringify!($type), "`.")]
        ///
        /// # Errors
        /// [`DecodeError::Truncated`].
        #[inline]
        pub fn $name(&mut self) -> Result<$type, DecodeError> {
            Ok(<$type>::from_be_bytes(self.fixed_bytes()?))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`, whose length sets the budget for allocations.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let dense = bytes.len().min(DENSE_BYTES_MAX);
        let further = (bytes.len() - dense).saturating_mul(BUDGET_PER_FURTHER_BYTE);
        Self { rest: bytes, budget: dense * BUDGET_PER_BYTE + further + BUDGET_BASE }
    }

    /// The bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `len` bytes without copying them.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(DecodeError::Truncated { needed: len, left: self.rest.len() }),
        }
    }

    #[inline]
    fn fixed_bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated { needed: N, left: self.rest.len() }),
        }
    }

    fixed! {
        i8 -> i8;
        i16 -> i16;
        i32 -> i32;
        i64 -> i64;
        u16 -> u16;
        u32 -> u32;
        f64 -> f64;
    }

    /// Reads a boolean: 0 is false, anything else true, as Kafka reads it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// Reads 16 bytes of id.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.fixed_bytes()?))
    }

    /// Reads an unsigned varint of at most 5 bytes (KIP-482).
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::InvalidVarint`].
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed_bytes()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::InvalidVarint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A length as it stands before bytes and arrays: -1 is null.
    #[inline]
    fn length(&mut self, compact: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            let plus_one = self.uvarint()?;
            return Ok(plus_one.checked_sub(1).map(|len| len as usize));
        }
        let len = self.i32()?;
        match len {
            -1 => Ok(None),
            _ => usize::try_from(len).map(Some).map_err(|_| DecodeError::InvalidLength(i64::from(len))),
        }
    }

    /// Reads a string that may be null.
    ///
    /// # Errors
    /// Length, truncation and UTF-8 errors.
    #[inline]
    pub fn nullable_string(&mut self, compact: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let len = if compact {
            self.length(true)?
        } else {
            let len = self.i16()?;
            match len {
                -1 => None,
                _ => Some(usize::try_from(len).map_err(|_| DecodeError::InvalidLength(i64::from(len)))?),
            }
        };
        let Some(len) = len else { return Ok(None) };
        if len > STRING_BYTES_MAX {
            return Err(DecodeError::InvalidLength(len as i64));
        }
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::InvalidUtf8)?;
        Ok(Some(Cow::Borrowed(text)))
    }

    /// Reads a string that may not be null.
    ///
    /// # Errors
    /// As [`Reader::nullable_string`]; null is [`DecodeError::InvalidLength`].
    #[inline]
    pub fn string(&mut self, compact: bool) -> Result<Cow<'a, str>, DecodeError> {
        self.nullable_string(compact)?.ok_or(DecodeError::InvalidLength(-1))
    }

    /// Reads bytes that may be null.
    ///
    /// # Errors
    /// Length and truncation errors.
    #[inline]
    pub fn nullable_bytes(&mut self, compact: bool) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        match self.length(compact)? {
            None => Ok(None),
            Some(len) => Ok(Some(Cow::Borrowed(self.take(len)?))),
        }
    }

    /// Reads bytes that may not be null.
    ///
    /// # Errors
    /// As [`Reader::nullable_bytes`]; null is [`DecodeError::InvalidLength`].
    #[inline]
    pub fn bytes(&mut self, compact: bool) -> Result<Cow<'a, [u8]>, DecodeError> {
        self.nullable_bytes(compact)?.ok_or(DecodeError::InvalidLength(-1))
    }

    /// Reads an array that may be null, with `element` for each element.
    ///
    /// # Errors
    /// Length errors, those of `element`, [`DecodeError::TooManyElements`] and [`DecodeError::OverBudget`].
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        compact: bool,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(compact)? else { return Ok(None) };
        self.charge(count, size_of::<T>())?;
        // As in Kafka: an element has one byte at least, so this many cannot be there.
        if count > self.remaining() {
            return Err(DecodeError::Truncated { needed: count, left: self.remaining() });
        }
        // All of it at once: growing would hold up to three times as much for a moment, and the budget has it already.
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// Reads an array that may not be null.
    ///
    /// # Errors
    /// As [`Reader::nullable_array`]; null is [`DecodeError::InvalidLength`].
    #[inline]
    pub fn array<T>(
        &mut self,
        compact: bool,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(compact, element)?.ok_or(DecodeError::InvalidLength(-1))
    }

    /// Charges `count` elements of `size` bytes to the budget.
    fn charge(&mut self, count: usize, size: usize) -> Result<(), DecodeError> {
        if count > ARRAY_ELEMENTS_MAX {
            return Err(DecodeError::TooManyElements(count));
        }
        let left = self.budget.checked_sub(count.saturating_mul(size.max(1)));
        self.budget = left.ok_or(DecodeError::OverBudget)?;
        Ok(())
    }

    /// Reads a tagged-field section (KIP-482). `known` reads the value of a tag that it knows and says so; the bytes of other
    /// tags are kept in `unknown`.
    ///
    /// # Errors
    /// Those of `known`, and tags that are too many, out of order, or not as long as they say.
    pub fn tagged(
        &mut self,
        unknown: &mut UnknownTags,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::TooManyTags(count));
        }
        let mut previous = None;
        for _ in 0..count {
            let tag = self.uvarint()?;
            if previous.is_some_and(|previous| tag <= previous) {
                return Err(DecodeError::UnorderedTag(tag));
            }
            previous = Some(tag);
            let size = self.uvarint()? as usize;
            let mut value = Reader { rest: self.take(size)?, budget: self.budget };
            if known(&mut value, tag)? {
                if value.remaining() > 0 {
                    return Err(DecodeError::TrailingBytes(value.remaining()));
                }
            } else {
                value.charge(1, value.remaining() + size_of::<(u32, Vec<u8>)>())?;
                unknown.push(tag, value.rest.to_vec());
            }
            self.budget = value.budget;
        }
        Ok(())
    }
}
