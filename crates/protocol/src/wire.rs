//! Kafka's primitive types over borrowed bytes: reading, sizing and writing.
//!
//! Invariants: no read goes past the frame; no length is believed before it is checked; everything that decoding allocates is
//! charged to a budget that is a small multiple of the bytes received; nothing recurses deeper than the schemas do. It knows
//! types (KIP-482's compact forms too), not messages.

mod read;
mod records;
mod tags;
mod write;

pub use read::{ARRAY_ELEMENTS_MAX, DecodeError, Reader, TAGGED_FIELDS_MAX};
pub use records::Records;
pub use tags::UnknownTags;
pub use write::{EncodeError, LengthSink, Sink, Splice, Writer};

/// A message or nested structure that can be read from a frame without copying its strings and bytes.
pub trait Decode<'a>: Sized {
    /// Reads the form that `version` has.
    ///
    /// # Errors
    /// When the bytes are not such a message: see [`DecodeError`].
    fn decode(reader: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// A message or nested structure that can be written.
pub trait Encode {
    /// Writes the form that `version` has into any sink.
    ///
    /// # Errors
    /// When a field holds what `version` cannot carry: see [`EncodeError`].
    fn put<S: Sink>(&self, sink: &mut S, version: i16) -> Result<(), EncodeError>;

    /// The bytes that [`Encode::encode`] will write, spliced record bytes included.
    ///
    /// # Errors
    /// As [`Encode::put`].
    fn encoded_len(&self, version: i16) -> Result<usize, EncodeError> {
        let mut sink = LengthSink::default();
        self.put(&mut sink, version)?;
        Ok(sink.len())
    }

    /// Writes into `writer` with one reservation.
    ///
    /// # Errors
    /// As [`Encode::put`]; `writer` is then left as it was.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        writer.buf.reserve(self.encoded_len(version)?);
        self.put(writer, version)
    }
}

/// What is fixed about a message.
pub trait Message {
    /// Kafka's name of the message.
    const NAME: &'static str;
    /// Oldest version with a schema.
    const MIN_VERSION: i16;
    /// Newest version with a schema, also when it is not stable yet.
    const MAX_VERSION: i16;
    /// First version with compact forms and tagged fields (KIP-482).
    const FLEXIBLE_FROM: Option<i16>;
}

/// A request, and what answers it.
pub trait Request: Message {
    /// Its API key.
    const KEY: crate::ApiKey;
    /// The response, decoded from a frame of lifetime `'r`.
    type Response<'r>: Decode<'r>;
}

/// An answer to a request.
pub trait Response: Encode {
    /// Whether it tells of an error, of the whole request or of anything in it.
    fn has_error(&self) -> bool;
}

#[cfg(test)]
mod tests;
