//! A disk in memory that can fail, tear and crash, for tests and simulation. One seed gives one outcome.
//!
//! A file has durable bytes and an ordered list of what was done since its last sync; a folder likewise has names. A power cut keeps
//! what was synced and any part of the rest: torn and reordered writes, lengths that have grown over zeros, names that are lost.
//! Faults can be put in at a chosen operation: errors of reads, writes and syncs, a full disk, flipped bits, and the power cut itself.

mod file;
mod names;

use crate::disk::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};
use base::{SeededRng, Timestamp};
use file::File;
use names::{Names, Node, missing};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The room of a disk that is not limited.
const ROOM: u64 = 1 << 39;

/// Files and folders in memory.
#[derive(Clone, Debug)]
pub struct FaultyMemDisk {
    shared: Arc<Mutex<Shared>>,
}

/// A fault that strikes one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// A sync fails as on ext4: what it was to write is taken for written, and the next sync succeeds (fsyncgate).
    Sync,
    /// A write fails with nothing written.
    Write,
    /// A write fails after a part of it.
    ShortWrite,
    /// A read fails.
    Read,
}

#[derive(Debug)]
struct Shared {
    rng: SeededRng,
    files: Vec<File>,
    names: Names,
    locked: BTreeSet<PathBuf>,
    /// Operations left until every write and sync fails; `None` for never.
    fails_after: Option<u64>,
    /// What strikes once this many more operations of its kind were done.
    faults: Vec<(DiskFault, u64)>,
    /// How many faults have struck.
    struck: u64,
    /// Writes, syncs and changes of names so far.
    operations: u64,
    /// Reads so far.
    reads: u64,
    /// Before which of them the power is cut.
    cut_at: Option<u64>,
    /// The disk that the cut left.
    cut: Option<FaultyMemDisk>,
    /// Bytes by which files may still grow.
    room: u64,
    /// What the clock says when a file is written to.
    now: Timestamp,
}

#[derive(Debug)]
struct MemFile {
    number: usize,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct MemLock {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

impl DiskLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        hold(&self.shared).locked.remove(&self.path);
    }
}

/// A poisoned lock only says that a test has failed already.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn eio(what: &str) -> io::Error {
    io::Error::other(format!("{what}: input/output error"))
}

impl Shared {
    fn new(seed: u64) -> Shared {
        Shared {
            rng: SeededRng::new(seed),
            files: Vec::new(),
            names: Names::new(),
            locked: BTreeSet::new(),
            fails_after: None,
            faults: Vec::new(),
            struck: 0,
            operations: 0,
            reads: 0,
            cut_at: None,
            cut: None,
            room: ROOM,
            now: Timestamp::default(),
        }
    }

    /// Counts a write or sync; an error once the disk has failed.
    fn touch(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.operations) {
            self.cut = Some(self.after_power_cut());
        }
        self.operations += 1;
        match &mut self.fails_after {
            Some(0) => Err(io::Error::other("the disk has failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether one of `kinds` strikes this operation, which is of all of them.
    fn strikes(&mut self, kinds: &[DiskFault]) -> Option<DiskFault> {
        let mut struck = None;
        self.faults.retain_mut(|(kind, left)| {
            if !kinds.contains(kind) {
                return true;
            }
            if *left == 0 && struck.is_none() {
                struck = Some(*kind);
                return false;
            }
            *left = left.saturating_sub(1);
            true
        });
        self.struck += u64::from(struck.is_some());
        struck
    }

    fn after_power_cut(&mut self) -> FaultyMemDisk {
        let mut after = Shared::new(self.rng.next_u64());
        let sector = if self.rng.below(2) == 0 { 512 } else { 4_096 };
        let (files, kept) = (&self.files, &mut after.files);
        after.names = self.names.after_power_cut(&mut self.rng, &mut |rng, number| {
            kept.push(File::synced_with(files[number].after_power_cut(rng, sector), files[number].modified));
            kept.len() - 1
        });
        FaultyMemDisk { shared: Arc::new(Mutex::new(after)) }
    }

    fn write(&mut self, number: usize, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        self.touch()?;
        let at = usize::try_from(position).map_err(io::Error::other)?;
        let bytes = bufs.concat();
        let fault = self.strikes(&[DiskFault::Write, DiskFault::ShortWrite]);
        let grows = ((at + bytes.len()) as u64).saturating_sub(self.files[number].live.len() as u64);
        let is_full = grows > self.room;
        let written = match fault {
            Some(DiskFault::Write) => 0,
            Some(_) => self.rng.below(bytes.len() as u64 + 1) as usize,
            None if is_full => bytes.len() - usize::try_from(grows - self.room).unwrap_or(0).min(bytes.len()),
            None => bytes.len(),
        };
        if written > 0 {
            self.files[number].write(at, &bytes[..written]);
            self.files[number].modified = self.now;
        }
        self.room -= grows.min(self.room);
        self.struck += u64::from(is_full && fault.is_none());
        match fault {
            Some(_) => Err(eio("write")),
            None if is_full => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device")),
            None => Ok(()),
        }
    }

    fn sync(&mut self, number: usize) -> io::Result<()> {
        self.touch()?;
        if self.strikes(&[DiskFault::Sync]).is_some() {
            let Shared { files, rng, .. } = self;
            files[number].fail_sync(rng);
            return Err(eio("sync"));
        }
        self.files[number].sync();
        Ok(())
    }
}

impl FaultyMemDisk {
    /// How many hold it: clones of it, and open files.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared::new(seed))) }
    }

    /// Lets `operations` more writes and syncs succeed, and none after; `None` heals the disk.
    pub fn fail_after(&self, operations: Option<u64>) {
        hold(&self.shared).fails_after = operations;
    }

    /// Lets `fault` strike once, after `operations` more operations that it could strike.
    pub fn inject(&self, fault: DiskFault, operations: u64) {
        hold(&self.shared).faults.push((fault, operations));
    }

    /// Takes back the faults that have not struck.
    pub fn clear_faults(&self) {
        hold(&self.shared).faults.clear();
    }

    /// How many faults have struck so far.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        hold(&self.shared).struck
    }

    /// Lets files grow by `bytes` and no more; `None` for as much as they like.
    pub fn limit_room(&self, bytes: Option<u64>) {
        hold(&self.shared).room = bytes.unwrap_or(ROOM);
    }

    /// Sets the clock that files which are written to from now on are marked with.
    pub fn set_time(&self, now: Timestamp) {
        hold(&self.shared).now = now;
    }

    /// Cuts the power before the operation after `operations` more; whoever uses this disk does not notice, and
    /// [`FaultyMemDisk::take_cut`] gives what the cut left.
    pub fn cut_power_after(&self, operations: u64) {
        let mut shared = hold(&self.shared);
        shared.cut_at = Some(shared.operations + operations);
    }

    /// The disk that the cut left, once it has happened.
    #[must_use]
    pub fn take_cut(&self) -> Option<FaultyMemDisk> {
        hold(&self.shared).cut.take()
    }

    /// Writes, syncs and changes of names so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        hold(&self.shared).operations
    }

