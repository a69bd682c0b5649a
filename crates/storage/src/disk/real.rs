//! The system's files.

mod cachestat;

use super::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space, slices};
use base::Timestamp;
use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;
use rustix::process::{Resource, Rlimit};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Page-cache writes much larger than this cost up to ten times the CPU on virtual machines.
const WRITE_SLICE: usize = 64 * 1024;

/// Distance of the probes for what is in memory, where cachestat is not to be had: the kernel reads ahead, and evicts, in larger
/// pieces. A probe takes 0.2 to 0.5 us.
const PROBE_BYTES: usize = 32 * 1024;

/// Segments that are open at once at most, however many descriptors the process may have: each costs the kernel some hundred bytes.
const SEGMENTS_OPEN_MAX: u64 = 16_384;
/// The least, so that a node goes on working with hardly any descriptors.
const SEGMENTS_OPEN_MIN: u64 = 16;

/// Lets this process have as many descriptors as the system grants it, and says how many of them segments may take: half, for the other
/// half is the connections'.
#[must_use]
pub fn segments_open_max() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let granted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refused, the limit stays what it is.
    let current = match rustix::process::setrlimit(Resource::Nofile, granted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let half = current.map_or(SEGMENTS_OPEN_MAX, |limit| limit / 2);
    usize::try_from(half.clamp(SEGMENTS_OPEN_MIN, SEGMENTS_OPEN_MAX)).unwrap_or(usize::MAX)
}

/// The system's file system.
#[derive(Debug, Default)]
pub struct RealDisk {
    /// By folder: a descriptor from before the first write, through which its file system is synced.
    watched: Mutex<BTreeMap<PathBuf, Arc<File>>>,
}

impl RealDisk {
    /// The system's file system, without any folder that is watched.
    #[must_use]
    pub const fn new() -> Self {
        Self { watched: Mutex::new(BTreeMap::new()) }
    }

    fn descriptor(&self, path: &Path) -> io::Result<Arc<File>> {
        // A poisoned lock only says that a thread has panicked: the map is whole at every moment.
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match watched.get(path) {
            Some(file) => Ok(Arc::clone(file)),
            None => Ok(Arc::new(File::open(path)?)),
        }
    }
}

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    /// The lock lasts as long as this is open.
    _file: File,
}

impl DiskLock for RealLock {}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        // Equal slices: a tail of a few bytes would cost a system call of its own.
        let slice = total.div_ceil(((total + WRITE_SLICE / 2) / WRITE_SLICE).max(1));
        let mut done = 0;
        while done < total {
            let (pieces, count) = slices(bufs, done, slice);
            match rustix::io::pwritev(&self.0, &pieces[..count], position + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn drop_cache(&self) -> io::Result<()> {
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)
    }

    /// cachestat counts pages that are still being read, too; those of one range arrive in order, so the last byte tells.
    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        let end = position + len as u64;
        match cachestat::is_cached(&self.0, position, len) {
            Some(cached) => cached && self.is_readable_at(end - 1),
            None => {
                (position..end).step_by(PROBE_BYTES).chain([end.saturating_sub(1)]).all(|at| self.is_readable_at(at))
            }
        }
    }

    fn read_ahead(&self, position: u64, len: usize) -> io::Result<()> {
        let mut buffer = vec![0; len.min(WRITE_SLICE)];
        let end = position + len as u64;
        let mut at = position;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            match self.read_at(&mut buffer[..want], at)? {
                0 => break,
                read => at += read as u64,
            }
        }
        // Who reads on will find the next range under way.
        let next = NonZeroU64::new(len as u64);
        let _advice = next.map(|next| rustix::fs::fadvise(&self.0, end, Some(next), Advice::WillNeed));
        Ok(())
    }

    fn drop_behind(&self, position: u64, len: usize) {
        let len = NonZeroU64::new(len as u64);
        // Advice only: what stays in memory is evicted later.
        let _advice = len.map(|len| rustix::fs::fadvise(&self.0, position, Some(len), Advice::DontNeed));
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl RealFile {
    /// Whether the byte at `position` can be read without waiting.
    fn is_readable_at(&self, position: u64) -> bool {
        let mut byte = [0];
        let mut pieces = [IoSliceMut::new(&mut byte)];
        // A file system that cannot tell, an interruption, an error: reading will show.
        !matches!(
            rustix::io::preadv2(&self.0, &mut pieces, position, ReadWriteFlags::NOWAIT),
            Err(rustix::io::Errno::AGAIN)
        )
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Existing => {
                options.write(true);
            }
            OpenMode::Write => {
                options.write(true).create(true);
            }
            OpenMode::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // Names of Kafka's files are ASCII; another name is no concern of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(meta) => entries.push(Entry { name, is_dir: meta.is_dir(), len: meta.len() }),
                // Gone since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn names(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = match entry.file_type() {
                Ok(kind) => kind.is_dir(),
                // Gone since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Names of Kafka's files are ASCII; another name is no concern of ours.
            names.extend(entry.file_name().into_string().map(|name| (name, is_dir)));
        }
        names.sort();
        Ok(names)
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        let modified = std::fs::metadata(path)?.modified()?;
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.descriptor(path)?)?)
    }

    fn watch_filesystem(&self, path: &Path) -> io::Result<()> {
        let file = Arc::new(File::open(path)?);
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), file);
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
