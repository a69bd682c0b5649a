//! Bytes that Kafka 4.4.0's own message classes wrote, for every message and every version: see `vectors/README.md`.

use super::values::{canonical, fnv1a};
use crate::metadata_record::MetadataRecord;
use crate::testing::{CODECS, Codec};
use crate::wire::{EncodeError, Sink, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The vectors by the files that hold them.
const FILES: &[&str] = &[
    include_str!("../../../vectors/requests.txt"),
    include_str!("../../../vectors/responses.txt"),
    include_str!("../../../vectors/metadata.txt"),
    include_str!("../../../vectors/log.txt"),
];
/// What Kafka reads from the filled vector of the newest version of each message.
const VALUES: &str = include_str!("../../../vectors/values.txt");

/// The bytes that Kafka writes for one message in a range of versions, all the same.
pub(super) struct Vector {
    pub(super) message: &'static str,
    /// `default`, `filled`, `nulls` or `older`.
    pub(super) kind: &'static str,
    pub(super) versions: RangeInclusive<i16>,
    /// Empty where these versions cannot carry the message.
    pub(super) bytes: Vec<u8>,
    /// Whether Kafka refuses to write the message in these versions.
    pub(super) refused: bool,
    /// FNV-1a of the canonical values that Kafka reads from the bytes.
    values: u64,
}

fn range(text: &str) -> RangeInclusive<i16> {
    let (low, high) = text.split_once('-').unwrap();
    low.parse().unwrap()..=high.parse().unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = if matches!(text, "-" | "refused") { "" } else { text };
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// All vectors, and the versions that Kafka gives each message.
pub(super) fn vectors() -> (Vec<Vector>, BTreeMap<&'static str, RangeInclusive<i16>>) {
    let (mut vectors, mut versions, mut message) = (Vec::new(), BTreeMap::new(), "");
    for line in FILES.iter().flat_map(|file| file.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, kafka] => {
                message = name;
                versions.insert(name, range(kafka));
            }
            [kind, from_to, bytes, values] => vectors.push(Vector {
                message,
                kind,
                versions: range(from_to),
                bytes: unhex(bytes),
                refused: bytes == "refused",
                values: u64::from_str_radix(values, 16).unwrap(),
            }),
            _ => panic!("{message}: no vector: {line}"),
        }
    }
    (vectors, versions)
}

pub(super) fn codec(name: &str) -> &'static Codec {
    CODECS.iter().find(|codec| codec.name == name).unwrap_or_else(|| panic!("Kafka has a message {name}, we do not"))
}

/// Kafka's messages and versions are ours, and each version of each has its vectors: nothing is left out on either side.
#[test]
fn every_message_and_version_has_its_vectors() {
    let (vectors, kafka) = vectors();
    let ours: BTreeMap<_, _> = CODECS.iter().map(|codec| (codec.name, codec.min_version..=codec.max_version)).collect();
    assert_eq!(ours, kafka);
    let mut there = BTreeSet::new();
    for vector in &vectors {
        for version in vector.versions.clone() {
            assert!(there.insert((vector.message, version, vector.kind)), "{} v{version} twice", vector.message);
        }
    }
    for codec in CODECS {
        for version in codec.min_version..=codec.max_version {
            let kinds = ["default", "filled", "older"];
            for kind in &kinds[..if codec.min_version < codec.max_version { 3 } else { 2 }] {
                assert!(there.contains(&(codec.name, version, *kind)), "no {kind} vector: {} v{version}", codec.name);
            }
        }
    }
}

