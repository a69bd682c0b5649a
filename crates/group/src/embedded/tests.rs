//! Bytes that Kafka's own class made: testdata/EmbeddedVectors.java says how, and what the lines mean.

use super::{
    assigned_partitions, assignment, assignment_bytes, subscribed_topics, subscription, subscription_bytes, version,
};
use base::SeededRng;
use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::wire::{DecodeError, EncodeError};
use std::collections::BTreeSet;

const VECTORS: &str = include_str!("../../testdata/kafka-embedded.txt");

struct Vector {
    is_subscription: bool,
    version: i16,
    bytes: Vec<u8>,
    /// As Kafka reads it.
    values: String,
}

fn vectors() -> Vec<Vector> {
    let lines = VECTORS.lines().map(|line| {
        let (head, values) = line.split_once(" = ").expect("bytes and values");
        let [kind, version, hex] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        Vector {
            is_subscription: kind == "subscription",
            version: version.parse().expect("a version"),
            bytes: (0..hex.len()).step_by(2).map(byte).collect(),
            values: values.to_owned(),
        }
    });
    lines.collect()
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn topic(name: &str, partitions: &[i32]) -> String {
    let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
    format!("{name}:{}", partitions.join(","))
}

fn data(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "~".to_owned(), |bytes| or_nothing(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn subscription_text(read: &ConsumerProtocolSubscription<'_>) -> String {
    let owned: Vec<String> = read.owned_partitions.iter().map(|of| topic(&of.topic, &of.partitions)).collect();
    let rack = read.rack_id.as_ref().map_or_else(|| "~".to_owned(), |rack| or_nothing(rack.to_string()));
    let (topics, owned) = (or_nothing(read.topics.join(",")), or_nothing(owned.join(";")));
    format!("{topics} {owned} {} {rack} {}", read.generation_id, data(read.user_data.as_deref()))
}

fn assignment_text(read: &ConsumerProtocolAssignment<'_>) -> String {
    let assigned: Vec<String> = read.assigned_partitions.iter().map(|of| topic(&of.topic, &of.partitions)).collect();
    format!("{} {}", or_nothing(assigned.join(";")), data(read.user_data.as_deref()))
}

#[test]
fn what_java_consumers_write_is_read_as_kafka_reads_it() {
    let vectors = vectors();
    assert!(vectors.len() > 150, "the file holds fewer lines than it should");
    for Vector { is_subscription, version: expected, bytes, values } in &vectors {
        assert_eq!(version(bytes), Ok(*expected));
        if *is_subscription {
            let read = subscription(bytes).expect("Kafka wrote it");
            assert_eq!(subscription_text(&read), *values, "{bytes:02x?}");
            let topics: BTreeSet<String> = read.topics.iter().map(ToString::to_string).collect();
            assert_eq!(subscribed_topics(bytes), Ok(topics));
        } else {
            let read = assignment(bytes).expect("Kafka wrote it");
            assert_eq!(assignment_text(&read), *values, "{bytes:02x?}");
            let assigned = read.assigned_partitions.iter().map(|of| (of.topic.to_string(), of.partitions.clone()));
            assert_eq!(assigned_partitions(bytes), Ok(assigned.collect()));
        }
    }
}

#[test]
fn what_we_write_is_what_kafka_writes() {
    for Vector { is_subscription, version, bytes, .. } in vectors() {
        let written = if is_subscription {
            subscription_bytes(&subscription(&bytes).expect("Kafka wrote it"), version)
        } else {
            assignment_bytes(&assignment(&bytes).expect("Kafka wrote it"), version)
        };
        let written = written.expect("it was read from there");
        if version <= 3 {
            assert_eq!(written, bytes);
        } else {
            assert_eq!(written[..2], [0, 3], "a newer version is written as the newest");
            assert_eq!(written[2..], bytes[2..written.len()]);
        }
    }
}

#[test]
fn parts_and_versions_below_zero_are_refused() {
    for Vector { is_subscription, version: number, mut bytes, .. } in vectors() {
        for length in (0..bytes.len()).filter(|_| number <= 3) {
            let part = &bytes[..length];
            assert!(
                if is_subscription { subscription(part).is_err() } else { assignment(part).is_err() },
                "{part:02x?}"
            );
        }
        bytes[0] |= 0x80;
        let refused = DecodeError::UnsupportedVersion(i16::from_be_bytes([bytes[0], bytes[1]]));
        assert_eq!(subscription(&bytes).err(), Some(refused));
        assert_eq!(assignment(&bytes).err(), Some(refused));
        assert_eq!(subscribed_topics(&bytes).err(), Some(refused));
        assert_eq!(version(&bytes), Err(refused));
    }
    let refused = Err(EncodeError::UnsupportedVersion(-1));
    assert_eq!(subscription_bytes(&ConsumerProtocolSubscription::default(), -1), refused);
    assert_eq!(assignment_bytes(&ConsumerProtocolAssignment::default(), -1), refused);
}

/// Members send what they like: it is refused, or it is something that can be written and read again.
#[test]
fn damaged_bytes_are_refused_or_mean_something() {
    let mut rng = SeededRng::new(848);
    for Vector { bytes, .. } in vectors() {
        for _ in 0..200 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.below(4) {
                let at = usize::try_from(rng.below(damaged.len() as u64)).expect("few");
                damaged[at] = u8::try_from(rng.below(256)).expect("a byte");
            }
            if let Ok(read) = subscription(&damaged) {
                let again = subscription_bytes(&read, 3).expect("it was read");
                let reread = subscription(&again).expect("we wrote it");
                assert_eq!(reread, read, "{damaged:02x?}");
            }
            if let Ok(read) = assignment(&damaged) {
                let again = assignment_bytes(&read, 3).expect("it was read");
                assert_eq!(assignment(&again).expect("we wrote it"), read, "{damaged:02x?}");
            }
        }
    }
}
