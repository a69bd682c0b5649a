//! Read buffers of one loop. A connection that waits with nothing half-read holds none, so an idle one costs no buffer, and a
//! busy loop reuses the same warm memory whatever connection speaks.

use std::cell::RefCell;

/// A buffer begins with this many bytes of room.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;
/// Larger buffers are given back to the allocator.
const POOLED_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// The pool keeps this much at most.
const POOL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Buffers that no connection holds.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(RefCell<Idle>);

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl BufferPool {
    /// An empty buffer with some room, the one used last.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut idle = self.0.borrow_mut();
        match idle.buffers.pop() {
            Some(buffer) => {
                idle.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(BUFFER_BYTES),
        }
    }

    /// Takes a buffer back; its content is forgotten.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut idle = self.0.borrow_mut();
        let bytes = buffer.capacity();
        if (BUFFER_BYTES..=POOLED_BUFFER_BYTES_MAX).contains(&bytes) && idle.bytes + bytes <= POOL_BYTES_MAX {
            buffer.clear();
            idle.bytes += bytes;
            idle.buffers.push(buffer);
        }
    }
}
