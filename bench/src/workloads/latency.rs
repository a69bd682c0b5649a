//! End to end: how long a record takes from the producer to a consumer that waits for it.

use super::{Entry, timed};
use crate::admin;
use crate::ceiling::{Disk, Shell, Work};
use crate::figures::{CPU_REQUEST, MEMORY, Measure, P50, P99, P999, REQUESTS, Row};
use crate::lab::{Contestant, Lab, Ours};
use crate::load::end_to_end::{Plan, on_schedule, one_at_a_time};
use crate::rounds::{Case, Round, interleave};
use conformance::fault::Fault;
use std::time::Duration;

const GAP: Duration = Duration::from_millis(1);
/// Bytes of a record.
const RECORD: usize = 200;

/// Visible when it is in the page cache, on every side.
pub(super) const PAGE_CACHE: &str =
    "acks=all, which all answer from the page cache (ours with log.durability=pagecache)";
/// Visible when it is on disk, on ours; Kafka flushes before it answers.
const ON_DISK: &str = "acks=all, on disk before the answer and before a reader sees it (Kafka: flush.messages=1)";

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for durable in [false, true] {
        for busy in [true, false] {
            let pace = if busy { "busy" } else { "1-per-ms" };
            let name = format!("end-to-end-{pace}-{}", if durable { "fsync" } else { "pagecache" });
            entries.push(Entry::new("end-to-end", name.clone(), move |lab| case(lab, &name, durable, busy)));
        }
    }
    entries
}

fn case(lab: &Lab<'_>, name: &str, durable: bool, busy: bool) -> Result<Row, Fault> {
    let disk = if durable { Disk::Sync } else { Disk::Append };
    let ours = if durable { Ours::Default } else { Ours::PageCache };
    let contestants = lab.contestants(Work { shell: Shell::Events, disk }, ours)?;
    let pace = if busy { "one at a time" } else { "one a millisecond, from its intended time" };
    let case = Case {
        workload: "end-to-end",
        name: name.to_owned(),
        load: format!("a record of {RECORD} B to a reader that waits, {pace}"),
        promise: if durable { ON_DISK } else { PAGE_CACHE },
    };
    interleave(lab.options, case, &contestants, |on, at| round(lab, on, at, name, durable, busy))
}

fn round(lab: &Lab<'_>, on: &Contestant, at: Round, name: &str, durable: bool, busy: bool) -> Result<Measure, Fault> {
    let topic = format!("{name}-{}", at.number);
    admin::create(&on.address, &topic, 1, if durable { on.flushed } else { &[] })?;
    let plan = Plan { topic: &topic, acks: -1, record: RECORD, start: 1 };
    let mut done = timed(on, || {
        if busy {
            return one_at_a_time(&on.address, &plan, lab.options.time);
        }
        let records = (lab.options.time.as_secs_f64() / GAP.as_secs_f64()) as u32;
        on_schedule(&on.address, &plan, records, GAP)
    })?;
    admin::delete(&on.address, &topic)?;
    let [p50, p99, p999] = done.counts.quantiles([0.5, 0.99, 0.999]);
    let requests = done.counts.requests as f64;
    Ok(Measure::default()
        .with(P50, p50)
        .with(P99, p99)
        .with(P999, p999)
        .with(REQUESTS, requests / done.seconds)
        .with(CPU_REQUEST, done.cpu_seconds / requests * 1e6)
        .with(MEMORY, done.memory_mib))
}
