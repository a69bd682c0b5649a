//! Recovery after a crash: what lies above the recovery point is walked batch by batch, indexes are written anew, and a torn tail is cut.
//!
//! Below the recovery point everything was synced, indexes and epochs too. So the walk begins at the last batch below it that the index
//! names, if index, epochs and batch agree, else at the start of the segment. What it leaves is, to the byte, what a walk from the start
//! would leave. It does not know how many logs are recovered at once, nor what time it is.

use super::files::Files;
use super::{Log, corrupt};
use crate::disk::OpenMode;
use crate::error::{DiskError, LogError, ReadError};
use crate::file_names::path;
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::segment::Segment;
use crate::sound::{BadBatch, Window};
use base::{Offset, Timestamp};
use record::BatchHeader;
use std::sync::Arc;

/// What opening a log had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes that were walked.
    pub scanned_bytes: u64,
    /// Bytes of a torn tail that were cut.
    pub truncated_bytes: u64,
    /// Segments that were walked, whose indexes were rebuilt above the recovery point.
    pub rebuilt_segments: usize,
}

/// Hears how far the recovery of a log is, from the thread that opens it.
pub trait RecoveryWatch: Sync {
    /// So many more segments, or fewer, are left to be walked.
    fn segments_left(&self, change: i64);
    /// So many more bytes were walked.
    fn walked(&self, bytes: u64);
}

/// Nobody wants to know.
impl RecoveryWatch for () {
    fn segments_left(&self, _change: i64) {}
    fn walked(&self, _bytes: u64) {}
}

/// What an opening has done so far, and who hears of it.
pub(super) struct Tally<'w> {
    pub(super) recovery: Recovery,
    watch: &'w dyn RecoveryWatch,
    /// Segments that the watch was told of and that are not walked yet.
    left: i64,
}

impl<'w> Tally<'w> {
    pub(super) fn new(watch: &'w dyn RecoveryWatch) -> Self {
        Self { recovery: Recovery::default(), watch, left: 0 }
    }

    fn found(&mut self, segments: usize) {
        let segments = i64::try_from(segments).unwrap_or(i64::MAX);
        self.left += segments;
        self.watch.segments_left(segments);
    }

    fn one_is_walked(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.watch.segments_left(-1);
        }
    }
}

impl Drop for Tally<'_> {
    /// Segments that were cut off, or that an error kept from being walked, are left no more.
    fn drop(&mut self) {
        self.watch.segments_left(-self.left);
    }
}

/// A segment on its way to be walked, with what a walk from its start would know at `position`.
struct Walk {
    segment: Segment,
    position: u64,
    /// The offset that the next batch has at least.
    expected: Offset,
}

type IndexesAsFound = (Option<Index<OffsetEntry>>, Option<Index<TimeEntry>>);

impl Log {
    /// Walks what lies above the recovery point, cutting the log at the first batch that is not whole and sound. Returns from which offset
    /// on producers' snapshots and aborted transactions are not to be trusted.
    pub(super) fn recover(&mut self, files: &Files, tally: &mut Tally<'_>) -> Result<Offset, LogError> {
        let from = self.segments.partition_point(|segment| segment.base < self.recovery_point).saturating_sub(1);
        tally.found(self.segments.len() - from);
        let mut walk = self.resume_walk(from, files)?;
        let base = self.segments[from].base;
        let (begins, untrusted) = walk.as_ref().map_or((base, base), |walk| (walk.expected, self.recovery_point));
        // What is walked says itself in which epochs it was appended; the file may tell of epochs that no record was kept of.
        self.epochs.truncate_end(begins);
        let mut at = from;
        while at < self.segments.len() {
            let begun = match walk.take() {
                Some(begun) => begun,
                None => self.begin_walk(at),
            };
            let Some(end) = self.walk(at, begun, false, tally)? else { break };
            at += 1;
            self.expect_synced(at, end)?;
            // A later segment may reach the disk before the bytes of an earlier one do. Only compaction leaves such a hole on purpose.
            if self.segments.get(at).is_some_and(|next| next.base > end && !self.may_lack_records_before(next.base)) {
                self.drop_segments_from(at, &mut tally.recovery.truncated_bytes)?;
            }
        }
        Ok(untrusted)
    }

    /// Whether compaction may have left a hole that ends at `next`.
    pub(super) fn may_lack_records_before(&self, next: Offset) -> bool {
        self.config.compact || next <= self.compacted_to
    }

