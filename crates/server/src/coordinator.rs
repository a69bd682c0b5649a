//! The shell of the coordinators: hosts one [`Shard`](rsm::Shard) for each partition of an internal topic that this node leads.
//!
//! A request locks its shard, lets the machine decide, appends what is staged and goes; its reply comes through a channel when the
//! partition's high watermark has passed. Nothing here waits for a disk but the coordinator's own thread, which loads shards and fires
//! deadlines. Lock order: shard, then partition; a partition calls its observer with no lock held.

mod driver;
mod groups;
mod host;
mod load;

pub(crate) use driver::Driver;
pub(crate) use groups::{Asker, GroupCoordinator, group_settings, shard_of};

use crate::partition::Partition;
use crate::partitions::Partitions;
use base::{Clock, ErrorCode, LeaderEpoch, Monotonic, NodeId, Refusal, Uuid};
use host::Host;
use metadata::{Changes, MetadataImage};
use parking_lot::{Mutex, RwLock};
use rsm::{Effects, Machine, Now, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::{CoordinatorMetrics, Metrics};
use tokio::sync::oneshot;

/// A machine that can live on an internal topic.
pub(crate) trait Hosted: Machine<Record: Send, Reply: Send, Timer: Send> + Send + 'static {
    /// The topic that its records are in.
    const TOPIC: &'static str;

    /// Key and value of a record.
    fn encode(record: &Self::Record) -> (Vec<u8>, Option<Vec<u8>>);

    /// The record of a key and value; `None` for one of another machine of the same topic.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, String>;

    /// Follows the metadata: `topics` were made, changed or removed.
    fn on_metadata(&mut self, now: Now, image: &MetadataImage, topics: &[Uuid], effects: &mut Effects<Self>);

    /// The metrics of the coordinator of such machines.
    fn coordinator_metrics(metrics: &Metrics) -> &CoordinatorMetrics;

    /// Adds what the machine has counted since it was asked last.
    fn tell(&mut self, metrics: &Metrics);
}

/// A reply that comes when what it rests on is committed.
pub(crate) type Answer<M> = oneshot::Receiver<Result<<M as Machine>::Reply, Refusal>>;

/// Makes a machine for a shard.
type MakeMachine<M> = Box<dyn Fn(&MetadataImage) -> M + Send + Sync>;

/// All shards of one kind of machine on this node.
pub(crate) struct Coordinator<M: Hosted> {
    node: NodeId,
    clock: Arc<dyn Clock>,
    partitions: Arc<Partitions>,
    metrics: Arc<Metrics>,
    make: MakeMachine<M>,
    hosts: RwLock<BTreeMap<i32, Arc<Host<M>>>>,
    metadata: Mutex<Untold>,
    driver: Arc<Driver>,
}

/// The newest metadata, and what of it the machines have not been told.
#[derive(Default)]
struct Untold {
    image: MetadataImage,
    topics: Vec<Uuid>,
    is_new: bool,
}

