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
    /// The first error of the log dir, and whether it was told.
    broken: Option<DiskError>,
    is_told: bool,
}

/// Who is to be committed, and why nothing is any more.
type Round = (Vec<Arc<dyn Commit>>, Option<DiskError>);

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

    /// The log dir has failed elsewhere, such as in a write: from now on nothing of it is committed (R21, R25).
    pub(crate) fn break_with(&self, error: &DiskError) {
        self.queue.lock().broken.get_or_insert_with(|| error.clone());
        self.woken.notify_one();
    }

    /// Lets [`Committer::run`] return once its queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.woken.notify_one();
    }

    /// Commits rounds until [`Committer::close`]; the body of the committer's thread. The first disk error is told to `lost`, and every
    /// member is failed from then on: a second sync would succeed and lie (R25).
    pub(crate) fn run(&self, sync: &dyn Fn(&[SyncTicket]) -> Result<(), DiskError>, lost: &dyn Fn(&DiskError)) {
        while let Some((members, broken)) = self.next_round() {
            if broken.is_none()
                && let Err(error) = commit_round(&members, sync)
            {
                self.queue.lock().broken.get_or_insert(error);
            }
            let (broken, is_told) = {
                let mut queue = self.queue.lock();
                let is_broken = queue.broken.is_some();
                (queue.broken.clone(), std::mem::replace(&mut queue.is_told, is_broken))
            };
            let Some(error) = broken else { continue };
            if !is_told {
                lost(&error);
            }
            members.iter().for_each(|member| member.failed(&error));
        }
    }

    fn next_round(&self) -> Option<Round> {
        let mut queue = self.queue.lock();
        loop {
            let has_news = queue.broken.is_some() && !queue.is_told;
            if has_news || !queue.dirty.is_empty() {
                return Some((std::mem::take(&mut queue.dirty), queue.broken.clone()));
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
