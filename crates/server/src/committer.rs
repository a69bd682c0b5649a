//! Group commit: one committer per log dir makes everything written so far durable in one round, then releases whoever waits.
//!
//! There is no timer: while one round syncs, the next one gathers, so the batch adapts to the disk. The queue is bounded by the
//! number of partitions, since a partition stands in it at most once. It does not know what a log is; a [`Commit`] does.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use storage::{DiskError, SyncTicket};

/// Something with unsynced bytes on this committer's log dir.
pub(crate) trait Commit: Send + Sync {
    /// Clears the "queued" mark and says what must be synced; `None` when nothing is.
    fn ticket(&self) -> Result<Option<SyncTicket>, DiskError>;
    /// Everything up to the ticket's end is on disk.
    fn synced(&self, ticket: &SyncTicket);
    /// The disk failed: the replica must be treated as having lost everything since the last good sync (R25).
    fn failed(&self, error: &DiskError);
}

#[derive(Default)]
struct Queue {
    dirty: Vec<Arc<dyn Commit>>,
    closing: bool,
}

/// The queue that a partition's append puts the partition into, and the loop that empties it.
#[derive(Default)]
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    woken: Condvar,
}

impl Committer {
    /// Asks for `member` to be made durable with the next round. The caller keeps a mark so that a member is queued once.
    pub(crate) fn enqueue(&self, member: Arc<dyn Commit>) {
        let mut queue = self.queue.lock();
        let wake = queue.dirty.is_empty();
        queue.dirty.push(member);
        drop(queue);
        if wake {
            self.woken.notify_one();
        }
    }

    /// Lets [`Committer::run`] return once its queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.woken.notify_one();
    }

    /// Commits rounds until [`Committer::close`]; the body of the committer's thread. After the first disk error every member
    /// is failed at once: a second sync would succeed and lie (R25).
    pub(crate) fn run(&self, sync: &dyn Fn(&[SyncTicket]) -> Result<(), DiskError>) {
        let mut broken: Option<DiskError> = None;
        while let Some(members) = self.next_round() {
            if broken.is_none()
                && let Err(error) = commit_round(&members, sync)
            {
                broken = Some(error);
            }
            if let Some(error) = &broken {
                members.iter().for_each(|member| member.failed(error));
            }
        }
    }

    fn next_round(&self) -> Option<Vec<Arc<dyn Commit>>> {
        let mut queue = self.queue.lock();
        loop {
            if !queue.dirty.is_empty() {
                return Some(std::mem::take(&mut queue.dirty));
            }
            if queue.closing {
                return None;
            }
            self.woken.wait(&mut queue);
        }
    }
}

fn commit_round(
    members: &[Arc<dyn Commit>],
    sync: &dyn Fn(&[SyncTicket]) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let mut dirty = Vec::with_capacity(members.len());
    let mut tickets = Vec::with_capacity(members.len());
    for member in members {
        if let Some(ticket) = member.ticket()? {
            dirty.push(member);
            tickets.push(ticket);
        }
    }
    sync(&tickets)?;
    dirty.iter().zip(&tickets).for_each(|(member, ticket)| member.synced(ticket));
    Ok(())
}

#[cfg(test)]
mod tests;
