//! A call that is not handed on would fall back to what the traits do by default, and still give an answer: so a target notes its calls.

use super::{DiskFileWrapper, DiskWrapper};
use crate::{Disk, DiskFile, DiskLock, Entry, FaultyMemDisk, OpenMode, Space};
use base::Timestamp;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

type Calls = Arc<Mutex<Vec<&'static str>>>;

/// A disk, or a file, that notes each call and does nothing.
#[derive(Debug, Default)]
struct Noting(Calls);

impl Noting {
    fn note<T>(&self, call: &'static str, answer: T) -> io::Result<T> {
        self.0.lock().unwrap().push(call);
        Ok(answer)
    }
}

impl Disk for Noting {
    fn open(&self, _path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.note("open", Arc::new(Noting(Arc::clone(&self.0))))
    }
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        self.note("create_dir", ())
    }
    fn list(&self, _path: &Path) -> io::Result<Vec<Entry>> {
        self.note("list", Vec::new())
    }
    fn names(&self, _path: &Path) -> io::Result<Vec<(String, bool)>> {
        self.note("names", Vec::new())
    }
    fn file_len(&self, _path: &Path) -> io::Result<u64> {
        self.note("file_len", 0)
    }
    fn modified(&self, _path: &Path) -> io::Result<Timestamp> {
        self.note("modified", Timestamp::NONE)
    }
    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        self.note("rename", ())
    }
    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        self.note("remove_file", ())
    }
    fn remove_dir_all(&self, _path: &Path) -> io::Result<()> {
        self.note("remove_dir_all", ())
    }
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.note("sync_dir", ())
    }
    fn sync_filesystem(&self, _path: &Path) -> io::Result<()> {
        self.note("sync_filesystem", ())
    }
    fn space(&self, _path: &Path) -> io::Result<Space> {
        self.note("space", Space { total_bytes: 0, usable_bytes: 0 })
    }
    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.note("lock", None)
    }
}

impl DiskFile for Noting {
    fn read_at(&self, _buf: &mut [u8], _position: u64) -> io::Result<usize> {
        self.note("read_at", 0)
    }
    fn write_all_at(&self, _bufs: &[&[u8]], _position: u64) -> io::Result<()> {
        self.note("write_all_at", ())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.note("sync_data", ())
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        self.note("set_len", ())
    }
    fn len(&self) -> io::Result<u64> {
        self.note("len", 0)
    }
    fn is_in_memory(&self, _position: u64, _len: usize) -> bool {
        self.note("is_in_memory", true).unwrap()
    }
    fn read_ahead(&self, _position: u64, _len: usize) -> io::Result<()> {
        self.note("read_ahead", ())
    }
    fn drop_behind(&self, _position: u64, _len: usize) {
        self.note("drop_behind", ()).unwrap();
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.note("drop_cache", ())
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.note("fd", None).unwrap()
    }
}

/// A wrapper that does nothing otherwise.
#[derive(Debug, Default)]
struct Same(Noting);

impl DiskWrapper for Same {
    fn target(&self) -> &dyn Disk {
        &self.0
    }
}

impl DiskFileWrapper for Same {
    fn target(&self) -> &dyn DiskFile {
        &self.0
    }
}

#[test]
fn every_call_of_a_disk_is_handed_on() {
    let same = Same::default();
    let (disk, path): (&dyn Disk, &Path) = (&same, Path::new("/p"));
    disk.open(path, OpenMode::Read).unwrap();
    disk.open_segment(path, OpenMode::Read).unwrap();
    disk.create_dir(path).unwrap();
    disk.list(path).unwrap();
    disk.names(path).unwrap();
    disk.file_len(path).unwrap();
    disk.modified(path).unwrap();
    disk.rename(path, path).unwrap();
    disk.remove_file(path).unwrap();
    disk.remove_dir_all(path).unwrap();
    disk.sync_dir(path).unwrap();
    disk.sync_filesystem(path).unwrap();
    disk.space(path).unwrap();
    disk.lock(path).unwrap();
    let all = [
        "open",
        "open",
        "create_dir",
        "list",
        "names",
        "file_len",
        "modified",
        "rename",
        "remove_file",
        "remove_dir_all",
        "sync_dir",
        "sync_filesystem",
        "space",
        "lock",
    ];
    assert_eq!(*same.0.0.lock().unwrap(), all);
}

#[test]
fn every_call_of_a_file_is_handed_on() {
    let same = Same::default();
    let file: &dyn DiskFile = &same;
    file.read_at(&mut [], 0).unwrap();
    file.write_all_at(&[], 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(0).unwrap();
    file.len().unwrap();
    assert!(file.is_in_memory(0, 0) && file.fd().is_none());
    file.read_ahead(0, 0).unwrap();
    file.drop_behind(0, 0);
    file.drop_cache().unwrap();
    let all = [
        "read_at",
        "write_all_at",
        "sync_data",
        "set_len",
        "len",
        "is_in_memory",
        "fd",
        "read_ahead",
        "drop_behind",
        "drop_cache",
    ];
    assert_eq!(*same.0.0.lock().unwrap(), all);
}

/// A disk that opens nothing.
#[derive(Debug)]
struct Shut(FaultyMemDisk);

impl DiskWrapper for Shut {
    fn target(&self) -> &dyn Disk {
        &self.0
    }
    fn open(&self, _path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::Error::other("shut"))
    }
}

#[test]
fn nothing_gets_past_an_open_of_ones_own() {
    let (mem, path) = (FaultyMemDisk::new(1), Path::new("/f"));
    mem.replace(path, b"bytes").unwrap();
    assert_eq!(mem.read(path).unwrap().as_deref(), Some(&b"bytes"[..]), "negative control");
    let disk: &dyn Disk = &Shut(mem);
    assert!(disk.open_segment(path, OpenMode::Read).is_err());
    assert!(disk.read(path).is_err());
    assert!(disk.replace(path, b"other").is_err());
}
