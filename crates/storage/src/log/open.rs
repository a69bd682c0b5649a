//! Creating and opening a log, and recovery after a crash.
//!
//! A clean log is opened by its file names, sizes and last index entries: nothing is scanned but the last index interval. After a
//! crash everything from the recovery point on is walked: indexes and producers' state are rebuilt, and a torn tail is cut.

use super::{Log, LogOptions, corrupt, offset_of_file};
use crate::disk::{Disk, OpenMode};
use crate::epochs::LeaderEpochs;
use crate::error::{DiskError, LogError, ReadError};
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::producers::ProducerStates;
use crate::segment::{Segment, path};
use base::{LeaderEpoch, Offset};
use record::{BATCH_OVERHEAD, BatchHeader, BatchView};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What opening a log had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes that were walked.
    pub scanned_bytes: u64,
    /// Bytes of a torn tail that were cut.
    pub truncated_bytes: u64,
    /// Segments whose indexes were rebuilt.
    pub rebuilt_segments: usize,
}

/// Suffixes of files that only an interrupted operation leaves.
const LEFTOVERS: &[&str] = &["deleted", "cleaned", "swap", "tmp"];

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
            producers: ProducerStates::default(),
            epochs: LeaderEpochs::default(),
            names_dirty: true,
            flushed_snapshot: None,
            cuts: 0,
            write_ahead: None,
            folder_is_new: true,
            epochs_dirty: false,
            epoch_pending: false,
            touched: true,
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
        let files = list(disk.as_ref(), &options.dir)?;
        let epochs = LeaderEpochs::load(disk.as_ref(), &options.dir)?;
        let Some(first) = files.logs.keys().next().copied() else {
            // Epochs and producers of a log that is gone must not come back with the next start.
            for (offset, _) in files.others.keys().filter(|(_, suffix)| suffix == "snapshot") {
                let file = path(&options.dir, *offset, "snapshot");
                disk.remove_file(&file).map_err(DiskError::on("remove", &file))?;
            }
            let created = Log { epochs_dirty: epochs != LeaderEpochs::default(), ..Log::create(disk, options)? };
            return Ok((created, Recovery::default()));
        };
        let mut log = Log {
            disk,
            config: options.config,
            segments: files.logs.iter().map(|(base, size)| Segment::listed(*base, *size)).collect(),
            log_start: options.log_start.max(first),
            log_end: first,
            recovery_point: options.recovery_point,
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
            unsynced: Vec::new(),
            offline: None,
            dir: options.dir,
        };
        let known_epochs = log.epochs.clone();
        let mut recovery = Recovery::default();
        log.load_segments(&files, options.clean, &mut recovery)?;
        let rebuilt_from = if options.clean { None } else { Some(log.recover(&mut recovery)?) };
        log.find_end()?;
        if options.clean && log.log_end < options.recovery_point {
            let last = log.segments.last().expect("a log has a segment");
            let what = format!("the log ends at offset {}, and was closed at {}", log.log_end, options.recovery_point);
            return Err(corrupt(path(&log.dir, last.base, "log"), last.size, what));
        }
        log.recovery_point = if options.clean { log.log_end } else { log.recovery_point.min(log.log_end) };
        log.epochs.truncate_end(log.log_end.max(Offset(1)));
        log.epochs_dirty = log.epochs != known_epochs;
        log.log_start = log.log_start.min(log.log_end);
        log.load_producers(&files, rebuilt_from)?;
        Ok((log, recovery))
    }

    fn load_segments(&mut self, files: &Files, clean: bool, recovery: &mut Recovery) -> Result<(), LogError> {
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
                && !self.config.compact
            {
                let what = format!("it is empty, and the next segment begins at offset {next}");
                return Err(corrupt(path(&self.dir, self.segments[at].base, "log"), 0, what));
            }
            if !self.load_indexes(at, files)? {
                self.rebuild(at, true, recovery)?;
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

    /// Rebuilds what lies above the recovery point, cutting the log at the first batch that is not whole and sound. Returns where
    /// the first rebuilt segment begins.
    fn recover(&mut self, recovery: &mut Recovery) -> Result<Offset, LogError> {
        let from = self.segments.partition_point(|segment| segment.base < self.recovery_point).saturating_sub(1);
        let base = self.segments[from].base;
        // What is rebuilt says itself in which epochs it was appended; the file may tell of epochs that no record was kept of.
        self.epochs.truncate_end(base);
        let mut at = from;
        while at < self.segments.len() {
            let Some(end) = self.rebuild(at, false, recovery)? else { break };
            at += 1;
            // A later segment may reach the disk before the bytes of an earlier one do. Only compaction leaves such a hole on purpose.
            if !self.config.compact && self.segments.get(at).is_some_and(|next| next.base > end) {
                self.drop_segments_from(at, recovery)?;
            }
        }
        Ok(base)
    }

    /// Removes segments, the last one first, so that a crash midway leaves a log without a hole.
    fn drop_segments_from(&mut self, at: usize, recovery: &mut Recovery) -> Result<(), LogError> {
        let dropped = self.segments.split_off(at);
        if dropped.is_empty() {
            return Ok(());
        }
        for segment in dropped.iter().rev() {
            recovery.truncated_bytes += segment.size;
            for suffix in ["log", "index", "timeindex", "txnindex", "snapshot"] {
                self.remove(&path(&self.dir, segment.base, suffix))?;
            }
        }
        self.disk.sync_dir(&self.dir).map_err(DiskError::on("sync the folder", &self.dir))?;
        Ok(())
    }

    /// Cuts a segment for good: what was cut off may not come back beside what is appended in its place, nor behind it once the
    /// recovery point has passed the segment.
    fn cut(&self, segment: &mut Segment, position: u64) -> Result<(), DiskError> {
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

    /// Walks a segment and writes its indexes anew; returns where it ends. Damage at or above the recovery point cuts the log there
    /// (`None` is returned); damage below it is an error, and so is any in a segment that was `flushed`.
    fn rebuild(&mut self, at: usize, flushed: bool, recovery: &mut Recovery) -> Result<Option<Offset>, LogError> {
        recovery.rebuilt_segments += 1;
        let (disk, interval) = (Arc::clone(&self.disk), self.config.index_interval_bytes);
        let disk = disk.as_ref();
        let base = self.segments[at].base;
        let log_path = path(&self.dir, base, "log");
        // After a sync that failed, what memory holds is not what a power cut would leave (R25).
        let file = self.segments[at].file(disk, &self.dir)?;
        file.drop_cache().map_err(DiskError::on("drop from memory", &log_path))?;
        let as_found = if self.config.left_out.index_rebuild { Some(self.indexes_as_found(base)?) } else { None };
        for suffix in ["index", "timeindex"] {
            let file = path(&self.dir, base, suffix);
            disk.open(&file, OpenMode::Truncate).map_err(DiskError::on("create", &file))?;
        }
        let file_size = self.segments[at].size;
        let next_base = self.segments.get(at + 1).map(|next| next.base);
        let mut segment = Segment::listed(base, file_size);
        let mut expected = base;
        let mut position = 0;
        let mut buffer = Vec::new();
        while position < file_size {
            let header = match read_batch(&mut segment, disk, &self.dir, position, file_size, &mut buffer) {
                // The checksum leaves the base offset out, so that damage to it is seen only here.
                Ok(header)
                    if header.base_offset >= expected
                        && segment.can_hold(header.last_offset())
                        && next_base.is_none_or(|next| header.last_offset() < next) =>
                {
                    header
                }
                Ok(header) => {
                    let what = format!("offset {} follows offset {expected}", header.base_offset);
                    self.torn(at, segment, position, expected, flushed, &what, recovery)?;
                    return Ok(None);
                }
                Err(BadBatch::Disk(error)) => return Err(error.into()),
                Err(BadBatch::Bytes(what)) => {
                    self.torn(at, segment, position, expected, flushed, &what, recovery)?;
                    return Ok(None);
                }
            };
            segment.note(disk, &self.dir, &header, position, interval)?;
            if !flushed {
                self.epochs.assign(header.leader_epoch, header.base_offset);
            }
            expected = header.next_offset();
            position += header.size as u64;
        }
        recovery.scanned_bytes += position;
        segment.flush_indexes(disk, &self.dir, at + 1 < self.segments.len())?;
        debug_assert_eq!(position, file_size, "{}", log_path.display());
        if let Some((Some(offsets), Some(times))) = as_found {
            (segment.offsets, segment.times) = (offsets, times);
        }
        self.segments[at] = segment;
        self.sync_indexes_of(base);
        Ok(Some(expected))
    }

    /// What a recovery that trusts indexes would go by (negative control).
    fn indexes_as_found(&self, base: Offset) -> Result<IndexesAsFound, LogError> {
        let len = |suffix: &str| -> Result<u64, LogError> {
            let file = path(&self.dir, base, suffix);
            let found = self.disk.read(&file).map_err(DiskError::on("read", &file))?;
            Ok(found.map_or(0, |bytes| bytes.len() as u64))
        };
        let offsets = Index::load(self.disk.as_ref(), &path(&self.dir, base, "index"), len("index")?)?;
        let times = Index::load(self.disk.as_ref(), &path(&self.dir, base, "timeindex"), len("timeindex")?)?;
        Ok((offsets, times))
    }

    #[expect(clippy::too_many_arguments, reason = "the state of the walk that found the damage")]
    fn torn(
        &mut self,
        at: usize,
        mut segment: Segment,
        position: u64,
        expected: Offset,
        flushed: bool,
        what: &str,
        recovery: &mut Recovery,
    ) -> Result<(), LogError> {
        if self.config.left_out.torn_tail_cut {
            self.segments[at] = segment;
            return Ok(());
        }
        if flushed || expected < self.recovery_point {
            return Err(corrupt(path(&self.dir, segment.base, "log"), position, what));
        }
        recovery.truncated_bytes += segment.size - position;
        // R20: what follows goes first, and for good. Were the cut made before, a crash in between would leave a hole.
        self.drop_segments_from(at + 1, recovery)?;
        self.cut(&mut segment, position)?;
        segment.flush_indexes(self.disk.as_ref(), &self.dir, false)?;
        let base = segment.base;
        self.segments[at] = segment;
        self.sync_indexes_of(base);
        Ok(())
    }

    /// The log's end: after the last batch of the active segment.
    fn find_end(&mut self) -> Result<(), LogError> {
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

    /// The producers' state: the newest sound snapshot, and the batches after it. Of segments that were rebuilt, which begin at
    /// `rebuilt_from`, snapshots and the index of aborted transactions may never have reached the disk: they are not trusted.
    fn load_producers(&mut self, files: &Files, rebuilt_from: Option<Offset>) -> Result<(), LogError> {
        let mut from = self.segments[0].base;
        let mut is_found = false;
        for (offset, suffix) in files.others.keys().rev() {
            let file = path(&self.dir, *offset, suffix);
            if suffix == "txnindex" && rebuilt_from.is_some_and(|rebuilt| *offset >= rebuilt) {
                self.remove(&file)?;
            }
            if suffix != "snapshot" {
                continue;
            }
            if *offset > self.log_end.min(rebuilt_from.unwrap_or(self.log_end)) {
                // It tells, or may tell, of batches that were cut off; others will have these offsets.
                self.remove(&file)?;
                continue;
            }
            if rebuilt_from.is_none() && (is_found || *offset < from) {
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
        if self.config.left_out.producer_replay {
            return Ok(());
        }
        if from < self.log_end { self.replay_producers(from, rebuilt_from.unwrap_or(self.log_end)) } else { Ok(()) }
    }

    fn replay_producers(&mut self, from: Offset, rebuilt_from: Offset) -> Result<(), LogError> {
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
                if let Some(entry) = aborted.filter(|_| self.segments[at].base >= rebuilt_from) {
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

    /// What the recovery point checkpoint may say at most while the log is cut at `offset`: the file system may lose the tail of a file
    /// that is being cut before it makes it shorter, and above this recovery takes that for a torn tail, as it should.
    #[must_use]
    pub fn recovery_point_for_cut(&self, offset: Offset) -> Offset {
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
        self.drop_segments_from(at + 1, &mut Recovery::default())?;
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

    /// Empties the log and begins again at `offset`.
    ///
    /// # Errors
    /// Disk errors.
    pub fn truncate_fully(&mut self, offset: Offset) -> Result<(), LogError> {
        self.cuts += 1;
        self.touched = true;
        self.note_cut(Offset::ZERO, 0)?;
        self.drop_segments_from(0, &mut Recovery::default())?;
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

    /// The newest epoch that was appended in, `NONE` in an empty log.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().unwrap_or(LeaderEpoch::NONE)
    }
}

fn as_log_error(error: ReadError, log: &Path) -> LogError {
    match error {
        ReadError::Disk(error) => error.into(),
        other => corrupt(log.to_owned(), 0, other),
    }
}

type IndexesAsFound = (Option<Index<OffsetEntry>>, Option<Index<TimeEntry>>);

/// The files of a partition's folder.
struct Files {
    logs: BTreeMap<Offset, u64>,
    others: BTreeMap<(Offset, String), u64>,
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Files, LogError> {
    let mut files = Files { logs: BTreeMap::new(), others: BTreeMap::new() };
    for entry in disk.list(dir).map_err(DiskError::on("list", dir))? {
        if LEFTOVERS.iter().any(|suffix| entry.name.ends_with(&format!(".{suffix}"))) {
            let file = dir.join(&entry.name);
            disk.remove_file(&file).map_err(DiskError::on("remove", &file))?;
            continue;
        }
        match offset_of_file(&entry.name) {
            Some((base, "log")) => {
                files.logs.insert(base, entry.len);
            }
            Some((base, suffix)) => {
                files.others.insert((base, suffix.to_owned()), entry.len);
            }
            None => {}
        }
    }
    Ok(files)
}

enum BadBatch {
    Disk(DiskError),
    Bytes(String),
}

/// Reads and checks the whole batch at `position` of a file of `size` bytes.
fn read_batch(
    segment: &mut Segment,
    disk: &dyn Disk,
    dir: &Path,
    position: u64,
    size: u64,
    buffer: &mut Vec<u8>,
) -> Result<BatchHeader, BadBatch> {
    let log = path(dir, segment.base, "log");
    let file = segment.file(disk, dir).map_err(BadBatch::Disk)?;
    let left = usize::try_from(size - position).unwrap_or(usize::MAX);
    let read = |buffer: &mut Vec<u8>, len: usize| {
        buffer.resize(len, 0);
        let got = file.read_at(buffer, position).map_err(|error| BadBatch::Disk(DiskError::on("read", &log)(error)))?;
        buffer.truncate(got);
        Ok(())
    };
    read(buffer, left.min(BATCH_OVERHEAD))?;
    let header = BatchHeader::parse(buffer).map_err(|error| BadBatch::Bytes(error.to_string()))?;
    if header.size > left {
        return Err(BadBatch::Bytes(format!("a batch of {} bytes is cut off after {left}", header.size)));
    }
    read(buffer, header.size)?;
    let (batch, _) = BatchView::parse(buffer).map_err(|error| BadBatch::Bytes(error.to_string()))?;
    batch.verify_crc().map_err(|error| BadBatch::Bytes(error.to_string()))?;
    if header.last_offset_delta < 0 {
        return Err(BadBatch::Bytes(format!("a last offset delta of {}", header.last_offset_delta)));
    }
    Ok(header)
}
