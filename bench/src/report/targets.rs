//! What we hold ourselves to, as ratios within one run, best round against best round.
//!
//! A row that the run has no figures for is not judged, and said so.
// tidy: table, because each row is one thing that we hold ourselves to

use super::Report;
use crate::figures::{CPU_BYTES, CPU_REQUEST, FDATASYNC, Figure, MEMORY, P50, RATE, RECORDS, REQUESTS, START};
use crate::lab::{CEILING, KAFKA, THALWEG, THALWEG_PAGECACHE};

/// Which way a value may go.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
}

/// One promise about a run.
pub struct Target {
    /// The case that it is about.
    pub case: &'static str,
    /// In words.
    pub says: &'static str,
    /// Within these.
    pub bound: Bound,
    /// Made of a run's figures.
    pub value: fn(&Report) -> Option<f64>,
}

impl Target {
    /// Whether a value keeps it.
    pub fn is_met(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }
}

const fn target(case: &'static str, says: &'static str, bound: Bound, value: fn(&Report) -> Option<f64>) -> Target {
    Target { case, says, bound, value }
}

use Bound::{AtLeast, AtMost};

/// All of them.
pub const TARGETS: &[Target] = &[
    target("ingest-64k", "64 KiB batches, acks=1: MB/s, of the ceiling's", AtLeast(0.6), |run| {
        ratio(run, "ingest-64k", RATE, CEILING)
    }),
    target("ingest-64k", "the same: CPU per GB, of the ceiling's", AtMost(1.6), |run| {
        ratio(run, "ingest-64k", CPU_BYTES, CEILING)
    }),
    target("ingest-64k", "the same: CPU above the ceiling, of what Kafka's is above it", AtMost(0.2), |run| {
        above(run, "ingest-64k", CPU_BYTES)
    }),
    target("ingest-1k", "1 KiB batches, acks=1: batches/s, of the ceiling's", AtLeast(0.6), |run| {
        ratio(run, "ingest-1k", REQUESTS, CEILING)
    }),
    target("ingest-1k", "the same: CPU per batch, of the ceiling's", AtMost(2.0), |run| {
        ratio(run, "ingest-1k", CPU_REQUEST, CEILING)
    }),
    target("ingest-1k", "the same: CPU above the ceiling, of what Kafka's is above it", AtMost(0.2), |run| {
        above(run, "ingest-1k", CPU_REQUEST)
    }),
    target("tail-fetch-1m-1", "fetch in slices of 1 MiB: MB/s, of the ceiling's", AtLeast(0.8), |run| {
        ratio(run, "tail-fetch-1m-1", RATE, CEILING)
    }),
    target("tail-fetch-1m-1", "the same: CPU per GB, of the ceiling's", AtMost(1.5), |run| {
        ratio(run, "tail-fetch-1m-1", CPU_BYTES, CEILING)
    }),
    target("tail-fetch-1m-1", "the same: CPU above the ceiling, of what Kafka's is above it", AtMost(0.333), |run| {
        above(run, "tail-fetch-1m-1", CPU_BYTES)
    }),
    target("tail-fetch-64k-1", "fetch in slices of 64 KiB: MB/s, of the ceiling's", AtLeast(0.8), |run| {
        ratio(run, "tail-fetch-64k-1", RATE, CEILING)
    }),
    target("tail-fetch-64k-1", "the same: CPU per GB, of the ceiling's", AtMost(1.5), |run| {
        ratio(run, "tail-fetch-64k-1", CPU_BYTES, CEILING)
    }),
    target("tail-fetch-64k-1", "the same: CPU above the ceiling, of what Kafka's is above it", AtMost(0.333), |run| {
        above(run, "tail-fetch-64k-1", CPU_BYTES)
    }),
    target(
        "client-100B",
        "librdkafka, 100 B records: records/s, of its rate against a null broker",
        AtLeast(0.8),
        |run| ratio(run, "client-100B", RECORDS, CEILING),
    ),
    target("durable-depth-1", "acks=all on disk, one in flight: p50, of one fdatasync beside it", AtMost(2.0), |run| {
        Some(run.best("durable-depth-1", THALWEG, P50.name)? / run.best("durable-depth-1", CEILING, FDATASYNC.name)?)
    }),
    target("durable-depth-1", "the same: p50, of Kafka's", AtMost(1.0), |run| {
        ratio(run, "durable-depth-1", P50, KAFKA)
    }),
    target("durable-depth-64", "acks=all on disk, 64 in flight: batches/s, of Kafka's", AtLeast(5.0), |run| {
        ratio(run, "durable-depth-64", REQUESTS, KAFKA)
    }),
    target(
        "durable-16-connections",
        "acks=all on disk, 16 connections and partitions: batches/s, of Kafka's",
        AtLeast(5.0),
        |run| ratio(run, "durable-16-connections", REQUESTS, KAFKA),
    ),
    target(
        "durable-1000-partitions",
        "acks=all on disk, 1,000 partitions at once: p50, of a write-ahead round",
        AtMost(3.0),
        |run| ratio(run, "durable-1000-partitions", P50, CEILING),
    ),
    target(
        "end-to-end-busy-pagecache",
        "end to end, one at a time, pagecache: p50, of the ceiling's",
        AtMost(3.0),
        |run| {
            let ours = run.best("end-to-end-busy-pagecache", THALWEG_PAGECACHE, P50.name)?;
            Some(ours / run.best("end-to-end-busy-pagecache", CEILING, P50.name)?)
        },
    ),
    target(
        "end-to-end-busy-fsync",
        "end to end, one at a time, fsync: p50, of 1.5 fdatasync + 3 times the ceiling's from the page cache",
        AtMost(1.0),
        |run| {
            let fdatasync = run.best("durable-depth-1", CEILING, FDATASYNC.name)?;
            let ceiling = run.best("end-to-end-busy-pagecache", CEILING, P50.name)?;
            Some(run.best("end-to-end-busy-fsync", THALWEG, P50.name)? / (1.5 * fdatasync + 3.0 * ceiling))
        },
    ),
    target("start-empty", "an empty node: MiB", AtMost(20.0), |run| run.best("start-empty", THALWEG, MEMORY.name)),
    target("start-empty", "an empty node: ms to its first answer", AtMost(30.0), |run| {
        run.best("start-empty", THALWEG, START.name)
    }),
    target("start-10000", "10,000 partitions after a clean stop: ms to the first answer", AtMost(500.0), |run| {
        run.best("start-10000", THALWEG, START.name)
    }),
    target("start-10000", "10,000 partitions at rest: KiB each", AtMost(6.0), |run| {
        let crowded = run.best("start-10000", THALWEG, MEMORY.name)?;
        Some((crowded - run.best("start-empty", THALWEG, MEMORY.name)?) * 1024.0 / 10_000.0)
    }),
    target(
        "partitions-5000",
        "a batch among 5,000 partitions: CPU, of one to a single partition",
        AtMost(4.0),
        |run| {
            let many = run.best("partitions-5000", THALWEG, CPU_REQUEST.name)?;
            Some(many / run.best("partitions-1", THALWEG, CPU_REQUEST.name)?)
        },
    ),
];

