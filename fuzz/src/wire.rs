//! Frames and messages.

use crate::heap::bounded;
use crate::take::Take;
use protocol::ApiKey;
use protocol::frame::decode_request_header;
use protocol::testing::{CODECS, Codec};
use protocol::wire::Reader;

/// A request as it stands on a connection, without its size: header, then the body that the header names.
pub fn frame(data: &[u8]) {
    let mut reader = Reader::new(data);
    let Ok(header) = bounded(data.len(), 0, || decode_request_header(&mut reader)) else { return };
    let name = ApiKey::from_code(header.key).map_or("", ApiKey::name);
    let codec = CODECS.iter().find(|codec| codec.name.strip_suffix("Request") == Some(name));
    check(codec.expect("an API with a header has a request"), header.version, reader.rest());
}

/// Any message in any of its versions: two bytes choose the message, one its version, one a version to write it in.
pub fn message(data: &[u8]) {
    let mut take = Take(data);
    let codec = &CODECS[take.short() % CODECS.len()];
    let span = i32::from(codec.max_version - codec.min_version) + 1;
    let mut version = || codec.min_version + (i32::from(take.byte()) % span) as i16;
    let (version, other) = (version(), version());
    check(codec, version, take.0);
    // Another version may lack a field, which is an error and no panic.
    if let Ok(Ok(written)) = bounded(take.0.len(), 0, || (codec.transcode)(take.0, version, other)) {
        check(codec, other, &written);
    }
}

/// What is decoded can be encoded (the codec's own round trip asserts it, and that the announced length is the written one), and
/// what was written is written the same again.
fn check(codec: &Codec, version: i16, body: &[u8]) {
    let Ok(written) = bounded(body.len(), 0, || (codec.round_trip)(body, version)) else { return };
    let again = (codec.round_trip)(&written, version);
    assert_eq!(again.as_ref(), Ok(&written), "{} v{version}", codec.name);
}
