//! One segment: a `.log` file and its indexes.
//!
//! The file is opened when first needed and may be let go while idle, so that a resting partition holds no descriptor; or be closed under
//! the segment when too many are open.

use crate::disk::{Disk, DiskFile, OpenFile, OpenMode};
use crate::error::{DiskError, ReadError};
use crate::file_names::path;
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::ticket::UnsyncedWrite;
use base::{Offset, Timestamp};
use record::{BATCH_OVERHEAD, BatchError, BatchHeader};
use std::path::Path;
use std::sync::Arc;

/// Bytes read at a time while looking for a batch.
const SCAN: usize = 4 * 1024;
/// Entries of an index that are at least this far apart stand for a batch each, as long as the interval was not set larger.
const LARGE: u64 = 4 * SCAN as u64;

/// Bytes at the end of the log that count as recent.
const RECENT_BYTES: u64 = 4 << 20;

/// A batch's place in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// Bytes of whole batches in the `.log` file.
    pub(crate) size: u64,
    pub(crate) offsets: Index<OffsetEntry>,
    pub(crate) times: Index<TimeEntry>,
    bytes_since_index: u64,
    /// Largest timestamp and the last offset of its batch; not known yet for a segment that was only listed.
    max_timestamp: Option<(Timestamp, Offset)>,
    /// Max timestamp of the first batch, which the age of the segment counts from.
    first_timestamp: Option<Timestamp>,
    /// Where that is none: when the first batch was appended that this process knows of; `NONE` before.
    begun: Timestamp,
    file: Option<Arc<OpenFile>>,
    /// Where the first batch begins that was appended since the segment was opened.
    appended_from: Option<u64>,
    /// Where the bytes begin that no ticket was made for yet.
    dirty_from: Option<u64>,
    /// Whether bytes were written since the last flush.
    pub(crate) is_unflushed: bool,
    /// Whether there may be a `.txnindex` file: most logs know of no transaction, and no fetch need look.
    pub(crate) has_aborted: bool,
}

