//! The transactions of a log that were aborted: `.txnindex` files beside the segments that hold the markers.

use super::Log;
use crate::TxnEntry;
use crate::disk::OpenMode;
use crate::error::DiskError;
use crate::file_names::path;
use base::Offset;

impl Log {
    /// The transactions that were aborted and overlap the offsets from `from` to `upper` (exclusive).
    ///
    /// # Errors
    /// Disk errors.
    pub fn aborted(&mut self, from: Offset, upper: Offset) -> Result<Vec<TxnEntry>, DiskError> {
        let first = self.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        let mut found = Vec::new();
        for segment in self.segments[first..].iter().filter(|segment| segment.has_aborted) {
            let file = path(&self.dir, segment.base, "txnindex");
            let Some(bytes) = self.disk.read(&file).map_err(DiskError::on("read", &file))? else { continue };
            for entry in TxnEntry::all(&bytes) {
                if entry.last_offset >= from && entry.first_offset < upper {
                    found.push(entry);
                }
                if entry.last_stable_offset >= upper {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Notes an aborted transaction whose marker is in the segment at `at`.
    pub(super) fn append_aborted(&mut self, at: usize, entry: TxnEntry) -> Result<(), DiskError> {
        let file_path = path(&self.dir, self.segments[at].base, "txnindex");
        let file = self.disk.open(&file_path, OpenMode::Write).map_err(DiskError::on("open", &file_path))?;
        let end = file.len().map_err(DiskError::on("measure", &file_path))?;
        let mut bytes = Vec::with_capacity(TxnEntry::SIZE);
        entry.put(&mut bytes);
        file.write_all_at(&[&bytes], end).map_err(DiskError::on("append to", &file_path))?;
        self.segments[at].has_aborted = true;
        self.sync_with_flush(file_path);
        Ok(())
    }

    /// Forgets the aborted transactions of the segment at `at` whose marker is at or above `end`, and what is none behind those below it:
    /// of what was never synced a crash may leave zeros.
    pub(super) fn truncate_aborted(&mut self, at: usize, end: Offset) -> Result<(), DiskError> {
        if !self.segments[at].has_aborted {
            return Ok(());
        }
        let file_path = path(&self.dir, self.segments[at].base, "txnindex");
        let Some(bytes) = self.disk.read(&file_path).map_err(DiskError::on("read", &file_path))? else { return Ok(()) };
        let mut last = self.segments[at].base;
        let is_kept = |entry: &TxnEntry| {
            let before = std::mem::replace(&mut last, entry.last_offset);
            (before..end).contains(&entry.last_offset) && entry.first_offset < entry.last_offset
        };
        let kept = TxnEntry::all(&bytes).take_while(is_kept).count() * TxnEntry::SIZE;
        self.segments[at].has_aborted = kept > 0;
        if kept < bytes.len() {
            let file = self.disk.open(&file_path, OpenMode::Write).map_err(DiskError::on("open", &file_path))?;
            file.set_len(kept as u64).map_err(DiskError::on("cut", &file_path))?;
            self.sync_with_flush(file_path);
        }
        Ok(())
    }
}
