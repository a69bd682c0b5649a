//! Every config as one table; properties files; how defaults, files and dynamic values lie over each other.
//!
//! Pure. A value is checked against its row before anything else sees it. It knows what configs mean, not who asks for them.

mod describe;
mod docs;
mod group;
mod group_bounds;
mod list;
mod listeners;
mod node;
mod node_config;
mod properties;
mod row;
mod rules;
mod synonyms;
mod topic;
mod topic_config;
mod values;

pub use describe::{ConfigEntry, ConfigSource, Overrides, Synonym, describe_broker, describe_group, describe_topic};
pub use docs::documentation;
pub use list::words;
pub use listeners::{Endpoint, Listener, SecurityProtocol};
pub use node_config::{NodeConfig, QuorumVoter, Startup, Warning, broker_rows};
pub use properties::Properties;
pub use row::{Honoured, Kind, Row, Update};
pub use rules::consumer_assignor_names;
pub use synonyms::{TOPIC_SYNONYMS, node_synonyms};
pub use topic_config::{CompressionType, Durability, TopicConfig, validate_topic};
pub use values::Roles;

/// The row of a node's config.
#[must_use]
pub fn node_row(name: &str) -> Option<&'static Row> {
    node::ROWS.iter().find(|row| row.name == name)
}

/// The row of a topic's config.
#[must_use]
pub fn topic_row(name: &str) -> Option<&'static Row> {
    topic::ROWS.iter().find(|row| row.name == name)
}

/// The row of a group's config.
#[must_use]
pub fn group_row(name: &str) -> Option<&'static Row> {
    group::ROWS.iter().find(|row| row.name == name)
}

/// All topic configs, in order of name.
#[must_use]
pub fn topic_rows() -> &'static [Row] {
    topic::ROWS
}

/// All group configs, in order of name.
#[must_use]
pub fn group_rows() -> &'static [Row] {
    group::ROWS
}

/// All node configs, in order of name.
#[must_use]
pub fn node_rows() -> &'static [Row] {
    node::ROWS
}

#[cfg(test)]
mod tests;
