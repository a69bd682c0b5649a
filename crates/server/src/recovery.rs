//! How far a starting node is with the recovery of its logs: for its log lines, `/readyz` and the metrics.
//!
//! Several threads report at once; what they count is only ever shown. It does not know what a log is, nor who recovers it.

use base::{Clock, Monotonic};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{Recovery, RecoveryWatch};
use telemetry::Metrics;

/// How often a line in the log says how far it is, in milliseconds.
const LINE_INTERVAL_MS: i64 = 2_000;
/// Bytes after which a recovery of a log looks whether a line is due.
const LOOK_BYTES: u64 = 4 << 20;

/// How far the recovery is.
pub(crate) struct RecoveryProgress {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Logs that a crash left, and those that are recovered or given up.
    logs: AtomicU64,
    done: AtomicU64,
    walked_bytes: AtomicU64,
    cut_bytes: AtomicU64,
    began: Monotonic,
    next_line: Mutex<Monotonic>,
}

impl RecoveryProgress {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let began = clock.monotonic();
        Self {
            clock,
            metrics,
            logs: AtomicU64::new(0),
            done: AtomicU64::new(0),
            walked_bytes: AtomicU64::new(0),
            cut_bytes: AtomicU64::new(0),
            began,
            next_line: Mutex::new(began.plus_millis(LINE_INTERVAL_MS)),
        }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// So many more logs are to be recovered.
    pub(crate) fn found(&self, logs: usize) {
        let logs = u64::try_from(logs).unwrap_or(u64::MAX);
        self.logs.fetch_add(logs, Ordering::Relaxed);
        self.metrics.remaining_logs_to_recover.add(i64::try_from(logs).unwrap_or(i64::MAX));
    }

    /// One of them is recovered, or cannot be.
    pub(crate) fn one_is_done(&self, recovery: &Recovery) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.cut_bytes.fetch_add(recovery.truncated_bytes, Ordering::Relaxed);
        self.metrics.remaining_logs_to_recover.add(-1);
        self.say_if_due();
    }

    /// What the node is busy with, in one line.
    pub(crate) fn text(&self) -> String {
        let (logs, done) = (self.logs.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed));
        if done < logs { format!("recovering {done} of {logs} logs") } else { "starting".to_owned() }
    }

    /// Says what it came to, if there was anything to recover.
    pub(crate) fn conclude(&self) {
        let logs = self.logs.load(Ordering::Relaxed);
        if logs == 0 {
            return;
        }
        let took_ms = self.clock.monotonic().since(self.began).as_millis();
        let (walked_bytes, cut_bytes) =
            (self.walked_bytes.load(Ordering::Relaxed), self.cut_bytes.load(Ordering::Relaxed));
        tracing::info!(logs, walked_bytes, cut_bytes, took_ms, "recovered the logs that were not closed");
    }

    fn say_if_due(&self) {
        let now = self.clock.monotonic();
        // Who finds it taken leaves the line to the one who has it.
        let Some(mut next) = self.next_line.try_lock() else { return };
        if now < *next {
            return;
        }
        *next = now.plus_millis(LINE_INTERVAL_MS);
        drop(next);
        let (logs, done) = (self.logs.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed));
        let segments_left = self.metrics.remaining_segments_to_recover.get();
        let walked_bytes = self.walked_bytes.load(Ordering::Relaxed);
        tracing::info!(done, logs, segments_left, walked_bytes, "recovering logs");
    }
}

impl RecoveryWatch for RecoveryProgress {
    fn segments_left(&self, change: i64) {
        self.metrics.remaining_segments_to_recover.add(change);
    }

    fn walked(&self, bytes: u64) {
        let before = self.walked_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / LOOK_BYTES != (before + bytes) / LOOK_BYTES {
            self.say_if_due();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RecoveryProgress;
    use crate::committer::ManualClock;
    use std::sync::Arc;
    use storage::{Recovery, RecoveryWatch};

    #[test]
    fn what_is_left_is_counted_down() {
        let progress = RecoveryProgress::new(Arc::new(ManualClock::default()), Arc::default());
        assert_eq!(progress.text(), "starting");
        progress.found(3);
        progress.segments_left(5);
        progress.one_is_done(&Recovery::default());
        progress.segments_left(-4);
        assert_eq!(progress.text(), "recovering 1 of 3 logs");
        let metrics = progress.metrics();
        assert_eq!((metrics.remaining_logs_to_recover.get(), metrics.remaining_segments_to_recover.get()), (2, 1));
        progress.one_is_done(&Recovery::default());
        progress.one_is_done(&Recovery::default());
        assert_eq!(progress.text(), "starting");
    }
}
