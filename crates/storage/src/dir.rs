//! A log dir: its lock, identity, checkpoints, clean-shutdown marker, and the partitions in it.

use crate::checkpoint::{OffsetCheckpoint, checkpoint_name};
use crate::disk::{Disk, DiskLock};
use crate::error::{DiskError, LogError};
use crate::write_ahead::{Replayed, replay};
use base::{TopicPartition, Uuid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const META: &str = "meta.properties";
const CLEAN: &str = ".kafka_cleanshutdown";
const LOCK: &str = ".lock";

/// The identity of a log dir: `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: i32,
    /// The dir itself (KIP-858); missing in dirs formatted before Kafka 3.7.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("#\nversion=1\ncluster.id={}\nnode.id={}\n", self.cluster_id, self.node_id);
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        text
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn parse(text: &str) -> Result<MetaProperties, String> {
        let value = |key: &str| {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            lines
                .filter_map(|line| line.split_once('='))
                .find(|(k, _)| k.trim() == key)
                .map(|(_, v)| v.trim().to_owned())
        };
        match value("version").as_deref() {
            Some("1") => {}
            Some(other) => return Err(format!("version {other} is not supported, only 1 (KRaft) is")),
            None => return Err("it has no version".into()),
        }
        let node_id = value("node.id").and_then(|id| id.parse().ok()).ok_or("it has no node.id")?;
        let directory_id = match value("directory.id") {
            None => None,
            Some(id) => Some(id.parse().map_err(|error| format!("directory.id: {error}"))?),
        };
        Ok(MetaProperties { cluster_id: value("cluster.id").ok_or("it has no cluster.id")?, node_id, directory_id })
    }

    /// Reads the file of a log dir; `None` when the dir is not formatted.
    ///
    /// # Errors
    /// Disk errors; a malformed file.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<MetaProperties>, LogError> {
        let path = dir.join(META);
        let Some(bytes) = disk.read(&path).map_err(DiskError::on("read", &path))? else { return Ok(None) };
        let parsed = MetaProperties::parse(&String::from_utf8_lossy(&bytes));
        parsed.map(Some).map_err(|what| LogError::Malformed { path, what })
    }

    /// Writes the file of a log dir.
    ///
    /// # Errors
    /// Disk errors.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(META);
        disk.replace(&path, self.to_text().as_bytes()).map_err(DiskError::on("write", &path))
    }
}

/// What a clean stop left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch when it stopped (KIP-966), -1 when unknown.
    pub broker_epoch: i64,
}

/// A partition's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionDir {
    /// In use.
    Live(TopicPartition),
    /// Renamed for removal.
    Deleted(TopicPartition),
    /// A copy that another log dir is to take over (KIP-113).
    Future(TopicPartition),
    /// Found where the metadata says that it does not belong (KIP-858).
    Stray(TopicPartition),
}

/// What a folder's name says; `None` when it is no partition's.
#[must_use]
pub fn parse_partition_dir(name: &str) -> Option<PartitionDir> {
    let live = |name: &str| {
        let (topic, partition) = name.rsplit_once('-')?;
        let partition: i32 = partition.parse().ok().filter(|p| *p >= 0)?;
        (!topic.is_empty() && !partition.to_string().is_empty()).then(|| TopicPartition::new(topic, partition))
    };
    let marked = |suffix: &str| {
        let (name, id) = name.strip_suffix(suffix)?.rsplit_once('.')?;
        (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| live(name))?
    };
    if let Some(tp) = marked("-delete") {
        return Some(PartitionDir::Deleted(tp));
    }
    if let Some(tp) = marked("-future") {
        return Some(PartitionDir::Future(tp));
    }
    if let Some(tp) = marked("-stray") {
        return Some(PartitionDir::Stray(tp));
    }
    live(name).map(PartitionDir::Live)
}

