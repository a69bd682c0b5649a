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
        Ok(Some(SyncTicket { files: vec![], dirs: vec![], up_to: Offset(1) }))
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
    committer.run(&|_| Ok(()));
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
    committer.run(&fail_once);
    assert_eq!((*syncs.lock(), member.seen.lock().clone()), (1, vec!["ticket", "failed", "failed"]));
}
