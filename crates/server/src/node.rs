//! Starting and stopping a node.

mod build;
mod dirs;
mod observation;
mod stepped;

use crate::background::Background;
use crate::broker::Broker;
use crate::environment::Environment;
use crate::flush::{self, checkpoint, flush_logs};
use crate::log_dir::LogDirHandle;
use crate::metrics_http::Observed;
use crate::recovery::RecoveryProgress;
use crate::service::NodeService;
use base::Refusal;
use build::{Built, build, sync_round};
use config::NodeConfig;
use controller::{Controller, Decision};
use net::{ConnectionLoop, Shutdown, ShutdownTrigger};
use observation::Observation;
use parking_lot::{Condvar, Mutex};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::{CleanShutdown, LogError, SyncTicket, checkpoint_name};

pub use stepped::{SteppedConnection, SteppedNode};

/// How long a stopping node lets replies in flight finish.
const GRACE: Duration = Duration::from_secs(5);
/// Threads that bring cold ranges into memory. More would only make a disk seek more.
const COLD_READERS: usize = 2;
/// How often housekeeping looks whether something is due.
const TICK: Duration = Duration::from_millis(100);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A log dir, or what is in it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The controller refused this broker.
    #[error("the controller refused this broker: {0}")]
    Refused(#[from] Refusal),
    /// A listener could not be bound.
    #[error("listener {listener} cannot listen on {address}: {source}")]
    Bind {
        /// The listener's name.
        listener: String,
        /// Where it was to listen.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or an event loop could not be made.
    #[error("the node's threads cannot be started: {0}")]
    Threads(std::io::Error),
    /// The log dirs contradict each other or the configuration.
    #[error("{0}")]
    Configuration(String),
}

impl From<storage::DiskError> for StartError {
    fn from(error: storage::DiskError) -> Self {
        StartError::Log(error.into())
    }
}

/// A running node.
pub struct Node {
    broker: Arc<Broker>,
    bound: Vec<(String, SocketAddr)>,
    observation: Option<Observation>,
    trigger: Option<ShutdownTrigger>,
    loops: Vec<JoinHandle<()>>,
    committers: Vec<JoinHandle<()>>,
    flushers: Vec<JoinHandle<()>>,
    housekeeping: Option<JoinHandle<()>>,
    coordinators: Option<JoinHandle<()>>,
    cold_readers: Vec<JoinHandle<()>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Node {
    /// Starts a node on formatted log dirs. When this returns, the node is registered, unfenced and serves.
    ///
    /// # Errors
    /// See [`StartError`]; what was started is stopped again.
    pub fn start(config: NodeConfig, environment: Environment) -> Result<Node, StartError> {
        let started = environment.clock.monotonic();
        let progress = Arc::new(RecoveryProgress::new(Arc::clone(&environment.clock), Arc::default()));
        let observed = Arc::new(Observed { progress: Arc::clone(&progress), broker: OnceLock::new() });
        let observation = Observation::start(&config.metrics_listen, Arc::clone(&observed))?;
        let Built { broker, addresses, sockets } = build(config, &environment, &progress)?;
        observed.broker.get_or_init(|| Arc::clone(&broker));
        let mut node = Node {
            broker,
            bound: addresses.into_iter().map(|(listener, address)| (listener.name, address)).collect(),
            observation,
            trigger: None,
            loops: Vec::new(),
            committers: Vec::new(),
            flushers: Vec::new(),
            housekeeping: None,
            coordinators: None,
            cold_readers: Vec::new(),
            stop: Arc::new((Mutex::new(false), Condvar::new())),
        };
        node.start_committers().map_err(StartError::Threads)?;
        node.start_cold_readers().map_err(StartError::Threads)?;
        node.serve(sockets)?;
        node.start_housekeeping().map_err(StartError::Threads)?;
        node.start_coordinators().map_err(StartError::Threads)?;
        // A start reads and opens much that is not kept.
        (environment.release_memory)(true);
        node.broker.ready.store(true, Ordering::Release);
        let took = node.broker.clock.monotonic().since(started);
        node.broker.metrics.startup_us.set(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
        Ok(node)
    }

    /// The address of the first listener for clients, with its real port.
    ///
    /// # Panics
    /// Never: a node without such a listener does not start.
    #[must_use]
    pub fn bound(&self) -> SocketAddr {
        let is_client = |name: &str| self.broker.config.listener(name).is_some_and(|listener| !listener.is_controller);
        let found = self.bound.iter().find(|(name, _)| is_client(name));
        found.expect("a node has a listener for clients").1
    }

    /// The address of the observation listener, if it is on.
    #[must_use]
    pub fn metrics_bound(&self) -> Option<SocketAddr> {
        self.observation.as_ref().map(|observation| observation.bound)
    }

    /// Why the node cannot go on, if so: its metadata log failed, or every log dir did.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        failed(&self.broker)
    }

    fn serve(&mut self, sockets: Vec<net::Listener>) -> Result<(), StartError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if self.broker.config.threads == 0 { cores } else { self.broker.config.threads };
        let (trigger, shutdown) = ShutdownTrigger::new();
        self.trigger = Some(trigger);
        let mut acceptors = Vec::new();
        let mut loops: Vec<Vec<ConnectionLoop>> = (0..count).map(|_| Vec::new()).collect();
        for socket in sockets {
            let (acceptor, shares) = socket.spread(count);
            acceptors.push(acceptor);
            loops.iter_mut().zip(shares).for_each(|(all, share)| all.push(share));
        }
        let mut acceptors = Some(acceptors);
        for (at, shares) in loops.into_iter().enumerate() {
            let broker = Arc::clone(&self.broker);
            let acceptors = acceptors.take();
            let shutdown = shutdown.clone();
            let body = move || run_loop(&broker, shares, acceptors.unwrap_or_default(), &shutdown);
            let thread = std::thread::Builder::new().name(format!("loop-{at}"));
            self.loops.push(thread.spawn(body).map_err(StartError::Threads)?);
        }
        Ok(())
    }

    /// One committer a log dir, and one flusher.
    fn start_committers(&mut self) -> std::io::Result<()> {
        for at in 0..self.broker.log_dirs.len() {
            let broker = Arc::clone(&self.broker);
            let body = move || {
                let handle = &broker.log_dirs[at];
                let sync = |tickets: &[SyncTicket]| sync_round(handle, &broker.metrics, broker.clock.as_ref(), tickets);
                handle.committer.run(&sync, &|error| handle.set_offline(error));
            };
            self.committers.push(std::thread::Builder::new().name(format!("committer-{at}")).spawn(body)?);
            let broker = Arc::clone(&self.broker);
            let body = move || broker.log_dirs[at].flusher.run(|wanted| flush::carry_out(&broker, at, wanted));
            self.flushers.push(std::thread::Builder::new().name(format!("flusher-{at}")).spawn(body)?);
        }
        Ok(())
    }

    fn start_housekeeping(&mut self) -> std::io::Result<()> {
        let broker = Arc::clone(&self.broker);
        let stop = Arc::clone(&self.stop);
        let body = move || {
            let mut background = Background::new(Arc::clone(&broker));
            let (stopping, told) = &*stop;
            let mut stopping = stopping.lock();
            while !*stopping {
                let _timed_out = told.wait_for(&mut stopping, TICK);
                if !*stopping {
                    parking_lot::MutexGuard::unlocked(&mut stopping, || {
                        background.tick(broker.clock.monotonic(), broker.clock.wall());
                    });
                }
            }
        };
        self.housekeeping = Some(std::thread::Builder::new().name("housekeeping".into()).spawn(body)?);
        Ok(())
    }

    fn start_cold_readers(&mut self) -> std::io::Result<()> {
        for at in 0..COLD_READERS {
            let broker = Arc::clone(&self.broker);
            let body = move || broker.cold_reads.run();
            self.cold_readers.push(std::thread::Builder::new().name(format!("cold-reads-{at}")).spawn(body)?);
        }
        Ok(())
    }

    fn start_coordinators(&mut self) -> std::io::Result<()> {
        let broker = Arc::clone(&self.broker);
        let body = move || {
            let groups = &broker.groups;
            groups.driver().run(broker.clock.as_ref(), || groups.drive());
        };
        self.coordinators = Some(std::thread::Builder::new().name("coordinators".into()).spawn(body)?);
        Ok(())
    }

    /// Stops the node cleanly: replies in flight are sent, the broker is fenced, logs are closed, and the next start needs no
    /// recovery.
    ///
    /// # Errors
    /// The first disk error; the next start then recovers.
    pub fn shutdown(mut self) -> Result<(), StartError> {
        self.broker.ready.store(false, Ordering::Release);
        self.stop_threads();
        fence(&self.broker)?;
        self.stop_syncing();
        close(&self.broker)
    }

    /// The flushers first: what fails in one is told by the committer.
    fn stop_syncing(&mut self) {
        self.broker.log_dirs.iter().for_each(|handle| handle.flusher.close());
        self.flushers.drain(..).for_each(join);
        self.broker.log_dirs.iter().for_each(|handle| handle.committer.close());
        self.committers.drain(..).for_each(join);
    }

    fn stop_threads(&mut self) {
        // Members that wait for a rebalance are told to look for another coordinator, so that they hold up no connection.
        self.broker.groups.shut_down();
        self.broker.groups.driver().close();
        self.coordinators.take().into_iter().for_each(join);
        if let Some(trigger) = self.trigger.take() {
            trigger.begin(GRACE);
            self.loops.drain(..).for_each(join);
        }
        self.broker.cold_reads.close();
        self.cold_readers.drain(..).for_each(join);
        drop(self.observation.take());
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        self.housekeeping.take().into_iter().for_each(join);
    }
}

impl Drop for Node {
    /// A node that is dropped without [`Node::shutdown`] is left as after a crash, but without its threads.
    fn drop(&mut self) {
        self.stop_threads();
        self.stop_syncing();
    }
}

/// Why a node cannot go on, if so.
fn failed(broker: &Broker) -> Option<String> {
    if let Some(error) = broker.quorum.failed() {
        return Some(format!("the metadata log failed: {error}"));
    }
    without_logs(&broker.config, &broker.log_dirs)
}

/// Says so when every dir for logs has failed: a metadata dir beside them holds no partition.
fn without_logs(config: &NodeConfig, handles: &[LogDirHandle]) -> Option<String> {
    let mut for_logs = handles.iter().filter(|handle| config.log_dirs.iter().any(|path| path == handle.dir.path()));
    for_logs.all(LogDirHandle::is_offline).then(|| "every log dir has failed".to_owned())
}

/// Fences the broker that stops, so that nothing is sent to it any more.
fn fence(broker: &Broker) -> Result<(), StartError> {
    let node = broker.node_id;
    let fence = |controller: &mut Controller, _| Ok(Decision { records: controller.fence(node), reply: () });
    Ok(broker.quorum.submit_and_sync(broker.clock.wall(), fence)?)
}

/// Closes the logs and writes what makes the next start a clean one. Nothing else runs in the node any more.
fn close(broker: &Arc<Broker>) -> Result<(), StartError> {
    let mut failed = None;
    let mut is_clean = Vec::new();
    for (at, handle) in broker.log_dirs.iter().enumerate() {
        // What a dir that failed holds is what its next start needs.
        let closed = if handle.is_offline() { Ok(()) } else { close_logs(broker, at, handle) };
        is_clean.push(closed.is_ok());
        if let Err(error) = closed {
            failed.get_or_insert(error);
        }
    }
    broker.quorum.close()?;
    let broker_epoch = broker.epoch.load(Ordering::Acquire);
    for (at, (handle, is_clean)) in broker.log_dirs.iter().zip(is_clean).enumerate() {
        // A log that a crash left and that could not be opened since is not to be taken for closed.
        if is_clean
            && !handle.is_offline()
            && handle.write_ahead.check().is_ok()
            && !broker.partitions.has_unrecovered(at)
        {
            for name in [checkpoint_name::RECOVERY_POINT, checkpoint_name::HIGH_WATERMARK, checkpoint_name::LOG_START] {
                checkpoint(broker, at, name)?;
            }
            handle.dir.mark_clean(CleanShutdown { broker_epoch })?;
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Closes the logs of one log dir with one sync for all of them. Nothing is in its write-ahead file then that is not in them.
fn close_logs(broker: &Broker, at: usize, handle: &LogDirHandle) -> Result<(), storage::DiskError> {
    flush_logs(broker, at, true)?;
    handle.write_ahead.remove()
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the node broke an invariant");
    }
}

fn run_loop(broker: &Arc<Broker>, shares: Vec<ConnectionLoop>, acceptors: Vec<net::Acceptor>, shutdown: &Shutdown) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "an event loop cannot be made");
            return;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    let service = Rc::new(NodeService::new(Arc::clone(broker)));
    let all: Vec<_> =
        shares.into_iter().map(|share| tasks.spawn_local(share.run(Rc::clone(&service), shutdown.clone()))).collect();
    for acceptor in acceptors {
        let shutdown = shutdown.clone();
        tasks.spawn_local(async move {
            if let Err(error) = acceptor.run(shutdown).await {
                tracing::error!(%error, "a listener stopped accepting");
            }
        });
    }
    tasks.block_on(&runtime, async {
        for task in all {
            if let Err(error) = task.await {
                tracing::error!(%error, "a share of a listener's connections ended");
            }
        }
    });
}
