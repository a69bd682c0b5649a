//! Frames whose bodies no encoder writes, to every API in every version: nothing, zeroes, negative and giant lengths, a byte too few, a byte
//! too many, versions that do not exist.
//!
//! What such a body means differs from API to API and version to version; only both brokers' saying the same of it is asked for.

use crate::canon::canonical;
use crate::script::Script;
use crate::wire::{Answer, frame};
use protocol::ApiKey;
use protocol::frame::decode_response_header;
use protocol::testing::{CODECS, Codec};
use protocol::wire::Reader;

/// As many bytes as a small request has; that the length is odd leaves no reading in which they are used up exactly.
const BODY_BYTES: usize = 61;

/// Bodies that a broker cannot make a request of, or only one that it has to refuse.
pub(crate) fn frames(script: &mut Script) {
    for (key, versions) in server::served_apis() {
        for version in versions.clone() {
            let bodies = unsound().into_iter().chain(around_zeroes(key, version));
            for (label, body) in bodies.filter(|(label, _)| !is_left_out(key, version, label)) {
                step(script, key, version, label, &body);
            }
        }
        // ApiVersions is answered in any version (KIP-511), which `cluster.rs` asks for.
        if key != ApiKey::ApiVersions {
            step(script, key, versions.end() + 1, "version-above", &[]);
            if *versions.start() > 0 {
                step(script, key, versions.start() - 1, "version-below", &[]);
            }
        }
    }
}

fn unsound() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no-body", Vec::new()),
        ("negative-lengths", vec![0xFF; BODY_BYTES]),
        ("giant-lengths", vec![0x7F; BODY_BYTES]),
    ]
}

/// A body with every field zero, null or empty, with a byte too few and with one too many.
fn around_zeroes(key: ApiKey, version: i16) -> Vec<(&'static str, Vec<u8>)> {
    let Some(zeroes) = zeroes(key, version) else {
        assert!(WITHOUT_ZEROES.contains(&key), "{} v{version} has no body of zeroes", key.name());
        return Vec::new();
    };
    let cut = zeroes[..zeroes.len().saturating_sub(1)].to_vec();
    let trailing = [&zeroes[..], &[0]].concat();
    vec![("cut", cut), ("zeroes", zeroes), ("trailing-byte", trailing)]
}

/// APIs with more than one field that is never null in their first version already.
const WITHOUT_ZEROES: [ApiKey; 2] = [ApiKey::ConsumerGroupHeartbeat, ApiKey::DescribeTopicPartitions];

/// Zeroes; in an older version where this one's arrays are never null, and where there is none, with up to three lengths
/// one after the other as those of empty arrays.
fn zeroes(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    let codec = codec(key, "Request");
    let older = (codec.min_version..=version).rev();
    let mut zeroes = older.filter_map(|older| (codec.transcode)(&[0; BODY_BYTES], older, version).ok()?.ok());
    let with_lengths = |at: usize, count: usize| {
        let mut empty = [0; BODY_BYTES];
        empty.get_mut(at..at + count)?.fill(1);
        (codec.round_trip)(&empty, version).ok()
    };
    zeroes.next().or_else(|| (1..=3).find_map(|count| (0..BODY_BYTES).find_map(|at| with_lengths(at, count))))
}

/// What is not asked: after acks=0 without records Kafka leaves its connection for dead, and some requests are for all that there is, which
/// differs from run to run (sizes, and a group whose member is late).
fn is_left_out(key: ApiKey, version: i16, label: &str) -> bool {
    match key {
        ApiKey::Produce => ["zeroes", "trailing-byte"].contains(&label),
        ApiKey::ListGroups if version < 3 => true,
        ApiKey::DescribeLogDirs | ApiKey::ListGroups => {
            ["negative-lengths", "zeroes", "trailing-byte"].contains(&label)
        }
        // All that is served, of which `cluster.rs` compares what both do.
        ApiKey::ApiVersions => version < 3,
        _ => false,
    }
}

fn codec(key: ApiKey, end: &str) -> &'static Codec {
    let codec = CODECS.iter().find(|codec| codec.name.strip_suffix(end) == Some(key.name()));
    codec.expect("every API has a request and a response")
}

fn step(script: &mut Script, key: ApiKey, version: i16, label: &str, body: &[u8]) {
    script.wire.send_frame(&frame(key, version, body));
    let line = match script.wire.receive() {
        Answer::Frame(frame) => {
            let mut reader = Reader::new(&frame);
            decode_response_header(&mut reader, key, version).expect("a response header");
            let debug = (codec(key, "Response").describe)(reader.rest(), version).expect("a response of this version");
            canonical(&debug, version)
        }
        Answer::Closed => "closed".to_owned(),
        Answer::Silent => "silent".to_owned(),
        Answer::Unwritable => unreachable!("bytes are sent as they are"),
    };
    script.lines.push((format!("{}.frame.{label}", key.name()), version, line));
}
