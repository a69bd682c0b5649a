//! Reads the metadata log at start: bootstrap records, the newest snapshot, then the log.

use super::{METADATA_DIR, METADATA_TOPIC};
use crate::recovery::RecoveryProgress;
use base::{LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};
use config::NodeConfig;
use controller::{Controller, VersionedRecord};
use metadata::{Changes, MetadataImage, Provenance};
use protocol::metadata_record::MetadataRecord;
use raft::{ElectionState, LogEpochs, Quorum, QuorumStateVersion, Settings, SnapshotId, SnapshotReader, Timing};
use record::Batches;
use record::control::{ControlType, Voters};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::{Disk, DiskError, Log, LogConfig, LogError, LogOptions, OffsetCheckpoint, checkpoint_name};

/// A record of the metadata log may decompress to no more than this.
const DECOMPRESSED_MAX: usize = 64 << 20;
/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// What `format` left for a new cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bootstrap {
    pub(crate) records: Vec<VersionedRecord>,
    pub(crate) voters: Option<Voters>,
}

/// Everything that the metadata log says at start.
pub(crate) struct Loaded {
    pub(crate) node: NodeId,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) layout: QuorumStateVersion,
    pub(crate) voters_record: Option<Voters>,
    pub(crate) quorum: Quorum,
    pub(crate) log: Log,
    pub(crate) controller: Controller,
    /// The snapshot's image.
    pub(crate) image: MetadataImage,
    /// Records after the snapshot: committed once a record of the new epoch is.
    pub(crate) uncommitted: Vec<(Provenance, MetadataRecord<'static>)>,
    pub(crate) unsnapshotted_bytes: u64,
    pub(crate) bootstrap: Vec<VersionedRecord>,
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    Ok(disk.read(path).map_err(DiskError::on("read", path))?)
}

fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<Option<SnapshotReader>, LogError> {
    let Some(bytes) = read_file(disk, path)? else { return Ok(None) };
    SnapshotReader::read(&bytes).map(Some).map_err(|error| LogError::malformed(path, error))
}

fn frames(path: &Path, reader: &SnapshotReader) -> Result<Vec<VersionedRecord>, LogError> {
    let decode = |frame: &Vec<u8>| {
        let (record, version) =
            MetadataRecord::decode_frame(frame).map_err(|error| LogError::malformed(path, error))?;
        Ok((record.into_owned(), version))
    };
    reader.frames.iter().map(decode).collect()
}

/// The bootstrap records: since Kafka 4.4 in a snapshot of the metadata dir (KIP-1170), before in a file of the log dir.
fn bootstrap(disk: &dyn Disk, root: &Path, dir: &Path) -> Result<Bootstrap, LogError> {
    let mut found = Bootstrap::default();
    for path in [dir.join(SnapshotId::BOOTSTRAP.file_name()), root.join("bootstrap.checkpoint")] {
        if let Some(reader) = read_snapshot(disk, &path)? {
            found.voters = found.voters.or(reader.voters.clone());
            let records = frames(&path, &reader)?;
            if !records.is_empty() {
                found.records = records;
            }
        }
    }
    Ok(found)
}

/// The newest snapshot that the log made.
fn newest_snapshot(disk: &dyn Disk, dir: &Path) -> Result<Option<(SnapshotId, PathBuf)>, LogError> {
    Ok(super::snapshot::ids(disk, dir)?.last().map(|id| (*id, dir.join(id.file_name()))))
}

