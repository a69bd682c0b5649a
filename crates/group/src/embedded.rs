//! What classic consumers tell each other in bytes that a coordinator passes on: subscriptions (`ConsumerProtocolSubscription`) and
//! assignments (`ConsumerProtocolAssignment`).

use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::wire::{Decode, DecodeError, Reader};
use std::collections::BTreeSet;

/// The topics of a subscription. Only the part that every version begins with is read, so newer versions do no harm.
///
/// # Errors
/// When the bytes are not a subscription.
pub fn subscribed_topics(metadata: &[u8]) -> Result<BTreeSet<String>, DecodeError> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError::UnsupportedVersion(version));
    }
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
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError::UnsupportedVersion(version));
    }
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, 0)?;
    Ok(assignment.assigned_partitions.into_iter().map(|of| (of.topic.into_owned(), of.partitions)).collect())
}
