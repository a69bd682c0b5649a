//! A disk that leaves out what it was asked for, for negative controls: a node on it must be found out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, DiskFile, DiskFileWrapper, DiskWrapper, OpenMode};

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

impl DiskFileWrapper for LyingFile {
    fn target(&self) -> &dyn DiskFile {
        self.0.as_ref()
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskWrapper for LyingDisk {
    fn target(&self) -> &dyn Disk {
        self.disk.as_ref()
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        Ok(if self.lie == Lie::Sync { Arc::new(LyingFile(file)) } else { file })
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::SyncDir { Ok(()) } else { self.disk.sync_dir(path) }
    }
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::Sync { Ok(()) } else { self.disk.sync_filesystem(path) }
    }
}