fn ratio(run: &Report, case: &str, figure: Figure, other: &str) -> Option<f64> {
    Some(run.best(case, THALWEG, figure.name)? / run.best(case, other, figure.name)?)
}

/// What is ours above the bare kernel's work, of what is Kafka's above it.
fn above(run: &Report, case: &str, figure: Figure) -> Option<f64> {
    let ceiling = run.best(case, CEILING, figure.name)?;
    let ours = run.best(case, THALWEG, figure.name)? - ceiling;
    Some(ours.max(0.0) / (run.best(case, KAFKA, figure.name)? - ceiling))
}

#[cfg(test)]
mod tests {
    use super::{Bound, TARGETS, above, target};
    use crate::figures::{CPU_BYTES, Measure, Row};
    use crate::report::Report;
    use crate::workloads::{self, Entry};

    fn run(values: [(&str, f64); 3]) -> Report {
        let round = values.map(|(contestant, value)| (contestant, Measure::default().with(CPU_BYTES, value)));
        Report::of_rows(vec![Row::of_one_round("ingest-64k", "ingest-64k", round)])
    }

    #[test]
    fn what_is_above_the_ceiling_is_compared_with_what_is_kafkas() {
        let run = run([("ceiling", 0.5), ("thalweg", 1.0), ("kafka", 5.5)]);
        assert_eq!(above(&run, "ingest-64k", CPU_BYTES), Some(0.1));
        assert_eq!(above(&run, "ingest-1k", CPU_BYTES), None, "it was not measured");
    }

    #[test]
    fn a_bound_is_kept_at_its_edge() {
        let at_most = target("", "", Bound::AtMost(2.0), |_| None);
        assert!(at_most.is_met(2.0) && !at_most.is_met(2.1));
        assert!(!target("", "", Bound::AtLeast(2.0), |_| None).is_met(1.9));
    }

    #[test]
    fn every_case_that_a_target_names_exists() {
        // A run that has every case with every figure: then no target may be left unjudged.
        use crate::figures::{CPU_REQUEST, FDATASYNC, MEMORY, P50, RATE, RECORDS, REQUESTS, START};
        let all = [CPU_BYTES, CPU_REQUEST, FDATASYNC, MEMORY, P50, RATE, RECORDS, REQUESTS, START];
        let measure = || all.iter().fold(Measure::default(), |measure, figure| measure.with(*figure, 1.0));
        let row = |entry: Entry| {
            let round = ["ceiling", "thalweg", "thalweg pagecache", "kafka"].map(|contestant| (contestant, measure()));
            Row::of_one_round(entry.workload, &entry.case, round)
        };
        let run = Report::of_rows(workloads::all().into_iter().map(row).collect());
        for target in TARGETS {
            assert!((target.value)(&run).is_some() && run.row(target.case).is_some(), "{}", target.says);
        }
    }
}
