//! What a flusher does: syncs segments whose bytes are so far only durable in the write-ahead file, and flushes whole logs before their
//! recovery points are written down. With the checkpoints that tell a start what it need not look at.

use crate::broker::Broker;
use crate::flusher::Wanted;
use crate::log_dir::LogDirHandle;
use crate::partition::Partition;
use crate::quorum::METADATA_TOPIC;
use base::{Offset, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{DiskError, OffsetCheckpoint, checkpoint_name};

/// Does what is wanted of the log dir at `at`, which fails with what of it fails; whether it was done.
pub(crate) fn carry_out(broker: &Broker, at: usize, wanted: Wanted) -> bool {
    let handle = &broker.log_dirs[at];
    if handle.is_offline() {
        return false;
    }
    // R25: what failed to reach the disk is lost, and a second attempt would say otherwise.
    try_to(broker, at, handle, wanted).inspect_err(|error| handle.fail(error)).is_ok()
}

fn try_to(broker: &Broker, at: usize, handle: &LogDirHandle, wanted: Wanted) -> Result<(), DiskError> {
    if wanted.log_starts {
        checkpoint(broker, at, checkpoint_name::LOG_START)?;
    }
    if wanted.checkpoint {
        move_recovery_points(broker, at, handle)?;
    }
    // A flush has synced most segments, which makes this cheap.
    if wanted.retire {
        handle.write_ahead.retire()?;
    }
    Ok(())
}

fn move_recovery_points(broker: &Broker, at: usize, handle: &LogDirHandle) -> Result<(), DiskError> {
    flush_logs(broker, at, false)?;
    if handle.dir.path() == broker.config.metadata_log_dir {
        broker.quorum.flush()?;
    }
    for name in [checkpoint_name::RECOVERY_POINT, checkpoint_name::LOG_START] {
        checkpoint(broker, at, name)?;
    }
    Ok(())
}

/// Logs that are flushed with the same two syncs. A ticket names its files and holds none of them open, but ten thousand tickets are
/// megabytes.
const FLUSHED_AT_ONCE: usize = 1_024;

/// Flushes the logs of one log dir, a group of them with the same syncs; `closes` readies them for a clean start.
pub(crate) fn flush_logs(broker: &Broker, at: usize, closes: bool) -> Result<(), DiskError> {
    let all: Vec<_> = broker.partitions.in_dir(at).into_iter().collect();
    all.chunks(FLUSHED_AT_ONCE).try_for_each(|group| flush_group(broker, at, group, closes))
}

fn flush_group(broker: &Broker, at: usize, group: &[Arc<Partition>], closes: bool) -> Result<(), DiskError> {
    let handle = &broker.log_dirs[at];
    let (disk, root) = (handle.dir.disk().as_ref(), handle.dir.path());
    let (mut partitions, mut tickets): (Vec<Arc<Partition>>, Vec<_>) = (Vec::new(), Vec::new());
    for partition in group {
        if let Some(ticket) = partition.flush_ticket(closes)? {
            partitions.push(Arc::clone(partition));
            tickets.push(ticket);
        }
    }
    storage::flush_files(disk, root, &tickets)?;
    let flushed = partitions.iter().zip(&tickets);
    flushed.clone().try_for_each(|(partition, ticket)| partition.name_flushed(ticket))?;
    storage::flush_names(disk, root, &tickets)?;
    // A round beside this may have met an error first, which these syncs were then not told of.
    handle.write_ahead.settle()?;
    flushed.clone().try_for_each(|(partition, ticket)| partition.on_flushed(ticket))
}

/// Writes one of the offset checkpoints of a log dir.
pub(crate) fn checkpoint(broker: &Broker, at: usize, name: &str) -> Result<(), DiskError> {
    let handle = &broker.log_dirs[at];
    // Asked first: whoever publishes holds the quorum, and may wait for the checkpoint.
    let is_metadata_dir = handle.dir.path() == broker.config.metadata_log_dir;
    let metadata = (name == checkpoint_name::RECOVERY_POINT && is_metadata_dir).then(|| broker.quorum.recovery_point());
    let mut partitions = Vec::new();
    let checkpoint = handle.store_checkpoint(name, || {
        partitions = broker.partitions.in_dir(at);
        let mut checkpoint = partitions_checkpoint(broker, at, name, &partitions);
        if let Some(offset) = metadata {
            checkpoint.0.insert(TopicPartition::new(METADATA_TOPIC, 0), offset);
        }
        checkpoint
    })?;
    if name == checkpoint_name::LOG_START {
        // Those that were asked, not those of their names by now: a new topic's log does not start where an older one's did (R30).
        partitions.iter().for_each(|partition| partition.log_start_kept(&checkpoint));
    }
    Ok(())
}

fn partitions_checkpoint(broker: &Broker, at: usize, name: &str, partitions: &[Arc<Partition>]) -> OffsetCheckpoint {
    let mut offsets: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let open = partitions.iter().map(|partition| (partition.tp.clone(), partition.checkpoints()));
    for (tp, (recovery_point, high_watermark, log_start)) in open.chain(broker.partitions.unopened_in(at)) {
        let offset = match name {
            checkpoint_name::RECOVERY_POINT => recovery_point,
            checkpoint_name::HIGH_WATERMARK => high_watermark,
            // Kafka notes a log start only where the first segment's name does not tell it.
            _ if log_start == Offset::ZERO => continue,
            _ => log_start,
        };
        offsets.insert(tp, offset);
    }
    OffsetCheckpoint(offsets)
}
