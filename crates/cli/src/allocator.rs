//! The binary's allocator, and the one call to it that Rust's interface has no name for.
//!
//! It keeps what was freed, page by page, and gives pages back to the system while it is asked for others. A node at rest asks for none.

#![expect(unsafe_code, reason = "a function of the allocator that no safe crate offers")]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Collects what the calling thread has freed, and gives pages back that were free for a while; all of them with `force`.
    fn mi_collect(force: bool);
}

/// Gives free memory back to the system; see [`server::Environment`].
pub(crate) fn release(all: bool) {
    // SAFETY: it may be called by any thread at any time, and touches nothing that is in use.
    unsafe { mi_collect(all) }
}
