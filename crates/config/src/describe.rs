//! What DescribeConfigs says: effective values with source and synonyms (KIP-226).

use crate::row::{Kind, Row, Update};
use crate::synonyms::node_synonyms;
use crate::topic_config::scaled;
use crate::{group_rows, node_row, node_rows, topic_rows};
use std::collections::BTreeMap;

/// Where a value comes from; the discriminant is its code in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// The topic's own override.
    Topic = 1,
    /// Set dynamically for this broker.
    DynamicBroker = 2,
    /// Set dynamically for all brokers.
    DynamicDefaultBroker = 3,
    /// The properties file.
    StaticBroker = 4,
    /// Kafka's default.
    Default = 5,
    /// A group's own override.
    Group = 8,
}

/// A value under another name or from another source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The name that it is set under.
    pub name: &'static str,
    /// The value; `None` when it is secret or null.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// One effective config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None` when it is secret or null.
    pub value: Option<String>,
    /// Whether it can be changed while the node runs.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it is secret.
    pub is_sensitive: bool,
    /// All values that lie over each other, the effective one first.
    pub synonyms: Vec<Synonym>,
    /// Its type.
    pub config_type: Kind,
}

/// The layers over a node's defaults, the strongest first.
#[derive(Clone, Copy, Debug)]
pub struct Overrides<'a> {
    /// Set dynamically for this broker.
    pub broker: &'a BTreeMap<String, String>,
    /// Set dynamically for all brokers.
    pub default_broker: &'a BTreeMap<String, String>,
    /// The properties file.
    pub file: &'a BTreeMap<String, String>,
}

impl Overrides<'_> {
    /// The value that is set for `name`, if any.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let layers = [self.broker, self.default_broker, self.file];
        layers.iter().find_map(|layer| layer.get(name)).map(String::as_str)
    }

    fn layers(&self, name: &'static str) -> Vec<(ConfigSource, Option<String>)> {
        let layers = [
            (ConfigSource::DynamicBroker, self.broker),
            (ConfigSource::DynamicDefaultBroker, self.default_broker),
            (ConfigSource::StaticBroker, self.file),
        ];
        let set = layers.into_iter().filter_map(|(source, layer)| Some((source, Some(layer.get(name)?.clone()))));
        set.chain(default_layer(name)).collect()
    }
}

fn default_layer(name: &str) -> Option<(ConfigSource, Option<String>)> {
    let default = node_row(name)?.default?;
    Some((ConfigSource::Default, Some(default.to_owned())))
}

/// All configs of a topic.
#[must_use]
pub fn describe_topic(overrides: &BTreeMap<String, String>, node: Overrides<'_>) -> Vec<ConfigEntry> {
    topic_rows().iter().map(|row| topic_entry(row, overrides, node)).collect()
}

fn topic_entry(row: &'static Row, overrides: &BTreeMap<String, String>, node: Overrides<'_>) -> ConfigEntry {
    let mut synonyms = Vec::new();
    if let Some(value) = overrides.get(row.name) {
        synonyms.push(Synonym { name: row.name, value: Some(value.clone()), source: ConfigSource::Topic });
    }
    let (first, fallbacks) = node_synonyms(row.name).split_first().map_or((None, &[][..]), |(f, rest)| (Some(f), rest));
    // Only the first name's default is shown; that of a coarser unit is in force all the same.
    let mut hidden = None;
    for name in first.into_iter().chain(fallbacks) {
        for (source, value) in node.layers(name) {
            if source == ConfigSource::Default && Some(name) != first {
                hidden = hidden.or_else(|| value.as_deref().map(|value| scaled(name, value)));
            } else {
                synonyms.push(Synonym { name, value, source });
            }
        }
    }
    // Kafka shows values that are set before defaults, whatever name they are set under.
    synonyms.sort_by_key(|synonym| synonym.source == ConfigSource::Default);
    let (value, source) = match synonyms.first() {
        Some(first) => (first.value.as_deref().map(|value| scaled(first.name, value)), first.source),
        None => (hidden.or_else(|| row.default.map(str::to_owned)), ConfigSource::Default),
    };
    let value = value.or_else(|| Some(String::new()).filter(|_| row.kind == Kind::List));
    let mut entry = entry(row, value, source, synonyms);
    entry.read_only = false;
    entry
}

/// All configs of a broker.
#[must_use]
pub fn describe_broker(node: Overrides<'_>) -> Vec<ConfigEntry> {
    node_rows()
        .iter()
        .map(|row| {
            let layers = node.layers(row.name);
            let synonyms = layers.into_iter().map(|(source, value)| Synonym { name: row.name, value, source });
            let synonyms: Vec<_> = synonyms.collect();
            let (value, source) = match synonyms.first() {
                Some(first) => (first.value.clone(), first.source),
                None => (None, ConfigSource::Default),
            };
            entry(row, value, source, synonyms)
        })
        .collect()
}

/// All configs of a group: its own, else what the brokers say for groups of its kind, which Kafka shows as defaults.
#[must_use]
pub fn describe_group(overrides: &BTreeMap<String, String>, node: Overrides<'_>) -> Vec<ConfigEntry> {
    group_rows()
        .iter()
        .map(|row| {
            let own = overrides.get(row.name);
            let behind = node_rows().iter().find(|node| node.name.strip_prefix("group.") == Some(row.name));
            let fallback = behind.and_then(|behind| node.get(behind.name).or(behind.default)).or(row.default);
            let (value, source) = match own {
                Some(value) => (value.as_str(), ConfigSource::Group),
                None => (fallback.unwrap_or_default(), ConfigSource::Default),
            };
            let default = Synonym {
                name: row.name,
                value: Some(fallback.unwrap_or_default().to_owned()),
                source: ConfigSource::Default,
            };
            let set =
                own.map(|value| Synonym { name: row.name, value: Some(value.clone()), source: ConfigSource::Group });
            let mut entry = entry(row, Some(value.to_owned()), source, set.into_iter().chain([default]).collect());
            entry.read_only = false;
            entry
        })
        .collect()
}

fn entry(row: &'static Row, value: Option<String>, source: ConfigSource, mut synonyms: Vec<Synonym>) -> ConfigEntry {
    let is_sensitive = row.kind == Kind::Password;
    if is_sensitive {
        synonyms.iter_mut().for_each(|synonym| synonym.value = None);
    }
    ConfigEntry {
        name: row.name,
        value: value.filter(|_| !is_sensitive),
        read_only: row.update == Update::ReadOnly,
        source,
        is_sensitive,
        synonyms,
        config_type: row.kind,
    }
}
