//! Where this node answers otherwise than Kafka 4.4.0 on purpose, or does not serve yet: the one list, each with its reason.
//!
//! A text in an error where Kafka has none is no difference (`explains_more` in main.rs).

/// Kafka's own mistake: an exception that nobody caught becomes UNKNOWN_SERVER_ERROR, or no answer at all.
const STUMBLES: &str = "Kafka stumbles over this request; here it is answered, or refused with what is wrong";
const STRICTER: &str = "no client sends this, and what is stored would say what is not so: refused";
const AT_ONCE: &str = "a topic that the request makes is told at once, which saves the client its next look-up";
const CLIENT_METRICS: &str = "KIP-714 is not served, so its subscriptions are not taken";
const TYPOS: &str = "Kafka keeps any name for plug-ins of a broker; this node has none, and a wrong name is told";
const NOT_YET: &str = "compaction, tiered storage and plug-ins are not served yet: their configs are kept, and checked by themselves only";
const OURS: &str = "a config of ours";
const LOGGERS: &str = "Kafka's loggers are those of its Java classes; what this node logs is filtered by the environment it starts with, and not changed while it runs";
const NO_TRANSACTIONS: &str = "transactions are not coordinated yet; a code that is not retriable makes a producer say so at once instead of timing out: librdkafka ends with this one, Java's with any";
const REPEATED: &str = "Kafka drops one of the two silently; both are appended or read, in their order";

/// A step's label, up to its end or to a `*`, and why it differs.
pub(crate) const WANTED: &[(&str, &str)] = &[
    ("AlterConfigs.resource-twice", STUMBLES),
    ("CreateTopics.config-padded", "a value is kept without the blanks around it, which mean nothing"),
    ("DescribeConfigs.broker-whole.log.durability", OURS),
    ("DescribeConfigs.broker-whole.thalweg.*", OURS),
    ("DescribeConfigs.client-metrics*", CLIENT_METRICS),
    ("DescribeConfigs.incremental-broker-unknown-shown", TYPOS),
    ("DescribeConfigs.logger", LOGGERS),
    ("DescribeConfigs.topic-whole.durability", OURS),
    ("Fetch.isolation--1", STUMBLES),
    ("Fetch.isolation-2", STUMBLES),
    ("Fetch.max-bytes-negative", STUMBLES),
    ("Fetch.partition-max-bytes-negative", STUMBLES),
    ("Fetch.same-partition-twice", REPEATED),
    ("FindCoordinator.transaction", NO_TRANSACTIONS),
    ("IncrementalAlterConfigs.broker-unknown", TYPOS),
    ("IncrementalAlterConfigs.client-metrics*", CLIENT_METRICS),
    ("IncrementalAlterConfigs.logger", LOGGERS),
    ("IncrementalAlterConfigs.operation-*", STUMBLES),
    ("IncrementalAlterConfigs.values.broker.log.cleaner.*", NOT_YET),
    ("IncrementalAlterConfigs.values.broker.log.local.retention.ms", NOT_YET),
    ("IncrementalAlterConfigs.values.broker.log.remote.copy.lag.ms", NOT_YET),
    ("IncrementalAlterConfigs.values.broker.metric.reporters", NOT_YET),
    ("IncrementalAlterConfigs.values.topic.min.cleanable.dirty.ratio", STRICTER),
    ("ListConfigResources.client-metrics", CLIENT_METRICS),
    ("ListConfigResources.default", CLIENT_METRICS),
    ("ListOffsets.isolation-2", STUMBLES),
    (
        "ListOffsets.max-timestamp-of-deleted-records",
        "Kafka names a record that was deleted and that nobody can read; here there is none",
    ),
    ("Metadata.auto-create", AT_ONCE),
    ("Metadata.colliding-auto", AT_ONCE),
    ("Metadata.zero-id-and-no-name", STUMBLES),
    ("OffsetForLeaderEpoch.epoch-minus-2", "an epoch below -1 is none, and has no end"),
    ("Produce.codec-7", STUMBLES),
    ("Produce.delete-horizon", STRICTER),
    ("Produce.epoch-negative", STRICTER),
    ("Produce.garbled-*", STUMBLES),
    ("Produce.log-append-time", STRICTER),
    ("Produce.null", STUMBLES),
    ("Produce.same-partition-twice", REPEATED),
    ("Produce.sequence-repeated*", "a repeated batch has no append time of its own in a topic of create times"),
    ("Produce.trailing-byte", STRICTER),
    ("Produce.zeroes", "zeroes are no batch of format 2, which is said before their length is looked at"),
];

/// Why this step may differ.
pub(crate) fn reason(label: &str) -> Option<(usize, &'static str)> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => label.starts_with(prefix),
        None => label == pattern,
    };
    WANTED.iter().enumerate().find(|(_, (pattern, _))| matches(pattern)).map(|(at, (_, why))| (at, *why))
}
