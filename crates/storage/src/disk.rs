//! The one seam to the file system: low and dumb, so that a test can stand a faulty disk in its place.

use base::Timestamp;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod real;
mod wrapper;
pub use real::{RealDisk, segments_open_max};
pub use wrapper::{DiskFileWrapper, DiskWrapper};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist and is only read.
    Read,
    /// It must exist.
    Existing,
    /// It is made when missing.
    Write,
    /// It is made when missing and emptied when not.
    Truncate,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name alone.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes, for a file.
    pub len: u64,
}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What this process may still use.
    pub usable_bytes: u64,
}

/// Held as long as a log dir is in use.
pub trait DiskLock: Send + Sync + Debug {}

/// An open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads into `buf` at `position`; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// Those of the system.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bufs`, one after another, at `position`.
    ///
    /// # Errors
    /// Those of the system; some bytes may have been written.
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// Those of the system; the bytes must then be taken for lost (fsyncgate).
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length.
    ///
    /// # Errors
    /// Those of the system.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    ///
    /// # Errors
    /// Those of the system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Whether a range can be read without waiting for a device; true where the system does not say.
    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        let _ = (position, len);
        true
    }
    /// Brings a range into memory; returns when it is there.
    ///
    /// # Errors
    /// Those of the system.
    fn read_ahead(&self, position: u64, len: usize) -> io::Result<()> {
        let _ = (position, len);
        Ok(())
    }
    /// Says that a range will not be read again soon, so that it need not push other pages out of memory. A hint, without effect where
    /// the system knows none.
    fn drop_behind(&self, position: u64, len: usize) {
        let _ = (position, len);
    }
    /// Lets go of what is in memory and not waiting to be written, so that the next read tells what the device holds. After a sync that
    /// failed, memory holds what the device never got, marked as written (fsyncgate).
    ///
    /// # Errors
    /// Those of the system.
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
    /// The system's handle, for sendfile; `None` for a file that is none of the system's.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of the system.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a segment's file, which a disk that bounds how many are open may close again; until then the second value gives it.
    ///
    /// # Errors
    /// Those of the system.
    fn open_segment(&self, path: &Path, mode: OpenMode) -> io::Result<(Arc<dyn DiskFile>, Arc<OpenFile>)> {
        self.open(path, mode).map(kept_open)
    }
    /// Makes a folder and those above it; one that exists is fine.
    ///
    /// # Errors
    /// Those of the system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// What is in a folder, in order of name.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// The names in a folder, in order, and whether each is a folder's. Lengths cost a call of the system each, and are left out.
    ///
    /// # Errors
    /// Those of the system.
    fn names(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        Ok(self.list(path)?.into_iter().map(|entry| (entry.name, entry.is_dir)).collect())
    }
    /// The bytes of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.open(path, OpenMode::Read)?.len()
    }
    /// When a file was last written to, by the system's wall clock.
    ///
    /// # Errors
    /// Those of the system.
    fn modified(&self, path: &Path) -> io::Result<Timestamp>;
    /// Renames a file or folder, replacing a file of the new name.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything on the folder's file system durable.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_filesystem(&self, path: &Path) -> io::Result<()>;
    /// From here on [`Disk::sync_filesystem`] with this folder tells of every write that failed. Without it, one that somebody else was told of is
    /// passed over, as for a file that is opened after the error (errseq). For a folder that another log dir shares its file system with.
    ///
    /// # Errors
    /// Those of the system.
    fn watch_filesystem(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }
    /// The room on the folder's file system.
    ///
    /// # Errors
    /// Those of the system.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Locks a file for this process; `None` when another holds it.
    ///
    /// # Errors
    /// Those of the system.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// All bytes of a file; `None` when there is none.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Replaces a small file so that after a crash it is the old or the new one, whole (R22): write, sync, rename, sync the folder.
    ///
    /// # Errors
    /// Those of the system.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().ok_or_else(|| io::Error::other("a file has a folder"))?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.write_all_at(&[bytes], 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        self.sync_dir(folder)
    }
}

/// A segment's file, open or closed again to make room.
#[derive(Debug)]
pub struct OpenFile {
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    /// Asked for since [`OpenFile::take_use`].
    is_used: AtomicBool,
}

impl OpenFile {
    /// A file that stays open as long as this is kept.
    #[must_use]
    pub fn kept(file: Arc<dyn DiskFile>) -> Arc<OpenFile> {
        Arc::new(OpenFile { file: Mutex::new(Some(file)), is_used: AtomicBool::new(true) })
    }

    /// The file, if it is still open; who gets it holds it open.
    #[must_use]
    pub fn get(&self) -> Option<Arc<dyn DiskFile>> {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        self.slot().clone()
    }

    /// Lets the file go.
    pub fn close(&self) {
        let file = self.slot().take();
        drop(file);
    }

    /// Whether somebody has let it go.
    pub(crate) fn is_closed(&self) -> bool {
        self.slot().is_none()
    }

    /// Whether it was asked for since this was called last.
    pub(crate) fn take_use(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }

    /// A poisoned lock only says that a thread has panicked: what it guards is whole at every moment.
    fn slot(&self) -> MutexGuard<'_, Option<Arc<dyn DiskFile>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file, and what gives it as long as it is kept.
fn kept_open(file: Arc<dyn DiskFile>) -> (Arc<dyn DiskFile>, Arc<OpenFile>) {
    let open = OpenFile::kept(Arc::clone(&file));
    (file, open)
}

/// Buffers of one write: a header and a payload, and some more. What is over goes with the next write.
const SLICES_MAX: usize = 4;

/// The pieces of `bufs` as system slices, from `skip` bytes on and no more than `take` bytes. Allocates nothing: every append comes here.
fn slices<'a>(bufs: &[&'a [u8]], mut skip: usize, mut take: usize) -> ([IoSlice<'a>; SLICES_MAX], usize) {
    let mut out = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for buf in bufs {
        let from = skip.min(buf.len());
        skip -= from;
        let len = (buf.len() - from).min(take);
        if len > 0 {
            out[count] = IoSlice::new(&buf[from..from + len]);
            take -= len;
            count += 1;
        }
        if count == SLICES_MAX {
            break;
        }
    }
    (out, count)
}
