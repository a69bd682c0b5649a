//! What the allocator counts. One test alone: what others hold at the same time would count among the live bytes.

use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const BYTES: usize = 1 << 24;

#[test]
#[expect(clippy::disallowed_methods, reason = "another thread's allocations are told apart")]
fn allocations_are_counted_by_thread_and_bytes_until_they_are_freed() {
    let (calls, live) = (allocations::of_this_thread(), allocations::live_bytes());
    let mut bytes: Vec<u8> = black_box(Vec::with_capacity(BYTES));
    assert_eq!(allocations::of_this_thread() - calls, 1);
    assert_held(live, BYTES);
    bytes.reserve_exact(2 * BYTES);
    black_box(&mut bytes);
    assert_eq!(allocations::of_this_thread() - calls, 2, "a block that grows");
    assert_held(live, 2 * BYTES);
    drop(bytes);
    assert_eq!(allocations::of_this_thread() - calls, 2, "freeing is none");
    assert_held(live, 0);
    let calls = allocations::of_this_thread();
    let many = || (0..1_000).map(|_| black_box(vec![7_u8; BYTES / 1_000])).collect::<Vec<_>>();
    let held = std::thread::spawn(many).join();
    assert!(allocations::of_this_thread() - calls < 100, "those of another thread are its own");
    assert_held(live, BYTES);
    drop(held);
}

/// The test's own threads hold a little, too.
#[track_caller]
fn assert_held(before: i64, bytes: usize) {
    let held = allocations::live_bytes() - before;
    let bytes = i64::try_from(bytes).expect("a length");
    assert!((held - bytes).abs() < 1 << 20, "{held} bytes are held, not {bytes}");
}
