//! Reads of what is not in memory: threads of their own bring a range into the page cache before a connection sends it, so that no
//! event loop waits for a disk (KAFKA-7504).
//!
//! What was brought is let go again, the oldest first, so that a reader of old data never evicts the tail that others live on; a range
//! that is still to be sent stays. A connection has one range under way, so the queue is bounded by the connections.

use net::{SendFile, Warming};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// Bytes in memory that cold readers brought there, of the whole node: some for each of several readers, so that one who follows
/// another closely finds them.
const BROUGHT_BYTES_MAX: usize = 64 << 20;
/// Ranges that are remembered for that, whatever their bytes: each holds its file open.
const BROUGHT_RANGES_MAX: usize = 256;

struct Range {
    file: Arc<dyn SendFile>,
    position: u64,
    len: usize,
    /// Held by who waits for the range, too, until it is sent.
    done: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    ranges: VecDeque<Range>,
    closed: bool,
}

/// Ranges that were brought, oldest first.
#[derive(Default)]
struct Brought {
    ranges: VecDeque<Range>,
    bytes: usize,
}

/// Ranges that wait for the disk.
#[derive(Default)]
pub(crate) struct ColdReads {
    queue: Mutex<Queue>,
    woken: Condvar,
    brought: Mutex<Brought>,
}

/// Ends when the range was read; as long as it lives, the range stays in memory.
struct Wait {
    notified: Pin<Box<dyn Future<Output = ()>>>,
    _keeps: Arc<Notify>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.notified.as_mut().poll(cx)
    }
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
        let keeps = Arc::clone(&done);
        Some(Box::pin(Wait { notified: Box::pin(async move { done.notified().await }), _keeps: keeps }))
    }

    /// Reads ranges until [`ColdReads::close`]; the body of a thread.
    pub(crate) fn run(&self) {
        while let Some(range) = self.next() {
            self.read(range);
        }
    }

    /// Reads one range, if one waits.
    pub(crate) fn read_one(&self) -> bool {
        let Some(range) = self.queue.lock().ranges.pop_front() else { return false };
        self.read(range);
        true
    }

    fn read(&self, range: Range) {
        range.file.read_ahead(range.position, range.len);
        range.done.notify_one();
        let mut brought = self.brought.lock();
        brought.bytes += range.len;
        brought.ranges.push_back(range);
        let least = brought.ranges.len().saturating_sub(BROUGHT_RANGES_MAX);
        let behind = brought.take(BROUGHT_BYTES_MAX, least);
        drop(brought);
        behind.iter().for_each(Range::drop_behind);
    }

    /// Lets go of all that was brought and is not still to be sent. Who remembers a range holds its file open.
    pub(crate) fn let_go(&self) {
        let mut brought = self.brought.lock();
        let all = brought.ranges.len();
        let behind = brought.take(0, all);
        drop(brought);
        behind.iter().for_each(Range::drop_behind);
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

impl Range {
    fn is_to_be_sent(&self) -> bool {
        Arc::strong_count(&self.done) > 1
    }

    fn drop_behind(&self) {
        self.file.drop_behind(self.position, self.len);
    }
}

impl Brought {
    /// Takes the oldest ranges out, until no more than `bytes_max` bytes are left and at least `least` were looked at. Those that are
    /// still to be sent are put behind the others.
    fn take(&mut self, bytes_max: usize, least: usize) -> Vec<Range> {
        let mut taken = Vec::new();
        for looked_at in 0..self.ranges.len() {
            if self.bytes <= bytes_max && looked_at >= least {
                break;
            }
            let Some(range) = self.ranges.pop_front() else { break };
            if range.is_to_be_sent() {
                self.ranges.push_back(range);
            } else {
                self.bytes -= range.len;
                taken.push(range);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{BROUGHT_BYTES_MAX, ColdReads};
    use net::SendFile;
    use parking_lot::Mutex;
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    #[derive(Debug, Default)]
    struct Cold {
        read_to: AtomicU64,
        dropped: Mutex<Vec<u64>>,
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
        fn drop_behind(&self, position: u64, _: usize) {
            self.dropped.lock().push(position);
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

    #[test]
    fn cold_readers_drop_behind_themselves_but_nothing_that_is_still_to_be_sent() {
        let (reads, file) = (ColdReads::default(), Arc::new(Cold::default()));
        let sent: Arc<dyn SendFile> = Arc::clone(&file) as Arc<dyn SendFile>;
        let range = BROUGHT_BYTES_MAX / 4;
        let bring = |at: usize| {
            let wait = reads.bring(&sent, (at * range) as u64, range).unwrap();
            assert!(reads.read_one());
            wait
        };
        let slow = bring(0);
        (1..4).for_each(|at| drop(bring(at)));
        assert!(file.dropped.lock().is_empty(), "as much as may stay");
        (4..6).for_each(|at| drop(bring(at)));
        assert_eq!(
            *file.dropped.lock(),
            [1, 2].map(|at| at * range as u64),
            "the oldest but the one that a connection waits with"
        );
        drop(slow);
        reads.let_go();
        assert_eq!(file.dropped.lock().len(), 6);
        reads.let_go();
        assert_eq!(file.dropped.lock().len(), 6, "once");
    }
}
