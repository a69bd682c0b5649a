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
use tokio::sync::oneshot;

/// What a flusher is to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The write-ahead file's space is to be given back.
    retire: bool,
    /// Recovery points are to move and to be written.
    checkpoint: bool,
    /// Log starts are to be written, for those who wait for it.
    log_starts: bool,
    closing: bool,
}

/// The wants of one log dir.
#[derive(Default)]
pub(crate) struct Flusher {
    wanted: Mutex<Wanted>,
    woken: Condvar,
    /// Who waits for log starts to be written: one a request, so bounded by the requests in flight.
    waiting: Mutex<Vec<oneshot::Sender<bool>>>,
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

    /// Asks for the log starts to be written; says whether they were, since DeleteRecords moves a start for good or not at all.
    pub(crate) fn want_log_starts(&self) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().push(sender);
        self.wanted.lock().log_starts = true;
        self.woken.notify_one();
        receiver
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
            self.carry_out(wanted, broker, at);
        }
    }

    /// One turn without a thread: does what is wanted by now.
    pub(crate) fn step(&self, broker: &Broker, at: usize) {
        let wanted = std::mem::take(&mut *self.wanted.lock());
        self.carry_out(wanted, broker, at);
    }

    fn carry_out(&self, wanted: Wanted, broker: &Broker, at: usize) {
        let handle = &broker.log_dirs[at];
        // Before the starts are looked at: who comes later is told the next time.
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let done = if handle.is_offline() { Ok(false) } else { wanted.carry_out(broker, at, handle).map(|()| true) };
        for waiter in waiting {
            let _unheard = waiter.send(done.as_ref().is_ok_and(|done| *done));
        }
        if let Err(error) = done {
            // R25: what failed to reach the disk is lost, and a second attempt would say otherwise.
            handle.fail(&error);
        }
    }
}

impl Wanted {
    fn carry_out(self, broker: &Broker, at: usize, handle: &LogDirHandle) -> Result<(), DiskError> {
        if self.log_starts {
            checkpoint(broker, at, checkpoint_name::LOG_START)?;
        }
        if self.checkpoint {
            move_recovery_points(broker, at, handle)?;
        }
        // A flush has synced most segments, which makes this cheap.
        if self.retire {
            handle.write_ahead.retire()?;
        }
        Ok(())
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
