//! Many partitions: what a batch costs among them, and starting, stopping and being killed with and without them.
//!
//! The nodes are its own: ten thousand partitions would weigh on whatever is measured beside them.

use super::{Entry, timed};
use crate::admin;
use crate::ceiling;
use crate::figures::{Contest, MEMORY, Measure, Row, START, START_CPU, STOP};
use crate::lab::{Contestant, KAFKA, Lab, THALWEG};
use crate::load::counts::Until;
use crate::load::produce::{Plan, pipeline};
use crate::rounds::{Case, interleave};
use crate::usage;
use crate::wire::batch;
use conformance::fault::{During, Fault, fail};
use conformance::node;
use conformance::process::now;
use std::cell::RefCell;
use std::rc::Rc;

/// Partitions of the one topic.
const PARTITIONS: i32 = 10_000;
/// Among how many of them batches go round.
const SPREADS: [i32; 5] = [1, 100, 1_000, 5_000, PARTITIONS];
const TOPIC: &str = "crowd";
/// Starts of a JVM with ten thousand partitions, which take it a quarter of a minute each.
const KAFKA_CROWDED_STARTS: usize = 1;

/// A node with the topic, and how to start it again.
struct Resident {
    name: &'static str,
    plan: node::Plan,
    running: Option<Rc<Contestant>>,
}

/// Made by the first case that needs it, and used by all.
type Crowd = Rc<RefCell<Vec<Resident>>>;

pub(super) fn entries() -> Vec<Entry> {
    let crowd = Crowd::default();
    let mut entries = Vec::new();
    for spread in SPREADS {
        let crowd = Rc::clone(&crowd);
        entries.push(Entry::new("partitions", format!("partitions-{spread}"), move |lab| {
            or_disperse(&crowd, round_robin(lab, &crowd, spread))
        }));
    }
    let beside = Rc::clone(&crowd);
    entries.push(Entry::new("start", "start-empty", move |lab| start_empty(lab, &beside)));
    for (name, kill) in [("start-10000", false), ("start-kill-9", true)] {
        let crowd = Rc::clone(&crowd);
        entries.push(Entry::new("start", name, move |lab| or_disperse(&crowd, restart(lab, &crowd, name, kill))));
    }
    entries
}

/// After a failure the next case gets new nodes: one that misbehaved, or is half restarted, must not be measured again.
fn or_disperse(crowd: &Crowd, ran: Result<Row, Fault>) -> Result<Row, Fault> {
    if ran.is_err() {
        crowd.borrow_mut().clear();
    }
    ran
}

