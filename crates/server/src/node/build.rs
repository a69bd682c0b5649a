//! Puts a node together: quorum, partitions, coordinators, listeners, and the broker's registration.

use super::StartError;
use super::dirs::Dirs;
use crate::background::ASSIGNED_AT_ONCE;
use crate::broker::{Broker, NodeEndpoint};
use crate::cold_reads::ColdReads;
use crate::coordinator::{GroupCoordinator, group_settings};
use crate::environment::{Environment, Network};
use crate::log_dir::LogDirHandle;
use crate::partitions::{Ahead, Partitions};
use crate::producer_ids::ProducerIds;
use crate::quorum::{MetadataQuorum, Publisher};
use crate::recovery::RecoveryProgress;
use crate::service::ConnectionMetrics;
use arc_swap::ArcSwap;
use base::{BrokerEpoch, Clock, NodeId, Offset, SeededRng, Uuid};
use config::{Endpoint, Listener, NodeConfig};
use controller::{Controller, Settings};
use metadata::{Changes, MetadataImage};
use net::{ConnectionQuotas, ListenerOptions, QuotaLimits, RequestMemory};
use parking_lot::Mutex;
use protocol::messages::broker_registration_request::{
    BrokerRegistrationRequest, Feature, Listener as RegisteredListener,
};
use protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature, RegisterControllerRecord};
use replication::FetchSessions;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use storage::{Committed, DiskError, SyncTicket};
use telemetry::Metrics;

/// Who has opened so many partitions at once has needed much memory that a node at rest does not.
const MANY_PARTITIONS: usize = 256;

/// Makes one round of a log dir's committer durable.
pub(super) fn sync_round(
    handle: &LogDirHandle,
    metrics: &Metrics,
    clock: &dyn Clock,
    tickets: &[SyncTicket],
) -> Result<(), DiskError> {
    let started = clock.monotonic();
    let synced =
        storage::commit(handle.dir.disk().as_ref(), handle.dir.path(), Some(handle.write_ahead.as_ref()), tickets);
    metrics.commits.add(1);
    metrics.commit_seconds.observe(clock.monotonic().since(started));
    if synced? == Committed::WriteAhead && handle.write_ahead.is_filling() {
        handle.flusher.want_retire();
    }
    Ok(())
}

/// Listeners with the addresses that they are bound to.
pub(super) type Addresses = Vec<(Listener, SocketAddr)>;

/// A node without its threads: nothing happens in it until somebody runs its parts.
pub(super) struct Built {
    pub(super) broker: Arc<Broker>,
    pub(super) addresses: Addresses,
    /// In the order of the addresses; none where the node's owner hands it its frames.
    pub(super) sockets: Vec<net::Listener>,
}

/// Puts the node together. When this returns, the broker is registered and unfenced.
pub(super) fn build(
    config: NodeConfig,
    environment: &Environment,
    progress: &Arc<RecoveryProgress>,
) -> Result<Built, StartError> {
    let mut rng = SeededRng::new(environment.seed);
    let dirs = Dirs::open(&config, environment, &mut rng)?;
    let built = assemble(&Arc::new(config), environment, progress, dirs, &mut rng)?;
    progress.conclude();
    Ok(built)
}

/// Partitions fail with the log dir that they are in.
fn fail_with_dirs(partitions: &Arc<Partitions>, handles: &[LogDirHandle]) {
    for (at, handle) in handles.iter().enumerate() {
        let partitions = Arc::downgrade(partitions);
        handle.on_offline(move |error| {
            let in_dir = partitions.upgrade().map(|partitions| partitions.in_dir(at)).unwrap_or_default();
            in_dir.iter().for_each(|partition| partition.fail(error));
        });
    }
}

