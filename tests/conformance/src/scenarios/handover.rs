//! Two log dirs, two brokers, and neither is stopped: each is killed under load, and the other kind goes on with what is there.
//!
//! What was acknowledged is in the page cache at least, with Kafka too, and outlives the process. Compared are the records that a producer had
//! acknowledged through all of it, a compacted topic (of which Kafka has left gaps), configs, committed offsets, and in which log dir (KIP-858) each
//! partition is.

use super::crash::end_load;
use super::exchange::FEATURES_OFF;
use conformance::fault::{During, Fault, ensure};
use conformance::node::{Kind, Node, Plan};
use conformance::process::{CLIENT_DEADLINE, now};
use conformance::rig::Scene;
use conformance::table_peer::TablePeer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Takeovers: there and back, twice.
const ROUNDS: u32 = 4;
/// Records that are sent in a second: all of them are read at the end.
const PER_SECOND: &str = "3000";
/// Partitions of the topic under load: as many as both log dirs have some of.
const LOADED: &str = "6";
/// Kafka compacts what is there within a moment, and notes its high watermarks and log starts as often.
const EAGER: [(&str, &str); 4] = [
    ("log.cleaner.backoff.ms", "100"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.segment.bytes", "1048576"),
    ("num.partitions", "1"),
];
/// What is there before the first takeover; the group has no members. The records' times are years old, and retention is longer.
const BEFORE: &[&str] = &[
    "create load 6 retention.ms=-1",
    "create configured 3 retention.ms=999999999999 max.message.bytes=7654321",
    "create compacted 2 cleanup.policy=compact segment.ms=100 min.cleanable.dirty.ratio=0.01",
    "fill configured 300 60 codec=zstd",
    "send compacted partition=0;key=a;value=1 partition=0;key=b;value=1 partition=0;key=a;value=2 partition=1;key=c;value=1",
    "reset watchers configured 0 7",
    "reset watchers configured 2 9",
];
/// What every broker has to answer alike.
const LOOKS: &[&str] = &[
    "configs configured retention.ms max.message.bytes cleanup.policy",
    "configs compacted retention.ms cleanup.policy min.cleanable.dirty.ratio",
    "digest configured 3",
    "committed watchers configured 3",
    "groups watchers",
    "list made-",
];

/// Starts with the broker under test; the other one is Kafka, or the one under test again where that is Kafka.
pub(super) fn killed_under_load(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = EAGER.iter().fold(scene.plan()?.with_two_log_dirs(), |plan, (key, value)| plan.with(key, value));
    plan.format(scene, FEATURES_OFF)?;
    let mut node = plan.start(scene)?;
    let mut java = client(scene, &node)?;
    asked(&mut java, BEFORE)?;
    // Of a log that was not closed Kafka knows each producer's last batch only: an earlier one that comes again is out of order to it, and Java's
    // producer then sends it once more under another epoch. So one request at a time.
    scene.java(|java| java.peer(&["load-start", &node.address, "load", LOADED, PER_SECOND, "1"]))?;
    let mut seen = Seen { answers: looked(&mut java)?, places: BTreeMap::new() };
    for round in 0..ROUNDS {
        // Different numbers of acks, so that the kills fall at different places.
        scene.java(|java| java.peer(&["load-await", &(300 + 373 * round).to_string(), "60"]))?;
        node.kill()?;
        seen.places_of(&plan)?;
        let kind = if round % 2 == 0 { Kind::Kafka } else { scene.rig.target };
        let taken = plan.taken_over_by(kind);
        node = taken.start(scene).during(format!("{kind:?} takes over, round {round}"))?;
        java = client(scene, &node)?;
        seen.answers_of(&mut java, &format!("round {round}, {kind:?}"))?;
        changed(&mut java, round)?;
        if kind == Kind::Kafka {
            await_compacted(&mut java)?;
        }
        seen.answers = looked(&mut java)?;
    }
    end_load(scene, &node)?;
    node.stop()?;
    seen.places_of(&plan)?;
    let dirs: BTreeSet<&PathBuf> = seen.places.values().collect();
    ensure(dirs.len() == 2, || format!("both log dirs were to be used: {:?}", seen.places))
}

/// What was seen before the last takeover.
struct Seen {
    answers: Vec<String>,
    /// The log dir of each partition.
    places: BTreeMap<String, PathBuf>,
}

impl Seen {
    fn answers_of(&self, java: &mut TablePeer, when: &str) -> Result<(), Fault> {
        let until = now() + CLIENT_DEADLINE;
        // A coordinator reads its groups when it begins to lead them.
        let mut answers = looked(java)?;
        while answers != self.answers && now() < until {
            answers = looked(java)?;
        }
        let apart = self.answers.iter().zip(&answers).find(|(before, after)| before != after);
        ensure(answers == self.answers, || format!("{when}: before and after, {apart:?}"))
    }

    /// A partition is in one log dir, and stays there.
    fn places_of(&mut self, plan: &Plan) -> Result<(), Fault> {
        let mut places = BTreeMap::new();
        for dir in [&plan.data].into_iter().chain(&plan.second) {
            for partition in partitions(dir)? {
                let twice = places.insert(partition.clone(), dir.clone());
                ensure(twice.is_none(), || format!("{partition} is in both log dirs"))?;
            }
        }
        for (partition, dir) in &self.places {
            ensure(places.get(partition) == Some(dir), || {
                format!("{partition} was in {}, and is in {:?}", dir.display(), places.get(partition))
            })?;
        }
        self.places = places;
        Ok(())
    }
}

/// The folders of partitions in a log dir.
fn partitions(dir: &Path) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).during(dir.display())? {
        let entry = entry.during(dir.display())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.ends_with("-delete") && !name.starts_with("__cluster_metadata") {
            found.push(name);
        }
    }
    Ok(found)
}

