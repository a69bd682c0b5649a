//! Starting and stopping a node.

use crate::background::Background;
use crate::broker::{Broker, LogDirHandle, NodeEndpoint};
use crate::committer::Commit;
use crate::coordinator::{GroupCoordinator, group_settings};
use crate::environment::Environment;
use crate::partitions::{Found, Partitions};
use crate::producer_ids::ProducerIds;
use crate::quorum::{METADATA_DIR, METADATA_TOPIC, MetadataQuorum};
use crate::service::{ConnectionMetrics, NodeService};
use arc_swap::ArcSwap;
use base::{BrokerEpoch, NodeId, Offset, Refusal, SeededRng, TopicPartition, Uuid};
use config::{Listener, NodeConfig};
use controller::{Controller, Decision, Settings};
use metadata::{Changes, MetadataImage};
use net::{ConnectionLoop, ConnectionQuotas, ListenerOptions, QuotaLimits, Shutdown, ShutdownTrigger};
use parking_lot::{Condvar, Mutex};
use protocol::messages::broker_registration_request::{
    BrokerRegistrationRequest, Feature, Listener as RegisteredListener,
};
use replication::FetchSessions;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::{CleanShutdown, LogDir, LogDirState, LogError, PartitionDir, checkpoint_name};
use telemetry::Metrics;

/// How long a stopping node lets replies in flight finish.
const GRACE: Duration = Duration::from_secs(5);
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
    metrics_bound: Option<SocketAddr>,
    trigger: Option<ShutdownTrigger>,
    loops: Vec<JoinHandle<()>>,
    committers: Vec<JoinHandle<()>>,
    housekeeping: Option<JoinHandle<()>>,
    coordinators: Option<JoinHandle<()>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Node {
    /// Starts a node on formatted log dirs. When this returns, the node is registered, unfenced and serves.
    ///
    /// # Errors
    /// See [`StartError`]; what was started is stopped again.
    pub fn start(config: NodeConfig, environment: Environment) -> Result<Node, StartError> {
        let started = environment.clock.monotonic();
        let config = Arc::new(config);
        let mut rng = SeededRng::new(environment.seed);
        let dirs = Dirs::open(&config, &environment, &mut rng)?;
        let metrics = Arc::new(Metrics::default());
        let committers = start_committers(&dirs.handles, &metrics, &environment).map_err(StartError::Threads)?;
        let built = build(&config, &environment, dirs, metrics, &mut rng);
        let (broker, listeners) = match built {
            Ok(built) => built,
            Err((handles, error)) => {
                handles.iter().for_each(|handle| handle.committer.close());
                return Err(error);
            }
        };
        let mut node = Node {
            broker,
            bound: listeners.iter().map(|(listener, address, _)| (listener.name.clone(), *address)).collect(),
            metrics_bound: None,
            trigger: None,
            loops: Vec::new(),
            committers,
            housekeeping: None,
            coordinators: None,
            stop: Arc::new((Mutex::new(false), Condvar::new())),
        };
        node.serve(listeners)?;
        node.start_housekeeping().map_err(StartError::Threads)?;
        node.start_coordinators().map_err(StartError::Threads)?;
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
        self.metrics_bound
    }

    /// Why the node cannot go on, if so: its metadata log failed, or every log dir did.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        if let Some(error) = self.broker.quorum.failed() {
            return Some(format!("the metadata log failed: {error}"));
        }
        self.broker.log_dirs.iter().all(LogDirHandle::is_offline).then(|| "every log dir has failed".to_owned())
    }

    fn serve(&mut self, listeners: Vec<(Listener, SocketAddr, net::Listener)>) -> Result<(), StartError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if self.broker.config.threads == 0 { cores } else { self.broker.config.threads };
        let (trigger, shutdown) = ShutdownTrigger::new();
        self.trigger = Some(trigger);
        let mut acceptors = Vec::new();
        let mut loops: Vec<Vec<ConnectionLoop>> = (0..count).map(|_| Vec::new()).collect();
        for (_, _, listener) in listeners {
            let (acceptor, shares) = listener.spread(count);
            acceptors.push(acceptor);
            loops.iter_mut().zip(shares).for_each(|(all, share)| all.push(share));
        }
        let mut observation = self.bind_metrics()?;
        let mut acceptors = Some(acceptors);
        for (at, shares) in loops.into_iter().enumerate() {
            let broker = Arc::clone(&self.broker);
            let (acceptors, observation) = (acceptors.take(), observation.take());
            let shutdown = shutdown.clone();
            let body = move || run_loop(&broker, shares, acceptors.unwrap_or_default(), observation, &shutdown);
            let thread = std::thread::Builder::new().name(format!("loop-{at}"));
            self.loops.push(thread.spawn(body).map_err(StartError::Threads)?);
        }
        Ok(())
    }

    fn bind_metrics(&mut self) -> Result<Option<std::net::TcpListener>, StartError> {
        let address = self.broker.config.metrics_listen.clone();
        if address.is_empty() {
            return Ok(None);
        }
        let bound = std::net::TcpListener::bind(&address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        });
        let (listener, local) =
            bound.map_err(|source| StartError::Bind { listener: "thalweg.metrics.listen".into(), address, source })?;
        self.metrics_bound = Some(local);
        Ok(Some(listener))
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
        let broker = Arc::clone(&self.broker);
        let node = broker.node_id;
        let epoch = broker.epoch.load(Ordering::Acquire);
        let fence = |controller: &mut Controller, _| Ok(Decision { records: controller.fence(node), reply: () });
        broker.quorum.submit_and_sync(broker.clock.wall(), fence)?;
        broker.log_dirs.iter().for_each(|handle| handle.committer.close());
        self.committers.drain(..).for_each(join);
        let mut failed = None;
        let mut is_clean = Vec::new();
        for (at, handle) in broker.log_dirs.iter().enumerate() {
            let closed = close_logs(&broker, at, handle);
            is_clean.push(closed.is_ok());
            if let Err(error) = closed {
                failed.get_or_insert(error);
            }
        }
        broker.quorum.close()?;
        let background = Background::new(Arc::clone(&broker));
        for name in [checkpoint_name::RECOVERY_POINT, checkpoint_name::HIGH_WATERMARK, checkpoint_name::LOG_START] {
            background.checkpoint(name);
        }
        for (handle, is_clean) in broker.log_dirs.iter().zip(is_clean) {
            if is_clean && !handle.is_offline() {
                handle.dir.mark_clean(CleanShutdown { broker_epoch: epoch })?;
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
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
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        self.housekeeping.take().into_iter().for_each(join);
    }
}