fn assemble(
    config: &Arc<NodeConfig>,
    environment: &Environment,
    progress: &Arc<RecoveryProgress>,
    dirs: Dirs,
    rng: &mut SeededRng,
) -> Result<Built, StartError> {
    let metrics = Arc::clone(progress.metrics());
    let clock = &environment.clock;
    let controller = controller(config, &dirs.cluster_id, rng);
    let (directory_id, recovery_point, clean) = dirs.metadata;
    let mut loaded =
        crate::quorum::load(&environment.disk, config, directory_id, controller, recovery_point, clean, progress)?;
    let bootstrap = std::mem::take(&mut loaded.bootstrap);
    let partitions = Arc::new(Partitions::new(
        config,
        Arc::clone(&dirs.handles),
        dirs.found,
        Ahead::new(Arc::clone(&environment.workers), Arc::clone(progress)),
        environment.left_out,
        SeededRng::new(rng.next_u64()),
    ));
    fail_with_dirs(&partitions, &dirs.handles);
    let image = Arc::new(ArcSwap::from_pointee(MetadataImage::default()));
    let groups = GroupCoordinator::for_groups(
        NodeId(config.node_id),
        Arc::clone(clock),
        Arc::clone(&partitions),
        Arc::clone(&metrics),
        group_settings(config),
        SeededRng::new(rng.next_u64()),
    );
    let quotas = Arc::new(ConnectionQuotas::new(
        connection_limits(config, &MetadataImage::default()).map_err(StartError::Configuration)?,
    ));
    let publisher = publisher(config, environment, &partitions, &groups, &image, &quotas);
    let metadata_dir = dirs.handles.iter().find(|handle| handle.dir.path() == config.metadata_log_dir);
    let metadata_dir = metadata_dir.expect("the metadata dir is one of the node's");
    let (committer, write_ahead) = (Arc::clone(&metadata_dir.committer), Arc::clone(&metadata_dir.write_ahead));
    let quorum = MetadataQuorum::new(loaded, committer, write_ahead, publisher, clock.wall());
    quorum.activate(clock.wall(), &bootstrap)?;
    partitions.put_strays_aside();
    assign_directories(config, environment, &quorum, &partitions)?;
    let request_memory = RequestMemory::new(config.request_memory_bytes);
    let (addresses, sockets) = bind(config, environment.network, &metrics, &quotas, &request_memory)?;
    let epoch = register(config, environment, &quorum, &dirs.handles, &addresses, &dirs.cluster_id, rng)?;
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
        cold_reads: ColdReads::default(),
        request_memory,
        metrics,
        epoch: AtomicI64::new(epoch.0),
        ready: AtomicBool::new(false),
        has_consumer_protocol: has_consumer_protocol(config),
        release_memory: environment.release_memory,
        controllers: controller_endpoints(config, &addresses),
        config: Arc::clone(config),
    });
    Ok(Built { broker, addresses, sockets })
}

fn has_consumer_protocol(config: &NodeConfig) -> bool {
    let protocols = config.value("group.coordinator.rebalance.protocols").unwrap_or_default();
    config::words(protocols).any(|name| name.eq_ignore_ascii_case("consumer"))
}

fn controller(config: &NodeConfig, cluster_id: &str, rng: &mut SeededRng) -> Controller {
    let settings = Settings {
        cluster_id: cluster_id.to_owned(),
        num_partitions: config.num_partitions,
        default_replication_factor: config.default_replication_factor,
        delete_topic_enable: config.delete_topic_enable,
        session_timeout_ms: config.number("broker.session.timeout.ms"),
        node_configs: config.set.clone(),
    };
    Controller::new(settings, SeededRng::new(rng.next_u64()))
}

/// Tells the controller where the partitions were found. Before the registration, which says which log dirs there are now: of a partition that
/// may be in another one this is the last start that knows so.
fn assign_directories(
    config: &NodeConfig,
    environment: &Environment,
    quorum: &MetadataQuorum,
    partitions: &Partitions,
) -> Result<(), StartError> {
    let node = NodeId(config.node_id);
    for some in partitions.take_assignments().chunks(ASSIGNED_AT_ONCE) {
        let assign = |controller: &mut Controller, _| Ok(controller.assign_directories(node, some));
        quorum.submit_and_sync(environment.clock.wall(), assign)?;
    }
    Ok(())
}

