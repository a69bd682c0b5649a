//! Against the `kafka-protocol` crate, another codec generated from Kafka's schemas: what it writes is read here and written
//! again the same, over Kafka's vectors and over mutations of them, so that the values are many.

use super::kafka_vectors::{Vector, codec, vectors};
use crate::ApiKey;
use crate::testing::Codec;
use base::SeededRng;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use std::collections::BTreeSet;

/// Mutations tried for each vector and version.
const MUTATIONS: usize = 24;

/// Where the other codec is wrong by Kafka 4.4, whose own classes made the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// Its table of APIs names the version, for its response has it, but its request refuses it as too new: there the
    /// last version is left out as long as Kafka calls it unstable.
    RequestLacksVersion,
    /// It takes a nullable struct for null unless the byte before it is 1; Kafka's classes, and we, only when it is negative.
    PresenceByte,
}

/// Every known difference; [`each_known_difference_is_still_there`].
const KNOWN: &[(&str, i16, Differs)] = &[
    ("InitProducerIdRequest", 6, Differs::RequestLacksVersion), // KIP-939: prepared transactions
    ("OffsetCommitRequest", 10, Differs::RequestLacksVersion),  // topic ids instead of names
    ("OffsetFetchRequest", 10, Differs::RequestLacksVersion),   // topic ids instead of names
    ("DescribeTopicPartitionsRequest", 0, Differs::PresenceByte),
    ("DescribeTopicPartitionsResponse", 0, Differs::PresenceByte),
    ("ConsumerGroupHeartbeatResponse", 0, Differs::PresenceByte),
    ("ConsumerGroupHeartbeatResponse", 1, Differs::PresenceByte),
    ("ShareGroupHeartbeatResponse", 1, Differs::PresenceByte),
];

fn known(message: &str, version: i16) -> Option<Differs> {
    KNOWN.iter().find(|known| (known.0, known.1) == (message, version)).map(|known| known.2)
}

/// The API of a request or response that both know in this version.
fn shared_api(message: &str, version: i16) -> Option<(TheirKey, bool)> {
    let (api, is_request) = match message.strip_suffix("Request") {
        Some(api) => (api, true),
        None => (message.strip_suffix("Response")?, false),
    };
    let key = (0..1_000).filter_map(ApiKey::from_code).find(|key| key.name() == api)?;
    let theirs = TheirKey::try_from(key.code()).ok()?;
    let versions = theirs.valid_versions();
    (versions.min..=versions.max).contains(&version).then_some((theirs, is_request))
}

/// Decoded and encoded again by the other codec.
fn theirs(api: (TheirKey, bool), bytes: &[u8], version: i16) -> Result<Vec<u8>, String> {
    let (mut read, mut written) = (Bytes::copy_from_slice(bytes), BytesMut::new());
    let done = match api {
        (key, true) => RequestKind::decode(key, &mut read, version).and_then(|r| r.encode(&mut written, version)),
        (key, false) => ResponseKind::decode(key, &mut read, version).and_then(|r| r.encode(&mut written, version)),
    };
    done.map_err(|error| error.to_string())?;
    if read.is_empty() { Ok(written.to_vec()) } else { Err(format!("{} bytes left", read.len())) }
}

/// Vectors of the messages and versions that both codecs have.
fn each_shared(mut check: impl FnMut(&Vector, i16, &Codec, (TheirKey, bool)) -> Result<(), String>) {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for vector in vectors().0.iter().filter(|vector| !vector.refused) {
        for version in vector.versions.clone() {
            let Some(api) = shared_api(vector.message, version) else { continue };
            seen.insert((vector.message, version));
            if let Err(why) = check(vector, version, codec(vector.message), api) {
                wrong.push(format!("{} v{version} {}: {why}", vector.message, vector.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen.len() > 500, "only {} messages and versions are shared", seen.len());
}

#[test]
fn what_the_other_codec_writes_is_read_and_written_the_same() {
    each_shared(|vector, version, codec, api| {
        if known(vector.message, version) == Some(Differs::RequestLacksVersion) {
            return Ok(());
        }
        let written = theirs(api, &vector.bytes, version)?;
        match (codec.round_trip)(&written, version) {
            Ok(ours) if ours == written => Ok(()),
            ours => Err(format!("they write {written:02x?}, we {ours:02x?}")),
        }
    });
}

#[test]
fn mutated_values_are_written_the_same_by_both() {
    let mut rng = SeededRng::new(18);
    let mut compared = 0;
    each_shared(|vector, version, codec, api| {
        let known = known(vector.message, version);
        if known == Some(Differs::RequestLacksVersion) {
            return Ok(());
        }
        for _ in 0..MUTATIONS {
            let mut bytes = vector.bytes.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len().max(1) as u64) as usize;
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte = rng.next_u64() as u8);
            }
            // The other codec believes every length, so only what we accept is shown to it.
            if (codec.describe)(&bytes, version).is_err() {
                continue;
            }
            let ours = (codec.round_trip)(&bytes, version).unwrap();
            if known == Some(Differs::PresenceByte) {
                // What we wrote has the byte that both read alike.
                bytes.clone_from(&ours);
            }
            let written = theirs(api, &bytes, version).map_err(|why| format!("{why}: {bytes:02x?}"))?;
            if ours != written {
                return Err(format!("{bytes:02x?}: they write {written:02x?}, we {ours:02x?}"));
            }
            compared += 1;
        }
        Ok(())
    });
    assert!(compared > 10_000, "only {compared} mutations were messages");
}

#[test]
fn each_known_difference_is_still_there() {
    for &(message, version, differs) in KNOWN {
        let codec = codec(message);
        let api = shared_api(message, version).unwrap_or_else(|| panic!("{message} v{version} is not shared"));
        let vectors = vectors().0;
        let mut filled =
            vectors.iter().filter(|one| !one.refused && one.message == message && one.versions.contains(&version));
        let gone = match differs {
            Differs::RequestLacksVersion => filled.any(|one| theirs(api, &one.bytes, version).is_ok()),
            Differs::PresenceByte => !filled.any(|one| {
                // A byte that may be 2 as well as 1 for us: theirs reads something else then.
                let changed = (0..one.bytes.len()).filter(|&at| one.bytes[at] == 1).map(|at| {
                    let mut bytes = one.bytes.clone();
                    bytes[at] = 2;
                    bytes
                });
                changed
                    .filter(|bytes| (codec.round_trip)(bytes, version).is_ok_and(|ours| ours == one.bytes))
                    .any(|bytes| theirs(api, &bytes, version).ok().as_ref() != Some(&one.bytes))
            }),
        };
        assert!(!gone, "{message} v{version} {differs:?} does not differ any more");
    }
}

#[test]
fn both_give_requests_and_responses_the_same_headers() {
    let mut compared = 0;
    for theirs in (0..1_000).filter_map(|code| TheirKey::try_from(code).ok()) {
        let ours = ApiKey::from_code(theirs as i16).unwrap_or_else(|| panic!("we lack {theirs:?}"));
        let versions = theirs.valid_versions();
        for version in versions.min..=versions.max {
            assert_eq!(
                ours.request_header_version(version),
                theirs.request_header_version(version),
                "{theirs:?} v{version}"
            );
            assert_eq!(
                ours.response_header_version(version),
                theirs.response_header_version(version),
                "{theirs:?} v{version}"
            );
            compared += 1;
        }
    }
    assert!(compared > 250, "only {compared} versions are shared");
}