impl Segment {
    /// A new, empty segment; its files are made at once, so that Kafka finds them.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Segment, DiskError> {
        let log = path(dir, base, "log");
        let (_, file) = disk.open_segment(&log, OpenMode::Truncate).map_err(DiskError::on("create", &log))?;
        for suffix in ["index", "timeindex"] {
            let index = path(dir, base, suffix);
            disk.open(&index, OpenMode::Truncate).map_err(DiskError::on("create", &index))?;
        }
        Ok(Segment { file: Some(file), max_timestamp: Some((Timestamp::NONE, base)), ..Segment::listed(base, 0) })
    }

    /// A segment that a listing showed, with empty indexes.
    pub(crate) fn listed(base: Offset, size: u64) -> Segment {
        Segment {
            base,
            size,
            offsets: Index::empty(),
            times: Index::empty(),
            bytes_since_index: 0,
            max_timestamp: None,
            first_timestamp: None,
            begun: Timestamp::NONE,
            file: None,
            appended_from: None,
            dirty_from: None,
            is_unflushed: false,
            has_aborted: false,
        }
    }

    pub(crate) fn file(&mut self, disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        if let Some(file) = self.file.as_ref().and_then(|file| file.get()) {
            return Ok(file);
        }
        let log = path(dir, self.base, "log");
        // Never made here: in the folder of an older topic of the name stands another log by now (R30).
        let (file, open) = disk.open_segment(&log, OpenMode::Existing).map_err(DiskError::on("open", &log))?;
        self.file = Some(open);
        Ok(file)
    }

    /// Lets the file and what is kept of the indexes go; they are read again when needed.
    pub(crate) fn release(&mut self) {
        self.offsets.release();
        self.times.release();
        if self.dirty_from.is_none()
            && let Some(file) = self.file.take()
        {
            file.close();
        }
    }

    /// The bytes that no ticket was made for yet. The ticket holds no descriptor of its own: a round may be of ten thousand logs. With
    /// `keeps` it does, for those who cannot open the file again.
    pub(crate) fn take_dirty(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        keeps: bool,
    ) -> Result<Option<UnsyncedWrite>, DiskError> {
        let Some(from) = self.dirty_from.take().filter(|from| *from < self.size) else { return Ok(None) };
        let file = match &self.file {
            Some(open) if !keeps => Arc::clone(open),
            _ => OpenFile::kept(self.file(disk, dir)?),
        };
        Ok(Some(UnsyncedWrite { file, base: self.base, from, to: self.size }))
    }

    /// Writes a batch behind the last.
    pub(crate) fn append(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        bytes: &[&[u8]],
        header: &BatchHeader,
        index_interval: u64,
    ) -> Result<(), DiskError> {
        let file = self.file(disk, dir)?;
        self.know_max_timestamp(disk, dir)?;
        // Dirty first: a write that fails midway has written something.
        self.dirty_from.get_or_insert(self.size);
        self.is_unflushed = true;
        self.appended_from.get_or_insert(self.size);
        file.write_all_at(bytes, self.size).map_err(DiskError::at("append to", || path(dir, self.base, "log")))?;
        self.note(disk, dir, header, self.size, index_interval)?;
        self.size += header.size as u64;
        Ok(())
    }

    /// When the segment's first append of this process was: `now`, if it is this one.
    pub(crate) fn begun_by(&mut self, now: Timestamp) -> Timestamp {
        if self.begun == Timestamp::NONE {
            self.begun = now;
        }
        self.begun
    }

    /// From where on the bytes are so new that they are still in memory; the active segment's last MiBs at most.
    pub(crate) fn recent_from(&self, is_active: bool) -> u64 {
        let appended = self.appended_from.filter(|_| is_active).unwrap_or(u64::MAX);
        appended.max(self.size.saturating_sub(RECENT_BYTES))
    }

    /// Notes a batch at `position` in the indexes, as Kafka does: an entry once more than the interval has gone by.
    pub(crate) fn note(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        header: &BatchHeader,
        position: u64,
        index_interval: u64,
    ) -> Result<(), DiskError> {
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let (max, _) = self.max_timestamp.unwrap_or((Timestamp::NONE, self.base));
        if header.max_timestamp > max {
            self.max_timestamp = Some((header.max_timestamp, header.last_offset()));
        }
        if self.bytes_since_index > index_interval {
            let relative_offset = self.relative(header.last_offset());
            let position = i32::try_from(position).expect("a segment is smaller than 2 GiB");
            let entry = OffsetEntry { relative_offset, position };
            self.offsets.append(disk, || path(dir, self.base, "index"), entry)?;
            self.note_time(disk, dir)?;
            self.bytes_since_index = 0;
        }
        self.bytes_since_index += header.size as u64;
        Ok(())
    }

    fn note_time(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let Some((timestamp, offset)) = self.max_timestamp else { return Ok(()) };
        if timestamp.0 < 0 {
            return Ok(());
        }
        let entry = TimeEntry { timestamp, relative_offset: self.relative(offset) };
        self.times.append(disk, || path(dir, self.base, "timeindex"), entry)
    }

    /// Writes both indexes; `last` adds the closing time entry that a rolled or closed segment has.
    pub(crate) fn flush_indexes(&mut self, disk: &dyn Disk, dir: &Path, last: bool) -> Result<(), DiskError> {
        if last {
            self.note_time(disk, dir)?;
        }
        self.offsets.flush(disk, &path(dir, self.base, "index"))?;
        self.times.flush(disk, &path(dir, self.base, "timeindex"))
    }

    /// The offset that an index entry means.
    pub(crate) fn at(&self, relative: i32) -> Offset {
        Offset(self.base.0.saturating_add(relative.into()))
    }

    fn relative(&self, offset: Offset) -> i32 {
        i32::try_from(offset.0 - self.base.0).expect("a segment rolls before its offsets pass 32 bits")
    }

    /// Whether `offset` can still be written relative to the base.
    pub(crate) fn can_hold(&self, offset: Offset) -> bool {
        offset.0.checked_sub(self.base.0).is_some_and(|relative| (0..=i64::from(i32::MAX)).contains(&relative))
    }

    /// Reads the header at `position`; `None` at the end.
    fn header_at(&mut self, disk: &dyn Disk, dir: &Path, position: u64) -> Result<Option<BatchHeader>, ReadError> {
        if position >= self.size {
            return Ok(None);
        }
        let mut raw = [0_u8; BATCH_OVERHEAD];
        let file = self.file(disk, dir)?;
        let read = file.read_at(&mut raw, position).map_err(DiskError::at("read", || path(dir, self.base, "log")))?;
        Ok(Some(self.whole(position, BatchHeader::parse(&raw[..read])?)?))
    }

    /// The header, if its batch ends within the segment: nobody has to make room for what is not there.
    fn whole(&self, position: u64, header: BatchHeader) -> Result<BatchHeader, ReadError> {
        let left = self.size - position;
        if header.size as u64 <= left {
            return Ok(header);
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Err(BatchError::Truncated { needed: header.size, left }.into())
    }

    /// The first batch from `from` on for which `wanted` holds.
    pub(crate) fn scan(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        from: u64,
        mut wanted: impl FnMut(&BatchHeader) -> bool,
    ) -> Result<Option<Located>, ReadError> {
        let mut position = from;
        let mut window = [0_u8; SCAN];
        let (mut start, mut len) = (position, 0_usize);
        loop {
            if position >= self.size {
                return Ok(None);
            }
            let inside = usize::try_from(position - start).unwrap_or(usize::MAX);
            if inside.saturating_add(BATCH_OVERHEAD) > len {
                let want = usize::try_from(self.size - position).unwrap_or(SCAN).min(SCAN);
                let file = self.file(disk, dir)?;
                let read = file.read_at(&mut window[..want], position);
                len = read.map_err(DiskError::at("read", || path(dir, self.base, "log")))?;
                start = position;
            }
            let inside = usize::try_from(position - start).unwrap_or(usize::MAX);
            let header = self.whole(position, BatchHeader::parse(&window[inside..len])?)?;
            // Readers check the checksum of what they get; a header that ends too early would keep the batch from them.
            let offsets = header.last_offset().0 - header.base_offset.0 + 1;
            if offsets < i64::from(header.record_count) {
                return Err(ReadError::Corrupt(BatchError::Record { index: 0, what: "more records than offsets" }));
            }
            if wanted(&header) {
                return Ok(Some(Located { position, header }));
            }
            position += header.size as u64;
        }
    }

    /// The batch that holds `offset`, or the first one after it.
    pub(crate) fn locate(&mut self, disk: &dyn Disk, dir: &Path, offset: Offset) -> Result<Option<Located>, ReadError> {
        if let Some(found) = self.locate_large(disk, dir, offset)? {
            return Ok(Some(found));
        }
        self.search(disk, dir, offset, |header| header.last_offset() >= offset)
    }

    /// The batch that holds `offset`, where entries lie so far apart that each stands for one batch: the one before need not be read. The
    /// index is believed when it names that very batch.
    fn locate_large(&mut self, disk: &dyn Disk, dir: &Path, offset: Offset) -> Result<Option<Located>, ReadError> {
        let Some((before, entry)) = self.offsets.known_around(offset.0 - self.base.0) else { return Ok(None) };
        let (Ok(from), Ok(position)) = (u64::try_from(before.position), u64::try_from(entry.position)) else {
            return Ok(None);
        };
        if position.saturating_sub(from) < LARGE {
            return Ok(None);
        }
        let last = Offset(self.base.0 + i64::from(entry.relative_offset));
        match self.scan(disk, dir, position, |_| true) {
            Ok(found) => {
                Ok(found.filter(|batch| batch.header.base_offset <= offset && batch.header.last_offset() == last))
            }
            Err(ReadError::Disk(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// The first batch for which `wanted` holds, none of which lies before the one with `offset`. An index has no checksum: it is
    /// believed where a batch begins that does not lie after `offset`, else the segment is scanned from its start. A reader that
    /// believed it blindly would skip records.
    fn search(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        offset: Offset,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<Located>, ReadError> {
        let from = self.position_before(disk, dir, offset)?;
        let mut first = None;
        let found = self.scan(disk, dir, from, |header| {
            let begins = *first.get_or_insert(header.base_offset);
            begins > offset || wanted(header)
        });
        match found {
            Err(ReadError::Disk(error)) => Err(error.into()),
            Ok(found) if from == 0 || first.is_some_and(|begins| begins <= offset) => Ok(found),
            Err(error) if from == 0 => Err(error),
            _ => self.scan(disk, dir, 0, wanted),
        }
    }

    /// Where the first batch begins whose base offset is at least `offset`; the segment's size when there is none.
    pub(crate) fn end_before(&mut self, disk: &dyn Disk, dir: &Path, offset: Offset) -> Result<u64, ReadError> {
        let found = self.search(disk, dir, offset, |header| header.base_offset >= offset)?;
        Ok(found.map_or(self.size, |found| found.position))
    }

    fn position_before(&mut self, disk: &dyn Disk, dir: &Path, offset: Offset) -> Result<u64, DiskError> {
        let base = self.base;
        let entry = self.offsets.floor(disk, || path(dir, base, "index"), offset.0 - base.0)?;
        Ok(entry.map_or(0, |entry| u64::try_from(entry.position).unwrap_or(0)))
    }

    /// Where a batch begins that lies at most at `position`: the last one that the index tells, else the segment's start.
    pub(crate) fn batch_before(&mut self, disk: &dyn Disk, dir: &Path, position: u64) -> Result<u64, DiskError> {
        let begin = |entry: OffsetEntry| u64::try_from(entry.position).unwrap_or(0);
        let base = self.base;
        let entry = self.offsets.floor_by(disk, || path(dir, base, "index"), |entry| begin(entry) <= position)?;
        Ok(entry.map_or(0, begin))
    }

    /// What is noted of new batches goes on from what is known of the old ones, which nobody may have asked for yet.
    fn know_max_timestamp(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        match self.max_timestamp(disk, dir) {
            Ok(_) => Ok(()),
            Err(ReadError::Disk(error)) => Err(error),
            Err(other) => {
                Err(DiskError::at("read", || path(dir, self.base, "log"))(std::io::Error::other(other.to_string())))
            }
        }
    }

    /// The largest timestamp and the last offset of its batch; `NONE` in an empty segment.
    pub(crate) fn max_timestamp(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(Timestamp, Offset), ReadError> {
        if let Some(known) = self.max_timestamp {
            return Ok(known);
        }
        let mut max = self.times.last().map_or((Timestamp::NONE, self.base), |entry| {
            (entry.timestamp, Offset(self.base.0 + i64::from(entry.relative_offset)))
        });
        let from = self.offsets.last().map_or(0, |entry| u64::try_from(entry.position).unwrap_or(0));
        let mut position = from;
        while let Some(header) = self.header_at(disk, dir, position)? {
            if header.max_timestamp > max.0 {
                max = (header.max_timestamp, header.last_offset());
            }
            position += header.size as u64;
        }
        self.max_timestamp = Some(max);
        Ok(max)
    }

    /// The time that a segment's age counts from: its largest timestamp, or when it was last written to, where its records have none.
    pub(crate) fn newest(&mut self, disk: &dyn Disk, dir: &Path) -> Result<Timestamp, ReadError> {
        let (newest, _) = self.max_timestamp(disk, dir)?;
        if newest.0 >= 0 {
            return Ok(newest);
        }
        let log = path(dir, self.base, "log");
        Ok(disk.modified(&log).map_err(DiskError::on("look at", &log))?)
    }

    /// The max timestamp of the first batch; `None` in an empty segment.
    pub(crate) fn first_timestamp(&mut self, disk: &dyn Disk, dir: &Path) -> Result<Option<Timestamp>, ReadError> {
        if self.first_timestamp.is_none() {
            self.first_timestamp = self.header_at(disk, dir, 0)?.map(|header| header.max_timestamp);
        }
        Ok(self.first_timestamp)
    }

    /// The first batch whose max timestamp is at least `time`.
    pub(crate) fn locate_time(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        time: Timestamp,
    ) -> Result<Option<Located>, ReadError> {
        // Entries at most `time - 1` only say that everything up to them is older.
        let base = self.base;
        let entry = self.times.floor(disk, || path(dir, base, "timeindex"), time.0.saturating_sub(1))?;
        let mut position = 0;
        if let Some(entry) = entry {
            let offset = Offset(self.base.0 + i64::from(entry.relative_offset));
            // As with the other index: the batch that it names must be as it says.
            if let Some(batch) = self.locate(disk, dir, offset)?
                && batch.header.max_timestamp == entry.timestamp
            {
                position = batch.position;
            }
        }
        self.scan(disk, dir, position, |header| header.max_timestamp >= time)
    }

    /// Goes on as if everything up to `header`'s batch, which the last index entry names, had been noted here.
    pub(crate) fn go_on_after(&mut self, header: &BatchHeader, newest: (Timestamp, Offset)) {
        self.max_timestamp = Some(newest);
        self.bytes_since_index = header.size as u64;
    }

    /// Restores what appending needs after a clean start: where the index entries stopped.
    pub(crate) fn resume(&mut self) {
        let indexed = self.offsets.last().map_or(0, |entry| u64::try_from(entry.position).unwrap_or(0));
        self.bytes_since_index = self.size.saturating_sub(indexed);
    }

    /// Cuts the segment to `size` bytes, which end a batch, dropping what the indexes say of later ones.
    pub(crate) fn truncate(&mut self, disk: &dyn Disk, dir: &Path, size: u64) -> Result<(), DiskError> {
        let log = path(dir, self.base, "log");
        let file = self.file(disk, dir)?;
        file.set_len(size).map_err(DiskError::on("cut", &log))?;
        self.dirty_from = self.dirty_from.filter(|from| *from < size);
        self.is_unflushed = true;
        self.size = size;
        self.appended_from = self.appended_from.filter(|from| *from < size);
        let beyond = |entry: OffsetEntry| u64::try_from(entry.position).unwrap_or(0) >= size;
        self.offsets.truncate(disk, &path(dir, self.base, "index"), beyond)?;
        let last = self.offsets.last().map_or(-1, |entry| entry.relative_offset);
        self.times.truncate(disk, &path(dir, self.base, "timeindex"), |entry| entry.relative_offset > last)?;
        self.max_timestamp = None;
        self.first_timestamp = None;
        self.resume();
        Ok(())
    }
}
