//! The sparse indexes beside a segment: offset to position, timestamp to offset, and the aborted transactions.
//!
//! New entries gather in memory and are written in order, a page at a time; old ones are looked up by reading, never by mapping:
//! a mapped sparse file costs milliseconds and megabytes. The page that was looked up last stays in memory, so that a reader who
//! goes on where it was costs no system call. There is no checksum, as in Kafka: a doubtful index is rebuilt.

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use base::{Offset, ProducerId, Timestamp};
use std::path::{Path, PathBuf};

/// Entries that gather in memory before they are written, and that are read at once: one page of offset entries.
const TAIL_MAX: usize = 512;
/// Bytes of the largest page, of time entries.
const PAGE_BYTES_MAX: usize = TAIL_MAX * 12;

/// An entry of a sparse index.
pub(crate) trait IndexEntry: Copy {
    /// Bytes of an entry.
    const SIZE: usize;
    /// What entries are ordered and looked up by.
    fn key(self) -> i64;
    fn put(self, out: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}

/// An entry of an `.index` file: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of a batch, from the segment's base.
    pub relative_offset: i32,
    /// Where the batch begins in the `.log` file.
    pub position: i32,
}

/// An entry of a `.timeindex` file: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Largest timestamp of the segment so far.
    pub timestamp: Timestamp,
    /// Last offset of the batch that has it, from the segment's base.
    pub relative_offset: i32,
}

/// An entry of a `.txnindex` file: 34 bytes; one aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnEntry {
    /// The transaction's producer.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset when it was aborted.
    pub last_stable_offset: Offset,
}

impl IndexEntry for OffsetEntry {
    const SIZE: usize = 8;
    fn key(self) -> i64 {
        i64::from(self.relative_offset)
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }
    fn get(bytes: &[u8]) -> Self {
        let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        OffsetEntry { relative_offset: int(0), position: int(4) }
    }
}

impl IndexEntry for TimeEntry {
    const SIZE: usize = 12;
    fn key(self) -> i64 {
        self.timestamp.0
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.0.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }
    fn get(bytes: &[u8]) -> Self {
        TimeEntry {
            timestamp: Timestamp(i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))),
            relative_offset: i32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")),
        }
    }
}

impl TxnEntry {
    /// Bytes of an entry.
    pub const SIZE: usize = 34;

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0]);
        for number in [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// The entries of a file's bytes; a cut last entry is left out.
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = TxnEntry> {
        bytes.chunks_exact(Self::SIZE).map(|entry| {
            let number = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
            TxnEntry {
                producer_id: ProducerId(number(2)),
                first_offset: Offset(number(10)),
                last_offset: Offset(number(18)),
                last_stable_offset: Offset(number(26)),
            }
        })
    }
}

impl OffsetEntry {
    /// Bytes of an entry in its file.
    pub const BYTES: usize = <Self as IndexEntry>::SIZE;

    /// The entries of a file's bytes, without the zeros that a file allocated ahead ends in.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Vec<OffsetEntry> {
        ascending(bytes.chunks_exact(Self::SIZE).map(Self::get))
    }
}

impl TimeEntry {
    /// Bytes of an entry in its file.
    pub const BYTES: usize = <Self as IndexEntry>::SIZE;

    /// The entries of a file's bytes, without the zeros that a file allocated ahead ends in.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Vec<TimeEntry> {
        ascending(bytes.chunks_exact(Self::SIZE).map(Self::get))
    }
}

fn ascending<E: IndexEntry>(entries: impl Iterator<Item = E>) -> Vec<E> {
    let mut kept: Vec<E> = Vec::new();
    for entry in entries {
        if kept.last().is_some_and(|last| entry.key() <= last.key()) {
            break;
        }
        kept.push(entry);
    }
    kept
}

fn shorter() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the index is shorter than it was")
}

/// One sparse index: what is on disk and what still gathers.
#[derive(Clone, Debug)]
pub(crate) struct Index<E> {
    on_disk: usize,
    tail: Vec<E>,
    last: Option<E>,
    /// Where the last look-up on disk ended. Apart, since most logs at rest have none.
    page: Option<Box<Page<E>>>,
}

/// Entries as they are on disk, from the one at `from` on.
#[derive(Clone, Debug)]
struct Page<E> {
    from: usize,
    entries: Vec<E>,
}

/// What a page says of the last entry for which something holds.
enum InPage<E> {
    /// It is this one.
    Found(E),
    /// It comes before the page, and there may be none.
    Before,
    /// It is the page's last or comes after it.
    After,
}

