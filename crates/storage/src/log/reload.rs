//! The producers of a log that is opened: from the newest snapshot that can be trusted, and the batches after it.

use super::Log;
use super::files::Files;
use super::open::as_log_error;
use crate::error::{DiskError, LogError};
use crate::file_names::path;
use crate::producers::ProducerStates;
use base::Offset;
use std::sync::Arc;

impl Log {
    /// The producers' state: the newest sound snapshot, and the batches after it. After a crash snapshots above `untrusted_from`, and
    /// aborted transactions from there on, may never have reached the disk, or tell of batches that did not: they are made anew.
    pub(super) fn load_producers(&mut self, files: &Files, untrusted_from: Option<Offset>) -> Result<(), LogError> {
        let mut from = self.segments[0].base;
        let mut is_found = false;
        for (offset, suffix) in files.others.keys().rev() {
            let file = path(&self.dir, *offset, suffix);
            if suffix == "txnindex" && untrusted_from.is_some_and(|untrusted| *offset >= untrusted) {
                self.remove(&file)?;
            }
            if suffix != "snapshot" {
                continue;
            }
            if *offset > self.log_end.min(untrusted_from.unwrap_or(self.log_end)) {
                // It tells, or may tell, of batches that were cut off; others will have these offsets.
                self.remove(&file)?;
                continue;
            }
            if untrusted_from.is_none() && (is_found || *offset < from) {
                continue;
            }
            let bytes = self.disk.read(&file).map_err(DiskError::on("read", &file))?;
            match bytes.as_deref().and_then(ProducerStates::from_snapshot) {
                // A crash may have torn any of them. Nobody would read it for long, but whoever verifies the dir would call it damaged.
                None => self.remove(&file)?,
                Some(_) if is_found || *offset < from => {}
                Some(states) => {
                    self.producers = states;
                    from = *offset;
                    is_found = true;
                }
            }
        }
        if let Some(untrusted) = untrusted_from {
            self.distrust_aborted(untrusted)?;
        }
        if self.config.left_out.producer_replay {
            return Ok(());
        }
        if from < self.log_end { self.replay_producers(from, untrusted_from.unwrap_or(self.log_end)) } else { Ok(()) }
    }

    /// Of the segments from `untrusted` on the aborted transactions' files are gone, of the one that it lies in a part.
    fn distrust_aborted(&mut self, untrusted: Offset) -> Result<(), LogError> {
        let first = self.segments.partition_point(|segment| segment.base < untrusted);
        self.segments[first..].iter_mut().for_each(|segment| segment.has_aborted = false);
        match first.checked_sub(1) {
            Some(at) => self.truncate_aborted(at, untrusted).map_err(Into::into),
            None => Ok(()),
        }
    }

    fn replay_producers(&mut self, from: Offset, untrusted_from: Offset) -> Result<(), LogError> {
        let disk = Arc::clone(&self.disk);
        let dir = self.dir.clone();
        let first = self.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        for at in first..self.segments.len() {
            let segment = &mut self.segments[at];
            let log_path = path(&dir, segment.base, "log");
            let mut found =
                segment.locate(disk.as_ref(), &dir, from).map_err(|error| as_log_error(error, &log_path))?;
            while let Some(batch) = found {
                let header = batch.header;
                let mut bytes = Vec::new();
                if header.has_producer_id() && header.is_control() {
                    bytes = vec![0; header.size];
                    let file = self.segments[at].file(disk.as_ref(), &dir)?;
                    file.read_at(&mut bytes, batch.position).map_err(DiskError::on("read", &log_path))?;
                }
                let aborted = self.fold_producer(&header, &[&bytes]);
                if let Some(entry) = aborted.filter(|entry| entry.last_offset >= untrusted_from) {
                    self.append_aborted(at, entry)?;
                }
                let next = batch.position + header.size as u64;
                let scanned = self.segments[at].scan(disk.as_ref(), &dir, next, |_| true);
                found = scanned.map_err(|error| as_log_error(error, &log_path))?;
            }
            self.segments[at].release();
        }
        // Everything that was read back lies below the high watermark or will be above it again: either way the markers count.
        self.producers.on_high_watermark(self.log_end);
        Ok(())
    }
}
