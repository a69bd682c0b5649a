//! Memory for answers that are ready and not sent, shared by all connections of a node (S12).
//!
//! What one connection may have of them has its own limit ([`ListenerOptions::reply_bytes_max`](crate::ListenerOptions)); this is the limit of
//! all. While they use it up a connection is asked nothing more before its answers are sent, and one whose peer takes none of them for
//! a while is closed. So all together take at most the limit and one answer a connection.
//!
//! Only what is left at the end of a connection's turn is counted, so whoever reads costs nobody a shared counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of one node.
#[derive(Debug)]
pub struct ReplyMemory {
    limit: usize,
    used: AtomicUsize,
}

impl ReplyMemory {
    /// Nothing is used yet. `limit` is in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<ReplyMemory> {
        Arc::new(ReplyMemory { limit, used: AtomicUsize::new(0) })
    }

    /// Bytes of answers that wait for their peers to read.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.used() >= self.limit
    }
}

/// What one connection holds; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Unsent {
    memory: Arc<ReplyMemory>,
    bytes: usize,
}

impl Unsent {
    pub(crate) fn of(memory: &Arc<ReplyMemory>) -> Unsent {
        Unsent { memory: Arc::clone(memory), bytes: 0 }
    }

    /// Whether all connections together hold all that they may.
    pub(crate) fn is_used_up(&self) -> bool {
        self.memory.is_used_up()
    }

    /// From now on it holds so many.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.memory.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.memory.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.set(0);
    }
}