/// Who follows the metadata, in this order: partitions, coordinators, and then whoever asks.
fn publisher(
    config: &Arc<NodeConfig>,
    environment: &Environment,
    partitions: &Arc<Partitions>,
    groups: &Arc<GroupCoordinator>,
    image: &Arc<ArcSwap<MetadataImage>>,
    quotas: &Arc<ConnectionQuotas>,
) -> Publisher {
    let (quotas, release_memory) = (Arc::clone(quotas), environment.release_memory);
    let (partitions, image, config) = (Arc::clone(partitions), Arc::clone(image), Arc::clone(config));
    let groups = Arc::clone(groups);
    let first = AtomicBool::new(true);
    Box::new(move |new: &MetadataImage, changes: &Changes| {
        let is_first = first.load(Ordering::Acquire);
        if is_first || changes.configs.iter().any(|(kind, _)| *kind == crate::broker::BROKER_CONFIGS) {
            match connection_limits(&config, new) {
                Ok(limits) => quotas.set_limits(limits),
                Err(why) => tracing::error!(%why, "the limits of connections stay as they are"),
            }
        }
        let everything;
        let changes = if first.swap(false, Ordering::AcqRel) {
            // Topics of a snapshot come with no change of their own.
            let all = new.topics().iter().map(metadata::TopicImage::id);
            everything = Changes { topics: all.chain(changes.topics.iter().copied()).collect(), ..changes.clone() };
            &everything
        } else {
            changes
        };
        if is_first {
            partitions.settle(new);
        }
        let opened = partitions.publish(&config, new, changes);
        groups.publish(new, changes);
        image.store(Arc::new(new.clone()));
        if opened >= MANY_PARTITIONS {
            release_memory(true);
        }
    })
}

/// How many connections may be open, as the node's file or a dynamic config says.
fn connection_limits(config: &NodeConfig, image: &MetadataImage) -> Result<QuotaLimits, String> {
    let value = |name: &str| crate::broker::broker_config(config, image, name).unwrap_or_default();
    let limit = |name: &str| value(name).parse().unwrap_or(usize::MAX);
    let mut per_ip_overrides = BTreeMap::new();
    for word in config::words(&value("max.connections.per.ip.overrides")) {
        let parsed = word.rsplit_once(':').and_then(|(ip, max)| Some((ip.parse().ok()?, max.parse().ok()?)));
        let (ip, max) =
            parsed.ok_or_else(|| format!("`{word}` in max.connections.per.ip.overrides is not ADDRESS:COUNT"))?;
        per_ip_overrides.insert(ip, max);
    }
    Ok(QuotaLimits {
        connections_max: limit("max.connections"),
        connections_per_ip_max: limit("max.connections.per.ip"),
        per_ip_overrides,
    })
}

fn controller_endpoints(config: &NodeConfig, addresses: &Addresses) -> Vec<NodeEndpoint> {
    let controllers = addresses.iter().filter(|(listener, _)| listener.is_controller);
    let endpoint = |(listener, address): &(Listener, SocketAddr)| NodeEndpoint {
        node: NodeId(config.node_id),
        listener: listener.name.clone(),
        host: host_of(listener, *address),
        port: i32::from(port_of(listener, *address)),
        rack: None,
        fenced: false,
    };
    controllers.map(endpoint).collect()
}

fn bind(
    config: &NodeConfig,
    network: Network,
    metrics: &Arc<Metrics>,
    quotas: &Arc<ConnectionQuotas>,
    request_memory: &Arc<RequestMemory>,
) -> Result<(Addresses, Vec<net::Listener>), StartError> {
    let idle_ms = config.number("connections.max.idle.ms");
    let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
    // Answers on their way out may take as much as requests on their way in.
    let reply_memory = net::ReplyMemory::new(config.request_memory_bytes);
    for listener in &config.listeners {
        let mut options = ListenerOptions::new(&listener.name, Arc::clone(quotas));
        options.backlog = i32::try_from(config.number("socket.listen.backlog.size")).unwrap_or(50);
        options.request_bytes_max = config.request_bytes_max;
        options.request_memory = Arc::clone(request_memory);
        options.reply_memory = Arc::clone(&reply_memory);
        options.idle_max = u64::try_from(idle_ms).ok().map(Duration::from_millis);
        options.observer = Arc::new(ConnectionMetrics(Arc::clone(metrics)));
        let (opened, local) = open(&listener.bind, network, options).map_err(|source| StartError::Bind {
            listener: listener.name.clone(),
            address: format!("{}:{}", listener.bind.host, listener.bind.port),
            source,
        })?;
        addresses.push((listener.clone(), local));
        sockets.extend(opened);
    }
    Ok((addresses, sockets))
}

