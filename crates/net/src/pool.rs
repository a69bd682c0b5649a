//! Read buffers of one loop. A connection that waits with nothing half-read holds none, so an idle one costs no buffer, and a
//! busy loop reuses the same warm memory whatever connection speaks.

use std::cell::RefCell;
use std::rc::Rc;

/// A buffer begins with this many bytes of room.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;
/// Larger buffers are given back to the allocator.
const POOLED_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// The pool keeps this much at most.
const POOL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a reader's buffers come from and go to.
pub(crate) trait Pool {
    /// An empty buffer with some room: [`BUFFER_BYTES`], or more where more is wanted and a larger one lies idle.
    fn take(&self, wanted: usize) -> Vec<u8>;
    /// Takes a buffer back; its content is forgotten.
    fn give(&self, buffer: Vec<u8>);
}

/// Keeps nothing: a client has few connections, and gives whole buffers away as responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoPool;

impl Pool for NoPool {
    fn take(&self, _: usize) -> Vec<u8> {
        Vec::with_capacity(BUFFER_BYTES)
    }

    fn give(&self, _: Vec<u8>) {}
}

/// Buffers that no connection holds.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(RefCell<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Of exactly [`BUFFER_BYTES`]: what small requests need, and what nobody is charged for.
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool for Rc<BufferPool> {
    /// Of those of its kind the one used last, which is warm.
    fn take(&self, wanted: usize) -> Vec<u8> {
        let idle = &mut *self.0.borrow_mut();
        let kind = if wanted > BUFFER_BYTES { &mut idle.large } else { &mut idle.small };
        match kind.pop() {
            Some(buffer) => {
                idle.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(BUFFER_BYTES),
        }
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let idle = &mut *self.0.borrow_mut();
        let bytes = buffer.capacity();
        if (BUFFER_BYTES..=POOLED_BUFFER_BYTES_MAX).contains(&bytes) && idle.bytes + bytes <= POOL_BYTES_MAX {
            buffer.clear();
            idle.bytes += bytes;
            let kind = if bytes > BUFFER_BYTES { &mut idle.large } else { &mut idle.small };
            kind.push(buffer);
        }
    }
}
