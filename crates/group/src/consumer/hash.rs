//! The hash of the topics that a group subscribes to (KIP-1101): when it changes, so may the assignment.
//!
//! Bytes and order are Kafka's, so that a coordinator of either finds the hash of the other unchanged: XXH3 over little-endian numbers,
//! strings as UTF-16 units followed by their count.

use metadata::MetadataImage;
use std::collections::{BTreeMap, BTreeSet};
use twox_hash::XxHash3_64;

const MAGIC: u8 = 0;
/// Topics whose hashes are kept.
const CACHED_MAX: usize = 100_000;

/// Hashes of single topics, so that a change of a group does not read all partitions of its topics again. Racks that brokers change are
/// seen when a topic changes, as in Kafka.
#[derive(Debug, Default)]
pub(crate) struct TopicHashes(BTreeMap<Box<str>, u64>);

impl TopicHashes {
    /// A topic was made, changed or removed.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.0.remove(topic);
    }

    fn of_topic(&mut self, image: &MetadataImage, name: &str) -> Option<u64> {
        if let Some(known) = self.0.get(name) {
            return Some(*known);
        }
        let hash = of_topic(image, name)?;
        if self.0.len() == CACHED_MAX {
            self.0.clear();
        }
        self.0.insert(name.into(), hash);
        Some(hash)
    }

    /// The hash over all of these topics that exist; 0 when none does.
    pub(super) fn of_topics(&mut self, image: &MetadataImage, topics: &BTreeSet<&str>) -> i64 {
        // Java compares strings by UTF-16 units; topic names are ASCII.
        let hashes = topics.iter().filter_map(|name| self.of_topic(image, name));
        let hashes: Vec<u8> = hashes.flat_map(u64::to_le_bytes).collect();
        if hashes.is_empty() { 0 } else { XxHash3_64::oneshot(&hashes).cast_signed() }
    }
}

fn of_topic(image: &MetadataImage, name: &str) -> Option<u64> {
    let topic = image.topics().by_name(name)?;
    let id = topic.id().to_bytes();
    let (high, low) = id.split_at(8);
    let mut bytes = vec![MAGIC];
    // Two numbers, most significant first, each little-endian.
    bytes.extend(high.iter().rev());
    bytes.extend(low.iter().rev());
    put_string(&mut bytes, topic.name());
    put_i32(&mut bytes, i32::try_from(topic.partition_count()).unwrap_or(i32::MAX));
    for (index, partition) in topic.partitions_from(0) {
        put_i32(&mut bytes, index);
        let racks = partition.replicas.iter().filter_map(|node| image.broker(*node)?.record.rack.as_deref());
        let mut racks: Vec<&str> = racks.collect();
        racks.sort_unstable_by(|one, other| one.encode_utf16().cmp(other.encode_utf16()));
        for rack in racks {
            put_i32(&mut bytes, i32::try_from(rack.encode_utf16().count()).unwrap_or(i32::MAX));
            put_string(&mut bytes, rack);
        }
    }
    Some(XxHash3_64::oneshot(&bytes))
}

fn put_i32(bytes: &mut Vec<u8>, number: i32) {
    bytes.extend(number.to_le_bytes());
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    put_i32(bytes, i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests;
