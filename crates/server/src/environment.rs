//! What a node is handed instead of reaching for it: the clock, the disk, the network, threads for its start, and a source of seeds.

use base::{Clock, Monotonic, Timestamp};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use storage::{BoundedDisk, Disk, LeftOut, RealDisk};

/// The outside of a node.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where it reads the time.
    pub clock: Arc<dyn Clock>,
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// How its clients reach it.
    pub network: Network,
    /// Who opens its logs at start.
    pub workers: Arc<dyn Workers>,
    /// Where its randomness begins.
    pub seed: u64,
    /// Measures of recovery that it leaves out: none, but in negative controls.
    pub left_out: LeftOut,
    /// Gives memory that is free in this process back to the system. What the calling thread has freed is given back at once when
    /// `all` is true, else only what was free for a while. Called after what needs much for a short time.
    pub release_memory: fn(all: bool),
}

/// Does work of a few pieces that the node waits for.
pub trait Workers: Debug + Send + Sync {
    /// Calls `work` once with each number below `count`, at the same time or one after another, and returns when all calls have.
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync));
}

/// Workers that are none: the caller does one piece after another, so that each run is like the last.
#[derive(Clone, Copy, Debug)]
pub struct InTurn;

impl Workers for InTurn {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
}

/// A thread a piece, for as long as the work takes.
#[derive(Clone, Copy, Debug)]
struct Threads;

impl Workers for Threads {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for at in 1..count {
                let thread = std::thread::Builder::new().name(format!("recovery-{at}"));
                if let Err(error) = thread.spawn_scoped(scope, move || work(at)) {
                    tracing::warn!(%error, "one thread less opens logs");
                    work(at);
                }
            }
            if count > 0 {
                work(0);
            }
        });
    }
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
            disk: Arc::new(BoundedDisk::new(Arc::new(RealDisk::new()), storage::segments_open_max())),
            network: Network::Sockets,
            workers: Arc::new(Threads),
            seed,
            left_out: LeftOut::default(),
            release_memory: |_| {},
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
