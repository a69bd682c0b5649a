//! Snapshots of the metadata log, so that a start does not read it from its beginning; and what goes once they hold it (KIP-630).

use super::{Inner, MetadataQuorum};
use base::{Offset, Timestamp};
use config::NodeConfig;
use raft::{SnapshotId, SnapshotReader, SnapshotWriter};
use std::path::Path;
use storage::{Disk, DiskError, LogError};

/// When snapshots are made, and for how long they and the log are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotPolicy {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    bytes_between: u64,
    /// `metadata.log.max.snapshot.interval.ms`; 0 is never.
    ms_between: i64,
    /// `metadata.max.retention.bytes`, of log and snapshots together; negative is without a limit.
    retention_bytes: i64,
    /// `metadata.max.retention.ms`; negative is without a limit.
    retention_ms: i64,
}

impl SnapshotPolicy {
    /// What the configs say.
    pub(crate) fn of(config: &NodeConfig) -> SnapshotPolicy {
        let bytes_between = config.number("metadata.log.max.record.bytes.between.snapshots");
        SnapshotPolicy {
            bytes_between: u64::try_from(bytes_between).unwrap_or(u64::MAX),
            ms_between: config.number("metadata.log.max.snapshot.interval.ms"),
            retention_bytes: config.number("metadata.max.retention.bytes"),
            retention_ms: config.number("metadata.max.retention.ms"),
        }
    }

    fn is_due(&self, inner: &Inner, now: Timestamp) -> bool {
        let is_old = self.ms_between > 0 && now.millis_since(inner.last_snapshot) >= self.ms_between;
        let is_large = inner.unsnapshotted_bytes >= self.bytes_between;
        (is_old || is_large) && inner.published.provenance().offset.0 >= 0 && inner.unsnapshotted_bytes > 0
    }
}

/// The snapshots that the log made, the oldest first: the bootstrap records are none of them.
pub(super) fn ids(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotId>, DiskError> {
    let names = disk.names(dir).map_err(DiskError::on("list", dir))?;
    let mut ids: Vec<SnapshotId> = names.iter().filter_map(|(name, _)| SnapshotId::parse(name)).collect();
    ids.retain(|id| *id != SnapshotId::BOOTSTRAP);
    ids.sort_unstable();
    Ok(ids)
}

/// A snapshot's file.
struct Kept {
    id: SnapshotId,
    bytes: u64,
}

impl MetadataQuorum {
    /// Writes a snapshot when enough was appended, or enough time has gone by, since the last; then lets go of what is kept no longer.
    pub(crate) fn snapshot_if_due(&self, now: Timestamp, policy: &SnapshotPolicy) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        if !policy.is_due(&inner, now) {
            return Ok(());
        }
        let provenance = inner.published.provenance();
        let id = SnapshotId { end_offset: Offset(provenance.offset.0 + 1), epoch: provenance.epoch };
        let mut writer = SnapshotWriter::new(id, provenance.timestamp, now, self.voters_record.as_ref());
        for (record, version) in inner.published.to_records() {
            let frame = record.encode_frame(version).expect("an image's records fit their versions");
            writer.append(&frame);
        }
        let path = self.dir.join(id.file_name());
        self.disk.replace(&path, &writer.finish()).map_err(DiskError::on("write", &path))?;
        inner.unsnapshotted_bytes = 0;
        inner.last_snapshot = now;
        self.retire(&mut inner, now, policy)
    }

    /// Removes the oldest snapshots, and the segments that the next one holds, while they are too much or too old. The newest snapshot
    /// stays, and so does whatever the log has from there on: each step leaves all that a start needs.
    fn retire(&self, inner: &mut Inner, now: Timestamp, policy: &SnapshotPolicy) -> Result<(), LogError> {
        let mut kept = self.snapshots()?;
        kept.reverse();
        while let [.., next, oldest] = &kept[..] {
            let bytes = inner.log.size_bytes() + kept.iter().map(|kept| kept.bytes).sum::<u64>();
            let is_too_much = u64::try_from(policy.retention_bytes).is_ok_and(|most| bytes > most);
            if !is_too_much && !self.is_too_old(oldest.id, now, policy)? {
                break;
            }
            self.remove_log_below(inner, now, next.id.end_offset)?;
            let path = self.dir.join(oldest.id.file_name());
            self.disk.remove_file(&path).map_err(DiskError::on("remove", &path))?;
            kept.pop();
        }
        Ok(())
    }

    fn snapshots(&self) -> Result<Vec<Kept>, DiskError> {
        let kept = ids(self.disk.as_ref(), &self.dir)?.into_iter().map(|id| {
            let path = self.dir.join(id.file_name());
            Ok(Kept { id, bytes: self.disk.file_len(&path).map_err(DiskError::on("measure", &path))? })
        });
        kept.collect()
    }

    /// A snapshot is as old as the last record that it holds. One that cannot be read is of no use to anybody.
    fn is_too_old(&self, id: SnapshotId, now: Timestamp, policy: &SnapshotPolicy) -> Result<bool, DiskError> {
        if policy.retention_ms < 0 {
            return Ok(false);
        }
        let path = self.dir.join(id.file_name());
        let bytes = self.disk.read(&path).map_err(DiskError::on("read", &path))?.unwrap_or_default();
        match SnapshotReader::read(&bytes) {
            Ok(reader) => Ok(now.millis_since(reader.last_contained) > policy.retention_ms),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an old snapshot of the metadata cannot be read: it is removed");
                Ok(true)
            }
        }
    }

    /// Whole segments only. Nobody reads the log while the node runs, so that their files need not stay for a while.
    fn remove_log_below(&self, inner: &mut Inner, now: Timestamp, offset: Offset) -> Result<(), LogError> {
        let high_watermark = inner.quorum.high_watermark();
        let moved = inner.log.delete_records(offset, high_watermark);
        moved.expect("a snapshot holds what is committed");
        let dropped = inner.log.retain(now, high_watermark).map_err(|error| LogError::malformed(&self.dir, error))?;
        for path in dropped.map(|deletion| deletion.paths).unwrap_or_default() {
            self.disk.remove_file(&path).map_err(DiskError::on("remove", &path))?;
        }
        Ok(())
    }
}
