//! Virtual time. The wall clock goes with the monotonic one, but now and then a little apart, since no decision about safety may read it.

use base::{Clock, Monotonic, Timestamp};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// The clock of a simulated node and its clients.
#[derive(Debug, Default)]
pub(crate) struct SimClock {
    nanos: AtomicU64,
    /// What the wall clock is off by.
    skew_ms: AtomicI64,
}

impl SimClock {
    /// Goes on; tokio's clock has to go with it.
    pub(crate) fn advance(&self, millis: u64) {
        self.nanos.fetch_add(millis * 1_000_000, Ordering::Relaxed);
    }

    /// Puts the wall clock this far from the true time.
    pub(crate) fn skew(&self, millis: i64) {
        self.skew_ms.store(millis, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        let since = i64::try_from(self.nanos.load(Ordering::Relaxed) / 1_000_000).unwrap_or(i64::MAX);
        Timestamp(BEGIN_MS + since + self.skew_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.nanos.load(Ordering::Relaxed))
    }
}
