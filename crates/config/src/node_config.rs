//! A node's configuration, typed: what `server.properties` says, checked as a whole.

use crate::list::{has_gap, words};
use crate::listeners::{Endpoint, Listener, listeners};
use crate::properties::Properties;
use crate::row::{Honoured, Row};
use crate::values::{Roles, Values};
use crate::{group_bounds, node_row, node_rows};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

/// A voter of controller.quorum.voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumVoter {
    /// Its node.
    pub node_id: i32,
    /// Where it is.
    pub endpoint: Endpoint,
}

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// process.roles.
    pub roles: Roles,
    /// node.id.
    pub node_id: i32,
    /// All listeners, in the order they are written in.
    pub listeners: Vec<Listener>,
    /// controller.quorum.voters: a static quorum when there are any.
    pub quorum_voters: Vec<QuorumVoter>,
    /// log.dirs, or log.dir.
    pub log_dirs: Vec<PathBuf>,
    /// metadata.log.dir, or the first log dir.
    pub metadata_log_dir: PathBuf,
    /// broker.rack.
    pub rack: Option<String>,
    /// auto.create.topics.enable.
    pub auto_create_topics_enable: bool,
    /// delete.topic.enable.
    pub delete_topic_enable: bool,
    /// num.partitions.
    pub num_partitions: i32,
    /// default.replication.factor.
    pub default_replication_factor: i16,
    /// max.request.partition.size.limit.
    pub max_request_partition_size_limit: i32,
    /// socket.request.max.bytes.
    pub request_bytes_max: usize,
    /// queued.max.request.bytes, or what stands for none: bytes that all arriving requests may take.
    pub request_memory_bytes: usize,
    /// fetch.max.bytes.
    pub fetch_bytes_max: usize,
    /// max.incremental.fetch.session.cache.slots.
    pub fetch_session_slots: usize,
    /// log.durability is fsync.
    pub fsync: bool,
    /// thalweg.disk.reserve.bytes.
    pub disk_reserve_bytes: i64,
    /// thalweg.metrics.listen.
    pub metrics_listen: String,
    /// thalweg.threads; 0 for one a core.
    pub threads: usize,
    /// Every value that was set, as text.
    pub set: BTreeMap<String, String>,
}

/// A configuration with what is to be said about it.
#[derive(Clone, Debug)]
pub struct Startup {
    /// The configuration.
    pub config: NodeConfig,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

impl NodeConfig {
    /// Reads a node's properties.
    ///
    /// # Errors
    /// Every sentence that stands in the way of a start: wrong values, contradictions, and protections that this version lacks.
    pub fn from_properties(properties: &Properties) -> Result<Startup, Vec<String>> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let mut set = BTreeMap::new();
        for key in &properties.duplicates {
            warnings.push(Warning(format!("{key} is given more than once: the last value counts")));
        }
        for (key, value) in properties.iter() {
            check_one(key, value, &mut errors, &mut warnings);
            if node_row(key).is_some() {
                set.insert(key.to_owned(), value.trim().to_owned());
            }
        }
        let values = Values { set: &set };
        match read(&values) {
            Ok(mut config) if errors.is_empty() => {
                // The older name follows the newer one, and is shown with it.
                set.entry("broker.id".to_owned()).or_insert_with(|| config.node_id.to_string());
                config.set = set;
                Ok(Startup { config, warnings })
            }
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }

    /// The text of a config: what was set, or the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        Values { set: &self.set }.text(name)
    }

    /// A number of the table.
    ///
    /// # Panics
    /// When `name` is no number with a default: a mistake in the caller, since values were checked at the start.
    #[must_use]
    pub fn number(&self, name: &str) -> i64 {
        let text = self.value(name).unwrap_or_else(|| panic!("{name} has no value"));
        text.parse().unwrap_or_else(|_| panic!("{name} is no whole number"))
    }

    /// The listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// Rows that DescribeConfigs of a broker shows.
#[must_use]
pub fn broker_rows() -> &'static [Row] {
    node_rows()
}

/// Prefixes under which listeners, plug-ins and client settings have configs of their own.
const PREFIXES: &[&str] = &["listener.name.", "ssl.", "sasl.", "metric.", "confluent."];

fn check_one(key: &str, value: &str, errors: &mut Vec<String>, warnings: &mut Vec<Warning>) {
    let Some(row) = node_row(key) else {
        if key.starts_with("listener.name.") {
            errors.push(format!("{key} configures a protected listener, which this version does not serve: remove it"));
        } else if !PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            warnings.push(Warning(format!("{key} is not a config that Kafka 4.4 or Thalweg knows: it is ignored")));
        }
        return;
    };
    if let Err(why) = row.check(value) {
        errors.push(why);
    }
    match row.honoured {
        Honoured::Yes => {}
        Honoured::Protects
            if value.trim().is_empty() || Some(value.trim()) == row.default || value.trim() == "none" => {}
        Honoured::Protects => {
            errors.push(format!(
                "{key} protects the cluster, and this version does not honour it yet: it refuses to run without"
            ));
        }
        Honoured::NotYet if Some(value.trim()) == row.default => {}
        Honoured::NotYet => warnings.push(Warning(format!("{key} is not honoured yet: it has no effect"))),
    }
}

