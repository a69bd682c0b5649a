//! An image as the records of a snapshot, in Kafka's order and in the versions that its metadata.version writes.

use crate::features::{METADATA_VERSION, MetadataVersion};
use crate::image::MetadataImage;
use crate::topics::{PartitionRegistration, TopicImage};
use base::NodeId;
use protocol::messages::client_quota_record::{ClientQuotaRecord, EntityData};
use protocol::messages::config_record::ConfigRecord;
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::producer_ids_record::ProducerIdsRecord;
use protocol::messages::topic_record::TopicRecord;
use protocol::metadata_record::MetadataRecord;
use std::borrow::Cow;

type Versioned = (MetadataRecord<'static>, i16);

impl MetadataImage {
    /// The records that make this image, each with the version to write it in.
    #[must_use]
    pub fn to_records(&self) -> Vec<Versioned> {
        let version = self.metadata_version().unwrap_or(MetadataVersion::MINIMUM);
        let mut out: Vec<Versioned> = Vec::new();
        // The metadata.version comes first: it decides how the rest is read.
        let mut features: Vec<_> = self.features.iter().collect();
        features.sort_by_key(|(name, _)| *name != METADATA_VERSION);
        for (name, level) in features {
            let name = Cow::Owned(name.clone());
            out.push((FeatureLevelRecord { name, feature_level: *level, ..FeatureLevelRecord::default() }.into(), 0));
        }
        for broker in self.brokers.values() {
            let mut record = broker.record.clone();
            // What this level cannot write is left out, as in Kafka's snapshots.
            if version.register_broker_version() < 2 {
                record.is_migrating_zk_broker = false;
            }
            if !version.has_directories() {
                record.log_dirs.clear();
            }
            if !version.has_cordons() {
                record.cordoned_log_dirs = None;
            }
            out.push((record.into(), version.register_broker_version()));
        }
        if version.has_controller_registration() {
            out.extend(self.controllers.values().map(|record| (record.as_ref().clone().into(), 0)));
        }
        for topic in self.topics.iter() {
            push_topic(&mut out, topic, version);
        }
        for ((resource_type, resource_name), values) in &self.configs {
            out.extend(values.iter().map(|(name, value)| {
                let record = ConfigRecord {
                    resource_type: *resource_type,
                    resource_name: Cow::Owned(resource_name.clone()),
                    name: Cow::Owned(name.clone()),
                    value: Some(Cow::Owned(value.clone())),
                    ..ConfigRecord::default()
                };
                (record.into(), 0)
            }));
        }
        self.push_clients_and_security(&mut out);
        out
    }

    fn push_clients_and_security(&self, out: &mut Vec<Versioned>) {
        for (who, values) in &self.quotas {
            let entity: Vec<_> = who
                .iter()
                .map(|(kind, name)| EntityData {
                    entity_type: Cow::Owned(kind.clone()),
                    entity_name: name.clone().map(Cow::Owned),
                    ..EntityData::default()
                })
                .collect();
            out.extend(values.iter().map(|(key, value)| {
                let record = ClientQuotaRecord {
                    entity: entity.clone(),
                    key: Cow::Owned(key.clone()),
                    value: f64::from_bits(*value),
                    remove: false,
                    ..ClientQuotaRecord::default()
                };
                (record.into(), 0)
            }));
        }
        if let Some(next_producer_id) = self.producer_ids {
            // Who took the last block matters to nobody; Kafka's snapshots name no broker either.
            let record =
                ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id, ..ProducerIdsRecord::default() };
            out.push((record.into(), 0));
        }
        out.extend(self.acls.values().map(|record| (record.as_ref().clone().into(), 0)));
        out.extend(self.scram.values().map(|record| (record.as_ref().clone().into(), 0)));
        out.extend(self.tokens.values().map(|record| (record.as_ref().clone().into(), 0)));
    }
}

fn push_topic(out: &mut Vec<Versioned>, topic: &TopicImage, version: MetadataVersion) {
    let record =
        TopicRecord { name: Cow::Owned(topic.name().to_string()), topic_id: topic.id(), ..TopicRecord::default() };
    out.push((record.into(), 0));
    for (index, partition) in topic.partitions_from(0) {
        out.push((partition_record(topic.id(), index, partition, version).into(), version.partition_version()));
    }
}

/// A partition as a record of this metadata.version.
#[must_use]
pub fn partition_record(
    topic_id: base::Uuid,
    partition_id: i32,
    partition: &PartitionRegistration,
    version: MetadataVersion,
) -> PartitionRecord {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let some = |nodes: &[NodeId]| (version.has_elr() && !nodes.is_empty()).then(|| ids(nodes));
    PartitionRecord {
        partition_id,
        topic_id,
        replicas: ids(&partition.replicas),
        isr: ids(&partition.isr),
        removing_replicas: ids(&partition.removing),
        adding_replicas: ids(&partition.adding),
        leader: partition.leader.0,
        leader_recovery_state: partition.leader_recovery_state,
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch,
        directories: if version.has_directories() { partition.directories.clone() } else { Vec::new() },
        eligible_leader_replicas: some(&partition.elr),
        last_known_elr: some(&partition.last_known_elr),
        ..PartitionRecord::default()
    }
}
