//! A topic's effective configuration, typed: its own overrides over the node's values over Kafka's defaults.

use crate::list::words;
use crate::synonyms::node_synonyms;
use crate::topic_row;
use std::collections::BTreeMap;

/// What a commit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What is confirmed or visible is on disk.
    Fsync,
    /// What is confirmed or visible is in the page cache: Kafka's own rule.
    PageCache,
}

/// `compression.type` with its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Batches stay as the producer compressed them.
    Producer,
    /// Batches are stored in this codec, named as Kafka names it, at this level.
    Codec {
        /// `uncompressed`, `gzip`, `snappy`, `lz4` or `zstd`.
        name: String,
        /// The codec's level, where it has one.
        level: Option<i32>,
    },
}

/// A topic's effective configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// cleanup.policy contains compact.
    pub compact: bool,
    /// cleanup.policy contains delete.
    pub delete: bool,
    /// compression.type.
    pub compression: CompressionType,
    /// durability.
    pub durability: Durability,
    /// max.message.bytes.
    pub message_bytes_max: usize,
    /// max.decompressed.message.bytes.
    pub decompressed_bytes_max: usize,
    /// message.timestamp.type is LogAppendTime.
    pub log_append_time: bool,
    /// message.timestamp.before.max.ms.
    pub timestamp_before_ms_max: i64,
    /// message.timestamp.after.max.ms.
    pub timestamp_after_ms_max: i64,
    /// min.insync.replicas.
    pub min_insync_replicas: i32,
    /// retention.ms; -1 for ever.
    pub retention_ms: i64,
    /// retention.bytes; -1 for any size.
    pub retention_bytes: i64,
    /// segment.bytes.
    pub segment_bytes: u64,
    /// segment.ms.
    pub segment_ms: i64,
    /// segment.index.bytes.
    pub segment_index_bytes: u64,
    /// index.interval.bytes.
    pub index_interval_bytes: u64,
    /// file.delete.delay.ms.
    pub file_delete_delay_ms: i64,
}

impl TopicConfig {
    /// The effective configuration from a topic's overrides and the node's values (static and dynamic ones already merged).
    ///
    /// # Errors
    /// The first value that is wrong; values that were accepted never are.
    pub fn resolve(
        node: &dyn Fn(&str) -> Option<String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<TopicConfig, String> {
        let source = Source { node, overrides };
        let policy = source.text("cleanup.policy");
        let name = source.text("compression.type");
        let level = match name.as_str() {
            "gzip" => Some(source.number("compression.gzip.level")?).filter(|level| *level >= 0),
            "zstd" => Some(source.number("compression.zstd.level")?),
            "lz4" => Some(source.number("compression.lz4.level")?),
            _ => None,
        };
        let size = |name: &str| source.number(name).map(|number| u64::try_from(number).unwrap_or(0));
        Ok(TopicConfig {
            compact: words(&policy).any(|word| word == "compact"),
            delete: words(&policy).any(|word| word == "delete"),
            compression: match name.as_str() {
                "producer" => CompressionType::Producer,
                _ => CompressionType::Codec { name, level: level.map(|level| level as i32) },
            },
            durability: match source.text("durability").as_str() {
                "pagecache" => Durability::PageCache,
                _ => Durability::Fsync,
            },
            message_bytes_max: size("max.message.bytes")? as usize,
            decompressed_bytes_max: size("max.decompressed.message.bytes")? as usize,
            log_append_time: source.text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_ms_max: source.number("message.timestamp.before.max.ms")?,
            timestamp_after_ms_max: source.number("message.timestamp.after.max.ms")?,
            min_insync_replicas: source.number("min.insync.replicas")? as i32,
            retention_ms: source.number("retention.ms")?,
            retention_bytes: source.number("retention.bytes")?,
            segment_bytes: size("segment.bytes")?,
            segment_ms: source.number("segment.ms")?,
            segment_index_bytes: size("segment.index.bytes")?,
            index_interval_bytes: size("index.interval.bytes")?,
            file_delete_delay_ms: source.number("file.delete.delay.ms")?,
        })
    }
}

struct Source<'a> {
    node: &'a dyn Fn(&str) -> Option<String>,
    overrides: &'a BTreeMap<String, String>,
}

impl Source<'_> {
    fn text(&self, name: &str) -> String {
        if let Some(value) = self.overrides.get(name) {
            return value.trim().to_owned();
        }
        for synonym in node_synonyms(name) {
            if let Some(value) = (self.node)(synonym) {
                return scaled(synonym, &value);
            }
        }
        topic_row(name).and_then(|row| row.default).unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> Result<i64, String> {
        let text = self.text(name);
        text.parse().map_err(|_| format!("Invalid value {text} for configuration {name}: Not a whole number"))
    }
}

/// A node's value in the unit of the topic's config: hours and minutes become milliseconds.
pub(crate) fn scaled(synonym: &str, value: &str) -> String {
    let factor = match synonym {
        _ if synonym.ends_with(".hours") => 3_600_000,
        _ if synonym.ends_with(".minutes") => 60_000,
        _ => return value.trim().to_owned(),
    };
    match value.trim().parse::<i64>() {
        // A negative time means for ever in any unit.
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => number.saturating_mul(factor).to_string(),
        Err(_) => value.trim().to_owned(),
    }
}

/// Checks a topic's overrides, each alone and all together.
///
/// # Errors
/// A sentence in Kafka's words.
pub fn validate_topic(overrides: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in overrides {
        let row = topic_row(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        row.check(value)?;
    }
    let number = |name: &str| overrides.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    if let (Some(min), Some(max)) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"))
        && min > max
    {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    if overrides.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        return Err("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.".into());
    }
    Ok(())
}