impl<M: Hosted> Coordinator<M> {
    pub(crate) fn new(
        node: NodeId,
        clock: Arc<dyn Clock>,
        partitions: Arc<Partitions>,
        metrics: Arc<Metrics>,
        make: MakeMachine<M>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            clock,
            partitions,
            metrics,
            make,
            hosts: RwLock::new(BTreeMap::new()),
            metadata: Mutex::default(),
            driver: Arc::new(Driver::default()),
        })
    }

    /// What wakes the coordinator's thread.
    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    fn now(&self) -> Now {
        Now { mono: self.clock.monotonic(), wall: self.clock.wall() }
    }

    /// Asks the shard `index`.
    ///
    /// # Errors
    /// NOT_COORDINATOR when the shard is not here, COORDINATOR_LOAD_IN_PROGRESS while it loads.
    pub(crate) fn ask(
        &self,
        index: i32,
        decide: impl FnOnce(&mut M, Now, Ticket, &mut Effects<M>),
    ) -> Result<Answer<M>, Refusal> {
        let host = self.hosts.read().get(&index).cloned();
        let host = host.ok_or_else(|| {
            Refusal::new(ErrorCode::NotCoordinator, format!("this node does not lead {}-{index}", M::TOPIC))
        })?;
        let answer = host.ask(self.now(), decide)?;
        self.driver.wake_by(host.next_deadline());
        Ok(answer)
    }

    /// The shards that are here.
    pub(crate) fn indexes(&self) -> Vec<i32> {
        self.hosts.read().keys().copied().collect()
    }

    /// Follows a change of the metadata, after the partitions have.
    pub(crate) fn publish(&self, image: &MetadataImage, changes: &Changes) {
        {
            let mut metadata = self.metadata.lock();
            metadata.image = image.clone();
            metadata.topics.extend(changes.topics.iter().copied());
            // Groups have configs of their own, which machines read in the image.
            metadata.is_new |= !changes.topics.is_empty() || !changes.configs.is_empty();
        }
        match image.topics().by_name(M::TOPIC) {
            Some(topic) if changes.topics.contains(&topic.id()) => {
                for (index, registration) in topic.partitions_from(0) {
                    let partition =
                        (registration.leader == self.node).then(|| self.partitions.get(topic.id(), index)).flatten();
                    match partition {
                        Some(partition) => self.open(index, registration.leader_epoch, partition, image),
                        None => self.close(index),
                    }
                }
            }
            Some(_) => {}
            None => self.indexes().into_iter().for_each(|index| self.close(index)),
        }
        if !changes.topics.is_empty() || !changes.configs.is_empty() {
            self.driver.wake_now();
        }
    }

    fn open(&self, index: i32, epoch: LeaderEpoch, partition: Arc<Partition>, image: &MetadataImage) {
        let known = self.hosts.read().get(&index).cloned();
        if known.is_some_and(|known| known.is_of(&partition, epoch)) {
            return;
        }
        self.close(index);
        let host = Host::new(Arc::clone(&partition), epoch, Arc::clone(&self.clock), Arc::clone(&self.metrics));
        partition.observe(Arc::downgrade(&host) as std::sync::Weak<dyn crate::partition::Observer>);
        // A new partition has nothing to load: its groups are served at once.
        if partition.is_empty() {
            host.load((self.make)(image), self.now());
        }
        self.hosts.write().insert(index, host);
        self.driver.wake_now();
    }

    fn close(&self, index: i32) {
        if let Some(host) = self.hosts.write().remove(&index) {
            host.close(&Refusal::new(ErrorCode::NotCoordinator, "the coordinator has moved"));
        }
    }

    /// One round of the coordinator's thread: tells of metadata, loads what has to be loaded, fires what is due. Returns when the next
    /// round is due.
    pub(crate) fn drive(&self) -> Option<Monotonic> {
        let Untold { image, topics, is_new } = {
            let mut metadata = self.metadata.lock();
            let image = metadata.image.clone();
            std::mem::replace(&mut *metadata, Untold { image, ..Untold::default() })
        };
        let hosts: Vec<Arc<Host<M>>> = self.hosts.read().values().cloned().collect();
        let mut next: Option<Monotonic> = None;
        for host in hosts {
            if host.wants_loading() {
                host.load((self.make)(&image), self.now());
            } else if is_new {
                host.step(self.now(), |machine, now, effects| machine.on_metadata(now, &image, &topics, effects));
            }
            host.tick(self.now());
            next = next.into_iter().chain(host.next_deadline()).min();
        }
        next
    }

    /// Brings the metrics up to date, and shows every machine.
    fn look(&self, mut see: impl FnMut(&M)) {
        let hosts: Vec<Arc<Host<M>>> = self.hosts.read().values().cloned().collect();
        let mut states = host::STATES.map(|state| (state, 0));
        let mut waiting = 0;
        for host in hosts {
            let (state, requests) = host.look(&mut see);
            waiting += requests;
            states.iter_mut().filter(|(name, _)| *name == state).for_each(|(_, count)| *count += 1);
        }
        let metrics = M::coordinator_metrics(&self.metrics);
        states.into_iter().for_each(|(state, count)| metrics.partitions.set(state, count));
        metrics.waiting_requests.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Refuses whoever waits: the node stops.
    pub(crate) fn shut_down(&self) {
        self.indexes().into_iter().for_each(|index| self.close(index));
    }
}
