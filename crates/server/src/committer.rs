//! Group commit: one committer per log dir makes everything written so far durable in one round, then releases whoever waits.
//!
//! Who waits is committed at once: while one round syncs, the next one gathers, so the batch adapts to the disk. What nobody waits for is
//! committed within [`LAG_MS_MAX`], so that a stream of acks=1 costs a sync now and then, and no waiting round carries its bytes. The
//! queue is bounded by the number of partitions, since a partition stands in it at most twice. It does not know what a log is; a
//! [`Commit`] does.

use base::{Clock, Monotonic};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use storage::{DiskError, SyncTicket};

/// How long after an append that nobody waits for its commit begins at the latest, in milliseconds. Much longer, and a round that somebody
/// does wait for stands behind tens of megabytes.
pub(crate) const LAG_MS_MAX: i64 = 10;

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
    /// Those that nobody waits for, and when their commit is due.
    later: Vec<Arc<dyn Commit>>,
    due: Option<Monotonic>,
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
    fn has_work(&self, now: Monotonic) -> bool {
        !self.dirty.is_empty() || (self.broken.is_some() && !self.is_told) || self.is_late(now)
    }

    /// Those that nobody waits for are due.
    fn is_late(&self, now: Monotonic) -> bool {
        self.due.is_some_and(|due| due <= now || self.closing || self.broken.is_some())
    }

    fn take(&mut self, now: Monotonic) -> Vec<Arc<dyn Commit>> {
        let mut members = std::mem::take(&mut self.dirty);
        if self.is_late(now) {
            members.append(&mut self.later);
            self.due = None;
        }
        members
    }
}

/// The queue that a partition's append puts the partition into, and the loop that empties it.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    woken: Condvar,
    clock: Arc<dyn Clock>,
}

impl Committer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { queue: Mutex::default(), woken: Condvar::new(), clock }
    }

    /// Asks for `member` to be made durable within [`LAG_MS_MAX`]: nobody waits for it. The caller keeps a mark as for
    /// [`Committer::enqueue`].
    pub(crate) fn enqueue_later(&self, member: Arc<dyn Commit>) {
        let mut queue = self.queue.lock();
        queue.later.push(member);
        let is_first = queue.due.is_none();
        if is_first {
            queue.due = Some(self.clock.monotonic().plus_millis(LAG_MS_MAX));
        }
        drop(queue);
        if is_first {
            self.woken.notify_one();
        }
    }

    /// Asks for `member` to be made durable with the next round. The caller keeps a mark so that a member is queued once.
    pub(crate) fn enqueue(&self, member: Arc<dyn Commit>) {
        self.enqueue_all(vec![member]);
    }

    /// As [`Committer::enqueue`], of several that shall not be parted by rounds.
    pub(crate) fn enqueue_all(&self, members: Vec<Arc<dyn Commit>>) {
        let mut queue = self.queue.lock();
        let wake = queue.dirty.is_empty();
        if wake {
            queue.dirty = members;
        } else {
            queue.dirty.extend(members);
        }
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
        let mut queue = self.queue.lock();
        let waiting = (std::mem::take(&mut queue.dirty), std::mem::take(&mut queue.later));
        queue.due = None;
        drop(queue);
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
        loop {
            let now = self.clock.monotonic();
            if queue.has_work(now) {
                return true;
            }
            if queue.closing {
                return false;
            }
            match queue.due {
                Some(due) => drop(self.woken.wait_for(&mut queue, due.since(now))),
                None => self.woken.wait(&mut queue),
            }
        }
    }

    /// The next round; `None` when there is nothing to commit.
    pub(crate) fn begin(&self) -> Option<Round> {
        let (members, broken) = {
            let mut queue = self.queue.lock();
            let now = self.clock.monotonic();
            if !queue.has_work(now) {
                return None;
            }
            (queue.take(now), queue.broken.clone())
        };
        Some(Round::collect(members, broken))
    }

    /// Tells the members of a round that was synced, or that it failed.
    pub(crate) fn finish(&self, round: Round, lost: &dyn Fn(&DiskError)) {
        let (broken, is_told) = {
            let mut queue = self.queue.lock();
            if let Some(error) = round.error {
                queue.broken.get_or_insert(error);
            }
            let is_broken = queue.broken.is_some();
            (queue.broken.clone(), std::mem::replace(&mut queue.is_told, is_broken))
        };
        // Also an error from elsewhere: what this round's syncs said after it cannot be trusted (R25).
        let Some(error) = broken else {
            let synced = round.dirty.iter().zip(&round.tickets);
            synced.for_each(|(at, ticket)| round.members[*at].synced(ticket));
            return;
        };
        if !is_told {
            lost(&error);
        }
        round.members.iter().for_each(|member| member.failed(&error));
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::ManualClock;