    /// Reads so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        hold(&self.shared).reads
    }

    /// The disk as it is found after a power cut now: synced names with their synced bytes, and any part of what was not synced.
    #[must_use]
    pub fn crash(&self) -> FaultyMemDisk {
        hold(&self.shared).after_power_cut()
    }

    /// Replaces a file's bytes behind everyone's back, as a failing disk would.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) {
        let mut shared = hold(&self.shared);
        let Some(Node::File(number)) = shared.names.get(path) else { panic!("{} does not exist", path.display()) };
        shared.files[number] = File::synced_with(bytes.to_vec(), shared.now);
    }

    /// Flips a bit of a file, in memory and on the platter.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn flip_bit(&self, path: &Path, at: usize, bit: u32) {
        let mut shared = hold(&self.shared);
        let Some(Node::File(number)) = shared.names.get(path) else { panic!("{} does not exist", path.display()) };
        shared.files[number].flip(at, bit);
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut shared = hold(&self.shared);
        if shared.strikes(&[DiskFault::Read]).is_some() {
            return Err(eio("read"));
        }
        shared.reads += 1;
        let live = &shared.files[self.number].live;
        let from = usize::try_from(position).map_err(io::Error::other)?.min(live.len());
        let len = buf.len().min(live.len() - from);
        buf[..len].copy_from_slice(&live[from..from + len]);
        Ok(len)
    }

    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        hold(&self.shared).write(self.number, bufs, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        hold(&self.shared).sync(self.number)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        let Shared { files, now, .. } = &mut *shared;
        files[self.number].set_len(usize::try_from(len).map_err(io::Error::other)?);
        files[self.number].modified = *now;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(hold(&self.shared).files[self.number].live.len() as u64)
    }

    fn drop_cache(&self) -> io::Result<()> {
        hold(&self.shared).files[self.number].drop_cache();
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Disk for FaultyMemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut shared = hold(&self.shared);
        let number = match shared.names.get(path) {
            Some(Node::File(number)) => number,
            Some(Node::Dir(_)) => return Err(io::Error::other(format!("{} is a folder", path.display()))),
            None if matches!(mode, OpenMode::Read | OpenMode::Existing) => return Err(missing(path)),
            None => {
                shared.names.has_folder_of(path)?;
                shared.touch()?;
                let number = shared.files.len();
                shared.files.push(File::default());
                shared.names.put(path, Node::File(number))?;
                number
            }
        };
        if mode == OpenMode::Truncate && !shared.files[number].live.is_empty() {
            shared.files[number].set_len(0);
        }
        Ok(Arc::new(MemFile { number, shared: Arc::clone(&self.shared) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.names.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let shared = hold(&self.shared);
        let entry = |(name, node): (&String, &Node)| match node {
            Node::Dir(_) => Entry { name: name.clone(), is_dir: true, len: 0 },
            Node::File(number) => {
                Entry { name: name.clone(), is_dir: false, len: shared.files[*number].live.len() as u64 }
            }
        };
        Ok(shared.names.list(path)?.iter().map(entry).collect())
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        let shared = hold(&self.shared);
        match shared.names.get(path) {
            Some(Node::File(number)) => Ok(shared.files[number].modified),
            Some(Node::Dir(_)) => Err(io::Error::other(format!("{} is a folder", path.display()))),
            None => Err(missing(path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.names.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.names.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.names.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.names.sync(path)
    }

    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        let fails = shared.strikes(&[DiskFault::Sync]).is_some();
        let Shared { files, rng, names, .. } = &mut *shared;
        if fails {
            // Of this folder alone: the system would tell whoever syncs a file of another one, too, and this disk tells of an error once.
            names.files_below(path)?.into_iter().for_each(|number| files[number].fail_sync(rng));
            return Err(eio("syncfs"));
        }
        files.iter_mut().for_each(File::sync);
        names.sync_all();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space { total_bytes: ROOM * 2, usable_bytes: hold(&self.shared).room })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut shared = hold(&self.shared);
        if !shared.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemLock { path: path.to_owned(), shared: Arc::clone(&self.shared) })))
    }
}

#[cfg(test)]
mod tests;
