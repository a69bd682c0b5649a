//! The same workload on Apache Kafka and on our node, and then file by file: segments, indexes, producer snapshots, checkpoints and the metadata
//! log, decoded by Kafka's own tool, say the same but for ids, times and what stands in [`WANTED`].
//!
//! Records are sent one after the other, so that both brokers are given the same batches.

use super::disk::without_complaint;
use super::exchange::FEATURES_OFF;
use conformance::fault::{During, Fault, ensure};
use conformance::node::{Kind, Plan};
use conformance::process::{CLIENT_DEADLINE, now};
use conformance::rig::Scene;
use conformance::table_peer::TablePeer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a file holds, decoded, line by line.
type Files = BTreeMap<String, Vec<String>>;

const ITSELF: &str =
    "who registers tells of the features that it supports, which are fewer, and of its own host and ports";
const EPOCH_AT_FIRST_BATCH: &str = "Kafka notes an epoch when it begins to lead, this node with the first batch of it";

/// What differs on purpose: the end of a file's name, a part of a line in it (empty: the whole file), and why. It is left out on both sides.
const WANTED: &[(&str, &str, &str)] = &[
    ("cleaner-offset-checkpoint", "", "nothing is compacted yet, so there is nothing to note about it"),
    (
        "cut-0/leader-epoch-checkpoint",
        "0 ",
        "epochs begin where the first segment does: a crash could take the log's start back to it",
    ),
    ("the metadata's snapshot", "payload: {\"type\":\"REGISTER_BROKER_RECORD\"", ITSELF),
    ("the metadata's snapshot", "payload: {\"type\":\"REGISTER_CONTROLLER_RECORD\"", ITSELF),
    ("cut-1/leader-epoch-checkpoint", "", EPOCH_AT_FIRST_BATCH),
    ("cut-2/leader-epoch-checkpoint", "", EPOCH_AT_FIRST_BATCH),
];

/// Small segments and a dense index, so that there is something to compare.
const WORKLOAD: &[&str] = &[
    "create plain 2 segment.bytes=1048576 index.interval.bytes=1024 retention.ms=-1",
    "create codecs 1 index.interval.bytes=64 retention.ms=-1",
    "create idempotent 1 segment.bytes=1048576 retention.ms=-1",
    "create cut 1 retention.ms=-1",
    "create gone 1",
    "send plain idempotent=false partition=0;value=*300000;ts=1700000001000 partition=0;key=a;value=*300000;ts=1700000003000",
    "send plain idempotent=false partition=0;value=*300000;ts=1700000002000 partition=0;value=*300000;ts=1700000004000",
    "send plain idempotent=false partition=0;value=*300000;ts=1700000005000 partition=0;value=*300000;ts=1700000006000",
    "send plain idempotent=false partition=0;value=*300000;ts=1700000000001 partition=0;value=small;ts=1700000007000;header=h:1",
    "send plain acks=1 partition=1;key=k;value=~;ts=1700000001000 partition=1;value=x;ts=1700000001000",
    "send codecs idempotent=false codec=gzip partition=0;value=*500;ts=1700000001000 partition=0;value=*700;ts=1700000002000",
    "send codecs idempotent=false codec=snappy partition=0;value=*500;ts=1700000003000",
    "send codecs idempotent=false codec=lz4 partition=0;value=*500;ts=1700000004000",
    "send codecs idempotent=false codec=zstd partition=0;value=*500;ts=1700000005000",
    "send idempotent partition=0;value=*600000;ts=1700000001000 partition=0;value=*600000;ts=1700000002000",
    "send idempotent partition=0;value=last;ts=1700000003000",
    "send cut idempotent=false partition=0;value=a;ts=1700000001000 partition=0;value=b;ts=1700000002000",
    "send cut idempotent=false partition=0;value=c;ts=1700000003000",
    "cut cut 0 2",
    "alter plain retention.ms= max.message.bytes=2000000",
    "grow cut 3",
    "delete gone",
];

/// The topics that stay.
const TOPICS: [&str; 4] = ["plain-", "codecs-", "idempotent-", "cut-"];

pub(super) fn same_workload(scene: &Scene<'_>) -> Result<(), Fault> {
    let (kafkas, ours) = (written(scene, Kind::Kafka)?, written(scene, scene.rig.target)?);
    let seen = |(file, part, _): &&(&str, &str, &str)| {
        let here = |files: &Files| files.iter().any(|(name, lines)| is_wanted_of(name, lines, file, part));
        here(&kafkas) || here(&ours)
    };
    let stale: Vec<_> = WANTED.iter().filter(|wanted| !seen(wanted)).map(|(file, _, _)| file).collect();
    ensure(stale.is_empty(), || format!("these differences are no more, take them off the list: {stale:?}"))?;
    let differ = compared(&without_wanted(&kafkas), &without_wanted(&ours));
    ensure(differ.is_empty(), || format!("{} files differ:\n    {}", differ.len(), differ.join("\n    ")))?;
    let lines: usize = ours.values().map(Vec::len).sum();
    // A comparison of nothing would pass as well.
    for part in ["plain-0/00000000000000000003.log", ".timeindex", "idempotent-0/00000000000000000003.snapshot"] {
        ensure(ours.keys().any(|name| name.contains(part)), || format!("no {part}: {:?}", ours.keys()))?;
    }
    scene.figure(&format!("{} files with {lines} lines alike", ours.len()));
    Ok(())
}

