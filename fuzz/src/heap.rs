//! Memory as a property: an allocator that counts, and a limit that holds while a target runs.
//!
//! It sees what Rust allocates. What zstd's C code allocates it does not see; libFuzzer's own limit on resident memory does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a target may take for each byte of its input ...
const PER_BYTE: usize = 4;
/// ... and on top of that.
const BASE: usize = 1 << 20;

/// Bytes that are allocated.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// What [`LIVE`] may reach.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    let limit = LIMIT.load(Relaxed);
    // A block that was allocated before the count began may be freed in it: then the count is below zero, which is large.
    // A panic has its own message, which takes memory to make.
    if live > limit && live < usize::MAX / 2 && !std::thread::panicking() {
        LIMIT.store(usize::MAX, Relaxed);
        eprintln!("the heap holds {live} bytes, the last {bytes} of them over the limit by {}", live - limit);
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
        // Not a panic: an allocator must not unwind. libFuzzer catches the signal and keeps the input.
        std::process::abort();
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe to be, and this one only counts before it asks the system's")]
// SAFETY: every call is handed on unchanged to the system's allocator, whose results are returned unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while the bytes move.
        count(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Runs `work`, and ends the process when the heap grows by more than 4 bytes for each of `input`, 1 MiB, and `allowed`: what the
/// target grants knowingly.
pub fn bounded<T>(input: usize, allowed: usize, work: impl FnOnce() -> T) -> T {
    LIMIT.store(LIVE.load(Relaxed).saturating_add(input * PER_BYTE + BASE + allowed), Relaxed);
    let result = work();
    LIMIT.store(usize::MAX, Relaxed);
    result
}
