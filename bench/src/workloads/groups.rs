//! Consumer groups: members that all join at once, heartbeats, commits.

use super::Entry;
use crate::admin;
use crate::figures::{COMMITS, CPU_REQUEST, HEARTBEATS, MEMORY, Measure, Row, STABLE};
use crate::lab::{Contestant, KAFKA, Lab, THALWEG, warm_up};
use crate::load::members::{Crowd, storm};
use crate::rounds::{Case, Round, interleave};
use crate::usage;
use conformance::fault::{Fault, fail};
use std::rc::Rc;

const GROUPS: usize = 20;
const MEMBERS: usize = 5;
const TOPIC: &str = "committed";

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("groups", "groups", groups)]
}

/// Nodes of its own: what makes Kafka write commits to disk is a setting of the broker.
fn groups(lab: &Lab<'_>) -> Result<Row, Fault> {
    let mut contestants = vec![Rc::new(lab.start(THALWEG, &lab.plan(THALWEG)?)?)];
    if lab.options.kafka {
        let kafka = lab.start(KAFKA, &lab.plan(KAFKA)?.with("log.flush.interval.messages", "1"))?;
        warm_up(&kafka)?;
        contestants.push(Rc::new(kafka));
    }
    for on in &contestants {
        admin::create(&on.address, TOPIC, 1, &[])?;
    }
    let case = Case {
        workload: "groups",
        name: "groups".to_owned(),
        load: format!(
            "{GROUPS} groups of {MEMBERS} members that join at once (classic protocol), then each member heartbeats, then commits, 1 in flight"
        ),
        promise: "a commit is on disk before the answer on both sides (Kafka: log.flush.interval.messages=1)",
    };
    let row = interleave(lab.options, case, &contestants, |on, at| round(lab, on, at))?;
    for on in contestants {
        match Rc::try_unwrap(on) {
            Ok(on) => on.stop()?,
            Err(on) => return fail(format!("{} is still in use", on.name)),
        }
    }
    Ok(row)
}

fn round(lab: &Lab<'_>, on: &Contestant, at: Round) -> Result<Measure, Fault> {
    let cpu = on.cpu_seconds()?;
    let crowd = Crowd { groups: GROUPS, members: MEMBERS, phase: lab.options.time };
    let done = storm(&on.address, &format!("g{}", at.number), TOPIC, crowd)?;
    let cpu = on.cpu_seconds()? - cpu;
    let rate = |(count, time): (u64, std::time::Duration)| count as f64 / time.as_secs_f64();
    Ok(Measure::default()
        .with(STABLE, done.stable.as_secs_f64() * 1e3)
        .with(HEARTBEATS, rate(done.heartbeats))
        .with(COMMITS, rate(done.commits))
        .with(CPU_REQUEST, cpu / (done.heartbeats.0 + done.commits.0) as f64 * 1e6)
        .with(MEMORY, usage::memory_mib(on.pid())?))
}
