//! Registration, sessions and fencing of brokers, and what that does to the partitions that they lead.

use crate::{Controller, Decision, VersionedRecord};
use base::{BrokerEpoch, ErrorCode, Monotonic, NodeId, Refusal, Uuid};
use metadata::{PartitionRegistration, is_online_dir};
use protocol::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use protocol::messages::partition_change_record::PartitionChangeRecord;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use std::borrow::Cow;

impl Controller {
    /// Registers a broker. Its epoch is the offset that the registration record gets, so the shell gives the log's end.
    ///
    /// # Errors
    /// Another cluster's id, another incarnation's live session, or features that do not cover the finalized ones.
    pub fn register_broker(
        &self,
        now: Monotonic,
        request: &BrokerRegistrationRequest<'_>,
        log_end: i64,
    ) -> Result<Decision<BrokerEpoch>, Refusal> {
        if request.cluster_id != self.settings.cluster_id {
            let why =
                format!("this is cluster {}, the broker belongs to {}", self.settings.cluster_id, request.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, why));
        }
        let node = NodeId(request.broker_id);
        if let Some(known) = self.image.broker(node)
            && known.record.incarnation_id != request.incarnation_id
            && self.sessions.get(&node).is_some_and(|until| *until > now)
        {
            let why = format!("broker {node} is registered already, and its session has not expired");
            return Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, why));
        }
        self.check_features(request)?;
        let version = self.version();
        let record = RegisterBrokerRecord {
            broker_id: request.broker_id,
            incarnation_id: request.incarnation_id,
            broker_epoch: log_end,
            end_points: request
                .listeners
                .iter()
                .map(|listener| BrokerEndpoint {
                    name: Cow::Owned(listener.name.to_string()),
                    host: Cow::Owned(listener.host.to_string()),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..BrokerEndpoint::default()
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| BrokerFeature {
                    name: Cow::Owned(feature.name.to_string()),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                    ..BrokerFeature::default()
                })
                .collect(),
            rack: request.rack.as_ref().map(|rack| Cow::Owned(rack.to_string())),
            fenced: true,
            log_dirs: if version.has_directories() { request.log_dirs.clone() } else { Vec::new() },
            ..RegisterBrokerRecord::default()
        };
        let records = vec![(record.into(), version.register_broker_version())];
        Ok(Decision { records, reply: BrokerEpoch(log_end) })
    }

    fn check_features(&self, request: &BrokerRegistrationRequest<'_>) -> Result<(), Refusal> {
        for (name, level) in self.image.finalized_features() {
            let range = request.features.iter().find(|feature| feature.name == name);
            let covers = range.is_some_and(|r| (r.min_supported_version..=r.max_supported_version).contains(&level));
            if !covers {
                let why = format!(
                    "broker {} does not support {name} {level}, which the cluster has finalized",
                    request.broker_id
                );
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, why));
            }
        }
        Ok(())
    }

    pub(crate) fn check_broker(&self, node: NodeId, epoch: BrokerEpoch) -> Result<(), Refusal> {
        match self.image.broker(node) {
            Some(broker) if broker.epoch() == epoch => Ok(()),
            Some(broker) => {
                let why = format!("broker {node} has epoch {}, not {epoch}", broker.epoch());
                Err(Refusal::new(ErrorCode::StaleBrokerEpoch, why))
            }
            None => Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, format!("broker {node} is not registered"))),
        }
    }

    /// Notes that a broker lives, and unfences it. The replicas in the log dirs that it says are `offline` lead no longer (KIP-858), until
    /// the broker registers with these dirs again.
    ///
    /// # Errors
    /// When the broker's epoch is not its current one.
    pub fn heartbeat(
        &mut self,
        now: Monotonic,
        node: NodeId,
        epoch: BrokerEpoch,
        offline: &[Uuid],
    ) -> Result<Decision<()>, Refusal> {
        self.check_broker(node, epoch)?;
        self.sessions.insert(node, now.plus_millis(self.settings.session_timeout_ms));
        let mut records = Vec::new();
        let Some(broker) = self.image.broker(node) else { return Ok(Decision::only(())) };
        if broker.is_fenced() {
            records.push(self.fencing_record(node, epoch, -1));
        }
        let (lost, online): (Vec<Uuid>, Vec<Uuid>) = broker.record.log_dirs.iter().partition(|id| offline.contains(id));
        if !lost.is_empty() && self.version().has_directories() {
            let record = BrokerRegistrationChangeRecord {
                broker_id: node.0,
                broker_epoch: epoch.0,
                log_dirs: online.clone(),
                ..BrokerRegistrationChangeRecord::default()
            };
            records.push((record.into(), self.version().registration_change_version()));
        }
        // Also without a new one: a replica may have been assigned to a dir that was offline already.
        if broker.is_fenced() || !offline.is_empty() {
            records.extend(self.elections(node, |partition| {
                let directory = partition.directory_of(node);
                !offline.contains(&directory) && is_online_dir(directory, &online)
            }));
        }
        Ok(Decision { records, reply: () })
    }

    /// Fences a broker that stops or was not heard of: its partitions lose their leader.
    #[must_use]
    pub fn fence(&self, node: NodeId) -> Vec<VersionedRecord> {
        let Some(broker) = self.image.broker(node).filter(|broker| !broker.is_fenced()) else { return Vec::new() };
        let mut records = vec![self.fencing_record(node, broker.epoch(), 1)];
        records.extend(self.elections(node, |_| false));
        records
    }

    /// Fences brokers whose session has ended.
    #[must_use]
    pub fn tick(&self, now: Monotonic) -> Vec<VersionedRecord> {
        let ended = self.sessions.iter().filter(|(_, until)| **until <= now);
        ended.flat_map(|(node, _)| self.fence(*node)).collect()
    }

    fn fencing_record(&self, node: NodeId, epoch: BrokerEpoch, fenced: i8) -> VersionedRecord {
        let record = BrokerRegistrationChangeRecord {
            broker_id: node.0,
            broker_epoch: epoch.0,
            fenced,
            ..BrokerRegistrationChangeRecord::default()
        };
        (record.into(), self.version().registration_change_version())
    }

    /// New leaders for the partitions of a broker that comes or goes, or some of whose log dirs do.
    fn elections(&self, node: NodeId, is_here: impl Fn(&PartitionRegistration) -> bool) -> Vec<VersionedRecord> {
        let version = self.version();
        let mut records = Vec::new();
        for topic in self.image.topics().iter() {
            for (partition_id, partition) in topic.partitions_from(0) {
                let change = if is_here(partition) { comes(node, partition) } else { self.goes(node, partition) };
                if let Some(change) = change {
                    let change = PartitionChangeRecord { partition_id, topic_id: topic.id(), ..change };
                    records.push((change.into(), version.partition_version()));
                }
            }
        }
        records
    }

    fn goes(&self, node: NodeId, partition: &PartitionRegistration) -> Option<PartitionChangeRecord> {
        if !partition.isr.contains(&node) {
            return None;
        }
        let others: Vec<NodeId> = partition.isr.iter().copied().filter(|other| *other != node).collect();
        let offline = self.image.offline_replicas(partition);
        let next = others.iter().copied().find(|other| !offline.contains(other));
        // The last replica in sync stays in the ISR: only it has everything that was confirmed.
        let isr = (!others.is_empty()).then(|| others.iter().map(|other| other.0).collect());
        let leader = if partition.leader == node { next.unwrap_or(NodeId::NONE).0 } else { -2 };
        (leader != -2 || isr.is_some()).then(|| PartitionChangeRecord {
            leader,
            isr,
            ..PartitionChangeRecord::default()
        })
    }
}

fn comes(node: NodeId, partition: &PartitionRegistration) -> Option<PartitionChangeRecord> {
    let can_lead = partition.leader == NodeId::NONE && partition.isr.contains(&node);
    can_lead.then(|| PartitionChangeRecord { leader: node.0, ..PartitionChangeRecord::default() })
}
