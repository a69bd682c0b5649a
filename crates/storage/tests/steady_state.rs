//! What an append and a look-up cost a log that is warm: no allocation but the few that its indexes grow and are read by.

#![expect(clippy::unwrap_used, reason = "a test")]

use base::{LeaderEpoch, Offset, Timestamp};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use std::path::Path;
use std::sync::Arc;
use storage::{Log, LogConfig, LogOptions, RealDisk};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const ROUNDS: i64 = 2_000;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = allocations::of_this_thread();
    work();
    allocations::of_this_thread() - before
}

fn append(log: &mut Log, batch: &[u8], rounds: i64) {
    let valid = ValidBatch::internal(batch).unwrap();
    for _ in 0..rounds {
        log.append(Timestamp(1_000), &valid, LeaderEpoch(0)).unwrap();
    }
}

#[test]
fn a_warm_log_appends_and_reads_without_an_allocation_each() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("steady-state-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let options = LogOptions {
        dir: dir.join("t-0"),
        config: LogConfig::default().into(),
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean: false,
    };
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..10 {
        let record = NewRecord { timestamp: Timestamp(1_000), value: Some(&[b'x'; 100]), ..NewRecord::default() };
        builder.append(&record);
    }
    let batch = builder.build();
    let mut log = Log::create(Arc::new(RealDisk::new()), options).unwrap();
    append(&mut log, &batch, ROUNDS);
    let appending = allocations(|| append(&mut log, &batch, ROUNDS));
    let reading = allocations(|| {
        for at in 0..ROUNDS {
            let slice = log.read(Offset(at * 10), log.log_end(), 4_096, true).unwrap();
            assert!(slice.len > 0);
        }
    });
    std::fs::remove_dir_all(&dir).unwrap();
    let few = u64::try_from(ROUNDS).unwrap() / 100;
    assert!(appending <= few && reading <= few, "{appending} and {reading} allocations of {ROUNDS} appends and reads");
}