fn is_wanted_of(name: &str, lines: &[String], file: &str, part: &str) -> bool {
    name.ends_with(file) && (part.is_empty() || lines.iter().any(|line| line.starts_with(part)))
}

fn without_wanted(files: &Files) -> Files {
    let mut kept = files.clone();
    for (file, part, _) in WANTED {
        kept.retain(|name, _| !(part.is_empty() && name.ends_with(file)));
        for (_, lines) in kept.iter_mut().filter(|(name, _)| name.ends_with(file)) {
            lines.retain(|line| !line.starts_with(part));
        }
    }
    kept
}

/// Every file that differs, with the first line that does.
fn compared(kafkas: &Files, ours: &Files) -> Vec<String> {
    let mut differ = Vec::new();
    for name in kafkas.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        match (kafkas.get(name), ours.get(name)) {
            (Some(kafkas), Some(ours)) if kafkas == ours => {}
            (Some(kafkas), Some(ours)) => {
                let at = kafkas.iter().zip(ours).position(|(one, other)| one != other);
                let at = at.unwrap_or(kafkas.len().min(ours.len()));
                let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
                let (kafkas, ours) = (line(kafkas), line(ours));
                differ.push(format!("{name}, line {}:\n      Kafka {kafkas}\n      ours  {ours}", at + 1));
            }
            (kafkas, _) => {
                let whose = if kafkas.is_some() { "Kafka" } else { "the node" };
                differ.push(format!("{name} is only written by {whose}"));
            }
        }
    }
    differ
}

/// The workload on a fresh broker of this kind, and what it has left.
fn written(scene: &Scene<'_>, kind: Kind) -> Result<Files, Fault> {
    let plan = scene.plan_of(kind)?.configured();
    plan.format(scene, FEATURES_OFF)?;
    // A snapshot of the metadata after every change.
    let plan = plan.with("metadata.log.max.record.bytes.between.snapshots", "1");
    let node = plan.start(scene)?;
    let mut java = TablePeer::start("java", &node.address, &[], &scene.folder)?;
    for command in WORKLOAD {
        let said = java.ask(command)?;
        let refused = said.iter().any(|line| line.starts_with("error ") || line.starts_with("failed "));
        ensure(!refused, || format!("`{command}` on {kind:?}: {said:?}"))?;
        if said == ["created"] {
            crate::table::await_leaders(command, &node.address)?;
        }
    }
    drop(java);
    // The stop itself changes who leads.
    let snapshot = whole_snapshot(scene, &plan)?;
    node.stop()?;
    let mut files = files(scene, &plan)?;
    files.insert("the metadata's snapshot".to_owned(), snapshot);
    Ok(files)
}

/// The first snapshot that holds all of the workload, whose last change took a topic away.
fn whole_snapshot(scene: &Scene<'_>, plan: &Plan) -> Result<Vec<String>, Fault> {
    let until = now() + CLIENT_DEADLINE;
    loop {
        let holds = |what: &str, records: &[String]| records.iter().any(|record| record.contains(what));
        let records = snapshot(scene, plan)?;
        if holds("\"name\":\"cut\"", &records) && !holds("\"name\":\"gone\"", &records) {
            return Ok(records);
        }
        ensure(now() < until, || format!("no snapshot of the metadata with the whole workload: {records:?}"))?;
    }
}

/// The records of the newest snapshot of the metadata.
fn snapshot(scene: &Scene<'_>, plan: &Plan) -> Result<Vec<String>, Fault> {
    let snapshots = super::disk::files(&plan.data, "__cluster_metadata-0", ".checkpoint")?;
    let Some(newest) = snapshots.last() else { return Ok(Vec::new()) };
    let mut records = dumped(scene, newest, &["--cluster-metadata-decoder"])?;
    records.retain(|line| line.starts_with("payload: "));
    // One topic's records may come before another's.
    records.sort();
    Ok(records)
}

