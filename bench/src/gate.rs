//! The gate for CI: what noise cannot move. System calls (strace) and instructions (callgrind) that one more request costs the node,
//! compared with `bench/baseline.json`.
//!
//! A count is the difference of two runs of the node, one with a number of requests and one without them, divided by that number:
//! so start, stop and the set-up of the load cancel out. One request is in flight at a time, and none is sent before the node has
//! gone to sleep again: a request that came earlier would save it a system call or two, more of them on a quicker machine.

mod tools;

use crate::admin;
use crate::connection::Connection;
use crate::load::drain::fetched;
use crate::wire::{batch, requests};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::rig::{Rig, Scene, workspace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tools::{Counts, Tool};

/// A count may be above its baseline by this part of it before the gate fails, and as far below before it says so ...
const TOLERANCE: f64 = 0.10;
/// ... but by half a system call at most: a tenth of a path that takes ten of them would be one.
const SYSTEM_CALLS_MORE_MAX: f64 = 0.5;
const BASELINE: &str = "bench/baseline.json";
const TOPIC: &str = "gate";
/// Many times what a node needs to go to sleep, also under a tool.
const PAUSE: Duration = Duration::from_millis(2);
/// Fetched again and again.
const LOG_BATCHES: usize = 16;

/// What is counted: `TOOL PATH` to a count for one request.
#[derive(Serialize, Deserialize)]
struct Baseline {
    /// For which machine: instructions of another one are others.
    architecture: String,
    /// Rounded to hundredths.
    counts: BTreeMap<String, f64>,
}

/// A path through the node.
#[derive(Clone, Copy)]
struct Route {
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    /// A batch of 1 KiB with these acks.
    Produce(i16),
    /// A slice of 64 KiB.
    Fetch,
}

const PAGE_CACHE: &[(&str, &str)] = &[("log.durability", "pagecache")];

const ROUTES: &[Route] = &[
    Route { name: "produce, page cache", settings: PAGE_CACHE, work: Work::Produce(1) },
    Route { name: "fetch of 64 KiB", settings: PAGE_CACHE, work: Work::Fetch },
    Route { name: "produce, on disk", settings: &[], work: Work::Produce(-1) },
];

/// Counts, and compares or records.
pub fn run(record: bool) -> Result<(), Fault> {
    let rig = Rig::new()?;
    let scene = rig.scene("gate")?;
    let mut found = BTreeMap::new();
    let mut skipped = Vec::new();
    for tool in Tool::ALL {
        match tool.find() {
            Ok(()) => found.extend(count(&scene, tool)?),
            Err(Fault::Skipped(why)) => skipped.push((tool.unit(), why)),
            Err(failed) => return Err(failed),
        }
    }
    drop(std::fs::remove_dir_all(&scene.folder));
    rig.close();
    for (unit, why) in &skipped {
        println!("test bench::gate::{} ... ignored, {why}", unit.replace(' ', "_"));
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    ensure(skipped.is_empty() || !(ci || record), || format!("{} counters are missing", skipped.len()))?;
    if record { write(found) } else { compare(&read()?, &found, ci) }
}

/// Every route with one tool. Routes with the same settings share the run without requests.
fn count(scene: &Scene<'_>, tool: Tool) -> Result<BTreeMap<String, f64>, Fault> {
    let mut found = BTreeMap::new();
    let mut base: Option<(&[(&str, &str)], Counts)> = None;
    for route in ROUTES {
        let idle = match base.take().filter(|(settings, _)| *settings == route.settings) {
            Some((_, idle)) => idle,
            None => once(scene, tool, route, 0)?,
        };
        let busy = once(scene, tool, route, tool.requests())?;
        let each = busy.per_request(&idle, tool.requests());
        let name = format!("{} per request: {}", tool.unit(), route.name);
        println!("{name}: {:.2}{}", each.total, each.shown());
        found.insert(name, (each.total * 100.0).round() / 100.0);
        base = Some((route.settings, idle));
    }
    Ok(found)
}

/// One run of the node under a tool, from start to a clean stop.
fn once(scene: &Scene<'_>, tool: Tool, route: &Route, requests: usize) -> Result<Counts, Fault> {
    let node = tool.start(scene, route.settings).during(route.name)?;
    load(node.address(), route.work, requests).during(route.name)?;
    node.finish()
}

fn load(address: &str, work: Work, requests: usize) -> Result<(), Fault> {
    admin::create(address, TOPIC, 1, &[])?;
    let mut connection = Connection::open(address)?;
    // What is fetched is written in every run, so that it cancels out.
    let mut large = requests::produce(TOPIC, -1, 0..1, &batch::batch(64 << 10, 100));
    for _ in 0..LOG_BATCHES {
        expect_written(&mut connection, &mut large)?;
    }
    let mut small = match work {
        Work::Produce(acks) => requests::produce(TOPIC, acks, 0..1, &batch::batch(1 << 10, 100)),
        Work::Fetch => Vec::new(),
    };
    let mut offset = 1;
    for _ in 0..requests {
        let_it_sleep();
        match work {
            Work::Produce(_) => expect_written(&mut connection, &mut small)?,
            Work::Fetch => {
                let reply = connection.ask(&mut requests::fetch(TOPIC, 0, offset, 64 << 10))?;
                let found = fetched(reply, TOPIC)?;
                let next = batch::walk(found.records, offset, |_| Ok(()))?;
                ensure(next > offset, || format!("nothing to fetch at {offset}"))?;
                offset = if next >= found.high_watermark { 1 } else { next };
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the node shall find nothing to do, in real time")]
fn let_it_sleep() {
    std::thread::sleep(PAUSE);
}

fn expect_written(connection: &mut Connection, request: &mut [u8]) -> Result<(), Fault> {
    let answered = admin::produced(connection.ask(request)?)?;
    ensure(answered == [(0, 0)], || format!("Produce answered {answered:?}"))
}

fn read() -> Result<Baseline, Fault> {
    let text = std::fs::read_to_string(workspace().join(BASELINE)).during(BASELINE)?;
    serde_json::from_str(&text).map_err(|error| Fault::Failed(format!("{BASELINE}: {error}")))
}

fn write(counts: BTreeMap<String, f64>) -> Result<(), Fault> {
    let baseline = Baseline { architecture: std::env::consts::ARCH.to_owned(), counts };
    let text = serde_json::to_string_pretty(&baseline).map_err(|error| Fault::Failed(error.to_string()))?;
    std::fs::write(workspace().join(BASELINE), text + "\n").during(BASELINE)
}

/// Fails when a count rose above its baseline; one that fell far below it asks to be recorded. What cannot be compared is a named skip,
/// and a failure in CI.
fn compare(baseline: &Baseline, found: &BTreeMap<String, f64>, ci: bool) -> Result<(), Fault> {
    let other = &baseline.architecture;
    if *other != std::env::consts::ARCH {
        println!("test bench::gate ... ignored, {BASELINE} is of {other}");
        return ensure(!ci, || format!("{BASELINE} is of {other}, and CI=true lets nothing be skipped"));
    }
    let mut risen = Vec::new();
    for (name, count) in found {
        let Some(before) = baseline.counts.get(name) else {
            return fail(format!("{BASELINE} has no `{name}`: run `cargo xtask bench --gate --record`"));
        };
        let tolerance = tolerance(name, *before);
        if *count > before + tolerance {
            risen.push(format!("{name}: {count} now, {before} in {BASELINE}, {tolerance:.2} more are let pass"));
        } else if *count < before - tolerance {
            println!(
                "{name}: {count} now, {before} in {BASELINE}: better, so record it (`cargo xtask bench --gate --record`)"
            );
        }
    }
    ensure(risen.is_empty(), || format!("above the baseline:\n  {}", risen.join("\n  ")))
}

/// How far a count may be from its baseline.
fn tolerance(name: &str, before: f64) -> f64 {
    let part = before * TOLERANCE;
    if name.starts_with(Tool::Strace.unit()) { part.min(SYSTEM_CALLS_MORE_MAX) } else { part }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, compare};
    use std::collections::BTreeMap;

    const CALLS: &str = "system calls per request: produce";
    const INSTRUCTIONS: &str = "instructions per request: produce";

    fn counts(name: &str, value: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    fn baseline(counts: BTreeMap<String, f64>) -> Baseline {
        Baseline { architecture: std::env::consts::ARCH.to_owned(), counts }
    }

    #[test]
    fn a_count_above_the_tolerance_fails_and_one_below_does_not() {
        let before = baseline(counts(INSTRUCTIONS, 10_000.0));
        let now = |value| compare(&before, &counts(INSTRUCTIONS, value), true);
        assert!(now(10_900.0).is_ok() && now(5_000.0).is_ok());
        assert!(now(11_100.0).is_err());
        assert!(compare(&baseline(BTreeMap::new()), &counts(CALLS, 1.0), false).is_err(), "nothing to compare with");
    }

    /// Whatever the path needs already, and though its count is a little below the recorded one.
    #[test]
    fn one_more_system_call_fails() {
        for calls in [1.0, 4.06, 9.13, 25.0] {
            let before = baseline(counts(CALLS, calls));
            assert!(compare(&before, &counts(CALLS, calls - 0.2 + 1.0), true).is_err(), "{calls}");
            assert!(compare(&before, &counts(CALLS, calls * 1.01), true).is_ok(), "{calls}");
        }
    }

    #[test]
    fn a_baseline_of_another_machine_is_a_skip_and_fails_in_ci() {
        let other = Baseline { architecture: "abacus".to_owned(), counts: counts(CALLS, 1.0) };
        assert!(compare(&other, &counts(CALLS, 9.0), false).is_ok());
        assert!(compare(&other, &counts(CALLS, 1.0), true).is_err());
    }
}