impl<E: IndexEntry> Index<E> {
    /// An index without entries.
    pub(crate) fn empty() -> Self {
        Self { on_disk: 0, tail: Vec::new(), last: None, page: None }
    }

    /// The index in a file of `len` bytes; its last entry is read. `None` when the file cannot be trusted.
    pub(crate) fn load(disk: &dyn Disk, path: &Path, len: u64) -> Result<Option<Self>, DiskError> {
        let on_disk = usize::try_from(len).unwrap_or(usize::MAX) / E::SIZE;
        if !len.is_multiple_of(E::SIZE as u64) {
            return Ok(None);
        }
        let mut index = Self { on_disk, ..Self::empty() };
        if on_disk > 0 {
            index.last = Some(index.read_entry(disk, path, on_disk - 1)?);
        }
        // A file that was allocated ahead and never trimmed ends in zeros.
        let trusted = index.last.is_none_or(|last| last.key() > 0 || on_disk == 1);
        Ok(trusted.then_some(index))
    }

    /// The first entries of a file of `len` bytes, as long as `holds` holds and there are entries, of which those that hold come first. The
    /// zeros that a file allocated ahead ends in are none.
    pub(crate) fn load_while(
        disk: &dyn Disk,
        path: &Path,
        len: u64,
        holds: impl Fn(E) -> bool,
    ) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::Read).map_err(DiskError::on("open", path))?;
        let (mut low, mut high) = (0, usize::try_from(len).unwrap_or(usize::MAX) / E::SIZE);
        let mut index = Self::empty();
        while low < high {
            let middle = usize::midpoint(low, high);
            let entry = Self::read_entry_of(file.as_ref(), path, middle)?;
            if holds(entry) && (middle == 0 || entry.key() > 0) {
                low = middle + 1;
                index.last = Some(entry);
            } else {
                high = middle;
            }
        }
        index.on_disk = low;
        Ok(index)
    }

    /// Cuts the file, which has `len` bytes, after the entries that were loaded.
    pub(crate) fn cut_file(&self, disk: &dyn Disk, path: &Path, len: u64) -> Result<(), DiskError> {
        let kept = (self.on_disk * E::SIZE) as u64;
        if kept == len {
            return Ok(());
        }
        let file = disk.open(path, OpenMode::Write).map_err(DiskError::on("open", path))?;
        file.set_len(kept).map_err(DiskError::on("cut", path))
    }

    fn read_entry(&self, disk: &dyn Disk, path: &Path, at: usize) -> Result<E, DiskError> {
        let file = disk.open(path, OpenMode::Read).map_err(DiskError::on("open", path))?;
        Self::read_entry_of(file.as_ref(), path, at)
    }

    fn read_entry_of(file: &dyn DiskFile, path: &Path, at: usize) -> Result<E, DiskError> {
        let mut bytes = [0_u8; 16];
        let read = file.read_at(&mut bytes[..E::SIZE], (at * E::SIZE) as u64).map_err(DiskError::on("read", path))?;
        if read < E::SIZE {
            return Err(DiskError::on("read", path)(shorter()));
        }
        Ok(E::get(&bytes))
    }

    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Bytes of the index, written or not.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.on_disk + self.tail.len()) * E::SIZE) as u64
    }

    /// Adds an entry when it is beyond the last.
    pub(crate) fn append(
        &mut self,
        disk: &dyn Disk,
        path: impl FnOnce() -> PathBuf,
        entry: E,
    ) -> Result<(), DiskError> {
        if self.last.is_some_and(|last| entry.key() <= last.key()) {
            return Ok(());
        }
        self.tail.push(entry);
        self.last = Some(entry);
        if self.tail.len() >= TAIL_MAX { self.flush(disk, &path()) } else { Ok(()) }
    }

    /// Writes what gathers. The file is not synced: after a crash the index is rebuilt.
    pub(crate) fn flush(&mut self, disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.tail.len() * E::SIZE);
        self.tail.iter().for_each(|entry| entry.put(&mut bytes));
        let file = disk.open(path, OpenMode::Write).map_err(DiskError::on("open", path))?;
        file.write_all_at(&[&bytes], (self.on_disk * E::SIZE) as u64).map_err(DiskError::on("write", path))?;
        self.on_disk += self.tail.len();
        self.tail = Vec::new();
        Ok(())
    }

    /// The last entry whose key is at most `key`.
    pub(crate) fn floor(
        &mut self,
        disk: &dyn Disk,
        path: impl FnOnce() -> PathBuf,
        key: i64,
    ) -> Result<Option<E>, DiskError> {
        self.floor_by(disk, path, |entry| entry.key() <= key)
    }

    /// The last entry of those at the beginning for which `holds` holds.
    pub(crate) fn floor_by(
        &mut self,
        disk: &dyn Disk,
        path: impl FnOnce() -> PathBuf,
        holds: impl Fn(E) -> bool,
    ) -> Result<Option<E>, DiskError> {
        let in_tail = self.tail.partition_point(|entry| holds(*entry));
        if in_tail > 0 {
            return Ok(Some(self.tail[in_tail - 1]));
        }
        if let Some(last) = self.last
            && self.tail.is_empty()
            && holds(last)
        {
            return Ok(Some(last));
        }
        if self.on_disk == 0 {
            return Ok(None);
        }
        match self.in_page(&holds) {
            InPage::Found(entry) => return Ok(Some(entry)),
            InPage::Before if self.page.as_ref().is_some_and(|page| page.from == 0) => return Ok(None),
            InPage::Before | InPage::After => {}
        }
        let path = &path();
        let file = disk.open(path, OpenMode::Read).map_err(DiskError::on("open", path))?;
        // Most look-ups that leave the page go on to the next one.
        if let (InPage::After, Some(page)) = (self.in_page(&holds), &self.page) {
            let next = page.from + page.entries.len() - 1;
            self.load_page(file.as_ref(), path, next)?;
            if let InPage::Found(entry) = self.in_page(&holds) {
                return Ok(Some(entry));
            }
        }
        let (mut low, mut high) = (0, self.on_disk.div_ceil(TAIL_MAX));
        while low < high {
            let middle = usize::midpoint(low, high);
            if holds(Self::read_entry_of(file.as_ref(), path, middle * TAIL_MAX)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entries = self.load_page(file.as_ref(), path, low.saturating_sub(1) * TAIL_MAX)?;
        let found = entries.partition_point(|entry| holds(*entry));
        Ok(found.checked_sub(1).map(|at| entries[at]))
    }

    /// The last entry before `key` and the one after it, when what is in memory tells.
    pub(crate) fn known_around(&self, key: i64) -> Option<(E, E)> {
        let page = self.page.as_deref().map_or(&[][..], |page| &page.entries);
        [self.tail.as_slice(), page].into_iter().find_map(|entries| {
            let at = entries.partition_point(|entry| entry.key() < key);
            Some((*entries.get(at.checked_sub(1)?)?, *entries.get(at)?))
        })
    }

    fn in_page(&self, holds: &impl Fn(E) -> bool) -> InPage<E> {
        let Some(page) = &self.page else { return InPage::Before };
        let Page { from, entries } = page.as_ref();
        let found = entries.partition_point(|entry| holds(*entry));
        match found.checked_sub(1) {
            None => InPage::Before,
            Some(at) if found < entries.len() || from + found == self.on_disk => InPage::Found(entries[at]),
            Some(_) => InPage::After,
        }
    }

    fn load_page(&mut self, file: &dyn DiskFile, path: &Path, from: usize) -> Result<&[E], DiskError> {
        let mut bytes = [0_u8; PAGE_BYTES_MAX];
        let want = &mut bytes[..(self.on_disk - from).min(TAIL_MAX) * E::SIZE];
        let read = file.read_at(want, (from * E::SIZE) as u64).map_err(DiskError::on("read", path))?;
        if read < want.len() {
            return Err(DiskError::on("read", path)(shorter()));
        }
        let page = self.page.get_or_insert_with(|| Box::new(Page { from, entries: Vec::new() }));
        page.from = from;
        page.entries.clear();
        page.entries.extend(want.chunks_exact(E::SIZE).map(E::get));
        Ok(&page.entries)
    }

    /// Lets the page of the last look-up go.
    pub(crate) fn release(&mut self) {
        self.page = None;
    }

    /// Drops the entries for which `beyond` holds, from the end.
    pub(crate) fn truncate(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        beyond: impl Fn(E) -> bool,
    ) -> Result<(), DiskError> {
        self.release();
        while self.tail.last().is_some_and(|entry| beyond(*entry)) {
            self.tail.pop();
        }
        let kept = self.on_disk;
        while self.tail.is_empty() && self.on_disk > 0 && beyond(self.read_entry(disk, path, self.on_disk - 1)?) {
            self.on_disk -= 1;
        }
        if self.on_disk < kept {
            let file = disk.open(path, OpenMode::Write).map_err(DiskError::on("open", path))?;
            file.set_len((self.on_disk * E::SIZE) as u64).map_err(DiskError::on("cut", path))?;
        }
        self.last = match self.tail.last() {
            Some(entry) => Some(*entry),
            None if self.on_disk > 0 => Some(self.read_entry(disk, path, self.on_disk - 1)?),
            None => None,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
