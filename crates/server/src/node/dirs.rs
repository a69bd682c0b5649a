//! The log dirs of a starting node: locked, checked against each other, with what was found in them.

use super::{StartError, without_logs};
use crate::environment::Environment;
use crate::log_dir::LogDirHandle;
use crate::partitions::{Folders, Found};
use crate::quorum::{METADATA_DIR, METADATA_TOPIC};
use base::{Offset, SeededRng, TopicPartition, Uuid};
use config::NodeConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{DiskError, LogDir, LogDirState, LogError, OffsetCheckpoint, PartitionDir};

/// Lines about segments of one dir that something could not be put back to.
const PASSED_BY_LINES_MAX: usize = 10;

/// The log dirs of a node, locked, and what was found in them.
pub(super) struct Dirs {
    pub(super) handles: Arc<Vec<LogDirHandle>>,
    pub(super) found: Folders,
    pub(super) cluster_id: String,
    /// The metadata dir's id, the metadata log's recovery point, and whether the dir was stopped cleanly.
    pub(super) metadata: (Uuid, Offset, bool),
}

impl Dirs {
    /// Opens all of the node's log dirs. One that fails is offline from the start, as one that fails later; without the metadata dir there
    /// is no node, and none without a dir for logs.
    pub(super) fn open(
        config: &NodeConfig,
        environment: &Environment,
        rng: &mut SeededRng,
    ) -> Result<Dirs, StartError> {
        let mut paths = config.log_dirs.clone();
        if !paths.contains(&config.metadata_log_dir) {
            paths.push(config.metadata_log_dir.clone());
        }
        let opened = paths
            .iter()
            .map(|path| LogDir::open(Arc::clone(&environment.disk), path).or_fault(path == &config.metadata_log_dir));
        let opened = opened.collect::<Result<Vec<_>, LogError>>()?;
        let mut dirs = Dirs {
            handles: Arc::new(Vec::new()),
            found: Folders::default(),
            cluster_id: cluster_id(config, opened.iter().flatten().map(|(dir, _)| dir))?,
            metadata: (Uuid::ZERO, Offset::ZERO, false),
        };
        refuse_copied_dirs(opened.iter().flatten().map(|(dir, _)| dir))?;
        refuse_copies(opened.iter().flatten())?;
        let mut handles = Vec::new();
        for (at, (path, opened)) in paths.iter().zip(opened).enumerate() {
            let handle = |dir, rng: &mut SeededRng| {
                LogDirHandle::new(dir, Arc::clone(&environment.clock), rng, config.disk_reserve_bytes)
            };
            handles.push(match opened {
                Ok((mut dir, state)) => {
                    let readied = ready(&mut dir, &state, rng).or_fault(path == &config.metadata_log_dir)?;
                    let handle = handle(dir, rng);
                    match readied {
                        Ok(()) => dirs.take_in(config, at, &handle, &state),
                        Err(fault) => handle.fail_at_start(&fault),
                    }
                    handle
                }
                Err(fault) => {
                    let disk = Arc::clone(&environment.disk);
                    let handle = handle(LogDir::unopened(disk, path, &dirs.cluster_id, config.node_id), rng);
                    handle.fail_at_start(&fault);
                    handle
                }
            });
        }
        dirs.handles = Arc::new(handles);
        match without_logs(config, &dirs.handles) {
            Some(why) => Err(StartError::Configuration(why)),
            None => Ok(dirs),
        }
    }

