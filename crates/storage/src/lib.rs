//! Kafka's log dirs, to the byte: segments with their indexes, producer state, leader epochs, checkpoints, recovery, retention.
//!
//! Invariants: what is at or above the recovery point may be lost in a crash, what is below never is truncated; an IO error fences
//! its log for good; nothing here spawns a thread, reads a clock or talks to anything but a [`Disk`]. It knows batches, not who
//! sends or reads them.

mod checkpoint;
mod commit;
mod dir;
mod disk;
mod epochs;
mod error;
mod file_names;
mod index;
mod log;
mod mem_disk;
mod open_files;
mod producers;
mod segment;
mod sound;
mod ticket;
mod topic_id;
mod write_ahead;

pub use checkpoint::{OffsetCheckpoint, checkpoint_name};
pub use commit::{Committed, commit, flush_files, flush_names, sync_files};
pub use dir::{CleanShutdown, LogDir, LogDirState, MetaProperties, PartitionDir, parse_partition_dir};
pub use disk::{
    Disk, DiskFile, DiskFileWrapper, DiskLock, DiskWrapper, Entry, OpenFile, OpenMode, RealDisk, Space,
    segments_open_max,
};
pub use epochs::{EpochEntry, LeaderEpochs};
pub use error::{AppendError, DiskError, LogError, ReadError};
pub use file_names::offset_of_file;
pub use index::{OffsetEntry, TimeEntry, TxnEntry};
pub use log::{
    Appended, Deletion, FoundTimestamp, LeftOut, Log, LogConfig, LogOptions, Recovery, RecoveryWatch, Slice,
};
pub use mem_disk::{DiskFault, FaultyMemDisk};
pub use open_files::BoundedDisk;
pub use producers::{ProducerBatch, ProducerEntry, ProducerRefusal, ProducerStates};
pub use ticket::{FlushTicket, SyncTicket, UnsyncedWrite, WriteAheadKey};
pub use topic_id::{Owner, owner, topic_id};
pub use write_ahead::{PASSED_BY_FILE, Replayed, WRITE_AHEAD_FILE, WriteAhead, replay};
