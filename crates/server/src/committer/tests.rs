use super::{Commit, Committer};
use base::Offset;
use parking_lot::Mutex;
use std::sync::Arc;
use storage::{DiskError, SyncTicket};

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
    let (committer, member) = (Committer::default(), Arc::new(Member::default()));
    committer.enqueue(Arc::clone(&member) as Arc<dyn Commit>);
    committer.close();
    committer.run(&|_| Ok(()), &|_| panic!("nothing failed"));
    assert_eq!(*member.seen.lock(), ["ticket", "synced"]);
}

#[test]
fn r25_a_failed_sync_is_never_retried() {
    let (committer, member) = (Committer::default(), Arc::new(Member::default()));
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
fn r21_a_write_that_failed_ends_all_commits_of_its_log_dir() {
    let (committer, member) = (Committer::default(), Arc::new(Member::default()));
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