    fn take_in(&mut self, config: &NodeConfig, at: usize, handle: &LogDirHandle, state: &LogDirState) {
        let dir = &handle.dir;
        let clean = state.clean.is_some();
        let of =
            |checkpoint: &OffsetCheckpoint, tp: &TopicPartition| checkpoint.0.get(tp).copied().unwrap_or(Offset::ZERO);
        let point = |tp: &TopicPartition| of(&state.recovery_points, tp);
        if dir.path() == config.metadata_log_dir {
            let id = dir.meta().directory_id.unwrap_or(Uuid::ZERO);
            self.metadata = (id, point(&TopicPartition::new(METADATA_TOPIC, 0)), clean);
        }
        for (name, partition) in &state.partitions {
            match partition {
                PartitionDir::Live(_) if name == METADATA_DIR => {}
                PartitionDir::Live(tp) if !is_canonical(name, tp) => {
                    tracing::warn!(folder = name, dir = %dir.path().display(), "a folder that is no partition's is left alone");
                }
                PartitionDir::Live(tp) => {
                    let (log_start, compacted_to) = (of(&state.log_starts, tp), of(&state.compacted, tp));
                    let found = Found { dir: at, recovery_point: point(tp), log_start, compacted_to, clean };
                    self.found.add(tp.clone(), found);
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
        // A crash may have come between the end of a topic and the next checkpoint.
        let live: BTreeSet<&TopicPartition> = live(state).collect();
        handle.note_compacted(state.compacted.0.keys());
        let all = [&state.recovery_points, &state.log_starts, &state.compacted];
        let told = all.into_iter().flat_map(|checkpoint| checkpoint.0.keys());
        told.filter(|tp| !live.contains(tp)).for_each(|tp| handle.note_gone(tp));
    }
}

/// Whether a folder's name is what its partition's folder is called.
fn is_canonical(name: &str, tp: &TopicPartition) -> bool {
    *name == tp.to_string()
}

/// The partitions that have a folder in a log dir.
fn live(state: &LogDirState) -> impl Iterator<Item = &TopicPartition> {
    state.partitions.iter().filter_map(|(name, folder)| match folder {
        PartitionDir::Live(tp) => is_canonical(name, tp).then_some(tp),
        PartitionDir::Deleted(_) | PartitionDir::Future(_) | PartitionDir::Stray(_) => None,
    })
}

/// Two log dirs with one id, which the metadata could not tell apart: the second was made as a copy, or mounted twice.
fn refuse_copied_dirs<'d>(dirs: impl Iterator<Item = &'d LogDir>) -> Result<(), StartError> {
    let mut seen: BTreeMap<Uuid, &Path> = BTreeMap::new();
    for dir in dirs {
        let Some(id) = dir.meta().directory_id else { continue };
        if let Some(other) = seen.insert(id, dir.path()) {
            let why = format!(
                "{} and {} have the same directory.id, {id}: meta.properties of one is a copy. Take that line out of the one that was \
                 added, which then gets an id of its own",
                other.display(),
                dir.path().display()
            );
            return Err(StartError::Configuration(why));
        }
    }
    Ok(())
}

/// Two folders of one partition of one topic: no one can say which of them holds what was confirmed, so none is opened. Of different topics
/// one is an older topic's, which is put aside when the metadata is known.
fn refuse_copies<'d>(dirs: impl Iterator<Item = &'d (LogDir, LogDirState)>) -> Result<(), StartError> {
    let mut folders: BTreeMap<&TopicPartition, Vec<&LogDir>> = BTreeMap::new();
    for (dir, state) in dirs {
        live(state).for_each(|tp| folders.entry(tp).or_default().push(dir));
    }
    for (tp, dirs) in folders.into_iter().filter(|(_, dirs)| dirs.len() > 1) {
        let mut seen: BTreeMap<Option<Uuid>, PathBuf> = BTreeMap::new();
        for dir in dirs {
            let path = dir.path().join(tp.to_string());
            // What cannot be read is told of when it is opened.
            let Ok(id) = storage::topic_id(dir.disk().as_ref(), &path) else { continue };
            if let Some(other) = seen.insert(id, path.clone()) {
                let why = format!(
                    "partition {tp} has two folders, {} and {}: move the one that is not to be used out of its log dir, and start \
                     again. Of the two, the one whose log dir had failed or was left out of log.dirs for a while lacks newer records",
                    other.display(),
                    path.display()
                );
                return Err(StartError::Configuration(why));
            }
        }
    }
    Ok(())
}

/// Tells a fault of a log dir from what the node cannot start with.
trait OrFault<T> {
    /// The fault of a dir, as a value; anything is an error that keeps the node from starting when the metadata is there.
    fn or_fault(self, is_metadata_dir: bool) -> Result<Result<T, DiskError>, LogError>;
}

impl<T> OrFault<T> for Result<T, LogError> {
    fn or_fault(self, is_metadata_dir: bool) -> Result<Result<T, DiskError>, LogError> {
        match self {
            Ok(done) => Ok(Ok(done)),
            Err(error) if is_metadata_dir => Err(error),
            Err(error) => error.into_dir_fault().map(Err),
        }
    }
}

/// The cluster that all of the dirs belong to.
fn cluster_id<'d>(config: &NodeConfig, dirs: impl Iterator<Item = &'d LogDir>) -> Result<String, StartError> {
    let mut cluster_id = String::new();
    for dir in dirs {
        let (path, meta) = (dir.path().display(), dir.meta());
        if meta.node_id != config.node_id {
            let why = format!("{path} belongs to node {}, this is node {}", meta.node_id, config.node_id);
            return Err(StartError::Configuration(why));
        }
        if !cluster_id.is_empty() && cluster_id != meta.cluster_id {
            let why = format!("{path} belongs to cluster {}, another log dir to {cluster_id}", meta.cluster_id);
            return Err(StartError::Configuration(why));
        }
        cluster_id.clone_from(&meta.cluster_id);
    }
    Ok(cluster_id)
}

/// Readies a dir for use, before any of its logs is opened.
fn ready(dir: &mut LogDir, state: &LogDirState, rng: &mut SeededRng) -> Result<(), LogError> {
    if dir.meta().directory_id.is_none() {
        dir.set_directory_id(Uuid::random(rng))?;
    }
    // R20: from here on a crash needs recovery, also one while recovering.
    dir.mark_in_use()?;
    take_back(dir, state.clean.is_some())
}

/// What the write-ahead file of a dir holds goes to its place.
fn take_back(dir: &LogDir, clean: bool) -> Result<(), LogError> {
    let shown = dir.path().display();
    if clean {
        if dir.drop_write_ahead()? {
            tracing::warn!(dir = %shown, "dropped a write-ahead file: the dir was stopped cleanly after it was written, by another program");
        }
        return Ok(());
    }
    let storage::Replayed { blocks, bytes, segments, passed_by } = dir.recover()?;
    if blocks > 0 {
        tracing::info!(dir = %shown, blocks, bytes, segments, "put back what was durable in the write-ahead file only");
    }
    for why in passed_by.iter().take(PASSED_BY_LINES_MAX) {
        tracing::error!(dir = %shown, %why, "records of the write-ahead file were not put back: another program went on with the log without them");
    }
    if !passed_by.is_empty() {
        let file = dir.path().join(storage::PASSED_BY_FILE);
        tracing::error!(segments = passed_by.len(), file = %file.display(), "the write-ahead file is kept: it holds records that were confirmed");
    }
    Ok(())
}
