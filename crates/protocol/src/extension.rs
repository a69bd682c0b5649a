//! Tagged fields that Thalweg adds to Kafka's messages (KIP-482). Whoever does not know a tag skips it, so Kafka and its clients do.

/// In a DescribeGroups or ConsumerGroupDescribe request, empty: the groups' journals are wanted. In a described group of the response:
/// its last rebalances as JSON, oldest first. A broker that answers without it keeps no journal.
pub const GROUP_JOURNAL: u32 = 10_000;
