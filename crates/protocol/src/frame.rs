//! Requests and responses as they stand on a connection: an int32 size, a header, a body.

use crate::ApiKey;
use crate::wire::{DecodeError, Encode, EncodeError, LengthSink, Reader, Sink, UnknownTags, Writer};
use std::borrow::Cow;
use std::fmt;

/// The header of a request, version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API's key.
    pub key: i16,
    /// The API's version.
    pub version: i16,
    /// What the response must carry.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<Cow<'a, str>>,
}

/// Why a request's header is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is no such API.
    UnknownKey {
        /// The key that was asked for.
        key: i16,
    },
    /// The API has no such version. For ApiVersions this is answered with version 0 (KIP-511).
    UnsupportedVersion {
        /// The key that was asked for.
        key: i16,
        /// The version that was asked for.
        version: i16,
        /// What an answer must carry.
        correlation_id: i32,
    },
    /// The bytes are no header.
    Malformed(DecodeError),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::UnknownKey { key } => write!(f, "API key {key} does not exist"),
            HeaderError::UnsupportedVersion { key, version, .. } => {
                write!(f, "API {} has no version {version}", ApiKey::from_code(*key).map_or("?", ApiKey::name))
            }
            HeaderError::Malformed(error) => write!(f, "the request header is malformed: {error}"),
        }
    }
}

impl std::error::Error for HeaderError {}

impl From<DecodeError> for HeaderError {
    fn from(error: DecodeError) -> Self {
        HeaderError::Malformed(error)
    }
}

/// Reads a request's header from a frame without its size; `reader` then stands at the body.
///
/// # Errors
/// See [`HeaderError`]; key, version and correlation id are read first, so that they can be reported.
pub fn decode_request_header<'a>(reader: &mut Reader<'a>) -> Result<RequestHeader<'a>, HeaderError> {
    let (key, version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
    let api = ApiKey::from_code(key).ok_or(HeaderError::UnknownKey { key })?;
    if !api.stable_versions().is_some_and(|versions| versions.contains(&version)) {
        return Err(HeaderError::UnsupportedVersion { key, version, correlation_id });
    }
    // Even in header version 2 the client id is never compact, so that a broker can read it whatever the version (KIP-482).
    let client_id = reader.nullable_string(false)?;
    if api.request_header_version(version) >= 2 {
        reader.tagged(&mut UnknownTags::default(), |_, _| Ok(false))?;
    }
    Ok(RequestHeader { key, version, correlation_id, client_id })
}

/// A whole request frame, its size first.
///
/// # Errors
/// When the body cannot be written in this version.
pub fn encode_request(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &impl Encode,
) -> Result<Vec<u8>, EncodeError> {
    let flexible = key.request_header_version(version) >= 2;
    let mut header = LengthSink::default();
    put_request_header(&mut header, key, version, correlation_id, client_id, flexible)?;
    let size = header.len() + body.encoded_len(version)?;
    let mut writer = Writer { buf: Vec::with_capacity(4 + size), splices: Vec::new() };
    writer.i32(i32::try_from(size).map_err(|_| EncodeError::TooLong(size))?);
    put_request_header(&mut writer, key, version, correlation_id, client_id, flexible)?;
    body.put(&mut writer, version)?;
    Ok(writer.buf)
}

fn put_request_header<S: Sink>(
    sink: &mut S,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    flexible: bool,
) -> Result<(), EncodeError> {
    sink.i16(key.code());
    sink.i16(version);
    sink.i32(correlation_id);
    sink.string(false, client_id)?;
    if flexible {
        sink.uvarint(0);
    }
    Ok(())
}

/// Appends a whole response frame to `writer`, its size first; spliced bytes count into the size.
///
/// # Errors
/// When the body cannot be written in this version; `writer` is then left as it was.
pub fn encode_response(
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    body: &impl Encode,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    let flexible = key.response_header_version(version) >= 1;
    let size = 4 + usize::from(flexible) + body.encoded_len(version)?;
    let wire_size = i32::try_from(size).map_err(|_| EncodeError::TooLong(size))?;
    writer.buf.reserve(4 + size);
    writer.i32(wire_size);
    writer.i32(correlation_id);
    if flexible {
        writer.uvarint(0);
    }
    body.put(writer, version)
}

/// Reads a response's header from a frame without its size, returning the correlation id; `reader` then stands at the body.
///
/// # Errors
/// When the bytes are no such header.
pub fn decode_response_header(reader: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<i32, DecodeError> {
    let correlation_id = reader.i32()?;
    if key.response_header_version(version) >= 1 {
        reader.tagged(&mut UnknownTags::default(), |_, _| Ok(false))?;
    }
    Ok(correlation_id)
}
