//! `thalweg storage format`: Kafka's `kafka-storage format`, with its options.

use super::load_config;
use crate::options::Format;
use crate::output::{Failure, json, line};
use base::{SeededRng, Timestamp, Uuid};
use clap::Args;
use config::NodeConfig;
use metadata::{
    GROUP_VERSION, KRAFT_VERSION, METADATA_VERSION, MetadataVersion, SUPPORTED_FEATURES, UNSUPPORTED_FEATURES,
};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::metadata_record::MetadataRecord;
use raft::{SnapshotId, SnapshotWriter};
use record::control::{Voter, VoterEndpoint, Voters};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use storage::{Disk, MetaProperties, RealDisk};

/// The folder of the metadata log.
const METADATA_DIR: &str = "__cluster_metadata-0";

#[derive(Args)]
pub(crate) struct FormatArgs {
    /// The cluster's id: 22 characters, as `storage random-uuid` prints them
    #[arg(long, short = 't')]
    cluster_id: String,
    /// The node's server.properties
    #[arg(long, short)]
    config: PathBuf,
    /// Leave log dirs that are formatted already as they are, instead of failing
    #[arg(long, short = 'g')]
    ignore_formatted: bool,
    /// The release whose features the cluster begins with [default: 4.4]
    #[arg(long, short)]
    release_version: Option<String>,
    /// The level of a feature; may be repeated
    #[arg(long, short, value_name = "NAME=LEVEL", value_parser = feature)]
    feature: Vec<(String, i16)>,
    /// Make this controller the only voter of a dynamic quorum
    #[arg(long, short, group = "quorum")]
    standalone: bool,
    /// The voters of a dynamic quorum, ID@HOST:PORT:DIRECTORY-ID,...
    #[arg(long, short = 'I', group = "quorum", value_name = "VOTERS")]
    initial_controllers: Option<String>,
    /// Do not name voters: this node joins a dynamic quorum later
    #[arg(long, short = 'N', group = "quorum")]
    no_initial_controllers: bool,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

fn feature(text: &str) -> Result<(String, i16), String> {
    let (name, level) = crate::options::name_and_value(text)?;
    let level = level.trim().parse().map_err(|_| format!("the level of `{text}` is not a number"))?;
    Ok((name, level))
}

pub(super) fn run(args: &FormatArgs) -> Result<(), Failure> {
    let config = load_config(&args.config)?;
    let cluster_id: Uuid = args.cluster_id.parse().map_err(Failure::said)?;
    let mut rng = seeded_by_the_system()?;
    let voters = initial_voters(args, &config, &mut rng)?;
    let levels = feature_levels(args, &config)?;
    let empty = unformatted(&all_dirs(&config), args, &config, cluster_id)?;
    if empty.is_empty() {
        return say(args, "all log dirs are formatted already", &[], &levels);
    }
    Formatting { config: &config, cluster_id, levels: &levels, voters: voters.as_ref() }.write(&empty, &mut rng)?;
    say(args, "formatted", &empty, &levels)
}

/// Formats the log dirs of a node that has none yet, as its own cluster: what `thalweg server` does without a configuration.
/// Returns whether it did.
pub(crate) fn format_empty(config: &NodeConfig) -> Result<bool, Failure> {
    let dirs = all_dirs(config);
    let mut formatted = 0;
    for dir in &dirs {
        if !dir.exists() {
            continue;
        }
        if MetaProperties::load(&RealDisk::new(), dir).map_err(Failure::said)?.is_some() {
            formatted += 1;
        } else if std::fs::read_dir(dir).map_err(super::on(dir))?.next().is_some() {
            let what =
                "is neither empty nor formatted: give another --data, or format it with `thalweg storage format`";
            return Err(Failure::said(format!("{} {what}", dir.display())));
        }
    }
    if formatted > 0 {
        return Ok(false);
    }
    let mut rng = seeded_by_the_system()?;
    let voters = if config.quorum_voters.is_empty() { Some(standalone(config, &mut rng)?) } else { None };
    let levels = levels_of(MetadataVersion::LATEST, config);
    let cluster_id = Uuid::random(&mut rng);
    Formatting { config, cluster_id, levels: &levels, voters: voters.as_ref() }.write(&dirs, &mut rng)?;
    Ok(true)
}

fn all_dirs(config: &NodeConfig) -> Vec<PathBuf> {
    let mut dirs = config.log_dirs.clone();
    dirs.push(config.metadata_log_dir.clone());
    dirs.sort();
    dirs.dedup();
    dirs
}

/// What is written into each dir.
struct Formatting<'a> {
    config: &'a NodeConfig,
    cluster_id: Uuid,
    levels: &'a BTreeMap<String, i16>,
    voters: Option<&'a Voters>,
}

