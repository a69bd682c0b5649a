//! What classic consumers tell each other in bytes that a coordinator passes on: subscriptions (`ConsumerProtocolSubscription`) and
//! assignments (`ConsumerProtocolAssignment`), each behind an int16 with its version.
//!
//! A version newer than ours is read as our newest, as in Kafka: versions only add fields at the end. A coordinator needs to know what
//! stands there to say what a classic group subscribes to, to describe it, and to make a consumer group of it and back (KIP-848). It is
//! members' own data: nothing of it is believed to exist or to be consistent.

use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::wire::{Decode, DecodeError, Encode, EncodeError, Message, Reader, Writer};
use std::collections::BTreeSet;

/// The version that a subscription or an assignment begins with; a group is answered in the version that its members use.
///
/// # Errors
/// When there is none, or none that was ever given.
pub fn version(bytes: &[u8]) -> Result<i16, DecodeError> {
    Reader::new(bytes).i16().and_then(known)
}

/// A subscription with all fields that its version has.
///
/// # Errors
/// When the bytes are not a subscription.
pub fn subscription(metadata: &[u8]) -> Result<ConsumerProtocolSubscription<'_>, DecodeError> {
    read(metadata)
}

/// An assignment with its user data, which only assignors of the clients understand. A member that was assigned nothing yet has no bytes;
/// those are not an assignment.
///
/// # Errors
/// When the bytes are not an assignment.
pub fn assignment(assignment: &[u8]) -> Result<ConsumerProtocolAssignment<'_>, DecodeError> {
    read(assignment)
}

/// The bytes of a subscription in this version, or in our newest when it is newer.
///
/// # Errors
/// When a text or a list is too long for its length, or the version is below 0.
pub fn subscription_bytes(value: &ConsumerProtocolSubscription<'_>, version: i16) -> Result<Vec<u8>, EncodeError> {
    write(value, version)
}

/// The bytes of an assignment in this version, or in our newest when it is newer.
///
/// # Errors
/// When a text or a list is too long for its length, or the version is below 0.
pub fn assignment_bytes(value: &ConsumerProtocolAssignment<'_>, version: i16) -> Result<Vec<u8>, EncodeError> {
    write(value, version)
}

/// The topics of a subscription. Only the part that every version begins with is read, so newer versions do no harm.
///
/// # Errors
/// When the bytes are not a subscription.
pub fn subscribed_topics(metadata: &[u8]) -> Result<BTreeSet<String>, DecodeError> {
    let mut reader = Reader::new(metadata);
    reader.i16().and_then(known)?;
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0)?;
    Ok(subscription.topics.into_iter().map(|topic| topic.into_owned()).collect())
}

/// The partitions of an assignment, topic by topic; no bytes are no partitions. Only the part that every version begins with is read.
///
/// # Errors
/// When the bytes are not an assignment.
pub fn assigned_partitions(assignment: &[u8]) -> Result<Vec<(String, Vec<i32>)>, DecodeError> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(assignment);
    reader.i16().and_then(known)?;
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, 0)?;
    Ok(assignment.assigned_partitions.into_iter().map(|of| (of.topic.into_owned(), of.partitions)).collect())
}

fn read<'a, M: Message + Decode<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().and_then(known)?;
    M::decode(&mut reader, version.min(M::MAX_VERSION))
}

fn write<M: Message + Encode>(value: &M, version: i16) -> Result<Vec<u8>, EncodeError> {
    let version = version.min(M::MAX_VERSION);
    let mut writer = Writer::default();
    writer.buf.extend(version.to_be_bytes());
    value.encode(&mut writer, version)?;
    Ok(writer.buf)
}

fn known(version: i16) -> Result<i16, DecodeError> {
    if version < 0 { Err(DecodeError::UnsupportedVersion(version)) } else { Ok(version) }
}

#[cfg(test)]
mod tests;
