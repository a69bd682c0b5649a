//! What all requests of a node share. Immutable but for what says otherwise; every field has its own lock or none.

use crate::cold_reads::ColdReads;
use crate::coordinator::GroupCoordinator;
use crate::log_dir::LogDirHandle;
use crate::partition::{Partition, Signal};
use crate::partitions::Partitions;
use crate::producer_ids::ProducerIds;
use crate::quorum::MetadataQuorum;
use crate::timers::Timers;
use arc_swap::ArcSwap;
use base::{BrokerEpoch, Clock, ErrorCode, Monotonic, NodeId, ProducerId, Refusal, Uuid};
use config::{ConfigEntry, NodeConfig, Overrides, describe_broker, describe_group, describe_topic};
use controller::{Controller, Decision};
use metadata::MetadataImage;
use net::RequestMemory;
use parking_lot::Mutex;
use replication::FetchSessions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use telemetry::Metrics;

/// The client id under which Kafka's own tools may write to internal topics.
pub(crate) const ADMIN_CLIENT_ID: &str = "__admin_client";

/// A decision of so many records has needed much memory for a moment.
const MANY_RECORDS: usize = 256;

/// The type of a broker's configs among all that have some.
pub(crate) const BROKER_CONFIGS: i8 = 4;

/// What is in force of a broker's config: set for this broker, for all of them, in its file, or the default.
pub(crate) fn broker_config(config: &NodeConfig, image: &MetadataImage, name: &str) -> Option<String> {
    let set = |of: &str| {
        image.configs(BROKER_CONFIGS, of).find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned())
    };
    set(&config.node_id.to_string()).or_else(|| set("")).or_else(|| config.value(name).map(str::to_owned))
}

/// Metrics as text.
pub(crate) fn render(metrics: &Metrics) -> String {
    metrics.render(&|key| protocol::ApiKey::from_code(key).map(protocol::ApiKey::name))
}

/// Where a node can be reached.
#[derive(Clone, Debug)]
pub(crate) struct NodeEndpoint {
    pub(crate) node: NodeId,
    pub(crate) listener: String,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
    pub(crate) fenced: bool,
}

/// The node as its requests see it.
pub(crate) struct Broker {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) node_id: NodeId,
    pub(crate) cluster_id: String,
    pub(crate) image: Arc<ArcSwap<MetadataImage>>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) quorum: Arc<MetadataQuorum>,
    pub(crate) log_dirs: Arc<Vec<LogDirHandle>>,
    pub(crate) sessions: Mutex<FetchSessions>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) groups: Arc<GroupCoordinator>,
    pub(crate) cold_reads: ColdReads,
    pub(crate) request_memory: Arc<RequestMemory>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) epoch: AtomicI64,
    pub(crate) ready: AtomicBool,
    /// `group.coordinator.rebalance.protocols` has `consumer`: asked with every heartbeat.
    pub(crate) has_consumer_protocol: bool,
    /// Gives free memory back; see [`crate::Environment`].
    pub(crate) release_memory: fn(bool),
    /// Endpoints of the controller listeners of this node, with their real ports.
    pub(crate) controllers: Vec<NodeEndpoint>,
}

