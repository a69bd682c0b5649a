//! The cluster as a whole: brokers, features, log dirs, producers, the metadata quorum.

use super::Admin;
use crate::client::Lane;
use crate::error::Error;
use crate::metadata::BrokerNode;
use protocol::ApiKey;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::describe_cluster_request::DescribeClusterRequest;
use protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use protocol::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use protocol::messages::describe_quorum_request::{self, DescribeQuorumRequest};
use protocol::messages::describe_quorum_response::ReplicaState;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use std::borrow::Cow;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The node that admin requests go to, -1 when unknown.
    pub controller_id: i32,
    /// Its brokers, by id; fenced ones where the broker tells (Kafka 4.0).
    pub brokers: Vec<(BrokerNode, bool)>,
}

/// A feature's levels (KIP-584).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureLevel {
    /// Such as `metadata.version`.
    pub name: String,
    /// The lowest and highest level that the node supports.
    pub supported: Option<(i16, i16)>,
    /// The level that the cluster has agreed on.
    pub finalized: Option<i16>,
}

/// A replica in a log dir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Bytes of its segments.
    pub size_bytes: i64,
    /// Offsets it lags behind.
    pub offset_lag: i64,
    /// Is being moved here from another log dir.
    pub is_future: bool,
}

/// A log dir of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirDescription {
    /// Its path.
    pub path: String,
    /// Why it is offline, if it is.
    pub error: Option<String>,
    /// Bytes of its volume, -1 when the broker does not say.
    pub total_bytes: i64,
    /// Bytes that are free, -1 when the broker does not say.
    pub usable_bytes: i64,
    /// The replicas in it.
    pub replicas: Vec<LogDirReplica>,
}

/// An idempotent producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The last sequence number appended.
    pub last_sequence: i32,
    /// When, in milliseconds since 1970.
    pub last_timestamp_ms: i64,
    /// Epoch of the coordinator of its last transaction, -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction began, -1 for none.
    pub transaction_start_offset: i64,
}

/// A voter or observer of the metadata quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node.
    pub node_id: i32,
    /// Its log end.
    pub log_end_offset: i64,
    /// When it last fetched, in milliseconds since 1970; -1 when unknown.
    pub last_fetch_ms: i64,
    /// When it was last caught up, in milliseconds since 1970; -1 when unknown.
    pub last_caught_up_ms: i64,
}

/// The metadata quorum (KIP-595).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The active controller.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// The committed end of the metadata log.
    pub high_watermark: i64,
    /// Those that vote.
    pub voters: Vec<QuorumReplica>,
    /// Those that follow.
    pub observers: Vec<QuorumReplica>,
}

