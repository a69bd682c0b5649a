//! One flusher a log dir: syncs segments whose bytes are so far only durable in the write-ahead file, and flushes whole logs before
//! their recovery points are written down.
//!
//! It has no clock and no queue: others say what they want, and wants of a kind are one. Commits go on beside it.

use crate::background::checkpoint;
use crate::broker::{Broker, LogDirHandle};
use crate::partition::Partition;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use storage::{DiskError, checkpoint_name};

/// What a flusher is to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The write-ahead file's space is to be given back.
    retire: bool,
    /// Recovery points are to move and to be written.
    checkpoint: bool,
    closing: bool,
}

/// The wants of one log dir.
#[derive(Default)]
pub(crate) struct Flusher {
    wanted: Mutex<Wanted>,
    woken: Condvar,
}

impl Flusher {
    /// Asks for the write-ahead file's space.
    pub(crate) fn want_retire(&self) {
        self.wanted.lock().retire = true;
        self.woken.notify_one();
    }

    /// Asks for new recovery points.
    pub(crate) fn want_checkpoint(&self) {
        self.wanted.lock().checkpoint = true;
        self.woken.notify_one();
    }

    /// Lets [`Flusher::run`] return; what is still wanted is left to the stop.
    pub(crate) fn close(&self) {
        self.wanted.lock().closing = true;
        self.woken.notify_one();
    }

    /// Does what is wanted of the log dir at `at` until [`Flusher::close`]: the body of its thread.
    pub(crate) fn run(&self, broker: &Broker, at: usize) {
        loop {
            let wanted = {
                let mut wanted = self.wanted.lock();
                while *wanted == Wanted::default() {
                    self.woken.wait(&mut wanted);
                }
                if wanted.closing {
                    return;
                }
                std::mem::take(&mut *wanted)
            };
            wanted.carry_out(broker, at);
        }
    }

    /// One turn without a thread: does what is wanted by now.
    pub(crate) fn step(&self, broker: &Broker, at: usize) {
        let wanted = std::mem::take(&mut *self.wanted.lock());
        wanted.carry_out(broker, at);
    }
}

impl Wanted {
    fn carry_out(self, broker: &Broker, at: usize) {
        let handle = &broker.log_dirs[at];
        if handle.is_offline() {
            return;
        }
        let done = if self.checkpoint { move_recovery_points(broker, at, handle) } else { Ok(()) };
        // A flush has synced most segments, which makes this cheap.
        let done = done.and_then(|()| if self.retire { handle.write_ahead.retire().map(drop) } else { Ok(()) });
        if let Err(error) = done {
            // R25: what failed to reach the disk is lost, and a second attempt would say otherwise.
            handle.committer.break_with(&error);
        }
    }
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

/// Flushes the logs of one log dir with one sync for all of them; `closes` readies them for a clean start.
pub(crate) fn flush_logs(broker: &Broker, at: usize, closes: bool) -> Result<(), DiskError> {
    let (disk, root) = (broker.log_dirs[at].dir.disk().as_ref(), broker.log_dirs[at].dir.path());
    let (mut partitions, mut tickets): (Vec<Arc<Partition>>, Vec<_>) = (Vec::new(), Vec::new());
    for partition in broker.partitions.in_dir(at) {
        if let Some(ticket) = partition.flush_ticket(closes)? {
            partitions.push(partition);
            tickets.push(ticket);
        }
    }
    storage::flush_files(disk, root, &tickets)?;
    let flushed = partitions.iter().zip(&tickets);
    flushed.clone().try_for_each(|(partition, ticket)| partition.name_flushed(ticket))?;
    storage::flush_names(disk, root, &tickets)?;
    flushed.clone().try_for_each(|(partition, ticket)| partition.on_flushed(ticket))
}