impl Formatting<'_> {
    fn write(&self, dirs: &[PathBuf], rng: &mut SeededRng) -> Result<(), Failure> {
        let node_id = self.config.node_id;
        let own = self.voters.and_then(|voters| voters.voters.iter().find(|voter| voter.node.0 == node_id));
        for dir in dirs {
            let is_metadata_dir = *dir == self.config.metadata_log_dir;
            let directory_id = match own {
                Some(voter) if is_metadata_dir => voter.directory_id,
                _ => Uuid::random(rng),
            };
            std::fs::create_dir_all(dir).map_err(super::on(dir))?;
            if self.config.roles.controller && is_metadata_dir {
                write_bootstrap(dir, self.levels, self.voters)?;
            }
            // Last, because it is what makes the dir count as formatted.
            let cluster_id = self.cluster_id.to_string();
            let meta = MetaProperties { cluster_id, node_id, directory_id: Some(directory_id) };
            meta.store(&RealDisk::new(), dir).map_err(Failure::said)?;
        }
        Ok(())
    }
}

fn say(args: &FormatArgs, verb: &str, dirs: &[PathBuf], levels: &BTreeMap<String, i16>) -> Result<(), Failure> {
    if args.output == Format::Json {
        return json(&json!({"cluster_id": args.cluster_id, "formatted": dirs, "features": levels}));
    }
    let version = levels.get(METADATA_VERSION).and_then(|level| MetadataVersion::from_level(*level));
    let name = version.map_or("?", MetadataVersion::name);
    if dirs.is_empty() {
        return line(verb);
    }
    dirs.iter().try_for_each(|dir| line(format_args!("{verb} {} with {METADATA_VERSION} {name}", dir.display())))
}

/// The dirs that have no `meta.properties`; dirs of another cluster or node are an error in any case.
fn unformatted(
    dirs: &[PathBuf],
    args: &FormatArgs,
    config: &NodeConfig,
    cluster_id: Uuid,
) -> Result<Vec<PathBuf>, Failure> {
    let mut empty = Vec::new();
    for dir in dirs {
        let Some(meta) =
            (if dir.exists() { MetaProperties::load(&RealDisk::new(), dir).map_err(Failure::said)? } else { None })
        else {
            empty.push(dir.clone());
            continue;
        };
        if meta.cluster_id != cluster_id.to_string() {
            return Err(Failure::said(format!(
                "{} belongs to cluster {}, not {cluster_id}",
                dir.display(),
                meta.cluster_id
            )));
        }
        if meta.node_id != config.node_id {
            return Err(Failure::said(format!(
                "{} belongs to node {}, not {}",
                dir.display(),
                meta.node_id,
                config.node_id
            )));
        }
        if !args.ignore_formatted {
            let hint = "use --ignore-formatted to leave it and format the others";
            return Err(Failure::said(format!("{} is formatted already: {hint}", dir.display())));
        }
    }
    Ok(empty)
}

/// The voters to be written into the bootstrap snapshot; `None` for a static quorum, or when they are to be found later.
fn initial_voters(args: &FormatArgs, config: &NodeConfig, rng: &mut SeededRng) -> Result<Option<Voters>, Failure> {
    let is_static = !config.quorum_voters.is_empty();
    if is_static && (args.standalone || args.initial_controllers.is_some()) {
        return Err(Failure::said(
            "controller.quorum.voters is set, so --standalone and --initial-controllers cannot be: for a dynamic quorum set controller.quorum.bootstrap.servers instead",
        ));
    }
    if !is_static
        && config.roles.controller
        && !args.standalone
        && args.initial_controllers.is_none()
        && !args.no_initial_controllers
    {
        return Err(Failure::said(
            "controller.quorum.voters is not set on this controller, so one of --standalone, --initial-controllers and --no-initial-controllers is needed",
        ));
    }
    if let Some(text) = &args.initial_controllers {
        let listener = config.listeners.iter().find(|listener| listener.is_controller);
        let name = listener.map_or("CONTROLLER", |listener| listener.name.as_str());
        let voters: Result<Vec<Voter>, Failure> =
            text.split(',').map(|voter| parse_voter(voter.trim(), name)).collect();
        return Ok(Some(Voters { voters: voters? }));
    }
    if args.standalone { standalone(config, rng).map(Some) } else { Ok(None) }
}

/// This controller as the only voter.
fn standalone(config: &NodeConfig, rng: &mut SeededRng) -> Result<Voters, Failure> {
    let listener = config.listeners.iter().find(|listener| listener.is_controller && config.roles.controller);
    let none = || Failure::said("--standalone is for a controller, and this node has no controller listener");
    let listener = listener.ok_or_else(none)?;
    let host = if listener.advertised.host.is_empty() { "localhost" } else { &listener.advertised.host };
    let voter = voter(config.node_id, Uuid::random(rng), &listener.name, host, listener.advertised.port);
    Ok(Voters { voters: vec![voter] })
}

fn voter(node_id: i32, directory_id: Uuid, listener: &str, host: &str, port: u16) -> Voter {
    Voter {
        node: base::NodeId(node_id),
        directory_id,
        endpoints: vec![VoterEndpoint { name: listener.to_owned(), host: host.to_owned(), port }],
        kraft_version_min: 0,
        kraft_version_max: 1,
    }
}

