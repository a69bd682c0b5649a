//! Cutting a log: by whoever follows a leader, and by recovery.

use super::files::list;
use super::open::as_log_error;
use super::{Log, corrupt};
use crate::epochs::LeaderEpochs;
use crate::error::{DiskError, LogError};
use crate::file_names::path;
use crate::producers::ProducerStates;
use crate::segment::Segment;
use base::Offset;
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Removes segments, the last one first, so that a crash midway leaves a log without a hole.
    pub(super) fn drop_segments_from(&mut self, at: usize, dropped_bytes: &mut u64) -> Result<(), LogError> {
        let dropped = self.segments.split_off(at);
        if dropped.is_empty() {
            return Ok(());
        }
        for segment in dropped.iter().rev() {
            *dropped_bytes += segment.size;
            self.remove_files_of(segment.base)?;
        }
        self.disk.sync_dir(&self.dir).map_err(DiskError::on("sync the folder", &self.dir))?;
        Ok(())
    }

    fn remove_files_of(&self, base: Offset) -> Result<(), DiskError> {
        ["log", "index", "timeindex", "txnindex", "snapshot"]
            .iter()
            .try_for_each(|suffix| self.remove(&path(&self.dir, base, suffix)))
    }

    /// Empties a log that ends below `offset`, where its checkpoint says that it begins, and begins again there, as Kafka does: else records
    /// that are appended now would be below that start at the next opening. The first segment goes first: without the last one, what is
    /// left would seem to have lost what was synced.
    pub(super) fn begin_above(&mut self, offset: Offset) -> Result<(), LogError> {
        let last = self.segments.pop().expect("a log has a segment");
        for segment in std::mem::take(&mut self.segments) {
            self.remove_files_of(segment.base)?;
        }
        self.disk.sync_dir(&self.dir).map_err(DiskError::on("sync the folder", &self.dir))?;
        self.segments.push(last);
        self.unsynced.clear();
        self.truncate_fully(offset)
    }

    /// Cuts a segment for good: what was cut off may not come back beside what is appended in its place, nor behind it once the
    /// recovery point has passed the segment.
    pub(super) fn cut(&self, segment: &mut Segment, position: u64) -> Result<(), DiskError> {
        segment.truncate(self.disk.as_ref(), &self.dir, position)?;
        let log_path = path(&self.dir, segment.base, "log");
        segment.file(self.disk.as_ref(), &self.dir)?.sync_data().map_err(DiskError::on("sync", &log_path))
    }

    /// Removes a file that may be missing.
    pub(super) fn remove(&self, file: &Path) -> Result<(), DiskError> {
        match self.disk.remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DiskError::on("remove", file)(error)),
            _ => Ok(()),
        }
    }

    /// What the recovery point checkpoint may say at most while the log is cut at `offset`: the file system may lose the tail of a file
    /// that is being cut before it makes it shorter, and above this recovery takes that for a torn tail, as it should. A cut that leaves
    /// nothing has a moment without any segment, which only a log that never was synced may have.
    #[must_use]
    pub fn recovery_point_for_cut(&self, offset: Offset) -> Offset {
        if offset <= self.segments[0].base {
            return Offset::ZERO;
        }
        let at = self.segments.partition_point(|segment| segment.base < offset).saturating_sub(1);
        self.recovery_point.min(self.segments[at].base)
    }

    /// Cuts the log to end at `offset`, or at the start of the batch that holds it. The recovery point checkpoint must not say more than
    /// [`Log::recovery_point_for_cut`].
    ///
    /// # Errors
    /// Disk errors, and damage on the way.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        if offset >= self.log_end {
            return Ok(());
        }
        if offset <= self.segments[0].base {
            return self.truncate_fully(offset);
        }
        let at = self.segments.partition_point(|segment| segment.base < offset).saturating_sub(1);
        let disk = Arc::clone(&self.disk);
        let dir = self.dir.clone();
        let segment = &mut self.segments[at];
        let (base, log_path) = (segment.base, path(&dir, segment.base, "log"));
        let found = segment.locate(disk.as_ref(), &dir, offset).map_err(|error| as_log_error(error, &log_path))?;
        let position = found.map_or(segment.size, |found| found.position);
        self.cuts += 1;
        self.touched = true;
        self.note_cut(base, position)?;
        self.drop_segments_from(at + 1, &mut 0)?;
        if position < self.segments[at].size {
            let mut segment = self.segments.pop().expect("the segment that was looked in");
            let cut = self.cut(&mut segment, position);
            self.segments.push(segment);
            cut?;
        }
        self.note_cut(base, position)?;
        self.find_end()?;
        if self.log_end > offset {
            // Nothing tells a damaged index but that the batch was not where it led.
            let what = format!("the log cannot be cut at offset {offset}: its index leads past it");
            return Err(corrupt(log_path, 0, what));
        }
        self.recovery_point = self.recovery_point.min(self.log_end);
        self.log_start = self.log_start.min(self.log_end);
        if self.epochs.truncate_end(self.log_end) {
            self.epochs.store(self.disk.as_ref(), &self.dir)?;
        }
        self.truncate_aborted(at, self.log_end)?;
        self.producers = ProducerStates::default();
        let files = list(self.disk.as_ref(), &self.dir)?;
        self.load_producers(&files, None)
    }

    /// Empties the log and begins again at `offset`. The recovery point checkpoint must say zero, or nothing: midway there is no segment.
    ///
    /// # Errors
    /// Disk errors.
    pub fn truncate_fully(&mut self, offset: Offset) -> Result<(), LogError> {
        self.cuts += 1;
        self.touched = true;
        self.note_cut(Offset::ZERO, 0)?;
        self.drop_segments_from(0, &mut 0)?;
        for (offset, suffix) in list(self.disk.as_ref(), &self.dir)?.others.keys() {
            if suffix == "snapshot" {
                self.remove(&path(&self.dir, *offset, suffix))?;
            }
        }
        self.segments.push(Segment::create(self.disk.as_ref(), &self.dir, offset)?);
        (self.log_start, self.log_end, self.recovery_point) = (offset, offset, offset);
        self.producers = ProducerStates::default();
        self.epochs = LeaderEpochs::default();
        self.epochs.store(self.disk.as_ref(), &self.dir)?;
        self.names_dirty = true;
        self.note_cut(Offset::ZERO, 0).map_err(Into::into)
    }
}