/// Reads the metadata log of a formatted dir.
pub(crate) fn load(
    disk: &Arc<dyn Disk>,
    config: &NodeConfig,
    directory_id: Uuid,
    mut controller: Controller,
    recovery_point: Offset,
    clean: bool,
    progress: &RecoveryProgress,
) -> Result<Loaded, LogError> {
    let root = &config.metadata_log_dir;
    let dir = root.join(METADATA_DIR);
    disk.create_dir(&dir).map_err(DiskError::on("create", &dir))?;
    let bootstrap = bootstrap(disk.as_ref(), root, &dir)?;
    let mut image = MetadataImage::default();
    let mut start = Offset::ZERO;
    let mut voters = bootstrap.voters.clone();
    if let Some((id, path)) = newest_snapshot(disk.as_ref(), &dir)?
        && let Some(reader) = read_snapshot(disk.as_ref(), &path)?
    {
        for (record, _) in frames(&path, &reader)? {
            image.apply(&record, &mut Changes::default());
        }
        voters = reader.voters.or(voters);
        let offset = Offset(id.end_offset.0 - 1);
        image.set_provenance(Provenance { offset, epoch: id.epoch, timestamp: reader.last_contained });
        start = id.end_offset;
    }
    controller.load(image.clone());
    let mut log = open_log(disk, config, &dir, (recovery_point, clean), progress)?;
    if log.log_end() < start {
        // The log was lost or never held what the snapshot contains: it goes on from there.
        forget_recovery_point(disk.as_ref(), root)?;
        log.truncate_fully(start)?;
    }
    if log.log_start() > start {
        let what = format!(
            "it begins at offset {}, and no snapshot holds what was before: the newest one ends at {start}; put the .checkpoint \
             files back from a copy",
            log.log_start()
        );
        return Err(LogError::malformed(dir, what));
    }
    let mut replay = Replay { uncommitted: Vec::new(), voters: None };
    replay.run(&mut log, start, &mut controller, &dir)?;
    if log.read_topic_id()?.is_none() {
        log.write_topic_id(Uuid::METADATA_TOPIC)?;
    }
    let voters_in_log = replay.voters.is_some();
    let voters = replay.voters.or(voters);
    let quorum_settings = quorum_settings(config, directory_id, voters, &dir)?;
    let layout =
        if quorum_settings.voters_record.is_some() { QuorumStateVersion::Dynamic } else { QuorumStateVersion::Static };
    let state = election_state(disk.as_ref(), &dir, &quorum_settings, log.last_epoch())?;
    Ok(Loaded {
        node: NodeId(config.node_id),
        disk: Arc::clone(disk),
        layout,
        voters_record: quorum_settings.voters_record.clone(),
        quorum: Quorum::new(quorum_settings, state, log_epochs(&log), voters_in_log),
        unsnapshotted_bytes: log.size_bytes(),
        log,
        controller,
        image,
        uncommitted: replay.uncommitted,
        bootstrap: bootstrap.records,
        dir,
    })
}

/// Takes the metadata log out of its log dir's recovery points, as emptying it asks for.
fn forget_recovery_point(disk: &dyn Disk, root: &Path) -> Result<(), LogError> {
    let path = root.join(checkpoint_name::RECOVERY_POINT);
    let mut points = OffsetCheckpoint::load(disk, &path)?;
    if points.0.remove(&TopicPartition::new(METADATA_TOPIC, 0)).is_some() {
        points.store(disk, &path)?;
    }
    Ok(())
}

/// Opens the metadata log, whose recovery point and clean stop are in `found`.
fn open_log(
    disk: &Arc<dyn Disk>,
    config: &NodeConfig,
    dir: &Path,
    found: (Offset, bool),
    progress: &RecoveryProgress,
) -> Result<Log, LogError> {
    let (recovery_point, clean) = found;
    let log_config = LogConfig {
        segment_bytes: u64::try_from(config.number("metadata.log.segment.bytes")).unwrap_or(1 << 30),
        segment_ms: config.number("metadata.log.segment.ms"),
        delete: false,
        ..LogConfig::default()
    };
    let options = LogOptions {
        dir: dir.to_owned(),
        config: log_config.into(),
        recovery_point,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean,
    };
    if !clean {
        progress.found(1);
    }
    let (log, recovery) = Log::open_watched(Arc::clone(disk), options, progress)?;
    if !clean {
        progress.one_is_done(&recovery);
    }
    if recovery.truncated_bytes > 0 {
        tracing::warn!(bytes = recovery.truncated_bytes, "cut a torn tail of the metadata log that was never synced");
    }
    Ok(log)
}

