//! A real client: librdkafka, against a broker that only counts, ours, and Kafka.

use super::{Entry, PAGE_CACHE};
use crate::admin;
use crate::ceiling::{Disk, Shell, Work};
use crate::figures::{CPU_RECORDS, MEMORY, Measure, RATE, RECORDS};
use crate::lab::{CEILING, Contestant, Lab, Ours};
use crate::load::drain::{Expected, check};
use crate::load::rdkafka;
use crate::rounds::{Case, Round, interleave};
use crate::usage;
use conformance::fault::Fault;

/// Bytes of a record.
const RECORD: usize = 100;
/// The client itself is what is measured, not the disk.
const NULL_BROKER: Work = Work { shell: Shell::Threads, disk: Disk::Nothing };

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("client-100B", "client-100B", |lab| {
        let case = Case {
            workload: "client-100B",
            name: "client-100B".to_owned(),
            load: "librdkafka (C API), records of 100 B to one partition, linger 5 ms; the ceiling is a null broker"
                .to_owned(),
            promise: PAGE_CACHE,
        };
        interleave(lab.options, case, &lab.contestants(NULL_BROKER, Ours::Default)?, |on, at| round(lab, on, at))
    })]
}

fn round(lab: &Lab<'_>, on: &Contestant, round: Round) -> Result<Measure, Fault> {
    let topic = format!("client-{}", round.number);
    admin::create(&on.address, &topic, 1, &[])?;
    let cpu = on.cpu_seconds()?;
    let said = rdkafka::produce(&on.address, &topic, RECORD, 1, lab.options.time)?;
    let cpu = on.cpu_seconds()? - cpu;
    if round.checked && on.name != CEILING {
        let expected = Expected { crc: None, batches: None, records: 1 + said.records as i64 };
        check(&on.address, &topic, 0, &expected)?;
    }
    admin::delete(&on.address, &topic)?;
    let records = said.records as f64;
    Ok(Measure::default()
        .with(RECORDS, records / said.seconds)
        .with(RATE, records * RECORD as f64 / 1e6 / said.seconds)
        .with(CPU_RECORDS, cpu / records * 1e6)
        .with(MEMORY, usage::memory_mib(on.pid())?))
}
