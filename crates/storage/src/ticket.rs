//! What is to be made durable, on its way from a log to the commit or the flush of its log dir.

use crate::disk::{Disk, DiskFile, OpenFile, OpenMode};
use crate::error::DiskError;
use crate::file_names::path;
use base::{Offset, Uuid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose bytes: the folder in the log dir, and the id of the topic that it belongs to, since a folder's name may come back with
/// another topic (R30).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteAheadKey {
    /// The partition's folder.
    pub folder: Arc<str>,
    /// The topic, as `partition.metadata` in the folder says.
    pub topic_id: Uuid,
}

/// Bytes of a segment that were written and are not durable.
#[derive(Clone, Debug)]
pub struct UnsyncedWrite {
    /// The segment's `.log` file, which may be closed meanwhile unless the ticket has no key.
    pub file: Arc<OpenFile>,
    /// The segment's base offset.
    pub base: Offset,
    /// Where they begin.
    pub from: u64,
    /// Where they end.
    pub to: u64,
}

impl UnsyncedWrite {
    /// The file, opened again when it was closed meanwhile; `None` when it is gone, with its topic: nobody misses its bytes. `root` is the
    /// log dir.
    pub(crate) fn file(
        &self,
        disk: &dyn Disk,
        root: &Path,
        key: Option<&WriteAheadKey>,
    ) -> Result<Option<Arc<dyn DiskFile>>, DiskError> {
        if let Some(file) = self.file.get() {
            return Ok(Some(file));
        }
        let key = key.expect("the file of a log that has no key is kept open");
        let path = path(&root.join(&*key.folder), self.base, "log");
        match disk.open(&path, OpenMode::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::on("open", &path)(error)),
        }
    }
}

/// What must be synced so that the records of a log are durable up to an offset.
#[derive(Clone, Debug)]
pub struct SyncTicket {
    /// Unsynced bytes, a segment each.
    pub writes: Vec<UnsyncedWrite>,
    /// Folders with unsynced names.
    pub dirs: Vec<PathBuf>,
    /// The log's end when the ticket was made.
    pub up_to: Offset,
    /// How often the log had been cut by then.
    pub cuts: u64,
    /// Under which key the bytes may stand in the write-ahead file; `None` for a log that is always synced itself.
    pub key: Option<WriteAheadKey>,
}

/// What must be synced so that recovery need not look at a log below an offset: its segments, indexes, producers and epochs.
#[derive(Clone, Debug)]
pub struct FlushTicket {
    /// Files with unsynced bytes: by name, since ten thousand logs are flushed at once and descriptors are few.
    pub files: Vec<PathBuf>,
    /// Folders with unsynced names, once [`crate::Log::name_flushed`] was called.
    pub dirs: Vec<PathBuf>,
    /// The log's end when the ticket was made.
    pub up_to: Offset,
    /// How often the log had been cut by then.
    pub cuts: u64,
    /// A new epochs' file waits for its name.
    pub renames: bool,
}
