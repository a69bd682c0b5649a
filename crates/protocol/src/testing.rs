//! Every message behind one function type, for tests and fuzz targets that go over all of them.

/// A row of [`CODECS`] for a message type of `crate::messages`.
macro_rules! codec {
    ($module:ident :: $name:ident $(<$life:lifetime>)?) => {
        $crate::testing::Codec {
            name: <$crate::messages::$module::$name $(<$life>)? as $crate::wire::Message>::NAME,
            min_version: <$crate::messages::$module::$name $(<$life>)? as $crate::wire::Message>::MIN_VERSION,
            max_version: <$crate::messages::$module::$name $(<$life>)? as $crate::wire::Message>::MAX_VERSION,
            round_trip: |bytes, version| {
                $crate::testing::round_trip::<$crate::messages::$module::$name $(<$life>)?>(bytes, version)
            },
            transcode: |bytes, from, to| {
                $crate::testing::transcode::<$crate::messages::$module::$name $(<$life>)?>(bytes, from, to)
            },
            describe: |bytes, version| {
                $crate::testing::describe::<$crate::messages::$module::$name $(<$life>)?>(bytes, version)
            },
        }
    };
}

#[path = "codecs.rs"]
mod codecs;
#[cfg(test)]
mod tests;

use crate::wire::{Decode, DecodeError, Encode, EncodeError, Reader, Writer};
pub use codecs::CODECS;

/// From bytes in one version to bytes in another, or the reason why that one cannot carry them.
pub type Transcode = fn(&[u8], i16, i16) -> Result<Result<Vec<u8>, EncodeError>, DecodeError>;

/// One message: its versions, and what can be done with it without knowing its type.
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
    /// See [`transcode`].
    pub transcode: Transcode,
    /// See [`describe`].
    pub describe: fn(&[u8], i16) -> Result<String, DecodeError>,
}

/// Decodes a message and encodes it again.
///
/// # Errors
/// When the bytes are not such a message.
///
/// # Panics
/// When what was decoded cannot be encoded in the same version, or when the encoded length was not as announced: each is a bug
/// of the codec.
pub fn round_trip<'a, T: Decode<'a> + Encode>(bytes: &'a [u8], version: i16) -> Result<Vec<u8>, DecodeError> {
    Ok(transcode::<T>(bytes, version, version)?.expect("what was decoded can be encoded"))
}

/// Decodes a message of version `from` and encodes it in version `to`.
///
/// # Errors
/// When the bytes are not such a message; within, when `to` cannot carry it.
///
/// # Panics
/// When the encoded length was not as announced.
pub fn transcode<'a, T: Decode<'a> + Encode>(
    bytes: &'a [u8],
    from: i16,
    to: i16,
) -> Result<Result<Vec<u8>, EncodeError>, DecodeError> {
    let message = T::decode(&mut Reader::new(bytes), from)?;
    let mut writer = Writer::default();
    Ok(message.encode(&mut writer, to).map(|()| {
        let announced = message.encoded_len(to).expect("what was written has a length");
        assert_eq!(writer.wire_len(), announced, "the announced length is the written one");
        writer.buf
    }))
}

/// Decodes a message and shows its fields as `Debug` does.
///
/// # Errors
/// When the bytes are not such a message, or go on behind it.
pub fn describe<'a, T: Decode<'a> + std::fmt::Debug>(bytes: &'a [u8], version: i16) -> Result<String, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    match reader.remaining() {
        0 => Ok(format!("{message:?}")),
        left => Err(DecodeError::TrailingBytes(left)),
    }
}
