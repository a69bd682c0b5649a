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

/// Those who are committed together. Its steps are apart so that a simulator can let other things happen between them.
pub(crate) struct Round {
    members: Vec<Arc<dyn Commit>>,
    /// Of the members that had something to sync: where they stand, and what.
    dirty: Vec<usize>,
    tickets: Vec<SyncTicket>,
    /// Why nothing may be synced any more.
    error: Option<DiskError>,
}

impl Round {
    /// Asks the members for what they have written so far.
    fn collect(members: Vec<Arc<dyn Commit>>, error: Option<DiskError>) -> Round {
        let mut round = Round { members, dirty: Vec::new(), tickets: Vec::new(), error };
        for at in 0..round.members.len() {
            if round.error.is_some() {
                break;
            }
            match round.members[at].ticket() {
                Ok(None) => {}
                Ok(Some(ticket)) => {
                    round.dirty.push(at);
                    round.tickets.push(ticket);
                }
                Err(error) => round.error = Some(error),
            }
        }
        round
    }

    /// Makes all of it durable, unless something has failed before.
    pub(crate) fn sync(&mut self, sync: &dyn Fn(&[SyncTicket]) -> Result<(), DiskError>) {
        if self.error.is_none() {
            self.error = sync(&self.tickets).err();
        }
    }
}

impl Queue {
    /// Somebody is to be committed, or to be told that nothing is any more.
    fn has_work(&self) -> bool {
        !self.dirty.is_empty() || (self.broken.is_some() && !self.is_told)
    }
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

    /// Lets go of who waits, without committing them: they hold the committer, which holds them.
    pub(crate) fn abandon(&self) {
        let waiting = std::mem::take(&mut self.queue.lock().dirty);
        drop(waiting);
    }

    /// Commits rounds until [`Committer::close`]; the body of the committer's thread. The first disk error is told to `lost`, and every
    /// member is failed from then on: a second sync would succeed and lie (R25).
    pub(crate) fn run(&self, sync: &dyn Fn(&[SyncTicket]) -> Result<(), DiskError>, lost: &dyn Fn(&DiskError)) {
        while self.wait() {
            if let Some(mut round) = self.begin() {
                round.sync(sync);
                self.finish(round, lost);
            }
        }
    }

    /// Waits for something to commit; false once closed and empty.
    fn wait(&self) -> bool {
        let mut queue = self.queue.lock();
        while !queue.has_work() {
            if queue.closing {
                return false;
            }
            self.woken.wait(&mut queue);
        }
        true
    }

    /// The next round; `None` when there is nothing to commit.
    pub(crate) fn begin(&self) -> Option<Round> {
        let (members, broken) = {
            let mut queue = self.queue.lock();
            if !queue.has_work() {
                return None;
            }
            (std::mem::take(&mut queue.dirty), queue.broken.clone())
        };
        Some(Round::collect(members, broken))
    }

    /// Tells the members of a round that was synced, or that it failed.
    pub(crate) fn finish(&self, round: Round, lost: &dyn Fn(&DiskError)) {
        if round.error.is_none() {
            let synced = round.dirty.iter().zip(&round.tickets);
            synced.for_each(|(at, ticket)| round.members[*at].synced(ticket));
        }
        let (broken, is_told) = {
            let mut queue = self.queue.lock();
            if let Some(error) = round.error {
                queue.broken.get_or_insert(error);
            }
            let is_broken = queue.broken.is_some();
            (queue.broken.clone(), std::mem::replace(&mut queue.is_told, is_broken))
        };
        let Some(error) = broken else { return };
        if !is_told {
            lost(&error);
        }
        round.members.iter().for_each(|member| member.failed(&error));
    }
}

#[cfg(test)]
mod tests;