impl Admin {
    /// The brokers and the cluster's id.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let attempt = async || {
            let channel = self.client.any_channel().await?;
            if channel.broker_versions(ApiKey::DescribeCluster).is_none() {
                // Before Kafka 2.8 metadata says as much.
                let metadata = self.client.refresh_all().await?;
                return Ok(ClusterDescription {
                    cluster_id: metadata.cluster_id.clone().unwrap_or_default(),
                    controller_id: metadata.controller_id,
                    brokers: metadata.brokers.values().map(|broker| (broker.clone(), false)).collect(),
                });
            }
            let version = channel.negotiate::<DescribeClusterRequest>(0..=i16::MAX)?;
            let request =
                DescribeClusterRequest { include_fenced_brokers: version >= 2, ..DescribeClusterRequest::default() };
            let frame = channel.send(&request, version).await?;
            let response = frame.decode()?;
            Error::check("cannot describe the cluster", response.error_code, response.error_message.as_deref())?;
            let broker = |broker: protocol::messages::describe_cluster_response::DescribeClusterBroker<'_>| {
                let node = BrokerNode {
                    id: broker.broker_id,
                    host: broker.host.into_owned(),
                    port: broker.port,
                    rack: broker.rack.map(Cow::into_owned),
                };
                (node, broker.is_fenced)
            };
            let mut brokers: Vec<_> = response.brokers.into_iter().map(broker).collect();
            brokers.sort_by_key(|(node, _)| node.id);
            Ok(ClusterDescription {
                cluster_id: response.cluster_id.into_owned(),
                controller_id: response.controller_id,
                brokers,
            })
        };
        self.client.with_retries("cannot describe the cluster", attempt).await
    }

    /// The features that a node supports and the cluster has finalized, by name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn features(&self) -> Result<Vec<FeatureLevel>, Error> {
        let attempt = async || {
            let channel = self.client.any_channel().await?;
            let software = &self.client.options().channel;
            let request = ApiVersionsRequest {
                client_software_name: Cow::Borrowed(&software.software_name),
                client_software_version: Cow::Borrowed(&software.software_version),
                ..ApiVersionsRequest::default()
            };
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            Error::check("cannot describe the features", response.error_code, None)?;
            let mut features = std::collections::BTreeMap::<String, FeatureLevel>::new();
            let named = |name: &str| FeatureLevel { name: name.to_owned(), supported: None, finalized: None };
            for known in &response.supported_features {
                let feature = features.entry(known.name.to_string()).or_insert_with(|| named(&known.name));
                feature.supported = Some((known.min_version, known.max_version));
            }
            for known in &response.finalized_features {
                let feature = features.entry(known.name.to_string()).or_insert_with(|| named(&known.name));
                feature.finalized = Some(known.max_version_level);
            }
            Ok(features.into_values().collect())
        };
        self.client.with_retries("cannot describe the features", attempt).await
    }

    /// Moves a feature of the cluster to a level. A lower one needs `downgrade`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn update_feature(
        &self,
        name: &str,
        level: i16,
        downgrade: bool,
        validate_only: bool,
    ) -> Result<(), Error> {
        let what = format!("cannot set feature {name} to {level}");
        let attempt = async || {
            let channel = self.client.controller_channel().await?;
            let version = channel.negotiate::<UpdateFeaturesRequest<'_>>(1..=i16::MAX)?;
            let update = FeatureUpdateKey {
                feature: Cow::Borrowed(name),
                max_version_level: level,
                upgrade_type: if downgrade { 2 } else { 1 },
                ..FeatureUpdateKey::default()
            };
            let request = UpdateFeaturesRequest {
                timeout_ms: self.timeout_ms(),
                feature_updates: vec![update],
                validate_only,
                ..UpdateFeaturesRequest::default()
            };
            let frame = channel.send(&request, version).await?;
            let response = frame.decode()?;
            if let Some(result) = response.results.iter().find(|result| result.error_code != 0) {
                Error::check(&*what, result.error_code, result.error_message.as_deref())?;
            }
            Error::check(&*what, response.error_code, response.error_message.as_deref())
        };
        self.client.with_retries(&what, attempt).await
    }

    /// The log dirs of one broker.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn describe_log_dirs(&self, node: i32) -> Result<Vec<LogDirDescription>, Error> {
        let attempt = async || {
            let channel = self.client.channel(Lane::COMMON, node).await?;
            let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            Error::check(format!("cannot describe the log dirs of broker {node}"), response.error_code, None)?;
            Ok(response.results.into_iter().map(log_dir).collect())
        };
        self.client.with_retries(&format!("cannot describe the log dirs of broker {node}"), attempt).await
    }

    /// The idempotent producers that a partition remembers.
    ///
    /// # Errors
    /// When its leader refuses.
    pub async fn describe_producers(&self, topic: &str, partition: i32) -> Result<Vec<ProducerDescription>, Error> {
        let what = format!("cannot describe the producers of {topic}-{partition}");
        let asked =
            TopicRequest { name: Cow::Borrowed(topic), partition_indexes: vec![partition], ..TopicRequest::default() };
        let request = DescribeProducersRequest { topics: vec![asked], ..DescribeProducersRequest::default() };
        let attempt = async || {
            let node = self.client.leader(topic, partition).await?;
            let channel = self.client.channel(Lane::COMMON, node).await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result = response.topics.first().and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())?;
            let producers = result.active_producers.iter().map(|producer| ProducerDescription {
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                last_sequence: producer.last_sequence,
                last_timestamp_ms: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_start_offset: producer.current_txn_start_offset,
            });
            Ok(producers.collect())
        };
        self.client.with_retries(&what, attempt).await
    }

    /// The metadata quorum.
    ///
    /// # Errors
    /// When the broker refuses, or knows no such request (before Kafka 3.3).
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, Error> {
        let what = "cannot describe the metadata quorum";
        let asked = describe_quorum_request::TopicData {
            topic_name: Cow::Borrowed("__cluster_metadata"),
            partitions: vec![describe_quorum_request::PartitionData::default()],
            ..describe_quorum_request::TopicData::default()
        };
        let request = DescribeQuorumRequest { topics: vec![asked], ..DescribeQuorumRequest::default() };
        let attempt = async || {
            let channel = self.client.any_channel().await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            Error::check(what, response.error_code, response.error_message.as_deref())?;
            let quorum = response.topics.first().and_then(|topic| topic.partitions.first());
            let quorum = quorum.ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(what, quorum.error_code, quorum.error_message.as_deref())?;
            Ok(QuorumDescription {
                leader_id: quorum.leader_id,
                leader_epoch: quorum.leader_epoch,
                high_watermark: quorum.high_watermark,
                voters: quorum.current_voters.iter().map(quorum_replica).collect(),
                observers: quorum.observers.iter().map(quorum_replica).collect(),
            })
        };
        self.client.with_retries("cannot describe the metadata quorum", attempt).await
    }
}

fn log_dir(dir: protocol::messages::describe_log_dirs_response::DescribeLogDirsResult<'_>) -> LogDirDescription {
    let mut replicas = Vec::new();
    for topic in dir.topics {
        replicas.extend(topic.partitions.iter().map(|partition| LogDirReplica {
            topic: topic.name.to_string(),
            partition: partition.partition_index,
            size_bytes: partition.partition_size,
            offset_lag: partition.offset_lag,
            is_future: partition.is_future_key,
        }));
    }
    LogDirDescription {
        path: dir.log_dir.into_owned(),
        error: Error::check("", dir.error_code, None)
            .err()
            .and_then(|error| error.code())
            .map(|code| code.name().to_owned()),
        total_bytes: dir.total_bytes,
        usable_bytes: dir.usable_bytes,
        replicas,
    }
}

fn quorum_replica(replica: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        node_id: replica.replica_id,
        log_end_offset: replica.log_end_offset,
        last_fetch_ms: replica.last_fetch_timestamp,
        last_caught_up_ms: replica.last_caught_up_timestamp,
    }
}
