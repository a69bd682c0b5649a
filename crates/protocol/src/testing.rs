//! Every message behind one function type, for tests and fuzz targets that go over all of them.

#[path = "codecs.rs"]
mod codecs;

use crate::wire::{Decode, DecodeError, Encode, Reader, Writer};
pub use codecs::CODECS;

/// One message: its versions, and decoding followed by encoding.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// Kafka's name of the message.
    pub name: &'static str,
    /// Oldest version.
    pub min_version: i16,
    /// Newest version.
    pub max_version: i16,
    /// See [`round_trip`].
    pub round_trip: fn(&[u8], i16) -> Result<Vec<u8>, DecodeError>,
}

/// Decodes a message and encodes it again.
///
/// # Errors
/// When the bytes are not such a message.
///
/// # Panics
/// When what was decoded cannot be encoded in the same version, when the encoded length was not as announced, or when decoding
/// the result gives another message: each is a bug of the codec.
pub fn round_trip<'a, T: Decode<'a> + Encode + PartialEq + std::fmt::Debug>(
    bytes: &'a [u8],
    version: i16,
) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    let mut writer = Writer::default();
    message.encode(&mut writer, version).expect("what was decoded can be encoded");
    let announced = message.encoded_len(version).expect("what was decoded has a length");
    assert_eq!(writer.wire_len(), announced, "the announced length is the written one");
    Ok(writer.buf)
}
