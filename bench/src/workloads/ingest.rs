//! Produce: streams of large and of small batches, and what being on disk costs.

use super::{Entry, ON_DISK, PAGE_CACHE, timed};
use crate::admin;
use crate::ceiling::{self, Disk, Shell, Work};
use crate::figures::{FDATASYNC, Measure, Row};
use crate::lab::{CEILING, Contestant, Lab, Ours};
use crate::load::counts::{Counts, Until};
use crate::load::drain::{Expected, check};
use crate::load::produce::{Plan, on_own_partitions, to_all};
use crate::options::Options;
use crate::rounds::{Case, Round, interleave};
use crate::wire::batch;
use conformance::fault::{During, Fault};
use conformance::process::now;
use std::path::Path;
use std::time::Duration;

/// Beside each round of the ceiling.
const FDATASYNC_TIME: Duration = Duration::from_millis(200);
/// Partitions that the second reader looks at, from the first on.
const CHECKED_MAX: i32 = 16;

/// How batches reach the partitions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// A connection a partition.
    Own,
    /// One request with a batch for each.
    All,
}

#[derive(Clone, Copy)]
struct Ingest {
    workload: &'static str,
    name: &'static str,
    about: &'static str,
    partitions: i32,
    spread: Spread,
    batch_bytes: usize,
    depth: usize,
    acks: i16,
    ceiling: Work,
    ours: Ours,
    /// Rounds beyond those that were asked for.
    more_rounds: usize,
}

/// What the best of five rounds is depends on which of them the host gave memory at once: a round touches a gigabyte of it.
const MORE_STREAM_ROUNDS: usize = 3;

const STREAM: Ingest = Ingest {
    workload: "ingest-64k",
    name: "ingest-64k",
    about: "batches of 64 KiB, one connection, 5 in flight",
    partitions: 1,
    spread: Spread::Own,
    batch_bytes: 64 << 10,
    depth: 5,
    acks: 1,
    ceiling: ceiling::APPEND,
    ours: Ours::Both,
    more_rounds: MORE_STREAM_ROUNDS,
};

const DURABLE: Ingest = Ingest {
    workload: "durable",
    name: "durable-depth-1",
    about: "batches of 1 KiB, one connection, 1 in flight",
    partitions: 1,
    batch_bytes: 1 << 10,
    depth: 1,
    acks: -1,
    ceiling: Work { shell: Shell::Threads, disk: Disk::Sync },
    ours: Ours::Default,
    more_rounds: 0,
    ..STREAM
};

const CASES: &[Ingest] = &[
    STREAM,
    Ingest {
        workload: "ingest-1k",
        name: "ingest-1k",
        about: "batches of 1 KiB, one connection, 5 in flight",
        batch_bytes: 1 << 10,
        more_rounds: 0,
        ..STREAM
    },
    Ingest {
        workload: "many-producers",
        name: "many-producers",
        about: "batches of 1 KiB, ten connections with a partition each, 5 in flight on each",
        partitions: 10,
        batch_bytes: 1 << 10,
        more_rounds: 0,
        ..STREAM
    },
    DURABLE,
    Ingest { name: "durable-depth-64", about: "batches of 1 KiB, one connection, 64 in flight", depth: 64, ..DURABLE },
    Ingest {
        name: "durable-16-connections",
        about: "batches of 1 KiB, 16 connections with a partition each, 5 in flight on each",
        partitions: 16,
        depth: 5,
        ..DURABLE
    },
    Ingest {
        name: "durable-100-partitions",
        about: "one request with a batch of 1 KiB for each of 100 partitions, 1 in flight",
        partitions: 100,
        ..WIDE
    },
    Ingest {
        name: "durable-1000-partitions",
        about: "one request with a batch of 1 KiB for each of 1,000 partitions, 1 in flight",
        partitions: 1_000,
        ..WIDE
    },
];

const WIDE: Ingest =
    Ingest { spread: Spread::All, ceiling: Work { shell: Shell::Threads, disk: Disk::Wal }, ..DURABLE };

pub(super) fn entries() -> Vec<Entry> {
    CASES.iter().map(|case| Entry::new(case.workload, case.name, move |lab| case.rows(lab))).collect()
}

impl Ingest {
    fn rows(&self, lab: &Lab<'_>) -> Result<Row, Fault> {
        let contestants = lab.contestants(self.ceiling, self.ours)?;
        let options = Options { rounds: lab.options.rounds + self.more_rounds, ..lab.options.clone() };
        let case = Case {
            workload: self.workload,
            name: self.name.to_owned(),
            load: format!("{}; records of 100 B, fresh files; {} rounds", self.about, options.rounds),
            promise: if self.acks == 1 { PAGE_CACHE } else { ON_DISK },
        };
        let beside = lab.scene.path("fdatasync");
        let row = interleave(&options, case, &contestants, |on, round| {
            let measure = self.round(lab, on, round)?;
            if on.name == CEILING && self.ceiling.disk == Disk::Sync {
                return Ok(measure.with(FDATASYNC, fdatasync(&beside)?));
            }
            Ok(measure)
        })?;
        Ok(row)
    }

    /// On a new topic, so that every round of everybody writes fresh files.
    fn round(&self, lab: &Lab<'_>, on: &Contestant, round: Round) -> Result<Measure, Fault> {
        let topic = format!("{}-{}", self.name, round.number);
        let configs = if self.acks == 1 { &[] } else { on.flushed };
        admin::create(&on.address, &topic, self.partitions, configs)?;
        let batch = batch::batch(self.batch_bytes, 100);
        let plan =
            Plan { topic: &topic, acks: self.acks, depth: self.depth, partitions: 0..self.partitions, batch: &batch };
        let until = Until::new(lab.options.time, lab.options.bytes_max());
        let done = timed(on, || match self.spread {
            Spread::Own => on_own_partitions(&on.address, &plan, self.partitions, &until),
            Spread::All => to_all(&on.address, &plan, &until),
        })?;
        if round.checked {
            self.second_reader(on, &plan, &done.counts)?;
        }
        admin::delete(&on.address, &topic)?;
        Ok(done.transfer())
    }

    /// Reads back what was confirmed, no more and no less.
    fn second_reader(&self, on: &Contestant, plan: &Plan<'_>, counts: &Counts) -> Result<(), Fault> {
        (0..self.partitions.min(CHECKED_MAX)).try_for_each(|partition| {
            // A connection a partition has its share; one request for all, and the only connection, went to each.
            let share = usize::try_from(partition).ok().and_then(|at| counts.shares.get(at));
            let expected = Expected::copies(plan.batch, share.copied().unwrap_or(counts.requests));
            check(&on.address, plan.topic, partition, &expected)
        })
    }
}

/// The median of appends of 1 KiB, each with its fdatasync, in microseconds.
fn fdatasync(path: &Path) -> Result<f64, Fault> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().create(true).truncate(true).write(true).open(path).during(path.display())?;
    let (block, started, mut counts, mut at) = ([1; 1 << 10], now(), Counts::default(), 0);
    while now() - started < FDATASYNC_TIME {
        let from = now();
        file.write_all_at(&block, at).and_then(|()| file.sync_data()).during("fdatasync")?;
        counts.add(block.len(), now() - from);
        at += block.len() as u64;
    }
    Ok(counts.quantiles([0.5])[0])
}
