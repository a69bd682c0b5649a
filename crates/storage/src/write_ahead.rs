//! The write-ahead file of a log dir, `thalweg.wal`: when a round has many dirty segments, their new bytes are written here too and
//! one sync makes all of them durable. The segments are synced later, all at once, after which the space is used again.
//!
//! ```text
//! control   the same in two slots of 4 KiB, written one after the other: up to which generation everything is in the segments
//! area 0    blocks of one generation, one a round, each beginning at a multiple of 4 KiB
//! area 1    the same; one area takes rounds while the segments of the other's are synced
//! block     magic, generation, number in the area, length, CRC-32C of all of it; then records
//! record    kind, topic id, folder, segment's base offset, position, length, bytes
//! ```
//!
//! The first block of a generation also says how many blocks the one before has.
//!
//! Invariants: a durable byte of a log is in its segment, synced, or in a block of a generation that the control says is live; a block
//! is written only once those before it are durable, so only the last of an area can be torn; no sector that holds a durable byte is
//! written again before its generation is retired. It does not know batches or offsets but for a segment's name.
//!
//! It also keeps the log dir's first failed sync, for all who sync there: a sync after it, of the same file by another descriptor above
//! all, succeeds without the lost pages (R25), so what it says counts only while nothing has failed.

mod block;
mod live;
mod place;
mod replay;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use crate::ticket::{SyncTicket, WriteAheadKey};
use base::{Offset, SeededRng};
use block::{Control, SLOTS_AT, put_bytes, put_cut, put_follows, seal};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use replay::{PASSED_BY_FILE, Replayed, replay};

/// The file's name at the top of a log dir. Kafka looks at folders and at its own files only.
pub const WRITE_AHEAD_FILE: &str = "thalweg.wal";

/// Bytes of an area. A node that dies has at most two of them to read again.
const AREA_BYTES: u64 = 64 << 20;
/// Blocks and control slots begin at multiples of this, so that no page with durable bytes is written again.
const ALIGN: u64 = 4_096;
/// Where the first area begins.
const AREAS_AT: u64 = 2 * ALIGN;
/// The file grows in steps, zeros ahead of the blocks: a write that does not change its length needs no journal commit.
const GROW_BYTES: u64 = 1 << 20;
/// What stays free in an area for cuts.
const RESERVE_BYTES: u64 = 16 * ALIGN;
/// A round's buffer that is larger is given back.
const BUFFER_KEPT_BYTES: usize = 4 << 20;
/// Up to so many segments are synced one by one.
const FILES_MAX: usize = 8;

/// The write-ahead file in use. Rounds come from the log dir's committer; retiring may run beside them.
#[derive(Debug)]
pub struct WriteAhead {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    area_bytes: u64,
    inner: Mutex<Inner>,
    /// Held while segments are synced: one at a time.
    retiring: Mutex<()>,
    /// Held while a round syncs, until its error is noted.
    rounds: Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    file: Option<Arc<dyn DiskFile>>,
    /// How far the file was written at all.
    grown_to: u64,
    control: Control,
    active: Area,
    /// The area whose segments are being synced.
    retired: Option<Area>,
    buffer: Vec<u8>,
    /// The error after which nothing is taken or synced any more.
    failed: Option<DiskError>,
}

/// One half of the file, and what is in it.
#[derive(Debug)]
struct Area {
    index: u64,
    generation: u64,
    /// Blocks that the generation before has.
    follows: u64,
    /// Blocks written so far.
    blocks: u64,
    /// Where the next one goes, from the area's start.
    end: u64,
    /// Segments that have bytes here and not, for sure, at their place on disk.
    segments: BTreeSet<(Arc<str>, Offset)>,
}

impl Area {
    fn new(index: u64, generation: u64) -> Self {
        Self { index, generation, follows: 0, blocks: 0, end: 0, segments: BTreeSet::new() }
    }

    /// The other one, for the next generation.
    fn next(&self) -> Self {
        Self { follows: self.blocks, ..Self::new(1 - self.index, self.generation + 1) }
    }

