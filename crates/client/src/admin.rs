//! Asking about and changing a cluster: topics, configs, groups, features, log dirs, producers, the quorum.

mod cluster;
mod configs;
mod groups;
mod topics;

use crate::client::Client;
pub use cluster::{
    ClusterDescription, FeatureLevel, LogDirDescription, LogDirReplica, ProducerDescription, QuorumDescription,
    QuorumReplica,
};
pub use configs::{ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym};
pub use groups::{CommittedOffset, GroupDescription, GroupLag, GroupMember, ListedGroup, NextRecord, Place};
pub use topics::{CreatedTopic, NewTopic};

/// Admin requests over a client.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How long a broker may take for a change, as the requests say it.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.options().channel.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}
