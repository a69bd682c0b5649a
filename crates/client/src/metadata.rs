//! What a client knows of the cluster.

use base::{ErrorCode, Uuid};
use protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use std::collections::BTreeMap;

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerNode {
    /// Its id.
    pub id: i32,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl BrokerNode {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: i32,
    /// Its leader, -1 when it has none.
    pub leader: i32,
    /// The leader's epoch, -1 when the broker does not say.
    pub leader_epoch: i32,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas in sync.
    pub isr: Vec<i32>,
    /// The replicas that are offline.
    pub offline: Vec<i32>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id; zero when the broker does not say.
    pub id: Uuid,
    /// Whether Kafka itself owns it.
    pub internal: bool,
    /// Its partitions, in order of their numbers.
    pub partitions: Vec<PartitionMetadata>,
}

/// The cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// Its id.
    pub cluster_id: Option<String>,
    /// Where admin requests go, -1 when unknown.
    pub controller_id: i32,
    /// The brokers, by id.
    pub brokers: BTreeMap<i32, BrokerNode>,
    /// The topics asked for so far, by name.
    pub topics: BTreeMap<String, TopicMetadata>,
}

impl ClusterMetadata {
    /// The partition, if known.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topics.get(topic)?.partitions.iter().find(|known| known.partition == partition)
    }

    /// The name of the topic with this id, if known.
    #[must_use]
    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topics.values().find(|topic| topic.id == id).map(|topic| topic.name.as_str())
    }

    /// Takes in an answer; returns the topics that it has only an error for.
    pub(crate) fn update(&mut self, response: MetadataResponse<'_>, all_topics: bool) -> Vec<(String, ErrorCode)> {
        self.cluster_id = response.cluster_id.map(|id| id.into_owned());
        self.controller_id = response.controller_id;
        self.brokers = response
            .brokers
            .into_iter()
            .map(|broker| {
                let node = BrokerNode {
                    id: broker.node_id,
                    host: broker.host.into_owned(),
                    port: broker.port,
                    rack: broker.rack.map(|rack| rack.into_owned()),
                };
                (node.id, node)
            })
            .collect();
        if all_topics {
            self.topics.clear();
        }
        let mut failed = Vec::new();
        for topic in response.topics {
            let name = topic.name.as_deref().unwrap_or_default().to_owned();
            match ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError) {
                ErrorCode::None => {
                    self.topics.insert(name.clone(), topic_metadata(name, topic));
                }
                code => {
                    self.topics.remove(&name);
                    failed.push((name, code));
                }
            }
        }
        failed
    }
}

fn topic_metadata(name: String, topic: MetadataResponseTopic<'_>) -> TopicMetadata {
    let partitions = topic.partitions.into_iter().map(|partition| PartitionMetadata {
        partition: partition.partition_index,
        leader: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        isr: partition.isr_nodes,
        offline: partition.offline_replicas,
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicMetadata { name, id: topic.topic_id, internal: topic.is_internal, partitions }
}