fn files(scene: &Scene<'_>, plan: &Plan) -> Result<Files, Fault> {
    let mut files = Files::new();
    for folder in std::fs::read_dir(&plan.data).during(plan.data.display())? {
        let folder = folder.during(plan.data.display())?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !folder.is_dir() {
            files.extend(text(&folder, &name)?.map(|lines| (name, lines)));
        } else if TOPICS.iter().any(|topic| name.starts_with(topic)) {
            for file in std::fs::read_dir(&folder).during(folder.display())? {
                let path = file.during(folder.display())?.path();
                let name = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
                let lines = if name.ends_with(".log") || name.ends_with("index") || name.ends_with(".snapshot") {
                    Some(dumped(scene, &path, &["--deep-iteration"])?)
                } else {
                    text(&path, &name)?
                };
                files.extend(lines.map(|lines| (name, lines)));
            }
        }
    }
    let metadata = plan.data.join("__cluster_metadata-0/00000000000000000000.log");
    let records = dumped(scene, &metadata, &["--cluster-metadata-decoder"])?;
    let of_topics = |line: &&String| {
        ["\"TOPIC_RECORD\"", "\"PARTITION_RECORD\"", "\"CONFIG_RECORD\"", "\"REMOVE_TOPIC_RECORD\""]
            .iter()
            .any(|kind| line.contains(kind))
    };
    let mut of_topics: Vec<String> = records.iter().filter(of_topics).cloned().collect();
    // Kafka takes the order of a topic's configs from a hash map.
    of_topics.sort();
    files.insert("the metadata log's topics".to_owned(), of_topics);
    Ok(files)
}

/// A text file's lines without ids, sorted where both brokers take the order from a map; none for what is no text.
fn text(path: &Path, name: &str) -> Result<Option<Vec<String>>, Fault> {
    let known = ["checkpoint", "partition.metadata", "meta.properties", ".kafka_cleanshutdown"];
    if !known.iter().any(|known| name.ends_with(known)) {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).during(path.display())?;
    let is_map = !name.contains('/');
    // The log dir's checkpoints tell of internal topics as well, whose ends depend on when the broker was stopped.
    let internal = |line: &&str| is_map && line.starts_with("__");
    let mut lines: Vec<String> = text.lines().filter(|line| !internal(line)).map(without_ids).collect();
    if is_map {
        lines.retain(|line| !line.starts_with('#') && line.parse::<u32>().is_err());
        lines.sort();
    }
    Ok(Some(lines))
}

/// What Kafka's tool prints about a file, without where it stands.
fn dumped(scene: &Scene<'_>, path: &Path, options: &[&str]) -> Result<Vec<String>, Fault> {
    let file = path.display().to_string();
    let said = scene.java(|java| java.tool("DumpLogSegments", &[options, &["--files", &file]].concat()))?;
    without_complaint(&file, &said)?;
    let lines = said.lines().filter(|line| !line.starts_with("Dumping ") && !line.is_empty());
    Ok(lines.map(|line| without_ids(&line.replace(&file, "it"))).collect())
}

/// Values that differ from run to run, after the names that they stand behind.
const VARYING: &[&str] = &[
    "topic_id: ",
    "\"topicId\":\"",
    "directory.id=",
    "cluster.id=",
    "\"brokerEpoch\":",
    "\"directories\":[\"",
    "\"incarnationId\":\"",
    "\"logDirs\":[\"",
    "\"port\":",
];

fn without_ids(line: &str) -> String {
    // A metadata record stands behind its offset and append time, which are of this run.
    let mut out = line.find(" payload: ").map_or(line, |at| &line[at + 1..]).to_owned();
    for name in VARYING {
        if let Some(at) = out.find(name).map(|at| at + name.len()) {
            let len = out[at..].find(['"', ',', '}', ' ']).unwrap_or(out.len() - at);
            out.replace_range(at..at + len, "<id>");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Files, compared, without_ids};

    #[test]
    fn a_changed_line_and_a_missing_file_are_noticed() {
        let files = |last: &str| -> Files {
            [("a", vec!["1", "2"]), (last, vec!["3"])]
                .into_iter()
                .map(|(name, lines)| (name.to_owned(), lines.into_iter().map(str::to_owned).collect()))
                .collect()
        };
        assert!(compared(&files("b"), &files("b")).is_empty());
        let mut changed = files("b");
        changed.insert("a".to_owned(), vec!["1".to_owned(), "x".to_owned()]);
        assert_eq!(compared(&files("b"), &changed), ["a, line 2:\n      Kafka 2\n      ours  x"]);
        assert_eq!(compared(&files("b"), &files("c")), ["b is only written by Kafka", "c is only written by the node"]);
    }

    #[test]
    fn ids_are_taken_out_and_nothing_else() {
        assert_eq!(without_ids("topic_id: abc_-1"), "topic_id: <id>");
        assert_eq!(
            without_ids("| offset: 5 CreateTime: 1 payload: {\"topicId\":\"x\",\"a\":1}"),
            "payload: {\"topicId\":\"<id>\",\"a\":1}"
        );
        assert_eq!(without_ids("baseOffset: 3 lastOffset: 3 crc: 77"), "baseOffset: 3 lastOffset: 3 crc: 77");
    }
}
