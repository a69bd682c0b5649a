//! One data dir, two brokers: Kafka starts on what Thalweg stopped cleanly and serves the same, and the other way round.
//!
//! Features that Thalweg does not have yet are off from the start, as an operator who means to go back and forth would have them.

use super::admin::GROUPS_TOOL;
use super::disk;
use crate::clients::CODECS;
use conformance::fault::{Fault, ensure};
use conformance::java::Java;
use conformance::node::{Kind, Plan};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, now};
use conformance::rig::Scene;
use conformance::wire;

/// For Kafka's formatting tool: what Thalweg does not serve yet.
pub(super) const FEATURES_OFF: &[&str] = &[
    "--feature",
    "transaction.version=0",
    "--feature",
    "share.version=0",
    "--feature",
    "streams.version=0",
    "--feature",
    "eligible.leader.replicas.version=0",
];

/// Everything that a broker must serve alike: every record, the topics with partitions and configs, offsets of logs and groups.
fn served(scene: &Scene<'_>, address: &str) -> Result<(String, String), Fault> {
    scene.java(|java| {
        for codec in CODECS.iter().filter(|codec| **codec != "none") {
            java.peer(&["check-rich", address, &format!("rich-{codec}"), "2", "20000"])?;
        }
        let server = ["--bootstrap-server", address];
        let mut topics: Vec<String> = java
            .tool("TopicCommand", &[&server[..], &["--describe"]].concat())?
            .lines()
            .map(configs_in_order)
            .collect();
        topics.sort();
        let offsets = java.tool("GetOffsetShell", &[&server[..], &["--topic", "rich-.*"]].concat())?;
        let earliest = java.tool("GetOffsetShell", &[&server[..], &["--topic", "rich-.*", "--time", "-2"]].concat())?;
        let groups = groups(java, address)?;
        for wanted in [
            "scripted script-a 0 4",
            "scripted Classic Empty",
            "modern script-a 2 10",
            "modern Consumer Empty",
            "migrating Classic Empty",
        ] {
            ensure(groups.contains(wanted), || format!("no `{wanted}` in {groups}"))?;
        }
        Ok((topics.join("\n"), format!("{offsets}{earliest}{groups}")))
    })
}

/// A topic as it is described, with its configs by name: each broker has an order of its own.
fn configs_in_order(line: &str) -> String {
    let Some((topic, configs)) = line.split_once("Configs: ") else { return line.to_owned() };
    let mut configs: Vec<&str> = configs.split(',').collect();
    configs.sort_unstable();
    format!("{topic}Configs: {}", configs.join(","))
}

/// All groups with their states, and what they have committed.
fn groups(java: &mut Java, address: &str) -> Result<String, Fault> {
    let server = ["--bootstrap-server", address];
    let listed = java.tool(GROUPS_TOOL, &[&server[..], &["--list", "--state", "--type"]].concat())?;
    let offsets = java.tool(GROUPS_TOOL, &[&server[..], &["--describe", "--all-groups", "--offsets"]].concat())?;
    let words = |line: &str, count: usize| line.split_whitespace().take(count).collect::<Vec<_>>().join(" ");
    let rows = offsets.lines().map(|line| words(line, 4)).chain(listed.lines().map(|line| words(line, 3)));
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    Ok(rows.join("\n"))
}

fn same(what: &str, before: &(String, String), after: &(String, String)) -> Result<(), Fault> {
    ensure(before.0 == after.0, || format!("{what}: topics were\n{}\nand are\n{}", before.0, after.0))?;
    ensure(before.1 == after.1, || format!("{what}: offsets were\n{}\nand are\n{}", before.1, after.1))
}

/// First the node under test, then the other kind, which also writes; then the first one again.
fn there_and_back(scene: &Scene<'_>, first: Plan) -> Result<(), Fault> {
    let other = if first.kind == Kind::Thalweg { Kind::Kafka } else { scene.rig.target };
    let node = first.start(scene)?;
    let before = served(scene, &node.address)?;
    node.stop()?;

    let second = first.taken_over_by(other);
    let node = second.start(scene).map_err(|fault| fault.during(format!("{other:?} takes over")))?;
    same("after the take-over", &before, &served(scene, &node.address)?)?;
    scene.java(|java| {
        let create = [
            "--bootstrap-server",
            &node.address,
            "--create",
            "--topic",
            "second",
            "--partitions",
            "2",
            "--config",
            "segment.ms=777777777",
            "--config",
            disk::KEPT,
        ];
        java.tool("TopicCommand", &create)?;
        java.peer(&["produce-rich", &node.address, "second", "2", "2000", "lz4"])?;
        let alter = [
            "--bootstrap-server",
            &node.address,
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            "rich-lz4",
            "--add-config",
            "max.message.bytes=654321",
        ];
        java.tool("ConfigCommand", &alter)?;
        let reset =
            ["--bootstrap-server", &node.address, "--reset-offsets", "--to-latest", "--execute", "--topic", "second"];
        java.tool(GROUPS_TOOL, &[&reset[..], &["--group", "of-the-second"]].concat())?;
        java.tool(GROUPS_TOOL, &["--bootstrap-server", &node.address, "--delete", "--group", "simple"])
    })?;
    let after = served(scene, &node.address)?;
    node.stop()?;
    disk::dump_segments_of(scene, &second.data)?;
    disk::dump_metadata_of(scene, &second.data)?;

    let node = first.start(scene).map_err(|fault| fault.during("the first broker comes back"))?;
    same("after coming back", &after, &served(scene, &node.address)?)?;
    ensure(after.1.contains("of-the-second second 1 1000") && !after.1.contains("simple"), || after.1.clone())?;
    ensure(after.0.contains("segment.ms=777777777") && after.0.contains("max.message.bytes=654321"), || {
        after.0.clone()
    })?;
    scene.java(|java| java.peer(&["check-rich", &node.address, "second", "2", "2000"]))?;
    node.stop()
}

