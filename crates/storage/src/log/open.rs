//! Creating and opening a log.
//!
//! A clean log is opened by its file names, sizes and last index entries: nothing is scanned but the last index interval. After a
//! crash what lies above the recovery point is walked: see `recover`.

use super::files::{Files, list};
use super::recover::{Recovery, RecoveryWatch, Tally};
use super::{Log, LogOptions, corrupt};
use crate::disk::Disk;
use crate::epochs::LeaderEpochs;
use crate::error::{DiskError, LogError, ReadError};
use crate::file_names::path;
use crate::index::{Index, OffsetEntry};
use crate::producers::ProducerStates;
use crate::segment::Segment;
use base::{LeaderEpoch, Offset};
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Makes the log of a new partition, beginning at offset 0.
    ///
    /// # Errors
    /// Disk errors.
    pub fn create(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Log, LogError> {
        disk.create_dir(&options.dir).map_err(DiskError::on("create", &options.dir))?;
        let segment = Segment::create(disk.as_ref(), &options.dir, options.log_start)?;
        Ok(Log {
            disk,
            config: options.config,
            segments: vec![segment],
            log_start: options.log_start,
            log_end: options.log_start,
            recovery_point: options.log_start,
            compacted_to: Offset::ZERO,
            producers: ProducerStates::default(),
            epochs: LeaderEpochs::default(),
            names_dirty: true,
            flushed_snapshot: None,
            cuts: 0,
            write_ahead: None,
            folder_is_new: true,
            epochs_dirty: false,
            epoch_pending: false,
            // An empty log has nothing but its names, which its first commit makes durable: a flush would find nothing to write down.
            touched: false,
            unclosed: false,
            unsynced: Vec::new(),
            offline: None,
            dir: options.dir,
        })
    }

    /// Opens the log of a folder, recovering it when it was not closed.
    ///
    /// # Errors
    /// Disk errors; damage below the recovery point (R26).
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Log, Recovery), LogError> {
        Log::open_watched(disk, options, &())
    }

    /// As [`Log::open`]; `watch` hears how far the recovery is.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_watched(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        watch: &dyn RecoveryWatch,
    ) -> Result<(Log, Recovery), LogError> {
        let files = list(disk.as_ref(), &options.dir)?;
        let epochs =
            if files.has_epochs { LeaderEpochs::load(disk.as_ref(), &options.dir)? } else { LeaderEpochs::default() };
        let Some(first) = files.logs.keys().next().copied() else {
            let has_epochs = epochs != LeaderEpochs::default();
            return Ok((Log::begin_anew(disk, options, &files, has_epochs)?, Recovery::default()));
        };
        let mut log = Log {
            disk,
            config: options.config,
            segments: files.segments(),
            log_start: options.log_start.max(first),
            log_end: first,
            recovery_point: options.recovery_point,
            compacted_to: options.compacted_to,
            producers: ProducerStates::default(),
            epochs,
            names_dirty: false,
            flushed_snapshot: None,
            cuts: 0,
            write_ahead: None,
            folder_is_new: false,
            epochs_dirty: false,
            epoch_pending: false,
            touched: !options.clean,
            unclosed: false,
            unsynced: Vec::new(),
            offline: None,
            dir: options.dir,
        };
        let known_epochs = log.epochs.clone();
        let mut tally = Tally::new(watch);
        log.load_segments(&files, options.clean, &mut tally)?;
        let untrusted_from = if options.clean { None } else { Some(log.recover(&files, &mut tally)?) };
        log.find_end()?;
        if options.clean && log.log_end < options.recovery_point {
            let last = log.segments.last().expect("a log has a segment");
            let what = format!("the log ends at offset {}, and was closed at {}", log.log_end, options.recovery_point);
            return Err(corrupt(path(&log.dir, last.base, "log"), last.size, what));
        }
        if log.log_end < options.log_start {
            // What the start was moved past has not all reached the disk. The recovery point is not above the log's end.
            tally.recovery.truncated_bytes += log.size_bytes();
            log.begin_above(options.log_start)?;
            log.segments.shrink_to_fit();
            return Ok((log, tally.recovery));
        }
        log.recovery_point = if options.clean { log.log_end } else { log.recovery_point.min(log.log_end) };
        log.epochs.truncate_end(log.log_end.max(Offset(1)));
        log.epochs_dirty = log.epochs != known_epochs;
        log.load_producers(&files, untrusted_from)?;
        log.segments.shrink_to_fit();
        Ok((log, tally.recovery))
    }

    /// A log whose folder has no segment. There was none yet, unless something was synced.
    fn begin_anew(disk: Arc<dyn Disk>, options: LogOptions, files: &Files, has_epochs: bool) -> Result<Log, LogError> {
        if options.recovery_point > options.log_start {
            let what = format!(
                "no segment is there, and the log was synced up to {}: put the files back from a copy, or remove the partition's line \
                 from recovery-point-offset-checkpoint to go on without them",
                options.recovery_point
            );
            return Err(corrupt(path(&options.dir, options.log_start, "log"), 0, what));
        }
        // Epochs and producers of a log that is gone must not come back with the next start.
        for (offset, _) in files.others.keys().filter(|(_, suffix)| suffix == "snapshot") {
            let file = path(&options.dir, *offset, "snapshot");
            disk.remove_file(&file).map_err(DiskError::on("remove", &file))?;
        }
        Ok(Log { epochs_dirty: has_epochs, touched: has_epochs, ..Log::create(disk, options)? })
    }

    fn load_segments(&mut self, files: &Files, clean: bool, tally: &mut Tally<'_>) -> Result<(), LogError> {
        let last = self.segments.len() - 1;
        for at in 0..self.segments.len() {
            let next = self.segments.get(at + 1).map(|next| next.base);
            // At the recovery point itself too: its bytes are synced, but its indexes were written when it rolled.
            let unflushed = !clean && next.is_none_or(|next| next >= self.recovery_point);
            if unflushed {
                continue;
            }
            // Compaction may leave nothing of a segment; nothing else may.
            if let Some(next) = next
                && self.segments[at].size == 0
                && !self.may_lack_records_before(next)
            {
                let what =
                    format!("it is empty, and the next segment begins at offset {next}: put the file back from a copy");
                return Err(corrupt(path(&self.dir, self.segments[at].base, "log"), 0, what));
            }
            if !self.load_indexes(at, files)? {
                self.rebuild(at, tally)?;
            }
            if at == last {
                self.segments[at].resume();
            }
        }
        Ok(())
    }

    /// Loads a segment's indexes; false when they are missing or cannot be trusted.
    fn load_indexes(&mut self, at: usize, files: &Files) -> Result<bool, LogError> {
        let base = self.segments[at].base;
        let len = |suffix: &str| files.others.get(&(base, suffix.to_owned())).copied();
        let (Some(offsets), Some(times)) = (len("index"), len("timeindex")) else { return Ok(false) };
        let disk = self.disk.as_ref();
        let offsets: Option<Index<OffsetEntry>> = Index::load(disk, &path(&self.dir, base, "index"), offsets)?;
        let times = Index::load(disk, &path(&self.dir, base, "timeindex"), times)?;
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(false) };
        let segment = &mut self.segments[at];
        let within = offsets.last().is_none_or(|last| u64::try_from(last.position).is_ok_and(|p| p < segment.size));
        segment.offsets = offsets;
        segment.times = times;
        Ok(within)
    }

    /// The log's end: after the last batch of the active segment.
    pub(super) fn find_end(&mut self) -> Result<(), LogError> {
        let disk = Arc::clone(&self.disk);
        let dir = self.dir.clone();
        let segment = self.segments.last_mut().expect("a log has a segment");
        let mut end = segment.base;
        let mut position = segment.offsets.last().map_or(0, |entry| u64::try_from(entry.position).unwrap_or(0));
        let log_path = path(&dir, segment.base, "log");
        loop {
            let found = segment.scan(disk.as_ref(), &dir, position, |_| true);
            match found {
                Ok(None) => break,
                Ok(Some(found)) => {
                    if !segment.can_hold(found.header.last_offset()) {
                        let what = format!("offset {} follows offset {end}", found.header.base_offset);
                        return Err(corrupt(log_path, found.position, what));
                    }
                    end = found.header.next_offset();
                    position = found.position + found.header.size as u64;
                }
                Err(ReadError::Disk(error)) => return Err(error.into()),
                Err(error) => return Err(corrupt(log_path, position, error)),
            }
        }
        if position > segment.size {
            return Err(corrupt(log_path, position, "the last batch is cut off though the log was closed"));
        }
        segment.release();
        self.log_end = end;
        Ok(())
    }

    /// The newest epoch that was appended in, `NONE` in an empty log.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().unwrap_or(LeaderEpoch::NONE)
    }
}

pub(super) fn as_log_error(error: ReadError, log: &Path) -> LogError {
    match error {
        ReadError::Disk(error) => error.into(),
        other => corrupt(log.to_owned(), 0, other),
    }
}
