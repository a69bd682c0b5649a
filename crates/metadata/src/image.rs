//! The image, and what each record does to it.

use crate::changes::Changes;
use crate::features::{METADATA_VERSION, MetadataVersion};
use crate::topics::{PartitionRegistration, Topics};
use base::{BrokerEpoch, LeaderEpoch, NodeId, Offset, Timestamp, Uuid};
use imbl::OrdMap;
use protocol::messages::access_control_entry_record::AccessControlEntryRecord;
use protocol::messages::client_quota_record::EntityData;
use protocol::messages::delegation_token_record::DelegationTokenRecord;
use protocol::messages::partition_change_record::PartitionChangeRecord;
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::register_broker_record::RegisterBrokerRecord;
use protocol::messages::register_controller_record::RegisterControllerRecord;
use protocol::messages::user_scram_credential_record::UserScramCredentialRecord;
use protocol::metadata_record::MetadataRecord;
use std::sync::Arc;

/// The last record that an image contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Its offset, -1 when there is none.
    pub offset: Offset,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// When its batch was appended.
    pub timestamp: Timestamp,
}

/// A broker as it registered.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerRegistration {
    /// The registration record, with later changes applied.
    pub record: RegisterBrokerRecord<'static>,
}

impl BrokerRegistration {
    /// Its node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(self.record.broker_id)
    }

    /// The epoch of this registration.
    #[must_use]
    pub fn epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.record.broker_epoch)
    }

    /// Whether it may lead and serve.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.record.fenced
    }

    /// Whether it is on its way down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.record.in_controlled_shutdown
    }

    /// Host and port of the listener of this name.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<(&str, u16)> {
        let found = self.record.end_points.iter().find(|endpoint| endpoint.name == listener)?;
        Some((&found.host, found.port))
    }
}

/// Type and name of what has configs; 2 is a topic, 4 a broker (an empty name means all brokers), 32 a group.
pub type ConfigResource = (i8, String);

/// The client that a quota is for: pairs of entity type and name, `None` for the default entity.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// The cluster's metadata up to a record.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataImage {
    pub(crate) provenance: Provenance,
    pub(crate) features: OrdMap<String, i16>,
    pub(crate) brokers: OrdMap<NodeId, Arc<BrokerRegistration>>,
    pub(crate) controllers: OrdMap<NodeId, Arc<RegisterControllerRecord<'static>>>,
    pub(crate) topics: Topics,
    pub(crate) configs: OrdMap<ConfigResource, OrdMap<String, String>>,
    pub(crate) quotas: OrdMap<QuotaEntity, OrdMap<String, u64>>,
    /// The first producer id that no broker was given.
    pub(crate) producer_ids: Option<i64>,
    pub(crate) acls: OrdMap<Uuid, Arc<AccessControlEntryRecord<'static>>>,
    pub(crate) scram: OrdMap<(i8, String), Arc<UserScramCredentialRecord<'static>>>,
    pub(crate) tokens: OrdMap<String, Arc<DelegationTokenRecord<'static>>>,
    /// Records of a metadata transaction that has not ended (KIP-868): not part of the image until then.
    transaction: Option<Vec<MetadataRecord<'static>>>,
}

impl Default for MetadataImage {
    fn default() -> Self {
        Self {
            provenance: Provenance { offset: Offset::NONE, epoch: LeaderEpoch::NONE, timestamp: Timestamp::NONE },
            features: OrdMap::new(),
            brokers: OrdMap::new(),
            controllers: OrdMap::new(),
            topics: Topics::default(),
            configs: OrdMap::new(),
            quotas: OrdMap::new(),
            producer_ids: None,
            acls: OrdMap::new(),
            scram: OrdMap::new(),
            tokens: OrdMap::new(),
            transaction: None,
        }
    }
}

