//! What a load did, and when it ends.

use conformance::fault::Fault;
use conformance::process::now;
use std::time::{Duration, Instant};

/// When a load stops sending: at a time, or before that when it has moved so many bytes.
#[derive(Clone, Copy)]
pub struct Until {
    at: Instant,
    bytes: u64,
}

impl Until {
    /// From now on.
    pub fn new(time: Duration, bytes: u64) -> Until {
        Until { at: now() + time, bytes }
    }

    /// Whether it is over at `time` with so many bytes.
    pub fn is_over(&self, time: Instant, bytes: u64) -> bool {
        time >= self.at || bytes >= self.bytes
    }
}

/// What one or more connections did.
#[derive(Default)]
pub struct Counts {
    /// Bytes of batches.
    pub bytes: u64,
    /// Requests answered.
    pub requests: u64,
    /// Of each request, in nanoseconds.
    pub latencies: Vec<u64>,
    /// Requests of each connection, where there were several.
    pub shares: Vec<u64>,
}

impl Counts {
    /// One request more.
    pub fn add(&mut self, bytes: usize, latency: Duration) {
        self.bytes += bytes as u64;
        self.requests += 1;
        self.latencies.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Another connection's.
    pub fn merge(&mut self, other: Counts) {
        self.shares.push(other.requests);
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.latencies.extend(other.latencies);
    }

    /// These quantiles of the times from send to answer, in microseconds.
    pub fn quantiles<const N: usize>(&mut self, quantiles: [f64; N]) -> [f64; N] {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        quantiles.map(|quantile| {
            let at = (self.latencies.len() as f64 * quantile) as usize;
            self.latencies.get(at.min(last)).map_or(f64::NAN, |nanos| *nanos as f64 / 1e3)
        })
    }
}

/// Runs `work` for 0 to `connections` at the same time, each in a thread, and adds up what they did.
pub fn on_each(connections: i32, work: impl Fn(i32) -> Result<Counts, Fault> + Sync) -> Result<Counts, Fault> {
    if connections == 1 {
        return work(0);
    }
    let mut total = Counts::default();
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..connections).map(|which| scope.spawn(move || work(which))).collect();
        for thread in threads {
            let counts = thread.join().map_err(|_| Fault::Failed("a connection's thread panicked".to_owned()))?;
            total.merge(counts?);
        }
        Ok(total)
    })
}

#[cfg(test)]
mod tests {
    use super::Counts;
    use std::time::Duration;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let mut counts = Counts::default();
        for micros in [30, 10, 20, 40] {
            counts.add(1, Duration::from_micros(micros));
        }
        assert_eq!(counts.quantiles([0.0, 0.5, 0.99]), [10.0, 30.0, 40.0]);
        assert_eq!((counts.bytes, counts.requests), (4, 4));
        assert!(Counts::default().quantiles([0.5])[0].is_nan());
    }
}