    /// What was synced up to the recovery point must still be there: the segment before `next` was walked and ends at `end`.
    fn expect_synced(&self, next: usize, end: Offset) -> Result<(), LogError> {
        let next_base = self.segments.get(next).map(|segment| segment.base);
        let is_below =
            end < self.recovery_point && next_base.is_none_or(|base| end < base && !self.may_lack_records_before(base));
        if !is_below || self.config.left_out.torn_tail_cut {
            return Ok(());
        }
        let segment = &self.segments[next - 1];
        let what = format!(
            "it ends at offset {end}, and the log was synced up to {}: put the file back from a copy, or remove the partition's line from \
             recovery-point-offset-checkpoint to go on without what is missing",
            self.recovery_point
        );
        Err(corrupt(path(&self.dir, segment.base, "log"), segment.size, what))
    }

    /// A walk from the segment's start.
    fn begin_walk(&self, at: usize) -> Walk {
        let Segment { base, size, has_aborted, .. } = self.segments[at];
        let mut segment = Segment::listed(base, size);
        segment.has_aborted = has_aborted;
        Walk { segment, position: 0, expected: base }
    }

    /// A walk from the last batch below the recovery point that the index names; `None` when there is none, or the files do not agree on it,
    /// so that the segment has to be walked from its start.
    fn resume_walk(&mut self, at: usize, files: &Files) -> Result<Option<Walk>, LogError> {
        let Segment { base, size, has_aborted, .. } = self.segments[at];
        let below = self.recovery_point.0.saturating_sub(base.0);
        let len = |suffix: &str| files.others.get(&(base, suffix.to_owned())).copied();
        let (Some(offsets_len), Some(times_len)) = (len("index"), len("timeindex")) else { return Ok(None) };
        if below <= 0 || self.config.left_out.index_rebuild {
            return Ok(None);
        }
        let (index, time_index) = (path(&self.dir, base, "index"), path(&self.dir, base, "timeindex"));
        let disk = Arc::clone(&self.disk);
        let disk = disk.as_ref();
        let is_below = |entry: OffsetEntry| i64::from(entry.relative_offset) < below;
        let offsets = Index::load_while(disk, &index, offsets_len, is_below)?;
        let Some(entry) = offsets.last() else { return Ok(None) };
        let is_before = |time: TimeEntry| time.relative_offset <= entry.relative_offset;
        let times = Index::load_while(disk, &time_index, times_len, is_before)?;
        let mut segment = Segment::listed(base, size);
        (segment.offsets, segment.times, segment.has_aborted) = (offsets, times, has_aborted);
        let Some(header) = self.batch_of(&mut segment, entry)? else { return Ok(None) };
        if self.epochs.epoch_of(header.base_offset).is_none_or(|epoch| epoch != header.leader_epoch) {
            return Ok(None);
        }
        let newest = match segment.times.last() {
            Some(time) if self.is_of_a_batch(&mut segment, time, &header)? => {
                (time.timestamp, segment.at(time.relative_offset))
            }
            None if header.max_timestamp.0 < 0 => (Timestamp::NONE, base),
            _ => return Ok(None),
        };
        segment.offsets.cut_file(disk, &index, offsets_len)?;
        segment.times.cut_file(disk, &time_index, times_len)?;
        segment.release();
        segment.go_on_after(&header, newest);
        let position = u64::try_from(entry.position).unwrap_or(0) + header.size as u64;
        Ok(Some(Walk { segment, position, expected: header.next_offset() }))
    }

    /// The batch that an entry of the index names, if it is sound and the one that the entry means.
    fn batch_of(&self, segment: &mut Segment, entry: OffsetEntry) -> Result<Option<BatchHeader>, LogError> {
        let Some(position) = u64::try_from(entry.position).ok().filter(|position| *position < segment.size) else {
            return Ok(None);
        };
        let log_path = path(&self.dir, segment.base, "log");
        let (file, size) = (segment.file(self.disk.as_ref(), &self.dir)?, segment.size);
        match Window::default().batch(file.as_ref(), &log_path, position, size) {
            Ok(header) => {
                let is_meant =
                    header.base_offset >= segment.base && header.last_offset() == segment.at(entry.relative_offset);
                Ok(is_meant.then_some(header))
            }
            Err(BadBatch::Disk(error)) => Err(error.into()),
            Err(BadBatch::Bytes(_)) => Ok(None),
        }
    }

    /// Whether the last time entry tells of a batch that is there, and that none up to `header`'s is newer as far as is known.
    fn is_of_a_batch(&self, segment: &mut Segment, time: TimeEntry, header: &BatchHeader) -> Result<bool, LogError> {
        let offset = segment.at(time.relative_offset);
        match segment.locate(self.disk.as_ref(), &self.dir, offset) {
            Ok(Some(found)) => Ok(found.header.max_timestamp == time.timestamp
                && found.header.last_offset() == offset
                && header.max_timestamp <= time.timestamp),
            Ok(None) | Err(ReadError::Corrupt(_) | ReadError::OutOfRange { .. }) => Ok(false),
            Err(ReadError::Disk(error)) => Err(error.into()),
        }
    }

