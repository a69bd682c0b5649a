//! The sparse indexes beside a segment: offset to position, timestamp to offset, and the aborted transactions.
//!
//! New entries gather in memory and are written in order, a page at a time; old ones are looked up by reading, never by mapping:
//! a mapped sparse file costs milliseconds and megabytes. There is no checksum, as in Kafka: a doubtful index is rebuilt.

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use base::{Offset, ProducerId, Timestamp};
use std::path::Path;

/// Entries that gather in memory before they are written: one page of offset entries.
const TAIL_MAX: usize = 512;

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
    /// The entries of a file's bytes, without the zeros that a file allocated ahead ends in.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Vec<OffsetEntry> {
        ascending(bytes.chunks_exact(Self::SIZE).map(Self::get))
    }
}

impl TimeEntry {
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

/// One sparse index: what is on disk and what still gathers.
#[derive(Clone, Debug)]
pub(crate) struct Index<E> {
    on_disk: usize,
    tail: Vec<E>,
    last: Option<E>,
}

impl<E: IndexEntry> Index<E> {
    /// An index without entries.
    pub(crate) fn empty() -> Self {
        Self { on_disk: 0, tail: Vec::new(), last: None }
    }

    /// The index in a file of `len` bytes; its last entry is read. `None` when the file cannot be trusted.
    pub(crate) fn load(disk: &dyn Disk, path: &Path, len: u64) -> Result<Option<Self>, DiskError> {
        let on_disk = usize::try_from(len).unwrap_or(usize::MAX) / E::SIZE;
        if !len.is_multiple_of(E::SIZE as u64) {
            return Ok(None);
        }
        let mut index = Self { on_disk, tail: Vec::new(), last: None };
        if on_disk > 0 {
            index.last = Some(index.read_entry(disk, path, on_disk - 1)?);
        }
        // A file that was allocated ahead and never trimmed ends in zeros.
        let trusted = index.last.is_none_or(|last| last.key() > 0 || on_disk == 1);
        Ok(trusted.then_some(index))
    }

    fn read_entry(&self, disk: &dyn Disk, path: &Path, at: usize) -> Result<E, DiskError> {
        let file = disk.open(path, OpenMode::Read).map_err(DiskError::on("open", path))?;
        Self::read_entry_of(file.as_ref(), path, at)
    }

    fn read_entry_of(file: &dyn DiskFile, path: &Path, at: usize) -> Result<E, DiskError> {
        let mut bytes = [0_u8; 16];
        let read = file.read_at(&mut bytes[..E::SIZE], (at * E::SIZE) as u64).map_err(DiskError::on("read", path))?;
        if read < E::SIZE {
            let cut = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the index is shorter than it was");
            return Err(DiskError::on("read", path)(cut));
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
    pub(crate) fn append(&mut self, disk: &dyn Disk, path: &Path, entry: E) -> Result<(), DiskError> {
        if self.last.is_some_and(|last| entry.key() <= last.key()) {
            return Ok(());
        }
        self.tail.push(entry);
        self.last = Some(entry);
        if self.tail.len() >= TAIL_MAX { self.flush(disk, path) } else { Ok(()) }
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
    pub(crate) fn floor(&self, disk: &dyn Disk, path: &Path, key: i64) -> Result<Option<E>, DiskError> {
        self.floor_by(disk, path, |entry| entry.key() <= key)
    }

    /// The last entry of those at the beginning for which `holds` holds.
    pub(crate) fn floor_by(
        &self,
        disk: &dyn Disk,
        path: &Path,
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
        let file = disk.open(path, OpenMode::Read).map_err(DiskError::on("open", path))?;
        let (mut low, mut high) = (0, self.on_disk);
        let mut best = None;
        while low < high {
            let middle = usize::midpoint(low, high);
            let entry = Self::read_entry_of(file.as_ref(), path, middle)?;
            if holds(entry) {
                best = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(best)
    }

    /// Drops the entries for which `beyond` holds, from the end.
    pub(crate) fn truncate(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        beyond: impl Fn(E) -> bool,
    ) -> Result<(), DiskError> {
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