fn names(lab: &Lab<'_>) -> &'static [&'static str] {
    if lab.options.kafka { &[THALWEG, KAFKA] } else { &[THALWEG] }
}

fn populate(lab: &Lab<'_>, crowd: &Crowd) -> Result<(), Fault> {
    if !crowd.borrow().is_empty() {
        return Ok(());
    }
    for &name in names(lab) {
        let plan = lab.plan(name)?;
        let on = lab.start(name, &plan)?;
        admin::create(&on.address, TOPIC, PARTITIONS, &[]).during(name)?;
        crowd.borrow_mut().push(Resident { name, plan, running: Some(Rc::new(on)) });
    }
    Ok(())
}

fn round_robin(lab: &Lab<'_>, crowd: &Crowd, spread: i32) -> Result<Row, Fault> {
    populate(lab, crowd)?;
    let ceiling = lab.ceiling(ceiling::APPEND)?;
    // It has no partitions that it is not asked about: what is around them is a broker's own affair.
    admin::create(&ceiling.address, TOPIC, spread, &[])?;
    let mut contestants = vec![Rc::new(ceiling)];
    contestants.extend(running(&crowd.borrow()));
    let case = Case {
        workload: "partitions",
        name: format!("partitions-{spread}"),
        load: format!(
            "batches of 1 KiB to {spread} of {PARTITIONS} partitions in turn, one connection, 5 in flight; records of 100 B"
        ),
        promise: super::PAGE_CACHE,
    };
    let batch = batch::batch(1 << 10, 100);
    interleave(lab.options, case, &contestants, |on, _| {
        let plan = Plan { topic: TOPIC, acks: 1, depth: 5, partitions: 0..spread, batch: &batch };
        let until = Until::new(lab.options.time, lab.options.bytes_max());
        Ok(timed(on, || pipeline(&on.address, &plan, &until))?.transfer())
    })
}

fn running(residents: &[Resident]) -> Vec<Rc<Contestant>> {
    residents.iter().filter_map(|resident| resident.running.clone()).collect()
}

/// A node on an empty, formatted data folder, again and again.
fn start_empty(lab: &Lab<'_>, crowd: &Crowd) -> Result<Row, Fault> {
    let mut contests: Vec<Contest> = names(lab).iter().map(|name| Contest::new(name)).collect();
    let plans = names(lab).iter().map(|name| lab.plan(name)).collect::<Result<Vec<_>, _>>()?;
    for round in 0..=lab.options.rounds {
        for ((&name, plan), contest) in names(lab).iter().zip(&plans).zip(&mut contests) {
            let (on, measure) = lab.alone(&running(&crowd.borrow()), || start(lab, name, plan))?;
            let measure = stop(on, measure)?;
            // The first start formats the folder.
            if round > 0 {
                contest.add(measure);
            }
        }
    }
    Ok(case("start-empty", "start of an empty node to its first answer, memory then, and SIGTERM to exit")
        .row(contests))
}

/// The node with ten thousand partitions, stopped or killed, and started again.
fn restart(lab: &Lab<'_>, crowd: &Crowd, name: &str, kill: bool) -> Result<Row, Fault> {
    populate(lab, crowd)?;
    let mut residents = crowd.borrow_mut();
    let mut contests: Vec<Contest> = residents.iter().map(|resident| Contest::new(resident.name)).collect();
    for round in 0..lab.options.rounds {
        for (at, contest) in contests.iter_mut().enumerate() {
            if residents[at].name == KAFKA && round >= KAFKA_CROWDED_STARTS {
                continue;
            }
            let Some(on) = residents[at].running.take().and_then(Rc::into_inner) else {
                return fail(format!("{} is still in use", residents[at].name));
            };
            let (on, measure) = lab
                .alone(&running(&residents), || {
                    let stopped =
                        if kill { on.kill().map(|()| Measure::default())? } else { stop(on, Measure::default())? };
                    let (on, started) = start(lab, residents[at].name, &residents[at].plan)?;
                    Ok((on, Measure([stopped.0, started.0].concat())))
                })
                .during(format!("{name}, round {round}"))?;
            contest.add(measure);
            residents[at].running = Some(Rc::new(on));
        }
    }
    let how = if kill { "kill -9" } else { "a clean stop" };
    let load =
        format!("start after {how} to the first answer, {PARTITIONS} partitions with records in each, and memory then");
    let row = case(name, &load).row(contests);
    if kill {
        // The last case that needs them.
        for resident in residents.drain(..) {
            resident.running.and_then(Rc::into_inner).map_or(Ok(()), Contestant::stop)?;
        }
    }
    Ok(row)
}

fn case(name: &str, load: &str) -> Case {
    Case {
        workload: "start",
        name: name.to_owned(),
        load: format!(
            "{load}; every other JVM stands still meanwhile; Kafka with many partitions is started {KAFKA_CROWDED_STARTS} time only"
        ),
        promise: "default settings",
    }
}

fn start(lab: &Lab<'_>, name: &'static str, plan: &node::Plan) -> Result<(Contestant, Measure), Fault> {
    let on = lab.start(name, plan)?;
    let measure = Measure::default()
        .with(START, on.first_answer().as_secs_f64() * 1e3)
        .with(START_CPU, on.cpu_seconds()?)
        .with(MEMORY, usage::memory_mib(on.pid())?);
    Ok((on, measure))
}

fn stop(on: Contestant, measure: Measure) -> Result<Measure, Fault> {
    let from = now();
    on.stop()?;
    Ok(measure.with(STOP, (now() - from).as_secs_f64() * 1e3))
}
