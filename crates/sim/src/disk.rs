//! A disk that leaves out what it was asked for, for negative controls: a node on it must be found out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};

/// What the disk pretends to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Files are not synced.
    Sync,
    /// The names in folders are not.
    SyncDir,
}

/// A disk that lies.
#[derive(Debug)]
pub(crate) struct LyingDisk {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) lie: Lie,
}

#[derive(Debug)]
struct LyingFile(Arc<dyn DiskFile>);

impl DiskFile for LyingFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        self.0.write_all_at(bufs, position)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.0.drop_cache()
    }
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.fd()
    }
}

impl Disk for LyingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        Ok(if self.lie == Lie::Sync { Arc::new(LyingFile(file)) } else { file })
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::SyncDir { Ok(()) } else { self.disk.sync_dir(path) }
    }
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::Sync { Ok(()) } else { self.disk.sync_filesystem(path) }
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }
}
