//! Topics and partitions.

use base::{LeaderEpoch, NodeId, Uuid};
use imbl::OrdMap;
use std::sync::Arc;

/// A partition as the controller has decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log dir of each replica, in the same order; empty below metadata.version 3.7-IV2.
    pub directories: Vec<Uuid>,
    /// Replicas in sync.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment removes.
    pub removing: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<NodeId>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<NodeId>,
    /// The last known eligible leader replicas.
    pub last_known_elr: Vec<NodeId>,
    /// Its leader, [`NodeId::NONE`] when there is none.
    pub leader: NodeId,
    /// 1 while it recovers from an unclean election.
    pub leader_recovery_state: i8,
    /// Grows with every change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change.
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The log dir of the replica on `node`; [`Uuid::UNASSIGNED_DIR`] where there is none, or nobody has said.
    #[must_use]
    pub fn directory_of(&self, node: NodeId) -> Uuid {
        let at = self.replicas.iter().position(|replica| *replica == node);
        at.and_then(|at| self.directories.get(at)).copied().unwrap_or(Uuid::UNASSIGNED_DIR)
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    pub(crate) partitions: OrdMap<i32, Arc<PartitionRegistration>>,
}

impl TopicImage {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&PartitionRegistration> {
        self.partitions.get(&index).map(Arc::as_ref)
    }

    /// The partitions from `first` on, in order.
    pub fn partitions_from(&self, first: i32) -> impl Iterator<Item = (i32, &PartitionRegistration)> {
        self.partitions.range(first..).map(|(index, partition)| (*index, partition.as_ref()))
    }
}

/// All topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    by_id: OrdMap<Uuid, Arc<TopicImage>>,
    by_name: OrdMap<Arc<str>, Uuid>,
}

impl Topics {
    /// The topic of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&TopicImage> {
        self.by_id(*self.by_name.get(name)?)
    }

    /// The topic of this id.
    #[must_use]
    pub fn by_id(&self, id: Uuid) -> Option<&TopicImage> {
        self.by_id.get(&id).map(Arc::as_ref)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(AsRef::as_ref)
    }

    /// All topics, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &TopicImage> {
        self.by_name.values().filter_map(|id| self.by_id(*id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn add(&mut self, name: &str, id: Uuid) {
        let name: Arc<str> = name.into();
        // Names and ids stay one to one, whatever a log says.
        if let Some(renamed) = self.by_id.get(&id) {
            self.by_name.remove(&renamed.name);
        }
        if let Some(replaced) = self.by_name.get(&name) {
            self.by_id.remove(replaced);
        }
        self.by_name.insert(Arc::clone(&name), id);
        self.by_id.insert(id, Arc::new(TopicImage { name, id, partitions: OrdMap::new() }));
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> Option<Arc<str>> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(&topic.name);
        Some(Arc::clone(&topic.name))
    }

    pub(crate) fn set_partition(&mut self, id: Uuid, index: i32, partition: PartitionRegistration) {
        if let Some(topic) = self.by_id.get_mut(&id) {
            Arc::make_mut(topic).partitions.insert(index, Arc::new(partition));
        }
    }
}
