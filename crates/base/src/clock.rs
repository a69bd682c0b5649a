//! Time as data. Cores take a [`Timestamp`] or [`Monotonic`] as an argument; only the node's shell holds a [`Clock`].

use std::time::Duration;

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z; Kafka's record and log timestamps. May jump either way, so no
/// safety decision reads it. -1 means "no timestamp", as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// "No timestamp" (-1), as Kafka writes it.
    pub const NONE: Timestamp = Timestamp(-1);

    /// Milliseconds from `earlier` to `self`, saturating; negative when the wall clock went back.
    #[must_use]
    pub const fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved by `millis`, saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }
}

/// Monotonic time in nanoseconds since the node started; deadlines are of this type. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// `self` moved on by `by`, saturating (a deadline that far is never reached).
    #[must_use]
    pub fn plus(self, by: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// `self` moved on by this many milliseconds; a negative number counts as 0.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Monotonic {
        self.plus(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }

    /// Time from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Where a shell reads the time: the real clock in the binary, a virtual one in simulation and tests.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall-clock time now.
    fn wall(&self) -> Timestamp;
    /// Monotonic time now.
    fn monotonic(&self) -> Monotonic;
}
