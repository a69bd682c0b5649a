//! What stands on disk: Kafka's DumpLogSegments reads our files, and `thalweg storage dump` reads Kafka's.

use crate::clients::CODECS;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::node::{Kind, Plan};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, run, tail};
use conformance::rig::Scene;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What DumpLogSegments says of a file that is not in order.
const COMPLAINTS: &[&str] = &[
    "mismatch",
    "non-consecutive",
    "out of order",
    "isvalid: false",
    "exception",
    "could not",
    "corrupt",
    "cannot",
    "unexpected",
];
/// Small segments and a dense index, so that there is something to check.
const SEGMENT_BYTES: &str = "segment.bytes=1048576";
const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes=1024";

/// The rich records have a fixed time in the past: whoever keeps records for a week deletes them half a minute after its start, and only a quick
/// machine has looked at them by then.
pub(super) const KEPT: &str = "retention.ms=-1";

/// A stopped node whose log dir holds rich topics of every codec, deleted records, a grown topic and groups.
pub(super) fn filled(scene: &Scene<'_>, plan: Plan) -> Result<Plan, Fault> {
    // Members of the consumer protocol learn of each other with their heartbeats.
    let plan = plan
        .with("group.initial.rebalance.delay.ms", "100")
        .with("group.consumer.min.heartbeat.interval.ms", "500")
        .with("group.consumer.heartbeat.interval.ms", "500");
    let node = plan.start(scene)?;
    let server = ["--bootstrap-server", node.address.as_str()];
    let cut = scene.path("cut.json");
    let cut_json = r#"{"partitions": [{"topic": "rich-none", "partition": 0, "offset": 100}], "version": 1}"#;
    std::fs::write(&cut, cut_json).during(cut.display())?;
    scene.java(|java| {
        for codec in CODECS {
            let topic = format!("rich-{codec}");
            let create = [
                "--create",
                "--topic",
                &topic,
                "--partitions",
                "2",
                "--config",
                SEGMENT_BYTES,
                "--config",
                INDEX_INTERVAL_BYTES,
                "--config",
                KEPT,
            ];
            java.tool("TopicCommand", &[&server[..], &create].concat())?;
            java.peer(&["produce-rich", &node.address, &topic, "2", "20000", codec])?;
        }
        java.tool("TopicCommand", &[&server[..], &["--alter", "--topic", "rich-gzip", "--partitions", "4"]].concat())?;
        java.tool(
            "DeleteRecordsCommand",
            &[&server[..], &["--offset-json-file", &cut.display().to_string()]].concat(),
        )?;
        java.peer(&["group-script", &node.address])
    })?;
    node.stop()?;
    Ok(plan)
}

