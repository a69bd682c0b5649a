//! Snapshots of the metadata log, so that a start does not read it from its beginning.

use super::MetadataQuorum;
use base::{Offset, Timestamp};
use raft::{SnapshotId, SnapshotWriter};
use std::sync::Arc;
use storage::DiskError;

/// Older snapshots that are kept besides the newest.
const KEPT: usize = 1;

impl MetadataQuorum {
    /// Writes a snapshot when enough was appended, or enough time has gone by, since the last.
    pub(crate) fn snapshot_if_due(&self, now: Timestamp, bytes_between: u64, ms_between: i64) -> Result<(), DiskError> {
        let mut inner = self.inner.lock();
        let is_old = ms_between > 0 && now.millis_since(inner.last_snapshot) >= ms_between;
        let is_large = inner.unsnapshotted_bytes >= bytes_between;
        let provenance = inner.published.provenance();
        if !(is_old || is_large) || provenance.offset.0 < 0 || inner.unsnapshotted_bytes == 0 {
            return Ok(());
        }
        let id = SnapshotId { end_offset: Offset(provenance.offset.0 + 1), epoch: provenance.epoch };
        let mut writer = SnapshotWriter::new(id, provenance.timestamp, now, self.voters_record.as_ref());
        for (record, version) in inner.published.to_records() {
            let frame = record.encode_frame(version).expect("an image's records fit their versions");
            writer.append(&frame);
        }
        let path = self.dir.join(id.file_name());
        let written = self.disk.replace(&path, &writer.finish());
        written.map_err(|source| DiskError { action: "write", path, source: Arc::new(source) })?;
        inner.unsnapshotted_bytes = 0;
        inner.last_snapshot = now;
        drop(inner);
        self.retire_snapshots()
    }

    fn retire_snapshots(&self) -> Result<(), DiskError> {
        let fault = |action| move |source| DiskError { action, path: self.dir.clone(), source: Arc::new(source) };
        let entries = self.disk.list(&self.dir).map_err(fault("list"))?;
        let mut ids: Vec<_> = entries.iter().filter_map(|entry| SnapshotId::parse(&entry.name)).collect();
        ids.retain(|id| *id != SnapshotId::BOOTSTRAP);
        ids.sort_unstable();
        for id in ids.iter().rev().skip(1 + KEPT) {
            self.disk.remove_file(&self.dir.join(id.file_name())).map_err(fault("remove a snapshot of"))?;
        }
        Ok(())
    }
}