/// Opens a listener's socket, if there are sockets, and says which address it has.
fn open(
    bind: &Endpoint,
    network: Network,
    options: ListenerOptions,
) -> std::io::Result<(Option<net::Listener>, SocketAddr)> {
    let all = bind.host.is_empty();
    let opened = match network {
        Network::Frames if all => return Ok((None, (Ipv4Addr::UNSPECIFIED, bind.port).into())),
        Network::Frames => return Ok((None, resolve(bind)?)),
        Network::Sockets if all => net::Listener::bind_all(bind.port, options)?,
        Network::Sockets => net::Listener::bind(resolve(bind)?, options)?,
    };
    let local = opened.local_addr()?;
    Ok((Some(opened), local))
}

fn resolve(bind: &Endpoint) -> std::io::Result<SocketAddr> {
    let mut found = (bind.host.as_str(), bind.port).to_socket_addrs()?;
    found.next().ok_or_else(|| std::io::Error::other("the host name has no address"))
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
    addresses: &Addresses,
    cluster_id: &str,
    rng: &mut SeededRng,
) -> Result<BrokerEpoch, StartError> {
    let clock = &environment.clock;
    let for_clients = addresses.iter().filter(|(listener, _)| !listener.is_controller);
    let request = BrokerRegistrationRequest {
        broker_id: config.node_id,
        cluster_id: Cow::Borrowed(cluster_id),
        incarnation_id: Uuid::random(rng),
        listeners: for_clients
            .map(|(listener, address)| RegisteredListener {
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
        log_dirs: handles
            .iter()
            .filter(|handle| !handle.is_offline())
            .filter_map(|handle| handle.dir.meta().directory_id)
            .collect(),
        ..BrokerRegistrationRequest::default()
    };
    let of_the_controller = controller_registration(&request, addresses);
    let register = |controller: &mut Controller, end: Offset| {
        let mut decision = controller.register_broker(clock.monotonic(), &request, end.0)?;
        decision.records.extend(controller.register_controller(of_the_controller));
        Ok(decision)
    };
    let epoch = quorum.submit_and_sync(clock.wall(), register)?;
    let node = NodeId(config.node_id);
    quorum.submit_and_sync(clock.wall(), |controller, _| controller.heartbeat(clock.monotonic(), node, epoch, &[]))?;
    Ok(epoch)
}

/// What the node's controller says of itself: what its broker does, but for the listeners.
fn controller_registration(
    broker: &BrokerRegistrationRequest<'_>,
    addresses: &Addresses,
) -> RegisterControllerRecord<'static> {
    let listeners = addresses.iter().filter(|(listener, _)| listener.is_controller);
    let feature = |feature: &Feature<'_>| ControllerFeature {
        name: Cow::Owned(feature.name.to_string()),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
        ..ControllerFeature::default()
    };
    RegisterControllerRecord {
        controller_id: broker.broker_id,
        incarnation_id: broker.incarnation_id,
        end_points: listeners
            .map(|(listener, address)| ControllerEndpoint {
                name: Cow::Owned(listener.name.clone()),
                host: Cow::Owned(host_of(listener, *address)),
                port: port_of(listener, *address),
                security_protocol: listener.protocol.id(),
                ..ControllerEndpoint::default()
            })
            .collect(),
        features: broker.features.iter().map(feature).collect(),
        ..RegisterControllerRecord::default()
    }
}
