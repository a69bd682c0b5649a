//! How requests wait at partitions: one that waits for several is woken once, and the commits that it waits for are asked for at once.

use super::Partition;
use crate::committer::{Commit, Committer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What a waiting request sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// How many partitions have yet to tell before the request is woken; up to 1, the next one wakes it.
    awaited: AtomicUsize,
    notify: Notify,
}

impl Signal {
    /// The request is woken when it was told `times`, however often it was told before.
    pub(crate) fn expect(&self, times: usize) {
        self.awaited.store(times, Ordering::Release);
    }

    /// One of those that the request waits for has something for it.
    pub(crate) fn tell(&self) {
        let less = |awaited: usize| Some(awaited.saturating_sub(1));
        let before = self.awaited.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        if before.is_ok_and(|awaited| awaited <= 1) {
            self.notify.notify_one();
        }
    }

    /// Waits until the request is woken, or ends at once when it was since the last time.
    pub(crate) async fn told(&self) {
        self.notify.notified().await;
    }
}

/// Partitions whose commit is asked for at once, when this is dropped. One by one, the first would begin a round that all others have to
/// wait for before theirs.
#[derive(Default)]
pub(crate) struct Together {
    committer: Option<Arc<Committer>>,
    members: Vec<Arc<dyn Commit>>,
}

impl Together {
    /// `partition` is marked as queued.
    pub(super) fn add(&mut self, partition: &Arc<Partition>) {
        if self.committer.as_ref().is_none_or(|committer| !Arc::ptr_eq(committer, &partition.committer)) {
            self.ask();
            self.committer = Some(Arc::clone(&partition.committer));
        }
        self.members.push(Arc::clone(partition) as Arc<dyn Commit>);
    }

    fn ask(&mut self) {
        if let Some(committer) = self.committer.take() {
            committer.enqueue_all(std::mem::take(&mut self.members));
        }
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.ask();
    }
}
