//! Ends of a node, wished and unwished: what was acknowledged with acks=all is there afterwards, in order and once.

use conformance::fault::{Fault, ensure};
use conformance::node::Node;
use conformance::process::now;
use conformance::rig::Scene;
use std::time::Duration;

/// Kills by default; `THALWEG_CONFORMANCE_ROUNDS` for more.
const ROUNDS: u32 = 8;
const PARTITIONS: &str = "3";

fn rounds() -> u32 {
    std::env::var("THALWEG_CONFORMANCE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn create(scene: &Scene<'_>, address: &str, topic: &str) -> Result<(), Fault> {
    let args = ["--bootstrap-server", address, "--create", "--topic", topic, "--partitions", PARTITIONS];
    scene.java(|java| java.tool("TopicCommand", &args)).map(|_| ())
}

/// R31, R20: an idempotent producer goes on through every kill; after the last its acks are checked against the log.
pub(super) fn kill_9_under_load(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?.with("log.segment.bytes", "1048576");
    let mut node = plan.start(scene)?;
    create(scene, &node.address, "load")?;
    scene.java(|java| java.peer(&["load-start", &node.address, "load", PARTITIONS]))?;
    let mut back = Vec::new();
    for round in 0..rounds() {
        // Different numbers of acks, so that the kills fall at different places.
        let more = (200 + 373 * (round % 7)).to_string();
        scene.java(|java| java.peer(&["load-await", &more, "60"]))?;
        node.kill()?;
        let killed = now();
        node = plan.start(scene)?;
        back.push(now() - killed);
    }
    let said = end_load(scene, &node)?;
    let slowest = back.iter().max().copied().unwrap_or(Duration::ZERO);
    scene.figure(&format!("{} kills, {}, slowest return {} ms", back.len(), said.trim(), slowest.as_millis()));
    node.stop()
}

/// Ends the load once more of it was acked; nothing of it failed, and all of it is there, which a check that is told wrong numbers notices.
pub(super) fn end_load(scene: &Scene<'_>, node: &Node) -> Result<String, Fault> {
    scene.java(|java| {
        java.peer(&["load-await", "500", "60"])?;
        let stopped = java.peer(&["load-stop"])?;
        ensure(stopped.trim_end().ends_with("failed 0"), || format!("sends failed: {stopped}"))?;
        java.peer(&["load-control", &node.address])?;
        java.peer(&["load-check", &node.address])
    })
}

/// SIGTERM while producers send: status 0, the marker of a clean stop, nothing acked lost.
pub(super) fn sigterm_under_load(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let node = plan.start(scene)?;
    create(scene, &node.address, "load")?;
    scene.java(|java| {
        java.peer(&["load-start", &node.address, "load", PARTITIONS])?;
        java.peer(&["load-await", "2000", "60"])
    })?;
    let asked = now();
    node.stop()?;
    scene.figure(&format!("stopped in {} ms", (now() - asked).as_millis()));
    let marker = plan.data.join(".kafka_cleanshutdown");
    ensure(marker.exists(), || format!("a clean stop leaves no {}", marker.display()))?;
    let node = plan.start(scene)?;
    ensure(!marker.exists(), || "the marker of a clean stop is still there while the node runs (R20)".to_owned())?;
    scene.java(|java| {
        java.peer(&["load-await", "200", "60"])?;
        let stopped = java.peer(&["load-stop"])?;
        ensure(stopped.trim_end().ends_with("failed 0"), || format!("sends failed: {stopped}"))?;
        java.peer(&["load-check", &node.address])
    })?;
    node.stop()
}

/// A topic whose creation was confirmed is there after a kill, with its configs; one whose deletion was confirmed is not.
pub(super) fn topics_survive(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let mut node = plan.start(scene)?;
    for round in 0..3 {
        let (kept, gone) = (format!("kept-{round}"), format!("gone-{round}"));
        let config = format!("retention.ms={}", 100_000 + round);
        scene.java(|java| {
            let server = ["--bootstrap-server", &node.address];
            java.tool("TopicCommand", &[&server[..], &["--create", "--topic", &gone]].concat())?;
            java.tool("TopicCommand", &[&server[..], &["--create", "--topic", &kept, "--config", &config]].concat())?;
            java.tool("TopicCommand", &[&server[..], &["--delete", "--topic", &gone]].concat())
        })?;
        node.kill()?;
        node = plan.start(scene)?;
        let described =
            scene.java(|java| java.tool("TopicCommand", &["--bootstrap-server", &node.address, "--describe"]))?;
        for earlier in 0..=round {
            let want = format!("retention.ms={}", 100_000 + earlier);
            ensure(described.contains(&format!("kept-{earlier}")) && described.contains(&want), || described.clone())?;
            ensure(!described.contains(&format!("gone-{earlier}")), || {
                format!("a deleted topic is back: {described}")
            })?;
        }
    }
    node.stop()
}
