//! What classic consumers tell each other in bytes that a coordinator passes on: subscriptions (`ConsumerProtocolSubscription`).

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