impl Broker {
    /// The newest committed metadata.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// A partition that this node should have, by its topic's name.
    pub(crate) fn partition_by_name(&self, topic: &str, index: i32) -> Result<Arc<Partition>, Refusal> {
        let image = self.image.load();
        let found = image.topics().by_name(topic);
        let id = found.filter(|topic| topic.partition(index).is_some()).map(metadata::TopicImage::id);
        let id = id.ok_or_else(|| {
            let shown = telemetry::shown(topic);
            Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("partition {shown}-{index} does not exist"))
        })?;
        self.hosted(id, index)
    }

    /// A partition that this node should have, by its topic's id.
    pub(crate) fn partition_by_id(&self, id: Uuid, index: i32) -> Result<Arc<Partition>, Refusal> {
        if let Some(partition) = self.partitions.get(id, index) {
            return Ok(partition);
        }
        match self.image.load().topics().by_id(id) {
            None => Err(Refusal::new(ErrorCode::UnknownTopicId, format!("topic id {id} does not exist"))),
            Some(topic) if topic.partition(index).is_none() => {
                let why = format!("partition {}-{index} does not exist", topic.name());
                Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, why))
            }
            Some(_) => self.hosted(id, index),
        }
    }

    fn hosted(&self, id: Uuid, index: i32) -> Result<Arc<Partition>, Refusal> {
        self.partitions.get(id, index).ok_or_else(|| {
            Refusal::new(ErrorCode::KafkaStorageError, "the partition's log could not be opened: see the node's log")
        })
    }

    /// Whether only brokers write to the topic.
    pub(crate) fn is_internal(&self, topic: &str) -> bool {
        metadata::is_internal_topic(topic)
    }

    /// Waits for `signal` until `deadline`; false when the deadline came first.
    pub(crate) async fn wait(&self, timers: &Timers, signal: &Signal, deadline: Monotonic) -> bool {
        let left = deadline.since(self.clock.monotonic());
        if left.is_zero() {
            return false;
        }
        timers.within(left, signal.told()).await.is_some()
    }

    /// Lets the controller decide, and waits until its records are committed and published.
    pub(crate) async fn controller_call<R>(
        &self,
        timeout_ms: i32,
        decide: impl FnOnce(&mut Controller) -> Decision<R>,
    ) -> Result<R, Refusal> {
        if timeout_ms <= 0 {
            return Err(Refusal::new(
                ErrorCode::RequestTimedOut,
                "the request allowed no time, so nothing was changed",
            ));
        }
        let now = self.clock.wall();
        let mut records = 0;
        let (reply, needed) = self.quorum.submit(now, |controller, _| {
            let mut decision = decide(controller);
            self.partitions.place(controller.image(), &mut decision.records);
            records = decision.records.len();
            Ok(decision)
        })?;
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let committed = tokio::time::timeout(timeout, self.quorum.committed(needed)).await;
        if records >= MANY_RECORDS {
            (self.release_memory)(true);
        }
        match committed {
            Ok(committed) => committed.map(|()| reply),
            Err(_) => {
                let why =
                    "the change was decided but not committed within the request's timeout; it may still take effect";
                Err(Refusal::new(ErrorCode::RequestTimedOut, why))
            }
        }
    }

    /// A producer id that was never given out.
    pub(crate) async fn next_producer_id(&self) -> Result<ProducerId, Refusal> {
        let (node, epoch) = (self.node_id, BrokerEpoch(self.epoch.load(Ordering::Acquire)));
        let decide = |controller: &mut Controller, _| controller.allocate_producer_ids(node, epoch);
        let (block, needed) = self.quorum.submit(self.clock.wall(), decide)?;
        self.quorum.committed(needed).await?;
        let id = self.producer_ids.refill(block);
        id.ok_or_else(|| {
            Refusal::new(ErrorCode::CoordinatorLoadInProgress, "an empty block of producer ids was allocated")
        })
    }

    /// The brokers that have a listener of this name.
    pub(crate) fn endpoints(&self, image: &MetadataImage, listener: &str, fenced_too: bool) -> Vec<NodeEndpoint> {
        let brokers = image.brokers().filter(|broker| fenced_too || !broker.is_fenced());
        brokers
            .filter_map(|broker| {
                let (host, port) = broker.endpoint(listener)?;
                Some(NodeEndpoint {
                    node: broker.node(),
                    listener: listener.to_owned(),
                    host: host.to_owned(),
                    port: i32::from(port),
                    rack: broker.record.rack.as_deref().map(str::to_owned),
                    fenced: broker.is_fenced(),
                })
            })
            .collect()
    }

    /// The controllers of the quorum.
    pub(crate) fn controller_endpoints(&self) -> Vec<NodeEndpoint> {
        self.controllers.clone()
    }

    /// A broker that lives: clients send it what is for the controller, and it forwards.
    pub(crate) fn any_alive_broker(&self, image: &MetadataImage) -> NodeId {
        if image.is_alive(self.node_id) {
            return self.node_id;
        }
        image.brokers().find(|broker| !broker.is_fenced()).map_or(NodeId::NONE, metadata::BrokerRegistration::node)
    }

    /// The leader of the metadata quorum.
    pub(crate) fn leader_of_quorum(&self) -> NodeId {
        self.quorum.status(self.clock.wall()).leader
    }

    fn configs(image: &MetadataImage, kind: i8, name: &str) -> BTreeMap<String, String> {
        image.configs(kind, name).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn with_overrides<R>(&self, image: &MetadataImage, describe: impl FnOnce(Overrides<'_>) -> R) -> R {
        let (broker, default_broker) =
            (Self::configs(image, 4, &self.node_id.to_string()), Self::configs(image, 4, ""));
        describe(Overrides { broker: &broker, default_broker: &default_broker, file: &self.config.set })
    }

    /// All configs of a topic.
    pub(crate) fn topic_config_entries(&self, image: &MetadataImage, topic: &str) -> Vec<ConfigEntry> {
        let own = Self::configs(image, 2, topic);
        self.with_overrides(image, |node| describe_topic(&own, node))
    }

    /// All configs of this broker.
    pub(crate) fn broker_config_entries(&self, image: &MetadataImage) -> Vec<ConfigEntry> {
        self.with_overrides(image, describe_broker)
    }

    /// All configs of a group, whether there is such a group or not.
    pub(crate) fn group_config_entries(&self, image: &MetadataImage, group: &str) -> Vec<ConfigEntry> {
        let own = Self::configs(image, 32, group);
        self.with_overrides(image, |node| describe_group(&own, node))
    }

    /// The configs that are set for all brokers.
    pub(crate) fn default_broker_config_entries(&self, image: &MetadataImage) -> Vec<ConfigEntry> {
        let none = BTreeMap::new();
        let all = Self::configs(image, 4, "");
        let entries = describe_broker(Overrides { broker: &none, default_broker: &all, file: &none });
        entries.into_iter().filter(|entry| all.contains_key(entry.name)).collect()
    }

    /// The metrics as text.
    pub(crate) fn render_metrics(&self) -> String {
        let partitions = self.partitions.all();
        self.metrics.partitions.set(i64::try_from(partitions.len()).unwrap_or(i64::MAX));
        let bytes: u64 = partitions.iter().map(|partition| partition.size_bytes()).sum();
        self.metrics.log_size_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let offline = self.log_dirs.iter().filter(|dir| dir.is_offline()).count();
        self.metrics.offline_log_dirs.set(i64::try_from(offline).unwrap_or(i64::MAX));
        let full = self.log_dirs.iter().filter(|dir| dir.room.is_full()).count();
        self.metrics.full_log_dirs.set(i64::try_from(full).unwrap_or(i64::MAX));
        self.groups.measure();
        self.metrics.metadata_offset.set(self.image.load().provenance().offset.0);
        self.metrics.request_memory.set(i64::try_from(self.request_memory.used()).unwrap_or(i64::MAX));
        self.metrics.requests_waiting.set(i64::try_from(self.request_memory.waiting()).unwrap_or(i64::MAX));
        render(&self.metrics)
    }

    /// The ids of the log dirs that have failed, as far as they are known.
    pub(crate) fn offline_dirs(&self) -> Vec<Uuid> {
        let offline = self.log_dirs.iter().filter(|dir| dir.is_offline());
        offline.filter_map(|dir| dir.dir.meta().directory_id).collect()
    }

    /// What is wrong with the node, if anything.
    pub(crate) fn unhealthy(&self) -> Option<String> {
        let offline: Vec<_> = self
            .log_dirs
            .iter()
            .filter(|dir| dir.is_offline())
            .map(|dir| dir.dir.path().display().to_string())
            .collect();
        (!offline.is_empty()).then(|| format!("offline log dirs: {}", offline.join(", ")))
    }

    /// Whether clients are served.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}
