//! Where the partitions of this node live: which of several folders of a name is a partition's own, which log dir a new one goes into, and
//! which partitions are in a log dir that is not here.
//!
//! A partition that the metadata has in a log dir (KIP-858) is opened or made there or nowhere: made anew beside it, it would lose what was
//! confirmed without a word. One that is decided here is in a log dir from its first record on ([`Partitions::place`]). So what a start does not
//! find is in that dir or was never made, and however many starts the dir is missing for, once it is back the partition is opened or made.
//!
//! Only another controller leaves a partition in no log dir: Kafka's does until the broker has said where it has put it. A start makes such a
//! one when all log dirs are here that the node registered with last. When one is missing, the partition may be in it: it is LOST then, in the
//! metadata too, for at the next start nobody knows which dirs there were. A lost one is opened where it is found, and made nowhere. Kafka makes
//! it anew when no configured dir is offline, also if the dir that has it was taken out of log.dirs.

use super::{Found, Missing, Partitions};
use crate::log_dir::LogDirHandle;
use base::{TopicPartition, Uuid};
use controller::{Assignment, VersionedRecord};
use metadata::{MetadataImage, PartitionRegistration};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use storage::{Owner, owner};

/// The partitions' folders that a start finds in the log dirs.
#[derive(Default)]
pub(crate) struct Folders {
    /// The first of each name.
    pub(crate) first: BTreeMap<TopicPartition, Found>,
    /// Those of a name that another log dir has a folder of, too.
    pub(crate) more: Vec<(TopicPartition, Found)>,
}

impl Folders {
    /// Adds the folder of a partition.
    pub(crate) fn add(&mut self, tp: TopicPartition, found: Found) {
        match self.first.entry(tp) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(found)),
            std::collections::btree_map::Entry::Occupied(entry) => self.more.push((entry.key().clone(), found)),
        }
    }
}

/// The log dir that a partition is in, which this node does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Away(Uuid);

impl Partitions {
    /// Before the first change is followed: of folders of one name, the one whose topic the metadata knows is the partition's (R30).
    pub(crate) fn settle(&self, image: &MetadataImage) {
        let mut found = self.found.lock();
        for (tp, other) in self.twins.lock().iter_mut() {
            let Some((topic, first)) = image.topics().by_name(&tp.topic).zip(found.get_mut(tp)) else { continue };
            if self.rank(tp, other, topic.id()) < self.rank(tp, first, topic.id()) {
                std::mem::swap(first, other);
            }
        }
        let known = image.broker(self.node).map(|broker| broker.record.log_dirs.as_slice()).unwrap_or_default();
        let is_gone = known.iter().any(|id| self.dir_of_id(*id).is_none());
        let has_failed = self.dirs.iter().any(LogDirHandle::is_offline);
        self.dirs_gone.store(is_gone || has_failed, Ordering::Relaxed);
    }

    /// How much a folder is that of the topic `id`; the least is it most.
    fn rank(&self, tp: &TopicPartition, found: &Found, id: Uuid) -> u8 {
        let dir = &self.dirs[found.dir].dir;
        match owner(dir.disk().as_ref(), &dir.path().join(tp.to_string()), id) {
            Ok(Owner::Asked) => 0,
            // Told of when it is opened.
            Err(_) => 1,
            Ok(Owner::None) => 2,
            Ok(Owner::Other(_)) => 3,
        }
    }

    fn dir_of_id(&self, id: Uuid) -> Option<usize> {
        self.dirs.iter().position(|dir| dir.dir.meta().directory_id == Some(id))
    }

    /// Puts the partitions of this node that `records` make into the log dirs with the fewest. `image` is the controller's: it has also those
    /// that are decided and not made yet. One whose dir fails before it is made waits for that dir.
    pub(crate) fn place(&self, image: &MetadataImage, records: &mut [VersionedRecord]) {
        let mut counts = None;
        controller::place_replicas(records, self.node, || {
            let counts = counts.get_or_insert_with(|| self.count_assigned(image));
            let (directory, count) = counts.iter_mut().min_by_key(|(_, count)| *count)?;
            *count += 1;
            Some(*directory)
        });
    }