/// Snapshots of the metadata come often, and what they hold goes within seconds, so that the other broker has no log from its beginning.
const TRIMMING: [(&str, &str); 5] = [
    ("metadata.max.idle.interval.ms", "50"),
    ("metadata.log.segment.ms", "500"),
    ("metadata.log.max.record.bytes.between.snapshots", "1000"),
    ("metadata.max.retention.ms", "1000"),
    ("log.flush.offset.checkpoint.interval.ms", "500"),
];
const FIRST_METADATA_SEGMENT: &str = "__cluster_metadata-0/00000000000000000000.log";

/// Runs the node until its metadata log begins later than it did.
fn await_trimmed(scene: &Scene<'_>, plan: &Plan) -> Result<(), Fault> {
    let node = plan.start(scene)?;
    let (mut stream, until) = (wire::connect(&node.address)?, now() + CLIENT_DEADLINE);
    while plan.data.join(FIRST_METADATA_SEGMENT).exists() {
        ensure(now() < until, || "the metadata log still begins at offset 0".to_owned())?;
        wire::leads(&mut stream, "rich-none", 0)?;
    }
    node.stop()
}

/// The folder as the node under test formats it by itself.
pub(super) fn kafka_takes_over(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    if plan.kind == Kind::Kafka {
        plan.format(scene, FEATURES_OFF)?;
    }
    let plan = TRIMMING.iter().fold(plan, |plan, (key, value)| plan.with(key, value));
    let plan = disk::filled(scene, plan)?.configured();
    if plan.kind == Kind::Thalweg {
        await_trimmed(scene, &plan)?;
    }
    // A node that lists other ports than before must not be confused by it either: the config has them from here on.
    there_and_back(scene, plan)
}

/// Only our formatting tool and then Kafka: a dynamic quorum of one voter, at our default features and at an older release's.
pub(super) fn kafka_starts_on_ours(scene: &Scene<'_>) -> Result<(), Fault> {
    if scene.rig.target == Kind::Kafka && peers::thalweg().is_err() {
        return Err(Fault::Skipped("`thalweg` is not built".to_owned()));
    }
    for (further, expected) in [(&[][..], "4.4"), (&["--release-version", "4.0"], "4.0")] {
        let ours = scene.plan_of(Kind::Thalweg)?.configured();
        ours.format(scene, further)?;
        let node = ours.taken_over_by(Kind::Kafka).start(scene)?;
        let address = node.address.as_str();
        let features = scene.java(|java| {
            java.peer(&["create", address, "t", "1", "1"])?;
            java.peer(&["produce-rich", address, "t", "1", "100", "zstd"])?;
            java.tool("FeatureCommand", &["--bootstrap-server", address, "describe"])
        })?;
        let line = features.lines().find(|line| line.contains("metadata.version")).unwrap_or_default().to_owned();
        ensure(line.contains(&format!("FinalizedVersionLevel: {expected}")), || {
            format!("want {expected}: {features}")
        })?;
        node.stop()?;
    }
    Ok(())
}

/// The folder as `storage format` of the broker under test makes it, with Kafka's own options.
pub(super) fn storage_format(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?.configured();
    plan.format(scene, FEATURES_OFF)?;
    // A second time it must refuse, and with --ignore-formatted pass without a change.
    ensure(plan.format(scene, FEATURES_OFF).is_err(), || "it formatted a folder that was formatted".to_owned())?;
    plan.format(scene, &[FEATURES_OFF, &["--ignore-formatted"]].concat())?;
    let plan = disk::filled(scene, plan)?;
    there_and_back(scene, plan)
}

/// The folder as Kafka's own `kafka-storage format --standalone` makes it, filled by Kafka.
pub(super) fn kafka_formatted(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan_of(Kind::Kafka)?;
    plan.format(scene, FEATURES_OFF)?;
    let plan = disk::filled(scene, plan)?;
    there_and_back(scene, plan)
}
