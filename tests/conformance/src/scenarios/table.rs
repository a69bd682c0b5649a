//! The table of scenarios by every family of clients, side by side on one node; each row's topics and groups are the client's own.
//!
//! With Kafka in our node's place and `THALWEG_CONFORMANCE_RECORD` set, what Kafka answers its Java client becomes the expectation.

use crate::table::{FILES, Row, parse, written};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::node::{Kind, Node, Plan};
use conformance::process::now;
use conformance::rig::{Scene, workspace};
use conformance::table_peer::{FAMILIES, TablePeer};
use conformance::wire;
use std::path::{Path, PathBuf};

/// What a client made of a row.
pub(crate) enum Outcome {
    /// As expected.
    Same,
    /// The client cannot do it, for this reason.
    Limited(String),
    /// The broker does not serve the API that the row is about.
    NotServed,
    /// Something else happened.
    Different(String),
}

/// Row, client, outcome.
pub(crate) type Outcomes = Vec<(String, &'static str, Outcome)>;

pub(super) fn every_row(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = plan(scene.plan()?);
    let node = plan.start(scene)?;
    if std::env::var_os("THALWEG_CONFORMANCE_RECORD").is_some() {
        return record(scene, &plan, &node);
    }
    let outcomes = outcomes(scene, &plan, &node)?;
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, _, outcome)| wanted(outcome)).count();
    scene.figure(&format!(
        "{} rows by clients as expected, {} beyond a client, {} of an API that is not served",
        count(|outcome| matches!(outcome, Outcome::Same)),
        count(|outcome| matches!(outcome, Outcome::Limited(_))),
        count(|outcome| matches!(outcome, Outcome::NotServed)),
    ));
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(row, family, outcome)| match outcome {
            Outcome::Different(why) => Some(format!("{row} by {family}: {why}")),
            _ => None,
        })
        .collect();
    ensure(failed.is_empty(), || format!("{} rows differ:\n    {}", failed.len(), failed.join("\n    ")))?;
    let everyone = FAMILIES.iter().all(|family| outcomes.iter().any(|(_, of, _)| of == family));
    if everyone && plan.kind == Kind::Thalweg {
        crate::diff::check_page(&rows()?, &outcomes)?;
    }
    node.stop()
}

/// What the rows expect of a node's configuration.
pub(crate) fn plan(plan: Plan) -> Plan {
    // Members of the consumer protocol learn of each other with their heartbeats.
    plan.with("group.initial.rebalance.delay.ms", "0")
        .with("auto.create.topics.enable", "false")
        .with("group.consumer.min.heartbeat.interval.ms", "500")
        .with("group.consumer.heartbeat.interval.ms", "500")
}

/// Every row by every client that can be had, and then every shared row by every other one.
pub(crate) fn outcomes(scene: &Scene<'_>, plan: &Plan, node: &Node) -> Result<Outcomes, Fault> {
    let rows = rows()?;
    let served: Vec<i16> =
        wire::api_versions(&mut wire::connect(&node.address)?)?.iter().map(|(key, _, _)| *key).collect();
    let folder = scene.path(&format!("{:?}", plan.kind));
    std::fs::create_dir_all(&folder).during(folder.display())?;
    let mut peers = Vec::new();
    for family in FAMILIES {
        peers.extend(scene.peer(family, TablePeer::start(family, &node.address, &[], &folder))?);
    }
    ensure(!peers.is_empty(), || "no client can be had".to_owned())?;
    let writers: Vec<&'static str> = peers.iter().map(|peer| peer.family).collect();
    let mut outcomes = at_once(&mut peers, |peer| {
        rows.iter().map(|row| (row.name.clone(), peer.family, outcome(row, peer, &served, &plan.data))).collect()
    })?;
    outcomes.extend(at_once(&mut peers, |peer| {
        let shared = rows.iter().filter(|row| row.shared);
        shared.flat_map(|row| read_of_others(row, peer, &writers, &plan.data)).collect()
    })?);
    Ok(outcomes)
}

/// Every peer on a thread of its own.
fn at_once(peers: &mut [TablePeer], work: impl Fn(&mut TablePeer) -> Outcomes + Sync) -> Result<Outcomes, Fault> {
    let work = &work;
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = peers.iter_mut().map(|peer| scope.spawn(move || work(peer))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut all = Vec::new();
    for outcomes in done {
        all.extend(outcomes.map_err(|_| Fault::Failed("the thread of a peer panicked".to_owned()))?);
    }
    Ok(all)
}

fn outcome(row: &Row, peer: &mut TablePeer, served: &[i16], data: &Path) -> Outcome {
    if row.needs.is_some_and(|key| !served.contains(&key)) {
        return Outcome::NotServed;
    }
    let started = now();
    let outcome = match row.limit(peer.family) {
        Some(why) => Outcome::Limited(why.to_owned()),
        None => of(row.run(peer, data)),
    };
    if std::env::var_os("THALWEG_CONFORMANCE_VERBOSE").is_some() {
        let took = (now() - started).as_millis();
        let what = match &outcome {
            Outcome::Different(why) | Outcome::Limited(why) => why.as_str(),
            Outcome::Same | Outcome::NotServed => "ok",
        };
        println!("row {} by {} in {took} ms: {what}", row.name, peer.family);
    }
    outcome
}

fn of(ran: Result<(), Fault>) -> Outcome {
    match ran {
        Ok(()) => Outcome::Same,
        Err(Fault::Failed(why) | Fault::Skipped(why)) => Outcome::Different(why),
    }
}

fn read_of_others(row: &Row, reader: &mut TablePeer, writers: &[&'static str], data: &Path) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let family = reader.family;
    for writer in writers.iter().filter(|writer| **writer != family && row.limit(writer).is_none()) {
        let outcome = match row.limit(&format!("{family}<{writer}")) {
            Some(why) => Outcome::Limited(why.to_owned()),
            None => of(row.read_by(reader, writer, data)),
        };
        outcomes.push((format!("{} written by {writer}", row.name), family, outcome));
    }
    outcomes
}

fn folder() -> PathBuf {
    workspace().join("tests/conformance/table")
}

/// All rows of all files.
pub(crate) fn rows() -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for file in FILES {
        let path = folder().join(file);
        rows.extend(parse(&std::fs::read_to_string(&path).during(path.display())?).during(file)?);
    }
    Ok(rows)
}

fn record(scene: &Scene<'_>, plan: &Plan, node: &Node) -> Result<(), Fault> {
    if plan.kind != Kind::Kafka {
        return fail("expectations are recorded from Kafka: THALWEG_CONFORMANCE_TARGET=kafka");
    }
    let mut java = TablePeer::start("java", &node.address, &[], &scene.folder)?;
    for file in FILES {
        let path = folder().join(file);
        let mut rows = parse(&std::fs::read_to_string(&path).during(path.display())?).during(file)?;
        rows.iter_mut().try_for_each(|row| row.record(&mut java, &plan.data).during(row.name.clone()))?;
        std::fs::write(&path, written(&rows)).during(path.display())?;
    }
    Ok(())
}
