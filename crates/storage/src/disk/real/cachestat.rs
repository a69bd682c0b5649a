//! cachestat(2), since Linux 6.5: how many pages of a range are in the page cache, in one system call. Neither rustix nor the standard
//! library has it, so this file makes the call itself; it is the only one of the crate that needs `unsafe`.
#![expect(unsafe_code, reason = "a system call that no safe crate offers")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its number, on every architecture; libc names it on some only.
const SYS_CACHESTAT: libc::c_long = 451;

/// The kernel counts in pages of its own size, which is no smaller than this.
const PAGE_BYTES_MIN: u64 = 4096;

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all pages of a range are in the page cache; `None` where the kernel does not know the call or a sandbox forbids it.
pub(super) fn is_cached(file: &File, position: u64, len: usize) -> Option<bool> {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if len == 0 || REFUSED.load(Ordering::Relaxed) {
        return None;
    }
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(PAGE_BYTES_MIN);
    let range = Range { offset: position, len: len as u64 };
    let mut counts = Counts::default();
    // SAFETY: both pointers are to live values of the layout that the kernel documents, and it keeps neither.
    let done = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0_u32) };
    if done != 0 {
        REFUSED.store(true, Ordering::Relaxed);
        return None;
    }
    let pages = (position + len as u64).div_ceil(page) - position / page;
    Some(counts.cached >= pages)
}
