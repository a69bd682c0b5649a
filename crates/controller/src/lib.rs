//! The quorum controller: reads the latest metadata, decided or committed, and answers each request with records and a reply.
//!
//! Pure: decide reads, apply is the only mutation. The shell appends a decision's records, applies them at once, and releases the
//! reply when the quorum has committed them. It knows metadata, not logs, sockets or clocks.

mod brokers;
mod configs;
mod controllers;
mod directories;
mod dynamic;
mod features;
mod placement;
mod topics;

pub use directories::place_replicas;

use base::{BrokerEpoch, Monotonic, NodeId, Refusal, SeededRng, Uuid};
use metadata::{Changes, MetadataImage, MetadataVersion};
use protocol::messages::abort_transaction_record::AbortTransactionRecord;
use protocol::messages::begin_transaction_record::BeginTransactionRecord;
use protocol::messages::end_transaction_record::EndTransactionRecord;
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::no_op_record::NoOpRecord;
use protocol::messages::producer_ids_record::ProducerIdsRecord;
use protocol::messages::register_controller_record::RegisterControllerRecord;
use protocol::metadata_record::MetadataRecord;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Producer ids that a broker gets at a time.
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

/// A record with the version to write it in.
pub type VersionedRecord = (MetadataRecord<'static>, i16);

/// What the controller decided: records to append, all or none, and the reply to give when they are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// The records.
    pub records: Vec<VersionedRecord>,
    /// The reply.
    pub reply: R,
}

impl<R> Decision<R> {
    /// A reply that changes nothing.
    #[must_use]
    pub fn only(reply: R) -> Self {
        Self { records: Vec::new(), reply }
    }
}

/// The log dir that a replica is in, by its broker's word (KIP-858).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The topic's id.
    pub topic: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// The log dir's id; [`Uuid::LOST_DIR`] when it is not known, and not here.
    pub directory: Uuid,
}

/// The settings of a controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster_id: String,
    /// num.partitions.
    pub num_partitions: i32,
    /// default.replication.factor.
    pub default_replication_factor: i16,
    /// delete.topic.enable.
    pub delete_topic_enable: bool,
    /// broker.session.timeout.ms.
    pub session_timeout_ms: i64,
    /// The node's static configs, which topics fall back to.
    pub node_configs: BTreeMap<String, String>,
}

/// The quorum controller's state: a fold over the metadata log, and when each broker was last heard of.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    image: MetadataImage,
    /// What this controller says of itself; none before it has said so.
    own: Option<RegisterControllerRecord<'static>>,
    /// When each broker's session ends.
    sessions: BTreeMap<NodeId, Monotonic>,
    rng: SeededRng,
}

impl Controller {
    /// A controller that has seen no record.
    #[must_use]
    pub fn new(settings: Settings, rng: SeededRng) -> Self {
        Self { settings, image: MetadataImage::default(), own: None, sessions: BTreeMap::new(), rng }
    }

    /// The latest image, records that are not committed yet included.
    #[must_use]
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Applies a record of the log.
    pub fn apply(&mut self, record: &MetadataRecord<'_>) {
        self.image.apply(record, &mut Changes::default());
    }

    /// Takes a snapshot's image for the state.
    pub fn load(&mut self, image: MetadataImage) {
        self.image = image;
    }

    fn version(&self) -> MetadataVersion {
        self.image.metadata_version().unwrap_or(MetadataVersion::LATEST)
    }

    /// The records that a new leader begins with: the bootstrap records on an empty log, and the end of a transaction that its
    /// predecessor left open.
    #[must_use]
    pub fn activation(&self, bootstrap: &[VersionedRecord]) -> Vec<VersionedRecord> {
        let mut records: Vec<VersionedRecord> = Vec::new();
        if self.image.in_transaction() {
            let reason = Some(Cow::Borrowed("Controller failover"));
            records.push((AbortTransactionRecord { reason, ..AbortTransactionRecord::default() }.into(), 0));
        }
        if self.image.metadata_version().is_some() {
            return records;
        }
        let level = bootstrap.iter().find_map(|(record, _)| match record {
            MetadataRecord::FeatureLevel(FeatureLevelRecord { name, feature_level, .. })
                if name == "metadata.version" =>
            {
                MetadataVersion::from_level(*feature_level)
            }
            _ => None,
        });
        if level.is_none_or(MetadataVersion::has_transactions) {
            let name = Some(Cow::Borrowed("Bootstrap records"));
            records.push((BeginTransactionRecord { name, ..BeginTransactionRecord::default() }.into(), 0));
            records.extend_from_slice(bootstrap);
            records.push((EndTransactionRecord::default().into(), 0));
        } else {
            records.extend_from_slice(bootstrap);
        }
        records
    }

    /// Says that the controller lives.
    #[must_use]
    pub fn no_op(&self) -> VersionedRecord {
        (NoOpRecord::default().into(), 0)
    }

    /// Gives a broker its next block of producer ids (KIP-730).
    ///
    /// # Errors
    /// When the broker's epoch is not its current one.
    pub fn allocate_producer_ids(
        &self,
        broker: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<Decision<std::ops::Range<i64>>, Refusal> {
        self.check_broker(broker, epoch)?;
        let first = self.image.next_producer_id();
        let Some(next_producer_id) = first.checked_add(PRODUCER_ID_BLOCK) else {
            let why = "all producer ids are given out";
            return Err(Refusal::new(base::ErrorCode::UnknownServerError, why));
        };
        let record = ProducerIdsRecord {
            broker_id: broker.0,
            broker_epoch: epoch.0,
            next_producer_id,
            ..ProducerIdsRecord::default()
        };
        Ok(Decision { records: vec![(record.into(), 0)], reply: first..next_producer_id })
    }

    fn random_uuid(&mut self) -> Uuid {
        Uuid::random(&mut self.rng)
    }
}

#[cfg(test)]
mod tests;