/// Whether a replica's log dir is one of the `online` ones of its broker (KIP-858). One that nobody has said the dir of is taken to be, and every
/// one of a broker that registered below metadata.version 3.7-IV2, which has said nothing of its log dirs.
#[must_use]
pub fn is_online_dir(directory: Uuid, online: &[Uuid]) -> bool {
    directory != Uuid::LOST_DIR && (directory.is_reserved_dir() || online.is_empty() || online.contains(&directory))
}

impl MetadataImage {
    /// The last record that it contains.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Notes the last record that was applied.
    pub fn set_provenance(&mut self, provenance: Provenance) {
        self.provenance = provenance;
    }

    /// The finalized features other than level 0, in order of name.
    pub fn finalized_features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// A feature's finalized level, 0 when it has none.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The metadata.version; `None` before the log's first records.
    #[must_use]
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        MetadataVersion::from_level(self.feature(METADATA_VERSION))
    }

    /// All brokers, in order of id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers.values().map(Arc::as_ref)
    }

    /// One broker.
    #[must_use]
    pub fn broker(&self, node: NodeId) -> Option<&BrokerRegistration> {
        self.brokers.get(&node).map(Arc::as_ref)
    }

    /// How a controller registered (KIP-919).
    #[must_use]
    pub fn controller(&self, node: NodeId) -> Option<&RegisterControllerRecord<'static>> {
        self.controllers.get(&node).map(Arc::as_ref)
    }

    /// Whether a broker is registered and not fenced.
    #[must_use]
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.broker(node).is_some_and(|broker| !broker.is_fenced())
    }

    /// All topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The replicas of a partition that are not alive, or whose log dir is none that their broker has.
    #[must_use]
    pub fn offline_replicas(&self, partition: &PartitionRegistration) -> Vec<NodeId> {
        let has_dir = |node: NodeId| {
            let (directory, broker) = (partition.directory_of(node), self.broker(node));
            is_online_dir(directory, broker.map(|broker| broker.record.log_dirs.as_slice()).unwrap_or_default())
        };
        let replicas = partition.replicas.iter().copied();
        replicas.filter(|node| !self.is_alive(*node) || !has_dir(*node)).collect()
    }

    /// The configs that are set for a resource, in order of name.
    pub fn configs(&self, kind: i8, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let found = self.configs.get(&(kind, name.to_owned()));
        found.into_iter().flat_map(|map| map.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// The names of resources of a type that have configs.
    pub fn config_resources(&self, kind: i8) -> impl Iterator<Item = &str> {
        self.configs.keys().filter(move |(other, _)| *other == kind).map(|(_, name)| name.as_str())
    }

    /// The first producer id that is not given out.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.unwrap_or(0)
    }

    /// Applies a record. Inside of a metadata transaction nothing is visible before its end.
    pub fn apply(&mut self, record: &MetadataRecord<'_>, changes: &mut Changes) {
        match record {
            MetadataRecord::BeginTransaction(_) => self.transaction = Some(Vec::new()),
            MetadataRecord::AbortTransaction(_) => self.transaction = None,
            MetadataRecord::EndTransaction(_) => {
                for record in self.transaction.take().unwrap_or_default() {
                    self.apply_one(&record, changes);
                }
            }
            record => match &mut self.transaction {
                Some(held) => held.push(record.clone().into_owned()),
                None => self.apply_one(record, changes),
            },
        }
    }

    /// Whether a metadata transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    fn apply_one(&mut self, record: &MetadataRecord<'_>, changes: &mut Changes) {
        match record {
            MetadataRecord::RegisterBroker(r) => {
                changes.brokers.insert(NodeId(r.broker_id));
                let record = r.clone().into_owned();
                self.brokers.insert(NodeId(r.broker_id), Arc::new(BrokerRegistration { record }));
            }
            MetadataRecord::UnregisterBroker(r) => {
                changes.brokers.insert(NodeId(r.broker_id));
                self.brokers.remove(&NodeId(r.broker_id));
            }
            MetadataRecord::FenceBroker(r) => self.change_broker(r.id, changes, |broker| broker.fenced = true),
            MetadataRecord::UnfenceBroker(r) => self.change_broker(r.id, changes, |broker| broker.fenced = false),
            MetadataRecord::BrokerRegistrationChange(r) => self.change_broker(r.broker_id, changes, |broker| {
                match r.fenced {
                    1 => broker.fenced = true,
                    -1 => broker.fenced = false,
                    _ => {}
                }
                broker.in_controlled_shutdown |= r.in_controlled_shutdown == 1;
                if !r.log_dirs.is_empty() {
                    broker.log_dirs.clone_from(&r.log_dirs);
                }
                if r.cordoned_log_dirs.is_some() {
                    broker.cordoned_log_dirs.clone_from(&r.cordoned_log_dirs);
                }
            }),
            MetadataRecord::RegisterController(r) => {
                self.controllers.insert(NodeId(r.controller_id), Arc::new(r.clone().into_owned()));
            }
            MetadataRecord::UnregisterController(r) => {
                self.controllers.remove(&NodeId(r.controller_id));
            }
            MetadataRecord::FeatureLevel(r) => {
                changes.features = true;
                match r.feature_level {
                    0 => self.features.remove(r.name.as_ref()),
                    level => self.features.insert(r.name.to_string(), level),
                };
            }
            record => self.apply_topic_or_security(record, changes),
        }
    }

    fn apply_topic_or_security(&mut self, record: &MetadataRecord<'_>, changes: &mut Changes) {
        match record {
            MetadataRecord::Topic(r) => {
                changes.topics.insert(r.topic_id);
                self.topics.add(&r.name, r.topic_id);
            }
            MetadataRecord::Partition(r) => {
                changes.topics.insert(r.topic_id);
                self.topics.set_partition(r.topic_id, r.partition_id, registration(r));
            }
            MetadataRecord::PartitionChange(r) => self.change_partition(r, changes),
            MetadataRecord::RemoveTopic(r) => {
                changes.topics.insert(r.topic_id);
                if let Some(name) = self.topics.remove(r.topic_id) {
                    self.configs.remove(&(2, name.to_string()));
                }
            }
            MetadataRecord::Config(r) => {
                let resource = (r.resource_type, r.resource_name.to_string());
                changes.configs.insert(resource.clone());
                self.set_config(resource, &r.name, r.value.as_deref());
            }
            MetadataRecord::ClearElr(r) => self.clear_elr(&r.topic_name, changes),
            MetadataRecord::ClientQuota(r) => self.set_quota(&r.entity, &r.key, (!r.remove).then_some(r.value)),
            MetadataRecord::ProducerIds(r) => self.producer_ids = Some(r.next_producer_id),
            MetadataRecord::AccessControlEntry(r) => {
                self.acls.insert(r.id, Arc::new(r.clone().into_owned()));
            }
            MetadataRecord::RemoveAccessControlEntry(r) => {
                self.acls.remove(&r.id);
            }
            MetadataRecord::UserScramCredential(r) => {
                self.scram.insert((r.mechanism, r.name.to_string()), Arc::new(r.clone().into_owned()));
            }
            MetadataRecord::RemoveUserScramCredential(r) => {
                self.scram.remove(&(r.mechanism, r.name.to_string()));
            }
            MetadataRecord::DelegationToken(r) => {
                self.tokens.insert(r.token_id.to_string(), Arc::new(r.clone().into_owned()));
            }
            MetadataRecord::RemoveDelegationToken(r) => {
                self.tokens.remove(r.token_id.as_ref());
            }
            // NoOp says that the controller lives; the ZooKeeper migration is history.
            _ => {}
        }
    }

    fn change_broker(
        &mut self,
        id: i32,
        changes: &mut Changes,
        change: impl FnOnce(&mut RegisterBrokerRecord<'static>),
    ) {
        changes.brokers.insert(NodeId(id));
        if let Some(broker) = self.brokers.get_mut(&NodeId(id)) {
            change(&mut Arc::make_mut(broker).record);
        }
    }

    fn change_partition(&mut self, r: &PartitionChangeRecord, changes: &mut Changes) {
        changes.topics.insert(r.topic_id);
        let found = self.topics.by_id(r.topic_id).and_then(|topic| topic.partition(r.partition_id));
        let Some(mut partition) = found.cloned() else { return };
        let nodes = |ids: &Vec<i32>| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let set = |target: &mut Vec<NodeId>, given: &Option<Vec<i32>>| {
            if let Some(ids) = given {
                *target = nodes(ids);
            }
        };
        set(&mut partition.isr, &r.isr);
        set(&mut partition.replicas, &r.replicas);
        set(&mut partition.removing, &r.removing_replicas);
        set(&mut partition.adding, &r.adding_replicas);
        set(&mut partition.elr, &r.eligible_leader_replicas);
        set(&mut partition.last_known_elr, &r.last_known_elr);
        if let Some(directories) = &r.directories {
            partition.directories.clone_from(directories);
        }
        // -2 says that the leader stays.
        if r.leader != -2 {
            partition.leader = NodeId(r.leader);
            partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0.saturating_add(1));
        }
        if r.leader_recovery_state >= 0 {
            partition.leader_recovery_state = r.leader_recovery_state;
        }
        partition.partition_epoch = partition.partition_epoch.saturating_add(1);
        self.topics.set_partition(r.topic_id, r.partition_id, partition);
    }

    fn clear_elr(&mut self, topic: &str, changes: &mut Changes) {
        let ids: Vec<Uuid> =
            self.topics.iter().filter(|t| topic.is_empty() || **t.name() == *topic).map(|t| t.id()).collect();
        for id in ids {
            changes.topics.insert(id);
            let partitions: Vec<_> = self
                .topics
                .by_id(id)
                .into_iter()
                .flat_map(|t| t.partitions_from(0))
                .map(|(i, p)| (i, p.clone()))
                .collect();
            for (index, mut partition) in partitions {
                partition.elr.clear();
                partition.last_known_elr.clear();
                self.topics.set_partition(id, index, partition);
            }
        }
    }

    fn set_config(&mut self, resource: ConfigResource, name: &str, value: Option<&str>) {
        let mut map = self.configs.get(&resource).cloned().unwrap_or_default();
        match value {
            Some(value) => map.insert(name.to_owned(), value.to_owned()),
            None => map.remove(name),
        };
        if map.is_empty() {
            self.configs.remove(&resource)
        } else {
            self.configs.insert(resource, map)
        };
    }

    fn set_quota(&mut self, entity: &[EntityData<'_>], key: &str, value: Option<f64>) {
        let mut who: QuotaEntity =
            entity.iter().map(|e| (e.entity_type.to_string(), e.entity_name.as_deref().map(str::to_owned))).collect();
        who.sort();
        let mut map = self.quotas.get(&who).cloned().unwrap_or_default();
        match value {
            // Bits, so that images compare exactly.
            Some(value) => map.insert(key.to_owned(), value.to_bits()),
            None => map.remove(key),
        };
        if map.is_empty() {
            self.quotas.remove(&who)
        } else {
            self.quotas.insert(who, map)
        };
    }
}

fn registration(r: &PartitionRecord) -> PartitionRegistration {
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    PartitionRegistration {
        replicas: nodes(&r.replicas),
        directories: r.directories.clone(),
        isr: nodes(&r.isr),
        removing: nodes(&r.removing_replicas),
        adding: nodes(&r.adding_replicas),
        elr: nodes(r.eligible_leader_replicas.as_deref().unwrap_or_default()),
        last_known_elr: nodes(r.last_known_elr.as_deref().unwrap_or_default()),
        leader: NodeId(r.leader),
        leader_recovery_state: r.leader_recovery_state,
        leader_epoch: LeaderEpoch(r.leader_epoch),
        partition_epoch: r.partition_epoch,
    }
}

#[cfg(test)]
mod tests;
