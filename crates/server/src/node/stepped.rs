//! A node without threads, for the simulator: the same parts as a [`Node`](super::Node)'s, run by whoever owns it, in any order.
//!
//! Each method is what one thread of a node does in one turn. Nothing here knows of a simulation, and nothing decides: the order of the
//! turns is the caller's. Timeouts are tokio's, so futures have to be polled within a runtime.

use super::build::{Built, build, sync_round};
use super::{StartError, close, failed, fence};
use crate::background::Background;
use crate::broker::Broker;
use crate::committer::Round;
use crate::environment::Environment;
use crate::flush;
use crate::partition::PartitionView;
use crate::recovery::RecoveryProgress;
use crate::service::NodeService;
use crate::session::Session;
use base::Monotonic;
use config::NodeConfig;
use net::{ClientSoftware, ConnContext, Peer, Reply, SendFile, Service, Warming};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::SyncTicket;

/// A node whose owner runs it.
pub struct SteppedNode {
    broker: Arc<Broker>,
    address: SocketAddr,
    listener: Arc<str>,
    service: Rc<NodeService>,
    background: Background,
    /// The round under way of each log dir.
    rounds: Vec<Option<Round>>,
    connections: u64,
}

/// A connection to a [`SteppedNode`], one frame at a time.
pub struct SteppedConnection {
    service: Rc<NodeService>,
    cx: ConnContext<Session>,
}

impl SteppedNode {
    /// Puts a node together, as [`Node::start`](super::Node::start) does.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// When no listener is for clients: such a configuration is refused before.
    pub fn start(config: NodeConfig, environment: &Environment) -> Result<SteppedNode, StartError> {
        let progress = Arc::new(RecoveryProgress::new(Arc::clone(&environment.clock), Arc::default()));
        let Built { broker, addresses, .. } = build(config, environment, &progress)?;
        let for_clients = addresses.iter().find(|(listener, _)| !listener.is_controller);
        let (listener, address) = for_clients.expect("a node has a listener for clients");
        broker.ready.store(true, Ordering::Release);
        Ok(SteppedNode {
            address: *address,
            listener: Arc::from(listener.name.as_str()),
            service: Rc::new(NodeService::new(Arc::clone(&broker))),
            background: Background::new(Arc::clone(&broker)),
            rounds: broker.log_dirs.iter().map(|_| None).collect(),
            connections: 0,
            broker,
        })
    }

    /// A new connection from `remote`, on the first listener for clients.
    pub fn connect(&mut self, remote: SocketAddr) -> SteppedConnection {
        self.connections += 1;
        let listener = Arc::clone(&self.listener);
        let peer = Peer { id: self.connections, remote, local: self.address, listener };
        let session = self.service.connected(&peer);
        let cx = ConnContext { peer, client: ClientSoftware::default(), session };
        SteppedConnection { service: Rc::clone(&self.service), cx }
    }

    /// How many log dirs there are, each with a committer.
    #[must_use]
    pub fn log_dirs(&self) -> usize {
        self.rounds.len()
    }

    /// The first third of a committer's round: asks its members what they have written. True when there is a round now; it was begun
    /// before if it is not finished.
    pub fn begin_commit(&mut self, dir: usize) -> bool {
        if self.rounds[dir].is_none() {
            self.rounds[dir] = self.broker.log_dirs[dir].committer.begin();
        }
        self.rounds[dir].is_some()
    }

    /// Whether a round of this log dir was begun and not finished.
    #[must_use]
    pub fn is_committing(&self, dir: usize) -> bool {
        self.rounds[dir].is_some()
    }

    /// The second third: makes what the members said durable.
    pub fn sync_commit(&mut self, dir: usize) {
        if let Some(round) = &mut self.rounds[dir] {
            let broker = &self.broker;
            let handle = &broker.log_dirs[dir];
            round.sync(&|tickets: &[SyncTicket]| sync_round(handle, &broker.metrics, broker.clock.as_ref(), tickets));
        }
    }

    /// The last third: tells the members.
    pub fn finish_commit(&mut self, dir: usize) {
        if let Some(round) = self.rounds[dir].take() {
            let handle = &self.broker.log_dirs[dir];
            handle.committer.finish(round, &|error| handle.set_offline(error));
        }
    }

    /// One turn of housekeeping, and of the flushers that it asks for something.
    pub fn housekeep(&mut self) {
        self.background.tick(self.broker.clock.monotonic(), self.broker.clock.wall());
        self.broker
            .log_dirs
            .iter()
            .enumerate()
            .for_each(|(at, handle)| handle.flusher.step(|wanted| flush::carry_out(&self.broker, at, wanted)));
    }

    /// One turn of the coordinators; says when the next one is due.
    pub fn coordinate(&mut self) -> Option<Monotonic> {
        self.broker.groups.drive()
    }

    /// Reads one range that a connection waits for; false when none does.
    pub fn read_cold(&mut self) -> bool {
        self.broker.cold_reads.read_one()
    }

    /// Why the node cannot go on, if so.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        failed(&self.broker)
    }

    /// Its partitions, in order of topic id and index.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionView> {
        self.broker.partitions.views()
    }

    /// Lets members that wait for a rebalance go: the first thing that a node does to stop.
    pub fn prepare_stop(&mut self) {
        self.broker.ready.store(false, Ordering::Release);
        self.broker.groups.shut_down();
    }

    /// Stops the node cleanly. No connection may be left.
    ///
    /// # Errors
    /// The first disk error; the next start then recovers.
    pub fn stop(mut self) -> Result<(), StartError> {
        fence(&self.broker)?;
        self.broker.log_dirs.iter().for_each(|handle| handle.committer.close());
        for dir in 0..self.rounds.len() {
            while self.begin_commit(dir) {
                self.sync_commit(dir);
                self.finish_commit(dir);
            }
        }
        close(&self.broker)
    }
}

impl Drop for SteppedNode {
    /// Leaves the node as after a crash.
    fn drop(&mut self) {
        self.broker.log_dirs.iter().for_each(|handle| handle.committer.abandon());
    }
}

impl SteppedConnection {
    /// Hands the node one frame, without its size.
    pub fn call(&mut self, frame: &[u8]) -> Reply {
        self.service.call(&mut self.cx, frame)
    }

    /// What has to be waited for before a range of a file is sent; `None` when it is in memory.
    #[must_use]
    pub fn before_send(&self, file: &Arc<dyn SendFile>, position: u64, len: usize) -> Option<Warming> {
        self.service.before_send(file, position, len)
    }
}
