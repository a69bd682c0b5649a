//! Records of `__consumer_offsets`, and the bytes that members of classic groups hand to each other.

use crate::heap::bounded;
use crate::take::Take;
use group::{Record, embedded};

/// Keys and values in turn, each behind its length; a value may be a tombstone.
pub fn coordinator(data: &[u8]) {
    let mut take = Take(data);
    while !take.is_empty() {
        let (tombstone, key) = (take.byte() & 1 != 0, take.sized());
        let value = (!tombstone).then(|| take.sized());
        let input = key.len() + value.map_or(0, <[u8]>::len);
        let Ok(record) = bounded(input, 0, || Record::decode(key, value)) else { continue };
        let (key, value) = record.encode();
        let again = Record::decode(&key, value.as_deref()).expect("what was encoded can be decoded");
        assert_eq!(again.encode(), (key, value));
    }
}

/// Subscriptions and assignments of the consumer protocol, one kind by the first byte.
pub fn embedded(data: &[u8]) {
    let mut take = Take(data);
    let kind = take.byte();
    let bytes = take.0;
    if kind & 1 == 0 {
        // Names and a set of them.
        let read = bounded(bytes.len(), 48 * bytes.len(), || {
            drop(embedded::subscribed_topics(bytes));
            embedded::subscription(bytes)
        });
        let (Ok(read), Ok(version)) = (read, embedded::version(bytes)) else { return };
        let written = embedded::subscription_bytes(&read, version).expect("what was decoded can be encoded");
        assert_eq!(embedded::subscription(&written).as_ref(), Ok(&read));
    } else {
        let read = bounded(bytes.len(), 48 * bytes.len(), || {
            drop(embedded::assigned_partitions(bytes));
            embedded::assignment(bytes)
        });
        let (Ok(read), Ok(version)) = (read, embedded::version(bytes)) else { return };
        let written = embedded::assignment_bytes(&read, version).expect("what was decoded can be encoded");
        assert_eq!(embedded::assignment(&written).as_ref(), Ok(&read));
    }
}
