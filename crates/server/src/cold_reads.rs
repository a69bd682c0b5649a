//! Reads of what is not in memory: threads of their own bring a range into the page cache before a connection sends it, so that no
//! event loop waits for a disk (KAFKA-7504).
//!
//! A connection has one range under way, so the queue is bounded by the connections.

use net::{SendFile, Warming};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

struct Range {
    file: Arc<dyn SendFile>,
    position: u64,
    len: usize,
    done: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    ranges: VecDeque<Range>,
    closed: bool,
}

/// Ranges that wait for the disk.
#[derive(Default)]
pub(crate) struct ColdReads {
    queue: Mutex<Queue>,
    woken: Condvar,
}

impl ColdReads {
    /// A wait until the range was read; `None` when the node stops, and the connection may as well read itself.
    pub(crate) fn bring(&self, file: &Arc<dyn SendFile>, position: u64, len: usize) -> Option<Warming> {
        let done = Arc::new(Notify::new());
        let range = Range { file: Arc::clone(file), position, len, done: Arc::clone(&done) };
        let mut queue = self.queue.lock();
        if queue.closed {
            return None;
        }
        queue.ranges.push_back(range);
        drop(queue);
        self.woken.notify_one();
        Some(Box::pin(async move { done.notified().await }))
    }

    /// Reads ranges until [`ColdReads::close`]; the body of a thread.
    pub(crate) fn run(&self) {
        while let Some(range) = self.next() {
            range.file.read_ahead(range.position, range.len);
            range.done.notify_one();
        }
    }

    /// Reads one range, if one waits.
    pub(crate) fn read_one(&self) -> bool {
        let Some(range) = self.queue.lock().ranges.pop_front() else { return false };
        range.file.read_ahead(range.position, range.len);
        range.done.notify_one();
        true
    }

    fn next(&self) -> Option<Range> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(range) = queue.ranges.pop_front() {
                return Some(range);
            }
            if queue.closed {
                return None;
            }
            self.woken.wait(&mut queue);
        }
    }

    /// Lets every [`ColdReads::run`] return once the queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::ColdReads;
    use net::SendFile;
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    #[derive(Debug, Default)]
    struct Cold {
        read_to: AtomicU64,
    }

    impl SendFile for Cold {
        fn as_fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
        fn is_in_memory(&self, position: u64, len: usize) -> bool {
            position + len as u64 <= self.read_to.load(Ordering::Acquire)
        }
        fn read_ahead(&self, position: u64, len: usize) {
            self.read_to.store(position + len as u64, Ordering::Release);
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    #[test]
    fn a_range_is_read_before_its_wait_ends() {
        let (reads, file) = (ColdReads::default(), Arc::new(Cold::default()));
        let sent: Arc<dyn SendFile> = Arc::clone(&file) as Arc<dyn SendFile>;
        let mut waits: Vec<_> = (0..3).map(|at| reads.bring(&sent, at * 100, 100).unwrap()).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(&mut cx).is_pending()));
        assert!(!file.is_in_memory(0, 300));
        reads.close();
        reads.run();
        assert!(waits.iter_mut().all(|wait| matches!(wait.as_mut().poll(&mut cx), Poll::Ready(()))));
        assert!(file.is_in_memory(0, 300));
        assert!(reads.bring(&sent, 0, 1).is_none(), "nobody reads any more");
    }
}
