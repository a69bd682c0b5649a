//! Frames of Kafka's protocol, written and read by hand: the load shares no codec with what it measures.
//!
//! Only non-flexible versions, which both brokers serve, so that answers can be checked at fixed places.

pub mod batch;
pub mod requests;

use conformance::fault::{Fault, fail};

/// Where the correlation id stands in a request with its size.
pub const CORRELATION_AT: usize = 8;

/// Writes big-endian fields.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// int8 or bool.
    pub fn i8(&mut self, value: i8) -> &mut Writer {
        self.0.push(value.cast_unsigned());
        self
    }

    /// int16.
    pub fn i16(&mut self, value: i16) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// int32.
    pub fn i32(&mut self, value: i32) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// int64.
    pub fn i64(&mut self, value: i64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// string.
    pub fn text(&mut self, text: &str) -> &mut Writer {
        self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A nullable string that is null.
    pub fn null(&mut self) -> &mut Writer {
        self.i16(-1)
    }

    /// bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// The length of an array.
    pub fn count(&mut self, count: usize) -> &mut Writer {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Puts the frame's size into its first four bytes, which were left for it.
    pub fn sized(mut self) -> Vec<u8> {
        let size = i32::try_from(self.0.len() - 4).unwrap_or(i32::MAX);
        self.0[..4].copy_from_slice(&size.to_be_bytes());
        self.0
    }
}

/// Reads big-endian fields; what is not there is a fault.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub at: usize,
}

impl<'a> Reader<'a> {
    /// From the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// The error code at a place.
    pub fn at_error(bytes: &[u8], at: usize) -> Result<i16, Fault> {
        Reader { bytes, at }.i16()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self.bytes.get(self.at..self.at + N).and_then(|slice| slice.try_into().ok());
        self.at += N;
        match found {
            Some(found) => Ok(found),
            None => fail(format!("{} bytes end before byte {}", self.bytes.len(), self.at)),
        }
    }

    /// int16.
    pub fn i16(&mut self) -> Result<i16, Fault> {
        self.take().map(i16::from_be_bytes)
    }

    /// int32.
    pub fn i32(&mut self) -> Result<i32, Fault> {
        self.take().map(i32::from_be_bytes)
    }

    /// int64.
    pub fn i64(&mut self) -> Result<i64, Fault> {
        self.take().map(i64::from_be_bytes)
    }

    /// The length of an array or of bytes; null counts as none.
    pub fn count(&mut self) -> Result<usize, Fault> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        // No element takes less than a byte.
        if count > self.bytes.len() {
            return fail(format!("{count} elements in {} bytes", self.bytes.len()));
        }
        Ok(count)
    }

    /// A string's bytes; null is empty.
    pub fn text(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        self.slice(length)
    }

    /// bytes; null is empty.
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.count()?;
        self.slice(length)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let found = self.bytes.get(self.at..self.at + length);
        self.at += length;
        found.map_or_else(|| fail(format!("{length} bytes announced, fewer there")), Ok)
    }
}

/// An int32 at a place.
pub fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(i32::from_be_bytes)
}

/// An int64 at a place.
pub fn int64(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn what_is_written_is_read_and_nothing_more() {
        let mut writer = Writer::default();
        writer.i16(7).text("name").bytes(b"abc").null();
        let mut reader = Reader::new(&writer.0);
        assert_eq!(reader.i16().expect("there"), 7);
        assert_eq!(reader.text().expect("there"), b"name");
        assert_eq!(reader.bytes().expect("there"), b"abc");
        assert_eq!(reader.text().expect("there"), b"");
        assert!(reader.i16().is_err());
    }

    #[test]
    fn a_length_is_checked_before_it_is_believed() {
        assert!(Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1]).count().is_err());
        assert!(Reader::new(&[0, 9, 1]).text().is_err());
    }
}
