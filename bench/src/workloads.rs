//! The table of cases, and what all of them measure alike.

mod clients;
mod crowd;
mod fetch;
mod groups;
mod ingest;
mod latency;
mod storm;

use crate::figures::{CPU_BYTES, CPU_REQUEST, MEMORY, Measure, P50, P99, RATE, REQUESTS, Row};
use crate::lab::{Contestant, Lab};
use crate::load::counts::Counts;
use crate::usage;
use conformance::fault::Fault;
use conformance::process::now;

/// One case of a workload.
pub struct Entry {
    /// Selects all its cases.
    pub workload: &'static str,
    /// Unique.
    pub case: String,
    run: Box<Measured>,
}

type Measured = dyn Fn(&Lab<'_>) -> Result<Row, Fault>;

impl Entry {
    fn new(
        workload: &'static str,
        case: impl Into<String>,
        run: impl Fn(&Lab<'_>) -> Result<Row, Fault> + 'static,
    ) -> Entry {
        Entry { workload, case: case.into(), run: Box::new(run) }
    }

    /// Runs its rounds.
    pub fn run(&self, lab: &Lab<'_>) -> Result<Row, Fault> {
        (self.run)(lab)
    }
}

/// All cases, in the order in which they run.
pub fn all() -> Vec<Entry> {
    let mut all = ingest::entries();
    all.extend(clients::entries());
    all.extend(fetch::entries());
    all.extend(latency::entries());
    all.extend(storm::entries());
    all.extend(groups::entries());
    all.extend(crowd::entries());
    all
}

/// An answer is about the page cache on every side.
const PAGE_CACHE: &str = "acks=1: answered from the page cache by all. `thalweg` (default settings) also syncs it to disk soon after; \
    `thalweg pagecache` and Kafka leave that to the kernel";
/// An answer is about the disk on every side.
const ON_DISK: &str = "acks=all: on disk before the answer on every side (Kafka: flush.messages=1)";

/// What a load did, in which time, and what it cost the contestant.
struct Done {
    counts: Counts,
    seconds: f64,
    cpu_seconds: f64,
    memory_mib: f64,
}

fn timed(on: &Contestant, load: impl FnOnce() -> Result<Counts, Fault>) -> Result<Done, Fault> {
    let (cpu, started) = (on.cpu_seconds()?, now());
    let counts = load()?;
    let seconds = (now() - started).as_secs_f64();
    let memory_mib = usage::memory_mib(on.pid())?;
    Ok(Done { counts, seconds, cpu_seconds: on.cpu_seconds()? - cpu, memory_mib })
}

impl Done {
    fn gigabytes(&self) -> f64 {
        self.counts.bytes as f64 / 1e9
    }

    /// Of loads that move bytes.
    fn transfer(mut self) -> Measure {
        let [p50, p99] = self.counts.quantiles([0.5, 0.99]);
        let requests = self.counts.requests as f64;
        Measure::default()
            .with(RATE, self.gigabytes() * 1e3 / self.seconds)
            .with(REQUESTS, requests / self.seconds)
            .with(CPU_BYTES, self.cpu_seconds / self.gigabytes())
            .with(CPU_REQUEST, self.cpu_seconds / requests * 1e6)
            .with(P50, p50)
            .with(P99, p99)
            .with(MEMORY, self.memory_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::BTreeSet;

    #[test]
    fn cases_have_names_of_their_own_that_start_with_their_workload() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|entry| entry.case.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|entry| entry.case.starts_with(entry.workload)), "{names:?}");
    }
}
