//! Figures that are printed for people to judge: wall time on a shared machine is no test.

use conformance::fault::Fault;
use conformance::node::Kind;
use conformance::process::resident_kib;
use conformance::rig::Scene;

const STARTS: usize = 5;
const PARTITIONS: u64 = 1_000;

pub(super) fn start_and_memory(scene: &Scene<'_>) -> Result<(), Fault> {
    let mut plan = scene.plan()?;
    if plan.kind == Kind::Thalweg {
        // The node chooses, and its `ready` line says what.
        plan.port = 0;
    }
    let mut firsts = Vec::new();
    for _ in 0..STARTS {
        let node = plan.start(scene)?;
        firsts.push(node.first_reply.as_millis());
        node.stop()?;
    }
    let node = plan.start(scene)?;
    let idle = resident_kib(node.running.pid())?;
    scene.figure(&format!(
        "start to first reply {firsts:?} ms (the first formats), idle {:.1} MiB resident",
        idle as f64 / 1024.0
    ));
    let count = PARTITIONS.to_string();
    let create = ["--bootstrap-server", &node.address, "--create", "--topic", "wide", "--partitions", &count];
    scene.java(|java| java.tool("TopicCommand", &create))?;
    let created = resident_kib(node.running.pid())?;
    node.stop()?;
    let node = plan.start(scene)?;
    let reopened = resident_kib(node.running.pid())?;
    let each = |now: u64| now.saturating_sub(idle) as f64 / PARTITIONS as f64;
    let reply = node.first_reply.as_millis();
    scene.figure(&format!(
        "with {PARTITIONS} more partitions {:.1} KiB each after creation, {:.1} KiB each after a restart, which took {reply} ms",
        each(created),
        each(reopened)
    ));
    node.stop()
}
