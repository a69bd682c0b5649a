//! What a node is handed instead of reaching for it: the clock, the disk, the network, and a source of seeds.

use base::{Clock, Monotonic, Timestamp};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use storage::{Disk, LeftOut, RealDisk};

/// The outside of a node.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where it reads the time.
    pub clock: Arc<dyn Clock>,
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// How its clients reach it.
    pub network: Network,
    /// Where its randomness begins.
    pub seed: u64,
    /// Measures of recovery that it leaves out: none, but in negative controls.
    pub left_out: LeftOut,
}

/// How clients reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Over sockets of the system.
    Sockets,
    /// Its owner hands it frames; its addresses are those of its configuration.
    Frames,
}

impl Environment {
    /// The real clock, the real disk, and a seed of this moment and process.
    #[must_use]
    pub fn real() -> Self {
        let clock = RealClock::start();
        let now = u64::try_from(clock.wall().0).unwrap_or(0);
        let seed = now ^ (u64::from(std::process::id()) << 32) ^ clock.nanos_of_start;
        Self {
            clock: Arc::new(clock),
            disk: Arc::new(RealDisk),
            network: Network::Sockets,
            seed,
            left_out: LeftOut::default(),
        }
    }
}

#[derive(Debug)]
struct RealClock {
    start: Instant,
    nanos_of_start: u64,
}

impl RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the node's clock is made")]
    fn start() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
        Self { start: Instant::now(), nanos_of_start: nanos }
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the node's clock is real here")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