fn read(values: &Values<'_>) -> Result<NodeConfig, Vec<String>> {
    let mut errors = Vec::new();
    let roles = roles(values, &mut errors);
    let node_id = node_id(values, &mut errors);
    let listeners = listeners(values, roles, &mut errors);
    let quorum_voters = voters(values, &mut errors);
    if values.given("controller.quorum.voters").is_none_or(|text| words(text).next().is_none())
        && values.given("controller.quorum.bootstrap.servers").is_none()
    {
        errors.push("one of controller.quorum.bootstrap.servers and controller.quorum.voters must be set".into());
    }
    let dirs = values.given("log.dirs").or_else(|| values.text("log.dir")).unwrap_or_default();
    let log_dirs: Vec<PathBuf> = words(dirs).map(PathBuf::from).collect();
    if log_dirs.is_empty() {
        errors.push("log.dirs names no folder: say where data is to be kept".into());
    } else if has_gap(dirs) {
        errors.push("log.dirs has an empty name between its commas: take it out".into());
    }
    if roles.controller && !quorum_voters.is_empty() && !quorum_voters.iter().any(|voter| voter.node_id == node_id) {
        errors.push(format!("controller.quorum.voters has no voter {node_id}, and this node is a controller: add it"));
    }
    group_bounds::check(&|name| values.text(name)?.parse().ok(), &mut errors);
    let metadata_log_dir = values.given("metadata.log.dir").map(PathBuf::from);
    if !errors.is_empty() {
        return Err(errors);
    }
    let size = |name: &str| usize::try_from(values.number(name)).unwrap_or(0);
    let request_bytes_max = size("socket.request.max.bytes");
    let request_memory_bytes = match size("queued.max.request.bytes") {
        // Kafka's default is no limit, and then half-sent requests take all the memory there is (S03).
        0 => 2 * request_bytes_max,
        bytes if bytes >= request_bytes_max => bytes,
        bytes => {
            return Err(vec![format!(
                "queued.max.request.bytes is {bytes}, less than socket.request.max.bytes ({request_bytes_max}): raise it, or leave it out"
            )]);
        }
    };
    Ok(NodeConfig {
        roles,
        node_id,
        listeners,
        quorum_voters,
        metadata_log_dir: metadata_log_dir.unwrap_or_else(|| log_dirs[0].clone()),
        log_dirs,
        rack: values.given("broker.rack").map(str::to_owned),
        auto_create_topics_enable: values.flag("auto.create.topics.enable"),
        delete_topic_enable: values.flag("delete.topic.enable"),
        num_partitions: values.number("num.partitions") as i32,
        default_replication_factor: values.number("default.replication.factor") as i16,
        max_request_partition_size_limit: values.number("max.request.partition.size.limit") as i32,
        request_bytes_max,
        request_memory_bytes,
        fetch_bytes_max: size("fetch.max.bytes"),
        fetch_session_slots: size("max.incremental.fetch.session.cache.slots"),
        fsync: values.text("log.durability") != Some("pagecache"),
        disk_reserve_bytes: values.number("thalweg.disk.reserve.bytes"),
        metrics_listen: values.text("thalweg.metrics.listen").unwrap_or_default().to_owned(),
        threads: size("thalweg.threads"),
        set: BTreeMap::new(),
    })
}

fn node_id(values: &Values<'_>, errors: &mut Vec<String>) -> i32 {
    let (newer, older) = (values.given("node.id"), values.given("broker.id"));
    if let (Some(newer), Some(older)) = (newer, older)
        && newer != older
    {
        errors.push(format!("broker.id is {older} and node.id is {newer}: leave broker.id out, it is the older name"));
    }
    let id = newer.or(older).and_then(|id| id.parse::<i32>().ok()).filter(|id| *id >= 0);
    id.unwrap_or_else(|| {
        errors.push("node.id is missing or not a number of 0 or more: give this node its id".into());
        0
    })
}

fn roles(values: &Values<'_>, errors: &mut Vec<String>) -> Roles {
    let named: Vec<_> = words(values.given("process.roles").unwrap_or_default()).collect();
    let roles = Roles { broker: named.contains(&"broker"), controller: named.contains(&"controller") };
    if named.is_empty() {
        errors.push("process.roles is missing: set it to broker,controller for a single node".into());
    } else if !(roles.broker && roles.controller) {
        errors.push("process.roles must be broker,controller: this version runs a single, combined node only".into());
    }
    roles
}

fn voters(values: &Values<'_>, errors: &mut Vec<String>) -> Vec<QuorumVoter> {
    let mut voters = Vec::new();
    for word in words(values.given("controller.quorum.voters").unwrap_or_default()) {
        let parsed = word.split_once('@').and_then(|(id, address)| {
            let (host, port) = address.rsplit_once(':')?;
            let endpoint = Endpoint { host: host.to_owned(), port: port.parse().ok()? };
            Some(QuorumVoter { node_id: id.parse().ok().filter(|id| *id >= 0)?, endpoint })
        });
        match parsed {
            Some(voter) => voters.push(voter),
            None => errors.push(format!("`{word}` in controller.quorum.voters is not ID@HOST:PORT")),
        }
    }
    voters
}
