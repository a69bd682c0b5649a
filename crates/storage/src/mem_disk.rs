//! A disk in memory that can fail, tear and crash, for tests and simulation. One seed gives one outcome.

use crate::disk::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};
use base::SeededRng;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files and folders in memory. A crash keeps what was synced, and a seeded choice of what was not.
#[derive(Clone, Debug)]
pub struct FaultyMemDisk {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    rng: SeededRng,
    /// What a running process sees.
    files: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    dirs: BTreeSet<PathBuf>,
    /// Names that a crash leaves: those of folders that were synced.
    durable: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    locked: BTreeSet<PathBuf>,
    /// Operations left until every write and sync fails; `None` for never.
    fails_after: Option<u64>,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    /// The bytes at the last sync.
    synced: Vec<u8>,
}

#[derive(Debug)]
struct MemFile {
    inode: Arc<Mutex<Inode>>,
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

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl Shared {
    /// Counts a write or sync; an error once the disk has failed.
    fn touch(&mut self) -> io::Result<()> {
        match &mut self.fails_after {
            Some(0) => Err(io::Error::other("the disk has failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl FaultyMemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            rng: SeededRng::new(seed),
            files: BTreeMap::new(),
            dirs: BTreeSet::from([PathBuf::from("/")]),
            durable: BTreeMap::new(),
            locked: BTreeSet::new(),
            fails_after: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Lets `operations` more writes and syncs succeed, and none after; `None` heals the disk.
    pub fn fail_after(&self, operations: Option<u64>) {
        hold(&self.shared).fails_after = operations;
    }

    /// The disk as it is found after a power cut: synced names with their synced bytes, and of bytes written since the sync a
    /// random, possibly torn, beginning.
    #[must_use]
    pub fn crash(&self) -> FaultyMemDisk {
        let mut old = hold(&self.shared);
        let after = FaultyMemDisk::new(old.rng.next_u64());
        {
            let mut new = hold(&after.shared);
            new.dirs = old.dirs.clone();
            let survivors: Vec<_> = old.durable.iter().map(|(path, inode)| (path.clone(), Arc::clone(inode))).collect();
            for (path, inode) in survivors {
                let inode = hold(&inode);
                let mut bytes = inode.synced.clone();
                if inode.bytes.starts_with(&inode.synced) {
                    let unsynced = inode.bytes.len() - inode.synced.len();
                    let kept = old.rng.below(unsynced as u64 + 1) as usize;
                    bytes.extend_from_slice(&inode.bytes[inode.synced.len()..inode.synced.len() + kept]);
                }
                let inode = Arc::new(Mutex::new(Inode { synced: bytes.clone(), bytes }));
                new.durable.insert(path.clone(), Arc::clone(&inode));
                new.files.insert(path, inode);
            }
        }
        after
    }

    /// Replaces a file's bytes behind everyone's back, as a failing disk would.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) {
        let shared = hold(&self.shared);
        let inode = shared.files.get(path).unwrap_or_else(|| panic!("{} does not exist", path.display()));
        let mut inode = hold(inode);
        inode.bytes = bytes.to_vec();
        inode.synced = bytes.to_vec();
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let inode = hold(&self.inode);
        let from = usize::try_from(position).map_err(io::Error::other)?.min(inode.bytes.len());
        let len = buf.len().min(inode.bytes.len() - from);
        buf[..len].copy_from_slice(&inode.bytes[from..from + len]);
        Ok(len)
    }

    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        hold(&self.shared).touch()?;
        let mut inode = hold(&self.inode);
        let mut at = usize::try_from(position).map_err(io::Error::other)?;
        for buf in bufs {
            if inode.bytes.len() < at + buf.len() {
                inode.bytes.resize(at + buf.len(), 0);
            }
            inode.bytes[at..at + buf.len()].copy_from_slice(buf);
            at += buf.len();
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        hold(&self.shared).touch()?;
        let mut inode = hold(&self.inode);
        inode.synced = inode.bytes.clone();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        hold(&self.shared).touch()?;
        hold(&self.inode).bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(hold(&self.inode).bytes.len() as u64)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Disk for FaultyMemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut shared = hold(&self.shared);
        let inode = match shared.files.get(path) {
            Some(inode) => Arc::clone(inode),
            None if mode == OpenMode::Read => return Err(missing(path)),
            None => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                if !shared.dirs.contains(folder) {
                    return Err(missing(folder));
                }
                shared.touch()?;
                let inode = Arc::new(Mutex::new(Inode::default()));
                shared.files.insert(path.to_owned(), Arc::clone(&inode));
                inode
            }
        };
        if mode == OpenMode::Truncate {
            hold(&inode).bytes.clear();
        }
        Ok(Arc::new(MemFile { inode, shared: Arc::clone(&self.shared) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        for folder in path.ancestors() {
            shared.dirs.insert(folder.to_owned());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let shared = hold(&self.shared);
        if !shared.dirs.contains(path) {
            return Err(missing(path));
        }
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let dirs = shared.dirs.iter().filter(|dir| dir.parent() == Some(path));
        let mut entries: Vec<_> = dirs.map(|dir| Entry { name: name(dir), is_dir: true, len: 0 }).collect();
        for (file, inode) in shared.files.iter().filter(|(file, _)| file.parent() == Some(path)) {
            entries.push(Entry { name: name(file), is_dir: false, len: hold(inode).bytes.len() as u64 });
        }
        entries.sort();
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        if let Some(inode) = shared.files.remove(from) {
            shared.files.insert(to.to_owned(), inode);
            return Ok(());
        }
        if !shared.dirs.contains(from) {
            return Err(missing(from));
        }
        let moved = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        shared.dirs = shared.dirs.iter().map(|dir| moved(dir).unwrap_or_else(|| dir.clone())).collect();
        shared.files =
            std::mem::take(&mut shared.files).into_iter().map(|(p, i)| (moved(&p).unwrap_or(p), i)).collect();
        // A folder's rename is durable with its parent; the files in it were synced under the old name.
        shared.durable =
            std::mem::take(&mut shared.durable).into_iter().map(|(p, i)| (moved(&p).unwrap_or(p), i)).collect();
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.files.remove(path).map(drop).ok_or_else(|| missing(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.files.retain(|file, _| !file.starts_with(path));
        shared.durable.retain(|file, _| !file.starts_with(path));
        shared.dirs.retain(|dir| !dir.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        shared.durable.retain(|file, _| file.parent() != Some(path));
        let synced: Vec<_> = shared
            .files
            .iter()
            .filter(|(file, _)| file.parent() == Some(path))
            .map(|(p, i)| (p.clone(), Arc::clone(i)))
            .collect();
        shared.durable.extend(synced);
        Ok(())
    }

    fn sync_filesystem(&self, _path: &Path) -> io::Result<()> {
        let mut shared = hold(&self.shared);
        shared.touch()?;
        for inode in shared.files.values() {
            let mut inode = hold(inode);
            inode.synced = inode.bytes.clone();
        }
        shared.durable = shared.files.clone();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space { total_bytes: 1 << 40, usable_bytes: 1 << 39 })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut shared = hold(&self.shared);
        if !shared.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemLock { path: path.to_owned(), shared: Arc::clone(&self.shared) })))
    }
}