    /// The log dirs that a new partition may be made in, with how many the metadata has there.
    fn count_assigned(&self, image: &MetadataImage) -> Vec<(Uuid, usize)> {
        let usable = (0..self.dirs.len()).filter(|at| self.is_usable(*at));
        let ids = usable.filter_map(|at| self.dirs[at].dir.meta().directory_id);
        let mut counts: Vec<(Uuid, usize)> = ids.map(|id| (id, 0)).collect();
        for (_, partition) in image.topics().iter().flat_map(|topic| topic.partitions_from(0)) {
            let directory = partition.directory_of(self.node);
            if let Some((_, count)) = counts.iter_mut().find(|(id, _)| *id == directory) {
                *count += 1;
            }
        }
        counts
    }

    fn is_usable(&self, at: usize) -> bool {
        self.for_logs[at] && !self.dirs[at].is_offline()
    }

    /// The log dir for a partition that has no folder: the one that the metadata names, else the one with the fewest partitions.
    pub(super) fn choose_dir(&self, registration: &PartitionRegistration, counts: &[usize]) -> Result<usize, Away> {
        let assigned = registration.directory_of(self.node);
        match assigned {
            Uuid::LOST_DIR => Err(Away(assigned)),
            // Some log dir that was here at the last start may have it.
            id if id.is_reserved_dir() && self.dirs_gone.load(Ordering::Relaxed) => Err(Away(Uuid::LOST_DIR)),
            id if id.is_reserved_dir() => {
                let usable = (0..self.dirs.len()).filter(|at| self.is_usable(*at));
                usable.min_by_key(|at| counts[*at]).ok_or(Away(id))
            }
            id => self.dir_of_id(id).filter(|at| !self.dirs[*at].is_offline()).ok_or(Away(id)),
        }
    }

    /// Notes that a partition cannot be opened here. Where the metadata does not know yet which log dir it is in, it shall know that this is
    /// lost: at the next start nobody remembers which dirs there were.
    pub(super) fn note_away(&self, missing: &Missing<'_>, away: Away) {
        self.away.lock().insert(missing.tp.clone(), missing.id);
        if away.0 == Uuid::LOST_DIR && missing.registration.directory_of(self.node) != Uuid::LOST_DIR {
            self.assign(missing, Uuid::LOST_DIR);
        }
    }

    /// Says where a partition is, when the metadata has it elsewhere.
    pub(super) fn note_place(&self, missing: &Missing<'_>, dir: usize) {
        if let Some(id) =
            self.dirs[dir].dir.meta().directory_id.filter(|id| *id != missing.registration.directory_of(self.node))
        {
            self.assign(missing, id);
        }
    }

    fn assign(&self, missing: &Missing<'_>, directory: Uuid) {
        let assignment = Assignment { topic: missing.id, partition: missing.tp.partition.0, directory };
        self.assignments.lock().push(assignment);
    }

    /// What the controller is to be told of where partitions are.
    pub(crate) fn take_assignments(&self) -> Vec<Assignment> {
        std::mem::take(&mut self.assignments.lock())
    }
}

/// Says once for each log dir which partitions are missing with it.
pub(super) fn tell_away(away: &[(TopicPartition, Away)]) {
    let mut by_dir: BTreeMap<Away, Vec<&TopicPartition>> = BTreeMap::new();
    away.iter().for_each(|(tp, dir)| by_dir.entry(*dir).or_default().push(tp));
    for (Away(id), partitions) in by_dir {
        let directory = if id.is_reserved_dir() { "unknown".to_owned() } else { id.to_string() };
        tracing::error!(
            directory_id = directory,
            partitions = partitions.len(),
            first = %partitions[0],
            "partitions are in a log dir that this node does not have: they are offline until it is in log.dirs again, \
             or their topics are deleted"
        );
    }
}
