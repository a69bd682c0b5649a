//! Faults of a log dir, and refusals of a log.

use base::{LeaderEpoch, Offset};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The disk said no. Takes the log dir offline and is never retried into silence (R21, R25).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action} {path}: {source}", path = path.display())]
pub struct DiskError {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: Arc<std::io::Error>,
}

impl DiskError {
    /// For `map_err`: what was being done to which file or folder.
    pub fn on<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> DiskError + use<'a> {
        move |source| DiskError { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// As [`DiskError::on`], for a path that is only made when it is needed: the hot paths allocate nothing for it.
    pub(crate) fn at(action: &'static str, path: impl FnOnce() -> PathBuf) -> impl FnOnce(std::io::Error) -> DiskError {
        move |source| DiskError { action, path: path(), source: Arc::new(source) }
    }
}

/// Why a log cannot be opened or maintained.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Bytes below the recovery point are damaged: they were synced once, so they are not thrown away (R26).
    #[error("{path} is damaged at byte {position}, below what was synced: {what}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// A text file of the log dir does not say what it should.
    #[error("{path} is malformed: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A log dir without `meta.properties`.
    #[error("the log dir {path} is not formatted: run `thalweg storage format`", path = .0.display())]
    NotFormatted(PathBuf),
    /// A log dir that another process has locked.
    #[error("another process uses the log dir {path}", path = .0.display())]
    InUse(PathBuf),
}

impl LogError {
    /// `path` does not say what it should, with what is wrong and what to do.
    pub fn malformed(path: impl Into<PathBuf>, what: impl std::fmt::Display) -> LogError {
        LogError::Malformed { path: path.into(), what: what.to_string() }
    }

    /// The fault that takes the log dir offline without the node's others. As in Kafka, a dir that was not formatted or that is in use has
    /// not failed: somebody has made a mistake, and the node does not start.
    ///
    /// # Errors
    /// `self`, when it is no fault of the log dir.
    pub fn into_dir_fault(self) -> Result<DiskError, LogError> {
        let unreadable = |path: &Path, what: String| {
            let source = Arc::new(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
            Ok(DiskError { action: "read", path: path.to_owned(), source })
        };
        match &self {
            LogError::Disk(error) => Ok(error.clone()),
            LogError::Corrupt { path, .. } | LogError::Malformed { path, .. } => unreadable(path, self.to_string()),
            LogError::NotFormatted(_) | LogError::InUse(_) => Err(self),
        }
    }
}

/// Why a batch was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk said no, now or before: the log takes nothing more.
    #[error("the log is offline: {0}")]
    Offline(DiskError),
    /// The producer's epoch is older than one seen before (KIP-98).
    #[error(transparent)]
    Producer(#[from] crate::ProducerRefusal),
    /// Batches that the answer depends on cannot be read back.
    #[error("the log of the producer's earlier batches is damaged: {0}")]
    Damaged(record::BatchError),
    /// A replicated batch does not follow the log's end.
    #[error("a batch at offset {got} cannot follow the log's end at {expected}")]
    NotContiguous {
        /// The log's end.
        expected: Offset,
        /// The batch's base offset.
        got: Offset,
    },
    /// The bytes are no batch.
    #[error("the batch is malformed: {0}")]
    Malformed(#[from] record::BatchError),
    /// The batch's epoch is older than the log's.
    #[error("epoch {got} is older than the log's, {current}")]
    StaleEpoch {
        /// The log's newest epoch.
        current: LeaderEpoch,
        /// The batch's.
        got: LeaderEpoch,
    },
}

/// Why an offset cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the log's start or above its end.
    #[error("offset {offset} is not within {start} and {end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The log's start.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes at the offset are no batch.
    #[error("the log is damaged: {0}")]
    Corrupt(#[from] record::BatchError),
}