impl Drop for Node {
    /// A node that is dropped without [`Node::shutdown`] is left as after a crash, but without its threads.
    fn drop(&mut self) {
        self.stop_threads();
        self.broker.log_dirs.iter().for_each(|handle| handle.committer.close());
        self.committers.drain(..).for_each(join);
    }
}

/// Closes the logs of one log dir with one sync for all of them.
fn close_logs(broker: &Broker, at: usize, handle: &LogDirHandle) -> Result<(), storage::DiskError> {
    let mut closed = Vec::new();
    for partition in broker.partitions.in_dir(at) {
        closed.extend(partition.prepare_close()?.map(|ticket| (partition, ticket)));
    }
    let (partitions, tickets): (Vec<_>, Vec<_>) = closed.into_iter().unzip();
    storage::commit(handle.dir.disk().as_ref(), handle.dir.path(), &tickets)?;
    partitions.iter().zip(&tickets).for_each(|(partition, ticket)| partition.synced(ticket));
    Ok(())
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the node broke an invariant");
    }
}

fn run_loop(
    broker: &Arc<Broker>,
    shares: Vec<ConnectionLoop>,
    acceptors: Vec<net::Acceptor>,
    observation: Option<std::net::TcpListener>,
    shutdown: &Shutdown,
) {
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
    if let Some(listener) = observation {
        let broker = Arc::clone(broker);
        tasks.spawn_local(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => crate::metrics_http::serve(broker, listener).await,
                Err(error) => tracing::error!(%error, "the observation listener cannot be served"),
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

/// The log dirs of a node, locked, and what was found in them.
struct Dirs {
    handles: Arc<Vec<LogDirHandle>>,
    found: BTreeMap<TopicPartition, Found>,
    cluster_id: String,
    /// The metadata dir's id, the metadata log's recovery point, and whether the dir was stopped cleanly.
    metadata: (Uuid, Offset, bool),
}

impl Dirs {
    fn open(config: &NodeConfig, environment: &Environment, rng: &mut SeededRng) -> Result<Dirs, StartError> {
        let mut paths = config.log_dirs.clone();
        if !paths.contains(&config.metadata_log_dir) {
            paths.push(config.metadata_log_dir.clone());
        }
        let mut dirs = Dirs {
            handles: Arc::new(Vec::new()),
            found: BTreeMap::new(),
            cluster_id: String::new(),
            metadata: (Uuid::ZERO, Offset::ZERO, false),
        };
        let mut handles = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let (mut dir, state) = LogDir::open(Arc::clone(&environment.disk), path)?;
            let meta = dir.meta().clone();
            if meta.node_id != config.node_id {
                let why =
                    format!("{} belongs to node {}, this is node {}", path.display(), meta.node_id, config.node_id);
                return Err(StartError::Configuration(why));
            }
            if !dirs.cluster_id.is_empty() && dirs.cluster_id != meta.cluster_id {
                let why = format!(
                    "{} belongs to cluster {}, another log dir to {}",
                    path.display(),
                    meta.cluster_id,
                    dirs.cluster_id
                );
                return Err(StartError::Configuration(why));
            }
            if meta.directory_id.is_none() {
                dir.set_directory_id(Uuid::random(rng))?;
            }
            dirs.cluster_id = meta.cluster_id;
            dirs.take_in(config, at, &dir, &state);
            // R20: from here on a crash needs recovery, also one while recovering.
            dir.mark_in_use()?;
            handles.push(LogDirHandle::new(dir));
        }
        dirs.handles = Arc::new(handles);
        Ok(dirs)
    }

    fn take_in(&mut self, config: &NodeConfig, at: usize, dir: &LogDir, state: &LogDirState) {
        let clean = state.clean.is_some();
        let point = |tp: &TopicPartition| state.recovery_points.0.get(tp).copied().unwrap_or(Offset::ZERO);
        if dir.path() == config.metadata_log_dir {
            let id = dir.meta().directory_id.unwrap_or(Uuid::ZERO);
            self.metadata = (id, point(&TopicPartition::new(METADATA_TOPIC, 0)), clean);
        }
        for (name, partition) in &state.partitions {
            match partition {
                PartitionDir::Live(_) if name == METADATA_DIR => {}
                PartitionDir::Live(tp) => {
                    let log_start = state.log_starts.0.get(tp).copied().unwrap_or(Offset::ZERO);
                    self.found.insert(tp.clone(), Found { dir: at, recovery_point: point(tp), log_start, clean });
                }
                PartitionDir::Deleted(_) => {
                    let path = dir.path().join(name);
                    if let Err(error) = dir.disk().remove_dir_all(&path) {
                        tracing::warn!(path = %path.display(), %error, "a deleted topic's folder cannot be removed");
                    }
                }
                PartitionDir::Future(tp) | PartitionDir::Stray(tp) => {
                    tracing::warn!(partition = %tp, folder = name, "a folder that is not in use is left alone");
                }
            }
        }
        for name in state.unknown.iter().filter(|name| *name != "lost+found") {
            tracing::warn!(folder = name, dir = %dir.path().display(), "a folder that is no partition's is left alone");
        }
    }
}

fn start_committers(
    handles: &Arc<Vec<LogDirHandle>>,
    metrics: &Arc<Metrics>,
    environment: &Environment,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for at in 0..handles.len() {
        let (handles, metrics, clock) = (Arc::clone(handles), Arc::clone(metrics), Arc::clone(&environment.clock));
        let body = move || {
            let handle = &handles[at];
            handle.committer.run(&|tickets| {
                let started = clock.monotonic();
                let synced = storage::commit(handle.dir.disk().as_ref(), handle.dir.path(), tickets);
                metrics.commits.add(1);
                metrics.commit_seconds.observe(clock.monotonic().since(started));
                synced.inspect_err(|error| {
                    tracing::error!(dir = %handle.dir.path().display(), %error, "the log dir is offline");
                    handle.set_offline();
                })
            });
        };
        threads.push(std::thread::Builder::new().name(format!("committer-{at}")).spawn(body)?);
    }
    Ok(threads)
}

type Bound = Vec<(Listener, SocketAddr, net::Listener)>;
type Failed = (Arc<Vec<LogDirHandle>>, StartError);

fn build(
    config: &Arc<NodeConfig>,
    environment: &Environment,
    dirs: Dirs,
    metrics: Arc<Metrics>,
    rng: &mut SeededRng,
) -> Result<(Arc<Broker>, Bound), Failed> {
    let handles = Arc::clone(&dirs.handles);
    build_or(config, environment, dirs, metrics, rng).map_err(|error| (handles, error))
}

fn build_or(
    config: &Arc<NodeConfig>,
    environment: &Environment,
    dirs: Dirs,
    metrics: Arc<Metrics>,
    rng: &mut SeededRng,
) -> Result<(Arc<Broker>, Bound), StartError> {
    let clock = &environment.clock;
    let settings = Settings {
        cluster_id: dirs.cluster_id.clone(),
        num_partitions: config.num_partitions,
        default_replication_factor: config.default_replication_factor,
        delete_topic_enable: config.delete_topic_enable,
        session_timeout_ms: config.number("broker.session.timeout.ms"),
        node_configs: config.set.clone(),
    };
    let controller = Controller::new(settings, SeededRng::new(rng.next_u64()));
    let (directory_id, recovery_point, clean) = dirs.metadata;
    let mut loaded = crate::quorum::load(&environment.disk, config, directory_id, controller, recovery_point, clean)?;
    let bootstrap = std::mem::take(&mut loaded.bootstrap);
    let partitions =
        Arc::new(Partitions::new(config, Arc::clone(&dirs.handles), dirs.found, SeededRng::new(rng.next_u64())));
    let image = Arc::new(ArcSwap::from_pointee(MetadataImage::default()));
    let groups = GroupCoordinator::for_groups(
        NodeId(config.node_id),
        Arc::clone(clock),
        Arc::clone(&partitions),
        group_settings(config),
        SeededRng::new(rng.next_u64()),
    );
    let publisher = {
        let (partitions, image, config) = (Arc::clone(&partitions), Arc::clone(&image), Arc::clone(config));
        let groups = Arc::clone(&groups);
        let first = AtomicBool::new(true);
        Box::new(move |new: &MetadataImage, changes: &Changes| {
            if first.swap(false, Ordering::AcqRel) {
                // Topics of a snapshot come with no change of their own.
                let all = new.topics().iter().map(metadata::TopicImage::id);
                let everything =
                    Changes { topics: all.chain(changes.topics.iter().copied()).collect(), ..changes.clone() };
                partitions.publish(&config, new, &everything);
                groups.publish(new, &everything);
            } else {
                partitions.publish(&config, new, changes);
                groups.publish(new, changes);
            }
            image.store(Arc::new(new.clone()));
        })
    };
    let metadata_dir = dirs.handles.iter().find(|handle| handle.dir.path() == config.metadata_log_dir);
    let committer = Arc::clone(&metadata_dir.expect("the metadata dir is one of the node's").committer);
    let quorum = MetadataQuorum::new(loaded, committer, publisher, clock.wall());
    quorum.activate(clock.wall(), &bootstrap)?;
    partitions.put_strays_aside();
    let listeners = bind(config, &metrics)?;
    let epoch = register(config, environment, &quorum, &dirs.handles, &listeners, &dirs.cluster_id, rng)?;
    let broker = Arc::new(Broker {
        clock: Arc::clone(clock),
        node_id: NodeId(config.node_id),
        cluster_id: dirs.cluster_id,
        image,
        partitions,
        quorum,
        log_dirs: dirs.handles,
        sessions: Mutex::new(FetchSessions::new(config.fetch_session_slots, SeededRng::new(rng.next_u64()))),
        producer_ids: ProducerIds::default(),
        groups,
        metrics,
        epoch: AtomicI64::new(epoch.0),
        ready: AtomicBool::new(false),
        controllers: controller_endpoints(config, &listeners),
        config: Arc::clone(config),
    });
    Ok((broker, listeners))
}

fn controller_endpoints(config: &NodeConfig, listeners: &Bound) -> Vec<NodeEndpoint> {
    let controllers = listeners.iter().filter(|(listener, ..)| listener.is_controller);
    let endpoint = |(listener, address, _): &(Listener, SocketAddr, net::Listener)| NodeEndpoint {
        node: NodeId(config.node_id),
        listener: listener.name.clone(),
        host: host_of(listener, *address),
        port: i32::from(port_of(listener, *address)),
        rack: None,
        fenced: false,
    };
    controllers.map(endpoint).collect()
}

fn bind(config: &NodeConfig, metrics: &Arc<Metrics>) -> Result<Bound, StartError> {
    let limit = |name: &str| usize::try_from(config.number(name)).unwrap_or(usize::MAX);
    let mut per_ip_overrides = BTreeMap::new();
    for word in config::words(config.value("max.connections.per.ip.overrides").unwrap_or_default()) {
        let parsed = word.rsplit_once(':').and_then(|(ip, max)| Some((ip.parse().ok()?, max.parse().ok()?)));
        let wrong =
            || StartError::Configuration(format!("`{word}` in max.connections.per.ip.overrides is not ADDRESS:COUNT"));
        let (ip, max) = parsed.ok_or_else(wrong)?;
        per_ip_overrides.insert(ip, max);
    }
    let quotas = Arc::new(ConnectionQuotas::new(QuotaLimits {
        connections_max: limit("max.connections"),
        connections_per_ip_max: limit("max.connections.per.ip"),
        per_ip_overrides,
    }));
    let idle_ms = config.number("connections.max.idle.ms");
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let mut options = ListenerOptions::new(&listener.name, Arc::clone(&quotas));
        options.backlog = i32::try_from(config.number("socket.listen.backlog.size")).unwrap_or(50);
        options.request_bytes_max = config.request_bytes_max;
        options.idle_max = u64::try_from(idle_ms).ok().map(Duration::from_millis);
        options.observer = Arc::new(ConnectionMetrics(Arc::clone(metrics)));
        let host = if listener.bind.host.is_empty() { "0.0.0.0" } else { &listener.bind.host };
        let address = format!("{host}:{}", listener.bind.port);
        let opened = resolve(&address).and_then(|resolved| net::Listener::bind(resolved, options)).and_then(|opened| {
            let local = opened.local_addr()?;
            Ok((opened, local))
        });
        let (opened, local) =
            opened.map_err(|source| StartError::Bind { listener: listener.name.clone(), address, source })?;
        bound.push((listener.clone(), local, opened));
    }
    Ok(bound)
}

fn resolve(address: &str) -> std::io::Result<SocketAddr> {
    address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("the host name has no address"))
}

