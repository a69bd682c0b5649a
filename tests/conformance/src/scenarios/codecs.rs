//! Produce and consume: every client's records on every codec, read by every client, byte for byte.

use crate::clients::{self, CODECS};
use crate::text;
use conformance::fault::{During, Fault, ensure};
use conformance::process::tail;
use conformance::rig::Scene;

/// A few batches' worth.
const LINES: usize = 1_500;

pub(super) fn none(scene: &Scene<'_>) -> Result<(), Fault> {
    pairwise(scene, "none")
}

pub(super) fn gzip(scene: &Scene<'_>) -> Result<(), Fault> {
    pairwise(scene, "gzip")
}

pub(super) fn snappy(scene: &Scene<'_>) -> Result<(), Fault> {
    pairwise(scene, "snappy")
}

pub(super) fn lz4(scene: &Scene<'_>) -> Result<(), Fault> {
    pairwise(scene, "lz4")
}

pub(super) fn zstd(scene: &Scene<'_>) -> Result<(), Fault> {
    pairwise(scene, "zstd")
}

fn pairwise(scene: &Scene<'_>, codec: &str) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let node = plan.start(scene)?;
    let lines: Vec<String> = text::lines()?.into_iter().step_by(7).take(LINES).collect();
    let mut want = lines.join("\n");
    want.push('\n');
    let file = scene.path("lines.txt");
    std::fs::write(&file, &want).during(file.display())?;
    let clients = clients::all(scene)?;
    for (name, client) in &clients {
        // kcat's topic comes into being by itself; kafka-topics makes the others.
        let topic = format!("{codec}-{name}");
        if *name != "kcat" {
            scene.java(|java| {
                java.tool("TopicCommand", &["--bootstrap-server", &node.address, "--create", "--topic", &topic])
            })?;
        }
        client.produce(scene, &node.address, &topic, codec, &file).during(format!("{name} produces {codec}"))?;
    }
    let topic = |producer: &str| format!("{codec}-{producer}");
    for (name, client) in &clients {
        let readable = clients.iter().filter(|(producer, _)| client.can_read(codec, producer));
        let topics: Vec<String> = readable.map(|(producer, _)| topic(producer)).collect();
        let read =
            client.consume(scene, &node.address, &topics, lines.len()).during(format!("{name} reads {codec}"))?;
        for (topic, got) in topics.iter().zip(read) {
            ensure(got == want.as_bytes(), || {
                format!("{name} reads {topic}: {}", first_difference(&got, want.as_bytes()))
            })?;
        }
    }
    for topic in clients.iter().map(|(producer, _)| topic(producer)) {
        let log = plan.data.join(format!("{topic}-0/00000000000000000000.log")).display().to_string();
        let dumped = scene.java(|java| java.tool("DumpLogSegments", &["--files", &log]))?;
        let stored = format!("compresscodec: {codec}");
        let batches: Vec<&str> = dumped.lines().filter(|line| line.starts_with("baseOffset:")).collect();
        // librdkafka leaves a batch as it is where compressing a record or two gains nothing.
        let kept = batches.iter().any(|batch| batch.contains(&stored))
            && batches.iter().all(|batch| batch.contains(&stored) || batch.contains("compresscodec: none"));
        ensure(kept, || format!("{topic} is not stored as {codec}: {}", tail(&dumped)))?;
    }
    node.stop()
}

fn first_difference(got: &[u8], want: &[u8]) -> String {
    let at = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
    let around = |bytes: &[u8]| {
        let cut = &bytes[at.saturating_sub(30)..bytes.len().min(at + 50)];
        String::from_utf8_lossy(cut).into_owned()
    };
    format!("{} bytes for {}; at {at}: {:?} for {:?}", got.len(), want.len(), around(got), around(want))
}

/// Keys, null keys, tombstones, headers with null values and set timestamps, over several partitions.
pub(super) fn rich(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.start(scene)?;
    for codec in CODECS {
        let topic = format!("rich-{codec}");
        let create = ["--bootstrap-server", &node.address, "--create", "--topic", &topic, "--partitions", "3"];
        scene.java(|java| {
            java.tool("TopicCommand", &create)?;
            java.peer(&["produce-rich", &node.address, &topic, "3", "3000", codec])?;
            java.peer(&["check-rich", &node.address, &topic, "3", "3000"])
        })?;
    }
    node.stop()
}
