use super::{Commit, Committer, LAG_MS_MAX};
use base::{Clock, Monotonic, Offset, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use storage::{DiskError, SyncTicket};

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
pub(crate) struct ManualClock(Mutex<i64>);

impl ManualClock {
    pub(crate) fn advance(&self, ms: i64) {
        *self.0.lock() += ms;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        Timestamp(*self.0.lock())
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(0).plus_millis(*self.0.lock())
    }
}

#[derive(Default)]
struct Member {
    seen: Mutex<Vec<&'static str>>,
}

impl Commit for Member {
    fn ticket(&self) -> Result<Option<SyncTicket>, DiskError> {
        self.seen.lock().push("ticket");
        Ok(Some(SyncTicket { writes: vec![], dirs: vec![], up_to: Offset(1), cuts: 0, key: None }))
    }
    fn synced(&self, _: &SyncTicket) {
        self.seen.lock().push("synced");
    }
    fn failed(&self, _: &DiskError) {
        self.seen.lock().push("failed");
    }
}

fn broken() -> DiskError {
    DiskError { action: "sync", path: "/d".into(), source: Arc::new(std::io::Error::other("EIO")) }
}

#[test]
fn what_is_queued_is_committed_before_the_end() {
    let (committer, member) = (Committer::new(Arc::new(ManualClock::default())), Arc::new(Member::default()));
    committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
    committer.close();
    committer.run(&|_| Ok(()), &|_| panic!("nothing failed"));
    assert_eq!(*member.seen.lock(), ["ticket", "synced"]);
}

#[test]
fn r25_a_failed_sync_is_never_retried() {
    let (committer, member) = (Committer::new(Arc::new(ManualClock::default())), Arc::new(Member::default()));
    let syncs = Mutex::new(0);
    committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
    committer.close();
    let fail_once = |_: &[SyncTicket]| {
        *syncs.lock() += 1;
        // The second sync would succeed, as the kernel's does.
        if *syncs.lock() == 1 {
            committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
            Err(broken())
        } else {
            Ok(())
        }
    };
    let told = Mutex::new(0);
    committer.run(&fail_once, &|_| *told.lock() += 1);
    assert_eq!(*told.lock(), 1);
    assert_eq!((*syncs.lock(), member.seen.lock().clone()), (1, vec!["ticket", "failed", "failed"]));
}

#[test]
fn r25_a_round_whose_log_dir_fails_elsewhere_meanwhile_confirms_nothing() {
    let (committer, member) = (Committer::new(Arc::new(ManualClock::default())), Arc::new(Member::default()));
    committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
    let mut round = committer.begin().expect("somebody is queued");
    committer.break_with(&broken());
    round.sync(&|_| Ok(()));
    let told = Mutex::new(0);
    committer.finish(round, &|_| *told.lock() += 1);
    assert_eq!((*told.lock(), member.seen.lock().clone()), (1, vec!["ticket", "failed"]));
}

#[test]
fn r21_a_write_that_failed_ends_all_commits_of_its_log_dir() {
    let (committer, member) = (Committer::new(Arc::new(ManualClock::default())), Arc::new(Member::default()));
    committer.break_with(&broken());
    committer.close();
    let told = Mutex::new(0);
    let lost = |_: &DiskError| {
        *told.lock() += 1;
        committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
    };
    committer.run(&|_| panic!("a broken log dir was synced"), &lost);
    assert_eq!((*told.lock(), member.seen.lock().clone()), (1, vec!["failed"]));
}

#[test]
fn what_nobody_waits_for_is_committed_within_the_bound_and_in_no_earlier_round() {
    let clock = Arc::new(ManualClock::default());
    let committer = Committer::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let (idle, urgent) = (Arc::new(Member::default()), Arc::new(Member::default()));
    let round = || {
        let mut round = committer.begin()?;
        round.sync(&|_| Ok(()));
        committer.finish(round, &|_| panic!("nothing failed"));
        Some(())
    };
    committer.enqueue_later(Arc::clone(&idle) as Arc<dyn Commit>);
    assert_eq!(round(), None);
    clock.advance(LAG_MS_MAX - 1);
    committer.enqueue(Arc::clone(&urgent) as Arc<dyn Commit>);
    assert_eq!(round(), Some(()));
    assert_eq!(
        (urgent.seen.lock().len(), idle.seen.lock().len()),
        (2, 0),
        "a round that is waited for carries no other"
    );
    assert_eq!(round(), None);
    clock.advance(1);
    assert_eq!(round(), Some(()));
    assert_eq!(*idle.seen.lock(), ["ticket", "synced"]);
    assert_eq!(round(), None);
}

#[test]
fn what_nobody_waits_for_is_committed_before_the_end_and_fails_with_the_rest() {
    let (committer, member) = (Committer::new(Arc::new(ManualClock::default())), Arc::new(Member::default()));
    committer.enqueue_later(Arc::clone(&member) as Arc<dyn Commit>);
    committer.close();
    committer.run(&|_| Ok(()), &|_| panic!("nothing failed"));
    assert_eq!(*member.seen.lock(), ["ticket", "synced"]);
    committer.enqueue_later(Arc::clone(&member) as Arc<dyn Commit>);
    committer.break_with(&broken());
    committer.run(&|_| panic!("a broken log dir was synced"), &|_| {});
    assert_eq!(*member.seen.lock(), ["ticket", "synced", "failed"]);
}
