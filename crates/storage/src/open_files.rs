//! A bound on how many segments are open at once, so that ten thousand partitions need no ten thousand descriptors.
//!
//! Whoever has a segment keeps an [`OpenFile`], which may be empty when it is asked again: the file is then opened once more by its name.
//! What is closed is what was not asked for the longest, about: a clock over marks of use, so that asking takes no lock of others.
//!
//! A file with unsynced bytes may be closed, too. They are the kernel's by then, and whoever syncs opens the file again, as a flush does.

use crate::disk::{Disk, DiskFile, DiskWrapper, OpenFile, OpenMode};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A poisoned lock only says that a thread has panicked: what it guards is whole at every moment.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Clock {
    files: Vec<Arc<OpenFile>>,
    hand: usize,
}

/// A disk that has at most so many segments open. Files that someone is reading or syncing at the moment come on top.
#[derive(Debug)]
pub struct BoundedDisk {
    disk: Arc<dyn Disk>,
    files_max: usize,
    clock: Mutex<Clock>,
}

impl BoundedDisk {
    /// `disk`, with at most `files_max` segments open, at least one.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, files_max: usize) -> Self {
        Self { disk, files_max: files_max.max(1), clock: Mutex::default() }
    }

    fn admit(&self, file: Arc<OpenFile>) {
        let mut clock = hold(&self.clock);
        if clock.files.len() < self.files_max {
            clock.files.push(file);
            return;
        }
        // Once around at most: a mark that the hand has taken is set again only by who asks meanwhile.
        for _ in 0..clock.files.len() {
            let candidate = &clock.files[clock.hand];
            if candidate.is_closed() || !candidate.take_use() {
                break;
            }
            clock.hand = (clock.hand + 1) % clock.files.len();
        }
        let at = clock.hand;
        let closed = std::mem::replace(&mut clock.files[at], file);
        clock.hand = (at + 1) % clock.files.len();
        drop(clock);
        closed.close();
    }
}

impl DiskWrapper for BoundedDisk {
    fn target(&self) -> &dyn Disk {
        self.disk.as_ref()
    }
    fn open_segment(&self, path: &Path, mode: OpenMode) -> io::Result<(Arc<dyn DiskFile>, Arc<OpenFile>)> {
        let file = self.disk.open(path, mode)?;
        let open = OpenFile::kept(Arc::clone(&file));
        self.admit(Arc::clone(&open));
        Ok((file, open))
    }
}

#[cfg(test)]
mod tests;