/// Files below a log dir, sorted, whose names end with `suffix`.
pub(super) fn files(data: &Path, folder_prefix: &str, suffix: &str) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(data).during(data.display())? {
        let folder = folder.during(data.display())?;
        if !folder.file_name().to_string_lossy().starts_with(folder_prefix) || !folder.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path()).during(folder.path().display())? {
            let path = file.during(folder.path().display())?.path();
            if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn joined(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(",")
}

pub(super) fn without_complaint(what: &str, dumped: &str) -> Result<(), Fault> {
    let complaint = dumped.lines().find(|line| {
        let line = line.to_lowercase();
        COMPLAINTS.iter().any(|complaint| line.contains(complaint))
    });
    match complaint {
        None => Ok(()),
        Some(line) => fail(format!("{what}: DumpLogSegments says: {line}\n    at the end: {}", tail(dumped))),
    }
}

pub(super) fn dump_log_segments(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = filled(scene, scene.plan()?)?;
    dump_segments_of(scene, &plan.data)?;
    a_changed_byte_is_noticed(scene, &plan.data.join("rich-none-1/00000000000000000000.log"))
}

/// The negative control: with one bit of a record's value turned, the same look at the same dump must fail.
fn a_changed_byte_is_noticed(scene: &Scene<'_>, log: &Path) -> Result<(), Fault> {
    let mut bytes = std::fs::read(log).during(log.display())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let copy = scene.path("00000000000000000000.log");
    std::fs::write(&copy, bytes).during(copy.display())?;
    let args = ["--deep-iteration", "--files", &copy.display().to_string()];
    let answer = scene.java(|java| java.tool_any("DumpLogSegments", None, &args))?;
    let noticed = answer.code != 0 || without_complaint("a segment with a turned bit", &answer.stdout).is_err();
    ensure(noticed, || "a segment with a turned bit was taken for sound".to_owned())
}

/// Every kind of file of the rich topics through DumpLogSegments.
pub(super) fn dump_segments_of(scene: &Scene<'_>, data: &Path) -> Result<(), Fault> {
    let logs = files(data, "rich-", ".log")?;
    ensure(logs.len() > 5 * 2, || format!("{} segments: none has rolled", logs.len()))?;
    let dumped = scene.java(|java| java.tool("DumpLogSegments", &["--deep-iteration", "--files", &joined(&logs)]))?;
    without_complaint("segments", &dumped)?;
    let records = dumped.lines().filter(|line| line.starts_with("| offset:")).count();
    ensure(records > 5 * 19_000 && records <= 5 * 20_000, || format!("{records} records in the dump"))?;
    for (suffix, mode) in
        [(".index", "--verify-index-only"), (".timeindex", "--verify-index-only"), (".index", "--index-sanity-check")]
    {
        let indexes = files(data, "rich-", suffix)?;
        ensure(indexes.len() == logs.len(), || {
            format!("{} {suffix} files for {} segments", indexes.len(), logs.len())
        })?;
        let dumped = scene.java(|java| java.tool("DumpLogSegments", &[mode, "--files", &joined(&indexes)]))?;
        without_complaint(suffix, &dumped)?;
    }
    let snapshots = files(data, "rich-", ".snapshot")?;
    ensure(!snapshots.is_empty(), || "no producer snapshot after a clean stop".to_owned())?;
    let dumped = scene.java(|java| java.tool("DumpLogSegments", &["--files", &joined(&snapshots)]))?;
    without_complaint("producer snapshots", &dumped)?;
    ensure(dumped.contains("producerId: "), || format!("no producer in the snapshots: {}", tail(&dumped)))
}

pub(super) fn dump_metadata_log(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = filled(scene, scene.plan()?)?;
    let dumped = dump_metadata_of(scene, &plan.data)?;
    for word in [
        "TOPIC_RECORD",
        "PARTITION_RECORD",
        "REGISTER_BROKER_RECORD",
        "FEATURE_LEVEL_RECORD",
        "CONFIG_RECORD",
        "LeaderChange",
    ] {
        ensure(dumped.contains(word), || format!("no {word} in the metadata log: {}", tail(&dumped)))?;
    }
    Ok(())
}

/// The metadata log and its snapshots through the decoder of metadata records.
pub(super) fn dump_metadata_of(scene: &Scene<'_>, data: &Path) -> Result<String, Fault> {
    let mut logs = files(data, "__cluster_metadata-0", ".log")?;
    ensure(!logs.is_empty(), || "no metadata log".to_owned())?;
    logs.extend(files(data, "__cluster_metadata-0", ".checkpoint")?);
    let dumped =
        scene.java(|java| java.tool("DumpLogSegments", &["--cluster-metadata-decoder", "--files", &joined(&logs)]))?;
    without_complaint("metadata log", &dumped)?;
    Ok(dumped)
}

/// Needs our command line, so it runs whichever broker is under test: every batch and index entry as Kafka's own tool sees them.
pub(super) fn storage_dump_reads_kafka(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = match peers::thalweg() {
        Err(_) if scene.rig.target == Kind::Kafka => return Err(Fault::Skipped("`thalweg` is not built".to_owned())),
        program => program?,
    };
    let plan = filled(scene, scene.plan_of(Kind::Kafka)?)?;
    let dump = |path: &Path| -> Result<String, Fault> {
        run(Command::new(&program).args(["storage", "dump", "--records"]).arg(path), CLIENT_DEADLINE)
            .map(|said| said.text())
    };
    for suffix in [".log", ".index", ".timeindex", ".snapshot"] {
        let mut entries = 0;
        for path in files(&plan.data, "rich-", suffix)? {
            let ours = dump(&path)?;
            let theirs = scene.java(|java| java.tool("DumpLogSegments", &["--files", &path.display().to_string()]))?;
            let (ours, theirs) = (numbers_of_ours(&ours, suffix), numbers_of_kafkas(&theirs, suffix));
            let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
            let said = || {
                format!(
                    "{}: entry {differ}: {:?}, Kafka says {:?}",
                    path.display(),
                    ours.get(differ),
                    theirs.get(differ)
                )
            };
            ensure(ours == theirs, said)?;
            entries += ours.len();
        }
        ensure(entries > 5, || format!("only {entries} entries in all {suffix} files"))?;
    }
    let first = dump(&plan.data.join("rich-zstd-1/00000000000000000000.log"))?;
    ensure(first.contains("value 1 ") && first.contains("header "), || {
        format!("no record 1 in the dump: {}", tail(&first))
    })?;
    let metadata = files(&plan.data, "__cluster_metadata-0", ".log")?
        .first()
        .map_or_else(|| fail("no metadata log"), |path| dump(path))?;
    ensure(metadata.contains("rich-zstd"), || {
        format!("no topic in the dump of the metadata log: {}", tail(&metadata))
    })?;
    verify_notices(&program, &plan.data)
}

/// The numbers that tell an entry of our dump: a batch's position, first and last offset and count; an index entry's offset (and
/// position); a producer.
fn numbers_of_ours(dumped: &str, suffix: &str) -> Vec<Vec<i64>> {
    let start = match suffix {
        ".log" => "batch at ",
        ".index" => "offset ",
        ".timeindex" => "time ",
        _ => "producer ",
    };
    let entry = |line: &str| match suffix {
        ".timeindex" => after(line, &[" offset "]),
        ".log" => after(line, &["batch at ", "offsets ", "..", "records, "]).into_iter().take(3).collect(),
        ".index" => after(line, &["offset ", "position "]),
        _ => after(line, &["producer ", "epoch ", "last sequence ", "last offset "]),
    };
    dumped.lines().filter(|line| line.starts_with(start)).map(entry).collect()
}

/// The same numbers from DumpLogSegments.
fn numbers_of_kafkas(dumped: &str, suffix: &str) -> Vec<Vec<i64>> {
    let (start, labels): (&str, &[&str]) = match suffix {
        ".log" => ("baseOffset: ", &[" position: ", "baseOffset: ", "lastOffset: "]),
        ".index" => ("offset: ", &["offset: ", "position: "]),
        ".timeindex" => ("timestamp: ", &[" offset: "]),
        _ => ("producerId: ", &["producerId: ", "producerEpoch: ", "lastSequence: ", "lastOffset: "]),
    };
    dumped.lines().filter(|line| line.starts_with(start)).map(|line| after(line, labels)).collect()
}

/// The number after each label.
fn after(line: &str, labels: &[&str]) -> Vec<i64> {
    let number = |label: &&str| {
        let (_, rest) = line.split_once(*label)?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    labels.iter().filter_map(number).collect()
}

/// `storage verify` passes what Kafka wrote, and with one bit turned it does not.
fn verify_notices(program: &Path, data: &Path) -> Result<(), Fault> {
    let verify = || run(Command::new(program).args(["storage", "verify"]).arg(data), CLIENT_DEADLINE);
    verify().during("verifying what Kafka wrote")?;
    let log = data.join("rich-none-1/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).during(log.display())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).during(log.display())?;
    ensure(verify().is_err(), || "a segment with a turned bit was verified".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{numbers_of_kafkas, numbers_of_ours};

    #[test]
    fn both_dumps_are_read_alike() {
        let ours = "batch at 174: offsets 3..11, 9 records, 330 bytes, epoch 1, none\n  3 2026: key \"offset 1\"\n";
        let theirs = "Dumping x\nbaseOffset: 3 lastOffset: 11 count: 9 isControl: false position: 174 CreateTime: 1\n";
        assert_eq!(numbers_of_ours(ours, ".log"), [[174, 3, 11]]);
        assert_eq!(numbers_of_kafkas(theirs, ".log"), [[174, 3, 11]]);
        assert_eq!(
            numbers_of_ours("offset 7 position 90\n", ".index"),
            numbers_of_kafkas("offset: 7 position: 90\n", ".index")
        );
    }
}
