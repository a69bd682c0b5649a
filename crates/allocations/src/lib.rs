//! An allocator that counts, for tests of what a thing costs: each names it as its own.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: allocations::Counting = allocations::Counting;
//! ```
//!
//! It knows no limit: `fuzz/src/heap.rs` has one, and ends the process.

#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

thread_local! {
    /// Calls of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}
/// Bytes that are allocated now.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

/// How often this thread has allocated or reallocated so far.
#[must_use]
pub fn of_this_thread() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes of the heap that all threads hold now.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

/// What is more and what is less by a call, in bytes: no layout is larger than `isize::MAX`.
fn count(more: usize, less: usize) {
    LIVE.fetch_add(more as i64 - less as i64, Ordering::Relaxed);
}

// SAFETY: every call is the system allocator's, with the same arguments; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(layout.size(), 0);
        // SAFETY: as this function's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(size, layout.size());
        // SAFETY: as this function's.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as this function's.
        unsafe { System.dealloc(old, layout) }
    }
}