/// What was found in a log dir.
#[derive(Clone, Debug)]
pub struct LogDirState {
    /// The marker of a clean stop; it is removed before the first write (R20).
    pub clean: Option<CleanShutdown>,
    /// Recovery points by partition.
    pub recovery_points: OffsetCheckpoint,
    /// High watermarks by partition.
    pub high_watermarks: OffsetCheckpoint,
    /// Log starts by partition.
    pub log_starts: OffsetCheckpoint,
    /// Up to where Kafka's cleaner has compacted each log.
    pub compacted: OffsetCheckpoint,
    /// Partitions' folders, by name.
    pub partitions: Vec<(String, PartitionDir)>,
    /// Folders that are no partition's and are left alone.
    pub unknown: Vec<String>,
}

/// One log dir in use by this process.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    meta: MetaProperties,
    _lock: Option<Box<dyn DiskLock>>,
}

impl LogDir {
    /// Locks a formatted log dir and reads what is in it. When it was not closed, all of it is on disk before this returns.
    ///
    /// # Errors
    /// Disk errors; a dir that is not formatted, or in use.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<(LogDir, LogDirState), LogError> {
        let meta = MetaProperties::load(disk.as_ref(), path)?;
        let meta = meta.ok_or_else(|| LogError::NotFormatted(path.to_owned()))?;
        let lock_path = path.join(LOCK);
        let lock = disk.lock(&lock_path).map_err(DiskError::on("lock", &lock_path))?;
        let lock = Some(lock.ok_or_else(|| LogError::InUse(path.to_owned()))?);
        disk.watch_filesystem(path).map_err(DiskError::on("open", path))?;
        let checkpoint = |name: &str| OffsetCheckpoint::load(disk.as_ref(), &path.join(name));
        let mut state = LogDirState {
            clean: read_clean(disk.as_ref(), path)?,
            recovery_points: checkpoint(checkpoint_name::RECOVERY_POINT)?,
            high_watermarks: checkpoint(checkpoint_name::HIGH_WATERMARK)?,
            log_starts: checkpoint(checkpoint_name::LOG_START)?,
            compacted: checkpoint(checkpoint_name::CLEANER)?,
            partitions: Vec::new(),
            unknown: Vec::new(),
        };
        let names = disk.names(path).map_err(DiskError::on("list", path))?;
        let folders: Vec<String> = names.into_iter().filter(|(_, is_dir)| *is_dir).map(|(name, _)| name).collect();
        // A process that was killed leaves what it had not synced in the page cache. Recovery would find it there, and readers see it,
        // until a power cut takes it back: so it becomes durable before it is read. One sync for all, since it is not known what is dirty.
        if state.clean.is_none() && !folders.is_empty() {
            disk.sync_filesystem(path).map_err(DiskError::on("sync the file system of", path))?;
        }
        for name in folders {
            match parse_partition_dir(&name) {
                Some(partition) => state.partitions.push((name, partition)),
                None => state.unknown.push(name),
            }
        }
        Ok((LogDir { disk, path: path.to_owned(), meta, _lock: lock }, state))
    }

    /// A log dir that could not be opened: unlocked, and not to be touched. Its id is not known.
    #[must_use]
    pub fn unopened(disk: Arc<dyn Disk>, path: &Path, cluster_id: &str, node_id: i32) -> LogDir {
        let meta = MetaProperties { cluster_id: cluster_id.to_owned(), node_id, directory_id: None };
        LogDir { disk, path: path.to_owned(), meta, _lock: None }
    }

    /// Readies a dir that was not stopped cleanly, before any of its logs is opened: what its write-ahead file holds is put at its
    /// place, for good. To be called once the marker is removed.
    ///
    /// # Errors
    /// Disk errors; a damaged write-ahead file.
    pub fn recover(&self) -> Result<Replayed, LogError> {
        replay(self.disk.as_ref(), &self.path)
    }

    /// Removes a write-ahead file beside the marker of a clean stop: another program took over in between, and closed the logs. True
    /// when there was one.
    ///
    /// # Errors
    /// Disk errors.
    pub fn drop_write_ahead(&self) -> Result<bool, DiskError> {
        crate::write_ahead::remove(self.disk.as_ref(), &self.path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity.
    #[must_use]
    pub fn meta(&self) -> &MetaProperties {
        &self.meta
    }

    /// The disk that it is on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Gives a dir that was formatted before KIP-858 its id.
    ///
    /// # Errors
    /// Disk errors.
    pub fn set_directory_id(&mut self, id: Uuid) -> Result<(), DiskError> {
        self.meta.directory_id = Some(id);
        self.meta.store(self.disk.as_ref(), &self.path)
    }

    /// Removes the marker of a clean stop: from here on a crash needs recovery (R20).
    ///
    /// # Errors
    /// Disk errors.
    pub fn mark_in_use(&self) -> Result<(), DiskError> {
        let path = self.path.join(CLEAN);
        match self.disk.remove_file(&path) {
            Ok(()) => self.disk.sync_dir(&self.path).map_err(DiskError::on("sync", &self.path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(DiskError::on("remove", &path)(error)),
        }
    }

    /// Writes the marker of a clean stop, after all logs were closed.
    ///
    /// # Errors
    /// Disk errors.
    pub fn mark_clean(&self, marker: CleanShutdown) -> Result<(), DiskError> {
        let path = self.path.join(CLEAN);
        let text = serde_json::json!({ "version": 0, "brokerEpoch": marker.broker_epoch }).to_string();
        self.disk.replace(&path, text.as_bytes()).map_err(DiskError::on("write", &path))
    }

    /// Writes one of the offset checkpoints; see [`checkpoint_name`].
    ///
    /// # Errors
    /// Disk errors.
    pub fn store_checkpoint(&self, name: &str, offsets: &OffsetCheckpoint) -> Result<(), DiskError> {
        offsets.store(self.disk.as_ref(), &self.path.join(name))
    }

    /// Whether what is at the path is still this log dir: beneath a disk that is unmounted, or where a folder was removed, is none, and what
    /// was written there would be gone with the next start.
    ///
    /// # Errors
    /// When its `meta.properties` is not there, or the disk does not say.
    pub fn check_present(&self) -> Result<(), DiskError> {
        let meta = self.path.join(META);
        self.disk.file_len(&meta).map(drop).map_err(DiskError::on("find", &meta))
    }

    /// Whether there is a folder of a partition's name.
    ///
    /// # Errors
    /// Disk errors.
    pub fn has_folder(&self, tp: &TopicPartition) -> Result<bool, DiskError> {
        let path = self.path.join(tp.to_string());
        match self.disk.names(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(DiskError::on("list", &path)(error)),
        }
    }

    /// Renames a partition's folder and returns its new path: `delete` for removal, `stray` for one that no topic owns.
    /// `unique` makes the name unique.
    ///
    /// # Errors
    /// Disk errors.
    pub fn rename_aside(&self, tp: &TopicPartition, unique: Uuid, why: &str) -> Result<PathBuf, DiskError> {
        let from = self.path.join(tp.to_string());
        let suffix = format!("-{}.{:032x}-{why}", tp.partition, unique.0);
        // A folder's name has at most 255 bytes, so a long topic's name is cut, as Kafka cuts it.
        let topic = &tp.topic[..tp.topic.len().min(255 - suffix.len())];
        let to = self.path.join(format!("{topic}{suffix}"));
        self.disk.rename(&from, &to).map_err(DiskError::on("rename", &from))?;
        self.disk.sync_dir(&self.path).map_err(DiskError::on("sync", &self.path))?;
        Ok(to)
    }
}

fn read_clean(disk: &dyn Disk, dir: &Path) -> Result<Option<CleanShutdown>, LogError> {
    let path = dir.join(CLEAN);
    let Some(bytes) = disk.read(&path).map_err(DiskError::on("read", &path))? else { return Ok(None) };
    // Kafka before 4.0 left the file empty; only its presence counts then.
    let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let broker_epoch = json.and_then(|json| json.get("brokerEpoch")?.as_i64()).unwrap_or(-1);
    Ok(Some(CleanShutdown { broker_epoch }))
}

#[cfg(test)]
mod tests;