    /// Walks a segment that was flushed and whose indexes cannot be trusted, and writes them anew.
    pub(super) fn rebuild(&mut self, at: usize, tally: &mut Tally<'_>) -> Result<(), LogError> {
        let begun = self.begin_walk(at);
        self.walk(at, begun, true, tally).map(drop)
    }

    /// Walks a segment and writes what its indexes lack; returns where it ends. Damage at or above the recovery point cuts the log there
    /// (`None` is returned); damage below it is an error, and so is any in a segment that was `flushed`.
    fn walk(
        &mut self,
        at: usize,
        begun: Walk,
        flushed: bool,
        tally: &mut Tally<'_>,
    ) -> Result<Option<Offset>, LogError> {
        let Walk { mut segment, mut position, mut expected } = begun;
        tally.recovery.rebuilt_segments += 1;
        let (disk, interval) = (Arc::clone(&self.disk), self.config.index_interval_bytes);
        let disk = disk.as_ref();
        let (base, size, log_path) = (segment.base, segment.size, path(&self.dir, segment.base, "log"));
        let file = segment.file(disk, &self.dir)?;
        // After a sync that failed, what memory holds is not what a power cut would leave (R25).
        file.drop_cache().map_err(DiskError::on("drop from memory", &log_path))?;
        let as_found = if self.config.left_out.index_rebuild { Some(self.indexes_as_found(base)?) } else { None };
        if position == 0 {
            for suffix in ["index", "timeindex"] {
                let file = path(&self.dir, base, suffix);
                disk.open(&file, OpenMode::Truncate).map_err(DiskError::on("create", &file))?;
            }
        }
        let mut window = Window::default();
        while position < size {
            let header = match window.batch(file.as_ref(), &log_path, position, size) {
                Ok(header) => header,
                Err(BadBatch::Disk(error)) => return Err(error.into()),
                Err(BadBatch::Bytes(what)) => {
                    return self.torn(at, Walk { segment, position, expected }, flushed, &what, tally);
                }
            };
            // The checksum leaves the base offset out, so that damage to it is seen only here.
            if !self.can_follow(at, &segment, expected, &header) {
                let what = format!("offset {} follows offset {expected}", header.base_offset);
                return self.torn(at, Walk { segment, position, expected }, flushed, &what, tally);
            }
            segment.note(disk, &self.dir, &header, position, interval)?;
            if !flushed {
                self.epochs.assign(header.leader_epoch, header.base_offset);
            }
            expected = header.next_offset();
            position += header.size as u64;
            tally.recovery.scanned_bytes += header.size as u64;
            tally.watch.walked(header.size as u64);
        }
        segment.flush_indexes(disk, &self.dir, at + 1 < self.segments.len())?;
        debug_assert_eq!(position, size, "{}", log_path.display());
        if let Some((Some(offsets), Some(times))) = as_found {
            (segment.offsets, segment.times) = (offsets, times);
        }
        self.segments[at] = segment;
        self.sync_indexes_of(base);
        tally.one_is_walked();
        Ok(Some(expected))
    }

    fn can_follow(&self, at: usize, segment: &Segment, expected: Offset, header: &BatchHeader) -> bool {
        header.base_offset >= expected
            && segment.can_hold(header.last_offset())
            && self.segments.get(at + 1).is_none_or(|next| header.last_offset() < next.base)
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

    /// The walk has come upon damage.
    fn torn(
        &mut self,
        at: usize,
        walk: Walk,
        flushed: bool,
        what: &str,
        tally: &mut Tally<'_>,
    ) -> Result<Option<Offset>, LogError> {
        let Walk { mut segment, position, expected } = walk;
        if self.config.left_out.torn_tail_cut {
            self.segments[at] = segment;
            return Ok(None);
        }
        if flushed || expected < self.recovery_point {
            return Err(corrupt(path(&self.dir, segment.base, "log"), position, what));
        }
        tally.recovery.truncated_bytes += segment.size - position;
        // R20: what follows goes first, and for good. Were the cut made before, a crash in between would leave a hole.
        self.drop_segments_from(at + 1, &mut tally.recovery.truncated_bytes)?;
        self.cut(&mut segment, position)?;
        segment.flush_indexes(self.disk.as_ref(), &self.dir, false)?;
        let base = segment.base;
        self.segments[at] = segment;
        self.sync_indexes_of(base);
        Ok(None)
    }
}