    /// An empty block in a used buffer.
    fn begin_block(&self, buffer: Vec<u8>) -> Vec<u8> {
        let mut buffer = block::begin(buffer);
        if self.blocks == 0 && self.follows > 0 {
            put_follows(&mut buffer, self.follows);
        }
        buffer
    }

    fn holds(&self, folder: &str) -> bool {
        self.segments.iter().any(|(known, _)| &**known == folder)
    }
}

impl WriteAhead {
    /// The write-ahead file of the log dir `root`, which has none yet: an old one must have been replayed. Generations begin at a
    /// number drawn by `rng`, so that no producer can write bytes that look like a block.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, root: &Path, rng: &mut SeededRng) -> Self {
        Self::with_area_bytes(disk, root, rng, AREA_BYTES)
    }

    /// As [`WriteAhead::new`], with areas of another size.
    #[must_use]
    pub fn with_area_bytes(disk: Arc<dyn Disk>, root: &Path, rng: &mut SeededRng, area_bytes: u64) -> Self {
        let live_from = rng.next_u64() >> 1;
        let inner = Inner {
            file: None,
            grown_to: 0,
            control: Control { sequence: 0, live_from, area_bytes },
            active: Area::new(0, live_from),
            retired: None,
            buffer: Vec::new(),
            failed: None,
        };
        Self {
            disk,
            root: root.to_owned(),
            area_bytes,
            inner: Mutex::new(inner),
            retiring: Mutex::new(()),
            rounds: Mutex::new(()),
        }
    }

    /// A poisoned lock only says that a thread has panicked; what it left is refused by its log dir's error.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> PathBuf {
        self.root.join(WRITE_AHEAD_FILE)
    }

    /// Does `work` unless an error came before, which is never tried again (R25).
    fn unless_failed<T>(&self, work: impl FnOnce(&Self, &mut Inner) -> Result<T, DiskError>) -> Result<T, DiskError> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        let done = work(self, &mut inner);
        if let Err(error) = &done {
            inner.failed = Some(error.clone());
        }
        done
    }

    /// A sync in the log dir has failed: nothing is taken or synced here any more.
    pub fn fail(&self, error: &DiskError) {
        self.lock().failed.get_or_insert_with(|| error.clone());
    }

    /// Whether every sync so far has succeeded.
    ///
    /// # Errors
    /// The first that has not.
    pub fn check(&self) -> Result<(), DiskError> {
        self.lock().failed.clone().map_or(Ok(()), Err)
    }

    /// As [`WriteAhead::check`], once the round that syncs at the moment has said what came of it: who has synced beside it asks so whether
    /// the sync was true.
    ///
    /// # Errors
    /// As [`WriteAhead::check`].
    pub fn settle(&self) -> Result<(), DiskError> {
        drop(self.rounds.lock().unwrap_or_else(PoisonError::into_inner));
        self.check()
    }

    /// Does `sync`, the syncs of a round, unless one has failed before. An error is kept, and one that came elsewhere meanwhile is its, too.
    ///
    /// # Errors
    /// That of `sync`, and as [`WriteAhead::check`].
    pub fn in_round<T>(&self, sync: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        let _under_way = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        let done = sync();
        if let Err(error) = &done {
            self.fail(error);
        }
        self.check()?;
        done
    }

    /// Bytes of a round that fit for sure once an area is empty.
    #[must_use]
    pub fn round_bytes_max(&self) -> u64 {
        self.area_bytes / 4
    }

    /// Makes the written bytes of `tickets` durable with one sync. False when there is no room: the caller must sync the segments.
    ///
    /// # Errors
    /// Disk errors; they must not be retried (R25).
    pub fn append(&self, tickets: &[&SyncTicket]) -> Result<bool, DiskError> {
        self.unless_failed(|this, inner| this.append_to(inner, tickets))
    }

    fn append_to(&self, inner: &mut Inner, tickets: &[&SyncTicket]) -> Result<bool, DiskError> {
        let mut buffer = inner.active.begin_block(std::mem::take(&mut inner.buffer));
        let size: u64 = tickets.iter().flat_map(|ticket| &ticket.writes).map(|write| write.to - write.from).sum();
        if inner.active.end + size + RESERVE_BYTES > self.area_bytes {
            inner.buffer = buffer;
            return Ok(false);
        }
        for ticket in tickets {
            let Some(key) = &ticket.key else { continue };
            for write in &ticket.writes {
                if let Some(file) = write.file(self.disk.as_ref(), &self.root, Some(key))? {
                    let put = put_bytes(&mut buffer, key, write, file.as_ref());
                    put.map_err(DiskError::on("read a segment in", &self.root))?;
                }
            }
        }
        if self.block_bytes(buffer.len()) + inner.active.end + RESERVE_BYTES > self.area_bytes {
            inner.buffer = buffer;
            return Ok(false);
        }
        self.write_block(inner, &mut buffer)?;
        for ticket in tickets {
            let Some(key) = &ticket.key else { continue };
            let segments = ticket.writes.iter().map(|write| (Arc::clone(&key.folder), write.base));
            inner.active.segments.extend(segments);
        }
        buffer.clear();
        if buffer.capacity() <= BUFFER_KEPT_BYTES {
            inner.buffer = buffer;
        }
        Ok(true)
    }

    fn block_bytes(&self, len: usize) -> u64 {
        (len as u64).next_multiple_of(ALIGN)
    }

    fn write_block(&self, inner: &mut Inner, buffer: &mut Vec<u8>) -> Result<(), DiskError> {
        let path = self.path();
        let file = self.file(inner)?;
        seal(buffer, inner.active.generation, inner.active.blocks);
        let len = self.block_bytes(buffer.len());
        let position = AREAS_AT + inner.active.index * self.area_bytes + inner.active.end;
        let area_end = AREAS_AT + (inner.active.index + 1) * self.area_bytes;
        let mut padded = len;
        if position + len > inner.grown_to {
            padded = (position + len).next_multiple_of(GROW_BYTES).min(area_end) - position;
            inner.grown_to = position + padded;
        }
        let data = buffer.len();
        buffer.resize(usize::try_from(padded).unwrap_or(data), 0);
        file.write_all_at(&[buffer], position).map_err(DiskError::on("write", &path))?;
        file.sync_data().map_err(DiskError::on("sync", &path))?;
        inner.active.end += len;
        inner.active.blocks += 1;
        Ok(())
    }

    fn file(&self, inner: &mut Inner) -> Result<Arc<dyn DiskFile>, DiskError> {
        if let Some(file) = &inner.file {
            return Ok(Arc::clone(file));
        }
        let path = self.path();
        let file = self.disk.open(&path, OpenMode::Truncate).map_err(DiskError::on("create", &path))?;
        // The sizes of the areas must be known before a block counts.
        inner.control.sequence += 1;
        let slot = inner.control.slot();
        for at in SLOTS_AT {
            file.write_all_at(&[&slot], at).map_err(DiskError::on("write", &path))?;
        }
        file.sync_data().map_err(DiskError::on("sync", &path))?;
        self.disk.sync_dir(&self.root).map_err(DiskError::on("sync", &self.root))?;
        inner.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Notes that a log is cut: nothing of it from `position` of the segment at `base` on may come back from this file. To be called
    /// before and after the cut itself: before, since new segments may take the old ones' names; after, since a round may have read the
    /// bytes in between.
    ///
    /// # Errors
    /// Disk errors.
    pub fn cut(&self, key: &WriteAheadKey, base: Offset, position: u64) -> Result<(), DiskError> {
        self.unless_failed(|this, inner| this.cut_in(inner, key, base, position))
    }

    fn cut_in(&self, inner: &mut Inner, key: &WriteAheadKey, base: Offset, position: u64) -> Result<(), DiskError> {
        let is_known = inner.active.holds(&key.folder) || inner.retired.as_ref().is_some_and(|a| a.holds(&key.folder));
        if !is_known {
            return Ok(());
        }
        let mut buffer = inner.active.begin_block(Vec::new());
        put_cut(&mut buffer, key, base, position);
        if inner.active.end + self.block_bytes(buffer.len()) > self.area_bytes {
            // Only a storm of cuts comes here.
            return self.retire_all(inner);
        }
        self.write_block(inner, &mut buffer)
    }

    /// Whether so much was written that retiring should begin, for rounds to go on finding room.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.lock().active.end >= self.area_bytes / 2
    }

    /// For a negative control: what the area held counts as synced.
    #[cfg(test)]
    fn forget_segments(&self) {
        self.lock().active.segments.clear();
    }

    /// Whether nothing is here that is not in the segments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.active.blocks == 0 && inner.retired.is_none()
    }

    /// Syncs the segments that have bytes here and gives their space back. Rounds go on meanwhile, in the other area. False when there
    /// was nothing to do.
    ///
    /// # Errors
    /// Disk errors; they must not be retried (R25).
    pub fn retire(&self) -> Result<bool, DiskError> {
        let _one_at_a_time = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.unless_failed(|_, inner| {
            if inner.active.blocks == 0 {
                return Ok(None);
            }
            let next = inner.active.next();
            let full = std::mem::replace(&mut inner.active, next);
            let found = (full.generation, full.segments.clone());
            inner.retired = Some(full);
            Ok(Some(found))
        })?;
        let Some((generation, segments)) = begun else { return Ok(false) };
        let synced = self.sync_segments(&segments).and_then(|()| self.settle());
        self.unless_failed(|this, inner| {
            synced?;
            // A cut may have retired everything meanwhile.
            if inner.retired.as_ref().is_some_and(|area| area.generation == generation) {
                this.write_control(inner, generation + 1)?;
                inner.retired = None;
            }
            Ok(true)
        })
    }

    fn retire_all(&self, inner: &mut Inner) -> Result<(), DiskError> {
        self.disk.sync_filesystem(&self.root).map_err(DiskError::on("sync the file system of", &self.root))?;
        let generation = inner.active.generation + 1;
        self.write_control(inner, generation)?;
        inner.active = inner.active.next();
        inner.retired = None;
        Ok(())
    }

    fn sync_segments(&self, segments: &BTreeSet<(Arc<str>, Offset)>) -> Result<(), DiskError> {
        if segments.len() > FILES_MAX {
            return self.disk.sync_filesystem(&self.root).map_err(DiskError::on("sync the file system of", &self.root));
        }
        for (folder, base) in segments {
            let path = crate::file_names::path(&self.root.join(&**folder), *base, "log");
            match self.disk.open(&path, OpenMode::Read) {
                Ok(file) => file.sync_data().map_err(DiskError::on("sync", &path))?,
                // Deleted meanwhile: nobody misses its bytes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(DiskError::on("open", &path)(error)),
            }
        }
        Ok(())
    }

    fn write_control(&self, inner: &mut Inner, live_from: u64) -> Result<(), DiskError> {
        let path = self.path();
        let file = self.file(inner)?;
        inner.control.sequence += 1;
        inner.control.live_from = live_from;
        let slot = inner.control.slot();
        // One after the other: a power cut tears one of them, and a flipped bit afterwards costs nothing.
        for at in SLOTS_AT {
            file.write_all_at(&[&slot], at).map_err(DiskError::on("write", &path))?;
            file.sync_data().map_err(DiskError::on("sync", &path))?;
        }
        Ok(())
    }

    /// Removes the file after everything was synced at its place: a clean stop.
    ///
    /// # Errors
    /// Disk errors.
    pub fn remove(&self) -> Result<(), DiskError> {
        self.unless_failed(|this, inner| {
            inner.file = None;
            remove(this.disk.as_ref(), &this.root)?;
            let live_from = inner.active.generation + 1;
            inner.grown_to = 0;
            inner.control = Control { sequence: 0, live_from, area_bytes: this.area_bytes };
            inner.active = Area::new(0, live_from);
            inner.retired = None;
            Ok(())
        })
    }
}

/// Removes a log dir's write-ahead file, if it has one; true when it had.
pub(crate) fn remove(disk: &dyn Disk, root: &Path) -> Result<bool, DiskError> {
    let path = root.join(WRITE_AHEAD_FILE);
    match disk.remove_file(&path) {
        Ok(()) => {
            disk.sync_dir(root).map_err(DiskError::on("sync", root))?;
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DiskError::on("remove", &path)(error)),
    }
}

#[cfg(test)]
mod tests;