fn client(scene: &Scene<'_>, node: &Node) -> Result<TablePeer, Fault> {
    TablePeer::start("java", &node.address, &[], &scene.folder)
}

/// The commands by Java's client, none of which may be refused.
fn asked(java: &mut TablePeer, commands: &[&str]) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for command in commands {
        let said = java.ask(command)?;
        let refused = said.iter().any(|line| line.starts_with("error ") || line.starts_with("failed "));
        ensure(!refused, || format!("`{command}`: {said:?}"))?;
        if said == ["created"] {
            crate::table::await_leaders(command, &java.address)?;
        }
        all.extend(said);
    }
    Ok(all)
}

/// Of the compacted topic the last values only: a broker may compact it at any time.
fn looked(java: &mut TablePeer) -> Result<Vec<String>, Fault> {
    let mut answers = asked(java, LOOKS)?;
    let records = asked(java, &["offsets compacted 0"])?;
    let end = records.first().and_then(|line| line.rsplit(' ').next()).unwrap_or("0").to_owned();
    let mut last = BTreeMap::new();
    for record in asked(java, &[&format!("read compacted 0 0 {end}")])? {
        let key = record.split(' ').find(|word| word.starts_with("key=")).unwrap_or_default().to_owned();
        last.insert(key, record);
    }
    answers.push(format!("compacted 0 ends at {end}"));
    answers.extend(last.into_values());
    Ok(answers)
}

/// What this round adds: a topic, a config, an offset, and newer values of old keys.
fn changed(java: &mut TablePeer, round: u32) -> Result<(), Fault> {
    let commands = [
        format!("create made-{round} 2 retention.ms={}", 999_999_999_990_u64 + u64::from(round)),
        format!("fill made-{round} 20 60"),
        format!("alter configured max.message.bytes={}", 7_654_322 + round),
        format!("reset watchers configured 0 {}", 10 + round),
        format!("send compacted partition=0;key=a;value=of-{round} partition=0;key=r{round};value=1"),
        format!("send compacted partition=0;key=b;value=of-{round}"),
    ];
    asked(java, &commands.each_ref().map(String::as_str)).map(|_| ())
}

/// Until an older value of a key is gone, which leaves a gap between offsets.
fn await_compacted(java: &mut TablePeer) -> Result<(), Fault> {
    let until = now() + CLIENT_DEADLINE;
    loop {
        // The active segment is not compacted; an append after `segment.ms` begins another.
        let more =
            asked(java, &["send compacted partition=0;key=roll;value=x", "digest compacted 1", "offsets compacted 0"])?;
        let count = |prefix: &str, at: usize| -> Option<u64> {
            more.iter().find(|line| line.starts_with(prefix))?.split(' ').nth(at)?.parse().ok()
        };
        if count("digest 0 ", 2) < count("offsets 0 ", 3) {
            return Ok(());
        }
        ensure(now() < until, || format!("Kafka has not compacted: {more:?}"))?;
    }
}
