//! Small requests on few and on thousands of connections.

use super::{Entry, timed};
use crate::ceiling::{Disk, Shell, Work};
use crate::figures::{CPU_REQUEST, MEMORY, Measure, P50, P99, REQUESTS, Row};
use crate::lab::{Lab, Ours};
use crate::load::counts::Until;
use crate::load::storm::Storm;
use crate::rounds::{Case, interleave};
use conformance::fault::Fault;

const CEILING: Work = Work { shell: Shell::Events, disk: Disk::Nothing };

pub(super) fn entries() -> Vec<Entry> {
    let entry = |connections| Entry::new("rpc", format!("rpc-{connections}"), move |lab| case(lab, connections));
    [1, 100, 1_000, 5_000].map(entry).into()
}

fn case(lab: &Lab<'_>, connections: usize) -> Result<Row, Fault> {
    let contestants = lab.contestants(CEILING, Ours::Default)?;
    // Only one contestant has its connections open at a time.
    let case = Case {
        workload: "rpc",
        name: format!("rpc-{connections}"),
        load: format!("Metadata of no topics, {connections} connections, 1 in flight on each"),
        promise: "none: nothing is written",
    };
    interleave(lab.options, case, &contestants, |on, _| {
        let mut storm = Storm::open(&on.address, connections)?;
        let mut done = timed(on, || storm.run(&Until::new(lab.options.time, u64::MAX)))?;
        let [p50, p99] = done.counts.quantiles([0.5, 0.99]);
        let requests = done.counts.requests as f64;
        Ok(Measure::default()
            .with(REQUESTS, requests / done.seconds)
            .with(CPU_REQUEST, done.cpu_seconds / requests * 1e6)
            .with(P50, p50)
            .with(P99, p99)
            .with(MEMORY, done.memory_mib))
    })
}