/// Every vector with bytes in every version that it stands for; all differences are reported together.
fn each(mut check: impl FnMut(&Vector, i16, &Codec) -> Result<(), String>) {
    let mut wrong = Vec::new();
    for vector in vectors().0.into_iter().filter(|vector| !vector.refused) {
        for version in vector.versions.clone() {
            if let Err(why) = check(&vector, version, codec(vector.message)) {
                wrong.push(format!("{} v{version} {}: {why}", vector.message, vector.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{} vectors differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Kafka wrote is read, and written again the same to the byte; the length announced is the length written.
#[test]
fn kafkas_bytes_come_back_unchanged() {
    each(|vector, version, codec| {
        let written = (codec.round_trip)(&vector.bytes, version).map_err(|error| error.to_string())?;
        if written == vector.bytes {
            return Ok(());
        }
        Err(format!("Kafka writes\n  {}, we write\n  {}", hex(&vector.bytes), hex(&written)))
    });
}

/// Each field holds what Kafka's class holds after reading the same bytes, by the field's name: two fields that reading and
/// writing both confuse, or a wrong default for a field that a version lacks, come back unchanged but are caught here.
#[test]
fn every_field_holds_what_kafka_reads_there() {
    each(|vector, version, codec| {
        let values = canonical(&(codec.describe)(&vector.bytes, version).map_err(|error| error.to_string())?);
        if fnv1a(&values) == vector.values { Ok(()) } else { Err(format!("Kafka reads other values than {values}")) }
    });
}

/// A message in which everything is set, written in each version that it has: what the version lacks is dropped or refused as
/// Kafka drops or refuses it.
#[test]
fn older_versions_drop_or_refuse_what_kafka_does() {
    let (vectors, kafka) = vectors();
    let older = || vectors.iter().filter(|vector| vector.kind == "older");
    let newest = older().filter(|vector| vector.versions.contains(kafka[vector.message].end()));
    let newest: BTreeMap<_, _> = newest.map(|vector| (vector.message, &vector.bytes)).collect();
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for vector in older() {
        for version in vector.versions.clone() {
            let transcode = codec(vector.message).transcode;
            let written = transcode(newest[vector.message], *kafka[vector.message].end(), version).unwrap();
            let same = match &written {
                Ok(bytes) => !vector.refused && *bytes == vector.bytes,
                Err(EncodeError::UnsupportedField { .. }) => vector.refused,
                Err(_) => false,
            };
            if !same {
                let kafka =
                    if vector.refused { "refuses".to_owned() } else { format!("writes {}", hex(&vector.bytes)) };
                wrong.push(format!("{} v{version}: Kafka {kafka}, we have {written:02x?}", vector.message));
            }
            refused += usize::from(vector.refused);
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused > 100, "only {refused} are refused");
}

/// As the test of all fields, for the newest version of each message with Kafka's values in full, so that a difference can be read.
#[test]
fn the_newest_version_holds_kafkas_values() {
    let vectors = vectors().0;
    let mut seen = BTreeSet::new();
    for line in VALUES.lines() {
        let [name, version, wanted] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("no values: {line}") };
        let version: i16 = version.parse().unwrap();
        let fits =
            |vector: &&Vector| vector.message == name && vector.kind == "filled" && vector.versions.contains(&version);
        let vector = vectors.iter().find(fits).unwrap();
        let debug = (codec(name).describe)(&vector.bytes, version).unwrap();
        assert_eq!(canonical(&debug), wanted, "{name} v{version}");
        seen.insert(name);
    }
    assert_eq!(seen, CODECS.iter().map(|codec| codec.name).collect());
}

/// Kafka's metadata records in their frame (frame version, type, version) are read as that record and written again the same.
#[test]
fn metadata_records_keep_their_bytes_in_the_frame() {
    let (vectors, _) = vectors();
    let mut types = BTreeSet::new();
    for id in 0..64_u32 {
        for vector in &vectors {
            for version in vector.versions.clone() {
                let mut frame = Writer::default();
                frame.uvarint(1);
                frame.uvarint(id);
                frame.uvarint(u32::try_from(version).unwrap());
                frame.put(&vector.bytes);
                let Ok((record, read)) = MetadataRecord::decode_frame(&frame.buf) else { continue };
                if record.name() == vector.message {
                    assert_eq!(read, version);
                    assert_eq!(record.encode_frame(version).as_ref(), Ok(&frame.buf), "{} v{version}", vector.message);
                    types.insert((i32::from(record.id()), vector.message));
                }
            }
        }
    }
    assert_eq!(types.len(), 27, "{types:?}");
}