fn host_of(listener: &Listener, bound: SocketAddr) -> String {
    match listener.advertised.host.as_str() {
        // Kafka asks the system for its name here; the address that it is bound to is what surely reaches it.
        "" if bound.ip().is_unspecified() => hostname(),
        "" => bound.ip().to_string(),
        host => host.to_owned(),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

fn port_of(listener: &Listener, bound: SocketAddr) -> u16 {
    if listener.advertised.port == 0 { bound.port() } else { listener.advertised.port }
}

/// Registers this broker and unfences it.
fn register(
    config: &NodeConfig,
    environment: &Environment,
    quorum: &MetadataQuorum,
    handles: &[LogDirHandle],
    listeners: &Bound,
    cluster_id: &str,
    rng: &mut SeededRng,
) -> Result<BrokerEpoch, StartError> {
    let clock = &environment.clock;
    let for_clients = listeners.iter().filter(|(listener, ..)| !listener.is_controller);
    let request = BrokerRegistrationRequest {
        broker_id: config.node_id,
        cluster_id: Cow::Borrowed(cluster_id),
        incarnation_id: Uuid::random(rng),
        listeners: for_clients
            .map(|(listener, address, _)| RegisteredListener {
                name: Cow::Borrowed(&listener.name),
                host: Cow::Owned(host_of(listener, *address)),
                port: port_of(listener, *address),
                security_protocol: listener.protocol.id(),
                ..RegisteredListener::default()
            })
            .collect(),
        features: metadata::SUPPORTED_FEATURES
            .iter()
            .map(|feature| Feature {
                name: Cow::Borrowed(feature.name),
                min_supported_version: feature.min,
                max_supported_version: feature.max,
                ..Feature::default()
            })
            .collect(),
        rack: config.rack.as_deref().map(Cow::Borrowed),
        log_dirs: handles.iter().filter_map(|handle| handle.dir.meta().directory_id).collect(),
        ..BrokerRegistrationRequest::default()
    };
    let register =
        |controller: &mut Controller, end: Offset| controller.register_broker(clock.monotonic(), &request, end.0);
    let epoch = quorum.submit_and_sync(clock.wall(), register)?;
    let node = NodeId(config.node_id);
    quorum.submit_and_sync(clock.wall(), |controller, _| controller.heartbeat(clock.monotonic(), node, epoch))?;
    Ok(epoch)
}
