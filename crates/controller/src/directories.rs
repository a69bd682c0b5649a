//! Which log dir each replica is in (KIP-858).

use crate::{Assignment, Controller, Decision, VersionedRecord};
use base::{NodeId, Uuid};
use protocol::messages::partition_change_record::PartitionChangeRecord;
use protocol::metadata_record::MetadataRecord;

/// Puts the replicas of `node` that `records` make, and that are in no log dir yet, where `choose` says. In KIP-858 the broker says so
/// when it has made them. One that shares its process with the controller can say it at once, and then no start has to guess where a replica
/// may be that the broker had not come to speak of.
pub fn place_replicas(records: &mut [VersionedRecord], node: NodeId, mut choose: impl FnMut() -> Option<Uuid>) {
    for (record, _) in records {
        let MetadataRecord::Partition(partition) = record else { continue };
        // Of a metadata.version below 3.7-IV2 there are none.
        for (replica, directory) in partition.replicas.iter().zip(&mut partition.directories) {
            if *replica == node.0 && *directory == Uuid::UNASSIGNED_DIR {
                *directory = choose().unwrap_or(Uuid::UNASSIGNED_DIR);
            }
        }
    }
}

impl Controller {
    /// Notes in which log dirs a broker has its replicas, as AssignReplicasToDirs does. What is so already, or of a partition that is gone
    /// or not the broker's, needs no record.
    #[must_use]
    pub fn assign_directories(&self, node: NodeId, assignments: &[Assignment]) -> Decision<()> {
        if !self.version().has_directories() {
            return Decision::only(());
        }
        let records = assignments.iter().filter_map(|assignment| self.assigned(node, assignment)).collect();
        Decision { records, reply: () }
    }

    fn assigned(&self, node: NodeId, assignment: &Assignment) -> Option<VersionedRecord> {
        let Assignment { topic, partition, directory } = *assignment;
        let registration = self.image.topics().by_id(topic)?.partition(partition)?;
        if !registration.replicas.contains(&node) || registration.directory_of(node) == directory {
            return None;
        }
        let directories: Vec<Uuid> = registration
            .replicas
            .iter()
            .map(|replica| if *replica == node { directory } else { registration.directory_of(*replica) })
            .collect();
        let record = PartitionChangeRecord {
            partition_id: partition,
            topic_id: topic,
            directories: Some(directories),
            ..PartitionChangeRecord::default()
        };
        Some((record.into(), self.version().partition_version()))
    }
}
