//! Kafka's primitive types, big-endian, in both directions. A length is checked before it is believed.

use conformance::fault::{Fault, fail};

/// Writes a request's body.
#[derive(Debug, Default)]
pub struct Encoder {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Encoder {
    /// An int8, also a boolean.
    pub fn i8(&mut self, value: i8) -> &mut Encoder {
        self.raw(&value.to_be_bytes())
    }

    /// An int16.
    pub fn i16(&mut self, value: i16) -> &mut Encoder {
        self.raw(&value.to_be_bytes())
    }

    /// An int32.
    pub fn i32(&mut self, value: i32) -> &mut Encoder {
        self.raw(&value.to_be_bytes())
    }

    /// An int64.
    pub fn i64(&mut self, value: i64) -> &mut Encoder {
        self.raw(&value.to_be_bytes())
    }

    /// A string.
    pub fn string(&mut self, value: &str) -> &mut Encoder {
        self.i16(i16::try_from(value.len()).unwrap_or(i16::MAX)).raw(value.as_bytes())
    }

    /// A nullable string that is null.
    pub fn null(&mut self) -> &mut Encoder {
        self.i16(-1)
    }

    /// An array's length, or that of bytes.
    pub fn len(&mut self, len: usize) -> &mut Encoder {
        self.i32(i32::try_from(len).unwrap_or(i32::MAX))
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Encoder {
        self.bytes.extend_from_slice(bytes);
        self
    }
}

/// Reads a response's body.
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads `bytes` from their beginning.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: bytes }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => fail(format!("a response ends {} bytes early", len - self.rest.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// An int8.
    pub fn i8(&mut self) -> Result<i8, Fault> {
        self.array().map(i8::from_be_bytes)
    }

    /// An int16.
    pub fn i16(&mut self) -> Result<i16, Fault> {
        self.array().map(i16::from_be_bytes)
    }

    /// An int32.
    pub fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    /// An int64.
    pub fn i64(&mut self) -> Result<i64, Fault> {
        self.array().map(i64::from_be_bytes)
    }

    /// A string; null is empty.
    pub fn string(&mut self) -> Result<String, Fault> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Bytes; null is empty.
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let len = usize::try_from(self.i32()?).unwrap_or(0);
        self.take(len)
    }

    /// Every element of an array; null is empty.
    pub fn each<T>(&mut self, mut read: impl FnMut(&mut Decoder<'a>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let len = self.i32()?.max(0);
        (0..len).map(|_| read(self)).collect()
    }
}