struct Replay {
    uncommitted: Vec<(Provenance, MetadataRecord<'static>)>,
    voters: Option<Voters>,
}

impl Replay {
    fn run(&mut self, log: &mut Log, start: Offset, controller: &mut Controller, dir: &Path) -> Result<(), LogError> {
        let mut at = start;
        let mut scratch = Vec::new();
        while at < log.log_end() {
            let end = log.log_end();
            let slice = log.read(at, end, READ_BYTES, true).map_err(|error| LogError::malformed(dir, error))?;
            let bytes = log.read_slice(&slice)?;
            let before = at;
            // The last batch of a slice may be cut off; it is read whole in the next round.
            for batch in Batches::new(&bytes).map_while(Result::ok) {
                batch.verify_crc().map_err(|error| LogError::malformed(dir, error))?;
                let records =
                    batch.records(&mut scratch, DECOMPRESSED_MAX).map_err(|error| LogError::malformed(dir, error))?;
                for record in records {
                    let record = record.map_err(|error| LogError::malformed(dir, error))?;
                    let value = record.value.unwrap_or_default();
                    if batch.header.is_control() {
                        if record.key.and_then(ControlType::from_key) == Some(ControlType::KRaftVoters) {
                            self.voters = Some(Voters::decode(value).map_err(|error| LogError::malformed(dir, error))?);
                        }
                        continue;
                    }
                    if record.offset < start {
                        continue;
                    }
                    let (decoded, _) =
                        MetadataRecord::decode_frame(value).map_err(|error| LogError::malformed(dir, error))?;
                    let decoded = decoded.into_owned();
                    controller.apply(&decoded);
                    let provenance = Provenance {
                        offset: record.offset,
                        epoch: batch.header.leader_epoch,
                        timestamp: record.timestamp,
                    };
                    self.uncommitted.push((provenance, decoded));
                }
                at = batch.header.next_offset();
            }
            if at == before {
                return Err(LogError::malformed(dir, format!("no whole batch at offset {at}")));
            }
        }
        Ok(())
    }
}

fn log_epochs(log: &Log) -> LogEpochs {
    LogEpochs::new(log.epochs().entries().iter().map(|entry| (entry.epoch, entry.start)), log.log_end())
}

/// Who votes: the voters of the log or of the format, else those of controller.quorum.voters.
fn quorum_settings(
    config: &NodeConfig,
    directory_id: Uuid,
    voters: Option<Voters>,
    dir: &Path,
) -> Result<Settings, LogError> {
    let node = NodeId(config.node_id);
    let members: BTreeMap<NodeId, Uuid> = match &voters {
        Some(voters) => voters.voters.iter().map(|voter| (voter.node, voter.directory_id)).collect(),
        None => config.quorum_voters.iter().map(|voter| (NodeId(voter.node_id), Uuid::ZERO)).collect(),
    };
    if members.is_empty() {
        let what = "there is no quorum: format with --standalone, or set controller.quorum.voters";
        return Err(LogError::malformed(dir, what));
    }
    let is_only_me = members.len() == 1 && members.contains_key(&node);
    if !is_only_me {
        let ids: Vec<_> = members.keys().map(ToString::to_string).collect();
        let what =
            format!("the quorum's voters are {}: this version runs as the only voter, node {node}", ids.join(", "));
        return Err(LogError::malformed(dir, what));
    }
    Ok(Settings {
        node,
        directory_id,
        voters: members,
        voters_record: voters,
        timing: timing(config),
        seed: u64::from(node.0.unsigned_abs()),
    })
}

/// What the configs say; the rest is no config of Kafka's.
fn timing(config: &NodeConfig) -> Timing {
    let of = |name: &str| Duration::from_millis(u64::try_from(config.number(name)).unwrap_or(0));
    Timing {
        election_timeout: of("controller.quorum.election.timeout.ms"),
        fetch_timeout: of("controller.quorum.fetch.timeout.ms"),
        ..Timing::default()
    }
}

fn election_state(
    disk: &dyn Disk,
    dir: &Path,
    settings: &Settings,
    last_epoch: LeaderEpoch,
) -> Result<ElectionState, LogError> {
    let path = dir.join("quorum-state");
    let mut state = match read_file(disk, &path)? {
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            ElectionState::from_json(&text).map_err(|error| LogError::malformed(path, error))?
        }
        None => ElectionState::unattached(Vec::new()),
    };
    state.static_voters = settings.voters.keys().copied().collect();
    state.epoch = state.epoch.max(last_epoch);
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::{METADATA_TOPIC, forget_recovery_point, timing};
    use base::{Offset, TopicPartition};
    use config::{NodeConfig, Properties};
    use std::path::Path;
    use std::time::Duration;
    use storage::{FaultyMemDisk, OffsetCheckpoint, checkpoint_name};

    #[test]
    fn the_metadata_log_alone_is_taken_out_of_the_recovery_points() {
        let disk = FaultyMemDisk::new(1);
        let path = Path::new("/").join(checkpoint_name::RECOVERY_POINT);
        forget_recovery_point(&disk, Path::new("/")).unwrap();
        let (metadata, other) = (TopicPartition::new(METADATA_TOPIC, 0), TopicPartition::new("t", 0));
        let points = OffsetCheckpoint([(metadata, Offset(7)), (other.clone(), Offset(3))].into());
        points.store(&disk, &path).unwrap();
        forget_recovery_point(&disk, Path::new("/")).unwrap();
        let left = OffsetCheckpoint::load(&disk, &path).unwrap();
        assert_eq!(left, OffsetCheckpoint([(other, Offset(3))].into()));
    }

    #[test]
    fn the_quorums_patience_is_what_the_configs_say() {
        let lines = "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\\
                     controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=localhost:9093\nlog.dirs=/d\n";
        let read = |more: &str| {
            timing(&NodeConfig::from_properties(&Properties::parse(&format!("{lines}{more}"))).unwrap().config)
        };
        assert_eq!(read(""), raft::Timing::default());
        let set = read("controller.quorum.election.timeout.ms=1500\ncontroller.quorum.fetch.timeout.ms=7000");
        assert_eq!(set.election_timeout, Duration::from_millis(1_500));
        assert_eq!(set.fetch_timeout, Duration::from_millis(7_000));
    }
}
