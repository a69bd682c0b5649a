//! Disks and files that stand over others: each says what it does otherwise, and the rest is its target's.
//!
//! What [`Disk`] makes out of other calls goes through the wrapper's own, too, so that nothing gets past what it does otherwise: a segment
//! is opened, and a file read whole or replaced, by the wrapper's `open`.

use super::{Disk, DiskFile, DiskLock, Entry, OpenFile, OpenMode, Space, kept_open};
use base::Timestamp;
use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// A [`Disk`] over another one: what a method does and which errors it has stands there.
pub trait DiskWrapper: Send + Sync + Debug {
    /// The disk below.
    fn target(&self) -> &dyn Disk;
    /// By default the target's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.target().open(path, mode)
    }
    /// By default a file of this disk's own `open`, which is kept.
    fn open_segment(&self, path: &Path, mode: OpenMode) -> io::Result<(Arc<dyn DiskFile>, Arc<OpenFile>)> {
        DiskWrapper::open(self, path, mode).map(kept_open)
    }
    /// By default the target's.
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.target().create_dir(path)
    }
    /// By default the target's.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.target().list(path)
    }
    /// By default the target's, so not by way of this disk's `list`.
    fn names(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        self.target().names(path)
    }
    /// By default the target's, so not by way of this disk's `open`.
    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.target().file_len(path)
    }
    /// By default the target's.
    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        self.target().modified(path)
    }
    /// By default the target's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.target().rename(from, to)
    }
    /// By default the target's.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.target().remove_file(path)
    }
    /// By default the target's.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.target().remove_dir_all(path)
    }
    /// By default the target's.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.target().sync_dir(path)
    }
    /// By default the target's.
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        self.target().sync_filesystem(path)
    }
    /// By default the target's.
    fn watch_filesystem(&self, path: &Path) -> io::Result<()> {
        self.target().watch_filesystem(path)
    }
    /// By default the target's.
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.target().space(path)
    }
    /// By default the target's.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.target().lock(path)
    }
}

impl<T: DiskWrapper> Disk for T {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        DiskWrapper::open(self, path, mode)
    }
    fn open_segment(&self, path: &Path, mode: OpenMode) -> io::Result<(Arc<dyn DiskFile>, Arc<OpenFile>)> {
        DiskWrapper::open_segment(self, path, mode)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::create_dir(self, path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        DiskWrapper::list(self, path)
    }
    fn names(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        DiskWrapper::names(self, path)
    }
    fn file_len(&self, path: &Path) -> io::Result<u64> {
        DiskWrapper::file_len(self, path)
    }
    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        DiskWrapper::modified(self, path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskWrapper::rename(self, from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::remove_file(self, path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::remove_dir_all(self, path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::sync_dir(self, path)
    }
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::sync_filesystem(self, path)
    }
    fn watch_filesystem(&self, path: &Path) -> io::Result<()> {
        DiskWrapper::watch_filesystem(self, path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        DiskWrapper::space(self, path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        DiskWrapper::lock(self, path)
    }
}

/// A [`DiskFile`] over another one: what a method does and which errors it has stands there.
#[expect(clippy::len_without_is_empty, reason = "the file makes it out of the length")]
pub trait DiskFileWrapper: Send + Sync + Debug {
    /// The file below.
    fn target(&self) -> &dyn DiskFile;
    /// By default the target's.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.target().read_at(buf, position)
    }
    /// By default the target's.
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        self.target().write_all_at(bufs, position)
    }
    /// By default the target's.
    fn sync_data(&self) -> io::Result<()> {
        self.target().sync_data()
    }
    /// By default the target's.
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.target().set_len(len)
    }
    /// By default the target's.
    fn len(&self) -> io::Result<u64> {
        self.target().len()
    }
    /// By default the target's.
    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        self.target().is_in_memory(position, len)
    }
    /// By default the target's.
    fn read_ahead(&self, position: u64, len: usize) -> io::Result<()> {
        self.target().read_ahead(position, len)
    }
    /// By default the target's.
    fn drop_behind(&self, position: u64, len: usize) {
        self.target().drop_behind(position, len);
    }
    /// By default the target's.
    fn drop_cache(&self) -> io::Result<()> {
        self.target().drop_cache()
    }
    /// By default the target's.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.target().fd()
    }
}

impl<T: DiskFileWrapper> DiskFile for T {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        DiskFileWrapper::read_at(self, buf, position)
    }
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        DiskFileWrapper::write_all_at(self, bufs, position)
    }
    fn sync_data(&self) -> io::Result<()> {
        DiskFileWrapper::sync_data(self)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        DiskFileWrapper::set_len(self, len)
    }
    fn len(&self) -> io::Result<u64> {
        DiskFileWrapper::len(self)
    }
    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        DiskFileWrapper::is_in_memory(self, position, len)
    }
    fn read_ahead(&self, position: u64, len: usize) -> io::Result<()> {
        DiskFileWrapper::read_ahead(self, position, len)
    }
    fn drop_behind(&self, position: u64, len: usize) {
        DiskFileWrapper::drop_behind(self, position, len);
    }
    fn drop_cache(&self) -> io::Result<()> {
        DiskFileWrapper::drop_cache(self)
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        DiskFileWrapper::fd(self)
    }
}

#[cfg(test)]
mod tests;
