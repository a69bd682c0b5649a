//! Fetch: readers of a log that is in memory, and a reader of one that is not beside a producer and consumer that must not notice.

use super::{Entry, timed};
use crate::admin;
use crate::ceiling;
use crate::figures::{COLD_RATE, CPU_REQUEST, Measure, P50, P99, P999, Row};
use crate::lab::{Contestant, Lab, Ours};
use crate::load::counts::{Counts, Until, on_each};
use crate::load::drain::{Expected, check, drain};
use crate::load::end_to_end;
use crate::load::produce::{Plan, pipeline};
use crate::rounds::{Case, Round, interleave};
use crate::wire::batch;
use conformance::fault::{During, Fault};
use rustix::fs::Advice;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What readers read again and again.
const LOG_BYTES: u64 = 256 << 20;
const BATCH_BYTES: usize = 64 << 10;
const TOPIC: &str = "tail";
const COLD: &str = "cold";
/// A log in memory makes no promise.
const READ: &str = "reads of records that are committed on every side";
/// How the hot pair is paced.
const GAP: Duration = Duration::from_millis(1);

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (size, bytes) in [("64k", 64 << 10), ("1m", 1 << 20)] {
        for readers in [1, 2, 10] {
            let name = format!("tail-fetch-{size}-{readers}");
            entries.push(Entry::new("tail-fetch", name.clone(), move |lab| tail(lab, &name, bytes, readers)));
        }
    }
    entries.push(Entry::new("cold-beside-hot", "cold-beside-hot", cold_beside_hot));
    entries
}

fn tail(lab: &Lab<'_>, name: &str, max_bytes: i32, readers: i32) -> Result<Row, Fault> {
    let contestants = lab.contestants(ceiling::APPEND, Ours::Default)?;
    for on in &contestants {
        fill(on, TOPIC)?;
    }
    let case = Case {
        workload: "tail-fetch",
        name: name.to_owned(),
        load: format!(
            "{readers} reader{} of one partition, max {} KiB an answer, batches of 64 KiB in memory, 1 in flight",
            if readers == 1 { "" } else { "s" },
            max_bytes >> 10
        ),
        promise: READ,
    };
    let row = interleave(lab.options, case, &contestants, |on, _| {
        let until = Until::new(lab.options.time, u64::MAX);
        let done = timed(on, || on_each(readers, |_| drain(&on.address, TOPIC, 0, max_bytes, &until)))?;
        Ok(done.transfer())
    })?;
    contestants.iter().try_for_each(|on| admin::delete(&on.address, TOPIC))?;
    Ok(row)
}

/// A log of known bytes, looked at by the second reader before anybody is measured on it.
fn fill(on: &Contestant, topic: &str) -> Result<(), Fault> {
    admin::create(&on.address, topic, 1, &[])?;
    let batch = batch::batch(BATCH_BYTES, 100);
    let plan = Plan { topic, acks: -1, depth: 5, partitions: 0..1, batch: &batch };
    let counts = pipeline(&on.address, &plan, &Until::new(Duration::from_secs(60), LOG_BYTES))?;
    check(&on.address, topic, 0, &Expected::copies(&batch, counts.requests)).during(format!("filling {}", on.name))
}

/// One record a millisecond through one topic while another's log is read from the disk.
fn cold_beside_hot(lab: &Lab<'_>) -> Result<Row, Fault> {
    let contestants = lab.contestants(ceiling::APPEND, Ours::PageCache)?;
    for on in &contestants {
        fill(on, COLD)?;
    }
    let case = Case {
        workload: "cold-beside-hot",
        name: "cold-beside-hot".to_owned(),
        load: "a record of 200 B a millisecond to a waiting reader, from its intended time, beside a reader of 256 MiB that were \
               evicted from memory, 1 MiB an answer"
            .to_owned(),
        promise: super::latency::PAGE_CACHE,
    };
    let row = interleave(lab.options, case, &contestants, |on, round| hot_round(lab, on, round))?;
    contestants.iter().try_for_each(|on| admin::delete(&on.address, COLD))?;
    Ok(row)
}

fn hot_round(lab: &Lab<'_>, on: &Contestant, round: Round) -> Result<Measure, Fault> {
    evict(&on.folder(COLD, 0))?;
    let topic = format!("hot-{}", round.number);
    admin::create(&on.address, &topic, 1, &[])?;
    let plan = end_to_end::Plan { topic: &topic, acks: -1, record: 200, start: 1 };
    let records = (lab.options.time.as_secs_f64() / GAP.as_secs_f64()) as u32;
    let over = AtomicBool::new(false);
    let mut cold = Counts::default();
    let done = timed(on, || {
        std::thread::scope(|scope| {
            // It reads the log once, and then what is in memory by then is evicted again.
            let reader = scope.spawn(|| {
                let mut all = Counts::default();
                while !over.load(Ordering::Relaxed) {
                    let until = Until::new(lab.options.time, LOG_BYTES);
                    all.merge(drain(&on.address, COLD, 0, 1 << 20, &until)?);
                    evict(&on.folder(COLD, 0))?;
                }
                Ok::<Counts, Fault>(all)
            });
            let hot = end_to_end::on_schedule(&on.address, &plan, records, GAP);
            over.store(true, Ordering::Relaxed);
            cold = reader.join().map_err(|_| Fault::Failed("the reader's thread panicked".to_owned()))??;
            hot
        })
    })?;
    admin::delete(&on.address, &topic)?;
    let (mut hot, seconds) = (done.counts, done.seconds);
    let [p50, p99, p999] = hot.quantiles([0.5, 0.99, 0.999]);
    Ok(Measure::default()
        .with(P50, p50)
        .with(P99, p99)
        .with(P999, p999)
        .with(COLD_RATE, cold.bytes as f64 / 1e6 / seconds)
        .with(CPU_REQUEST, done.cpu_seconds / (hot.requests + cold.requests) as f64 * 1e6))
}

/// Writes a partition's log files back and drops them from memory.
fn evict(folder: &Path) -> Result<(), Fault> {
    for entry in std::fs::read_dir(folder).during(folder.display())? {
        let path = entry.during(folder.display())?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let file = std::fs::File::open(&path).during(path.display())?;
            file.sync_data().during(path.display())?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).during(path.display())?;
        }
    }
    Ok(())
}
