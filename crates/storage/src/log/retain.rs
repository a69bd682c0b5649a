//! What may go: segments that are too old, too many, or below the log start. Files are renamed at once and removed after a delay,
//! so that a reader in the middle of one is not cut off.

use super::Log;
use crate::error::{DiskError, ReadError};
use crate::file_names::path;
use crate::producers::snapshot_name;
use crate::segment::Segment;
use base::{ErrorCode, Offset, Refusal, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;

/// Files that were renamed to `.deleted` and are to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The renamed files.
    pub paths: Vec<PathBuf>,
    /// How long to keep them, in milliseconds.
    pub delay_ms: i64,
}

impl Log {
    /// Checks that the log may start at `offset`.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE above the high watermark.
    pub fn check_start(&self, offset: Offset, high_watermark: Offset) -> Result<(), Refusal> {
        if offset > high_watermark {
            let why = format!("offset {offset} is above the high watermark {high_watermark}");
            return Err(Refusal::new(ErrorCode::OffsetOutOfRange, why));
        }
        Ok(())
    }

    /// Moves the log start up to `offset`, which may not be above `high_watermark`.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE above the high watermark.
    pub fn delete_records(&mut self, offset: Offset, high_watermark: Offset) -> Result<Offset, Refusal> {
        self.check_start(offset, high_watermark)?;
        self.log_start = self.log_start.max(offset);
        Ok(self.log_start)
    }

    /// Drops the segments that retention no longer keeps; never one that reaches above `high_watermark` (R27).
    ///
    /// # Errors
    /// Disk errors; damage.
    pub fn retain(&mut self, now: Timestamp, high_watermark: Offset) -> Result<Option<Deletion>, ReadError> {
        let mut surplus = match u64::try_from(self.config.retention_bytes) {
            Ok(kept) if self.config.delete => self.size_bytes().saturating_sub(kept),
            _ => 0,
        };
        let disk = Arc::clone(&self.disk);
        let mut dropped = 0;
        for at in 0..self.segments.len() {
            let end = self.segments.get(at + 1).map_or(self.log_end, |next| next.base);
            let is_active = at + 1 == self.segments.len();
            let segment = &mut self.segments[at];
            // Compaction may have left nothing of a segment before the active one: it goes when its time has come, and what follows with it.
            if end > high_watermark || (is_active && segment.size == 0) {
                break;
            }
            let below_start = !is_active && end <= self.log_start;
            // A size limit counts only whole segments beyond it, as Kafka's does.
            let too_many = surplus > 0 && surplus >= segment.size;
            let too_old = self.config.delete && self.config.retention_ms >= 0 && {
                let newest = segment.newest(disk.as_ref(), &self.dir)?;
                now.millis_since(newest) > self.config.retention_ms
            };
            if !below_start && !too_many && !too_old {
                break;
            }
            surplus = surplus.saturating_sub(segment.size);
            dropped = at + 1;
        }
        if dropped == 0 {
            return Ok(None);
        }
        if dropped == self.segments.len() {
            self.roll()?;
        }
        Ok(Some(self.drop_front(dropped)?))
    }

    fn drop_front(&mut self, count: usize) -> Result<Deletion, DiskError> {
        let dropped: Vec<Segment> = self.segments.drain(..count).collect();
        let mut paths = Vec::new();
        for segment in &dropped {
            for suffix in ["log", "index", "timeindex", "txnindex"] {
                paths.extend(self.rename_deleted(path(&self.dir, segment.base, suffix))?);
            }
            paths.extend(self.rename_deleted(self.dir.join(snapshot_name(segment.base)))?);
        }
        self.log_start = self.log_start.max(self.segments[0].base);
        // Not up to the log start: until that is in its checkpoint, a crash takes it back to the first segment's base.
        if self.epochs.truncate_start(self.segments[0].base) {
            self.epochs.store(self.disk.as_ref(), &self.dir)?;
        }
        Ok(Deletion { paths, delay_ms: self.config.file_delete_delay_ms })
    }

    fn rename_deleted(&self, file: PathBuf) -> Result<Option<PathBuf>, DiskError> {
        let mut renamed = file.clone().into_os_string();
        renamed.push(".deleted");
        let renamed = PathBuf::from(renamed);
        match self.disk.rename(&file, &renamed) {
            Ok(()) => Ok(Some(renamed)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::on("rename", &file)(error)),
        }
    }
}