/// Reads `ID@HOST:PORT:DIRECTORY-ID`.
fn parse_voter(text: &str, listener: &str) -> Result<Voter, Failure> {
    let parse = || {
        let (id, rest) = text.split_once('@')?;
        let (address, directory) = rest.rsplit_once(':')?;
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(voter(id.parse().ok().filter(|id| *id >= 0)?, directory.parse().ok()?, listener, host, port.parse().ok()?))
    };
    parse().ok_or_else(|| Failure::said(format!("`{}` is not ID@HOST:PORT:DIRECTORY-ID", text.escape_debug())))
}

/// What a cluster of this release begins with.
fn levels_of(release: MetadataVersion, config: &NodeConfig) -> BTreeMap<String, i16> {
    let kraft = i16::from(config.quorum_voters.is_empty());
    BTreeMap::from([
        (METADATA_VERSION.to_owned(), release.level()),
        (GROUP_VERSION.to_owned(), release.default_group_version()),
        (KRAFT_VERSION.to_owned(), kraft),
    ])
}

/// The level of every feature that the cluster begins with.
fn feature_levels(args: &FormatArgs, config: &NodeConfig) -> Result<BTreeMap<String, i16>, Failure> {
    let asked: BTreeMap<String, i16> = args.feature.iter().cloned().collect();
    if asked.contains_key(METADATA_VERSION) && args.release_version.is_some() {
        return Err(Failure::said("give either --release-version or --feature metadata.version=LEVEL"));
    }
    let release = match (&args.release_version, asked.get(METADATA_VERSION)) {
        (Some(name), _) => {
            MetadataVersion::from_name(name).ok_or_else(|| Failure::said(format!("there is no release {name}")))?
        }
        (None, Some(level)) => MetadataVersion::from_level(*level)
            .ok_or_else(|| Failure::said(format!("there is no level {level} of {METADATA_VERSION}")))?,
        (None, None) => MetadataVersion::LATEST,
    };
    let dynamic = config.quorum_voters.is_empty();
    let mut levels = levels_of(release, config);
    for (name, level) in asked {
        let known = SUPPORTED_FEATURES.iter().find(|feature| feature.name == name);
        // Level 0 means off, which is how this version serves the features of Kafka that it does not have.
        let off = level == 0 && UNSUPPORTED_FEATURES.contains(&name.as_str());
        if !off && !known.is_some_and(|feature| (feature.min..=feature.max).contains(&level)) {
            let supported: Vec<String> = SUPPORTED_FEATURES
                .iter()
                .map(|feature| format!("{} {}-{}", feature.name, feature.min, feature.max))
                .collect();
            return Err(Failure::said(format!(
                "{name}={level} is not supported; supported are {}",
                supported.join(", ")
            )));
        }
        if name == KRAFT_VERSION && (level == 0) == dynamic {
            let why = if dynamic {
                "without controller.quorum.voters the quorum is dynamic, which needs level 1"
            } else {
                "controller.quorum.voters makes the quorum static, which needs level 0"
            };
            return Err(Failure::said(format!("{name}={level} does not fit: {why}")));
        }
        if !off {
            levels.insert(name, level);
        }
    }
    Ok(levels)
}

/// The snapshot that an empty metadata log begins with: the feature levels, and the voters of a dynamic quorum.
fn write_bootstrap(dir: &Path, levels: &BTreeMap<String, i16>, voters: Option<&Voters>) -> Result<(), Failure> {
    let now = now();
    let id = SnapshotId::BOOTSTRAP;
    let mut writer = SnapshotWriter::new(id, now, now, voters);
    let mut append = |name: &str, level: i16| {
        let record = FeatureLevelRecord { name: name.into(), feature_level: level, ..FeatureLevelRecord::default() };
        let frame = MetadataRecord::FeatureLevel(record).encode_frame(0);
        frame
            .map(|frame| writer.append(&frame))
            .map_err(|error| Failure::said(format!("a feature record cannot be written: {error}")))
    };
    append(METADATA_VERSION, levels.get(METADATA_VERSION).copied().unwrap_or(MetadataVersion::LATEST.level()))?;
    for (name, level) in levels {
        // kraft.version is told by control records.
        if *level > 0 && name != METADATA_VERSION && name != KRAFT_VERSION {
            append(name, *level)?;
        }
    }
    let folder = dir.join(METADATA_DIR);
    RealDisk::new().create_dir(&folder).map_err(super::on(&folder))?;
    let path = folder.join(id.file_name());
    RealDisk::new().replace(&path, &writer.finish()).map_err(super::on(&path))?;
    RealDisk::new().sync_dir(dir).map_err(super::on(dir))
}

/// Randomness for ids that no two clusters may share.
pub(crate) fn seeded_by_the_system() -> Result<SeededRng, Failure> {
    let mut seed = [0; 8];
    let source = Path::new("/dev/urandom");
    std::fs::File::open(source).and_then(|mut file| file.read_exact(&mut seed)).map_err(super::on(source))?;
    Ok(SeededRng::new(u64::from_le_bytes(seed)))
}

#[expect(clippy::disallowed_methods, reason = "the snapshot carries the time at which it was made")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
