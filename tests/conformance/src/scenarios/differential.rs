//! The steps of `crates/server/tests/differential`, against a broker as a process. With Kafka in our node's place nothing may differ from the
//! transcript that is checked in, and with `THALWEG_DIFFERENTIAL_RECORD` set it is written again.

use conformance::fault::Fault;
use conformance::node::{Kind, Node};
use conformance::process::run;
use conformance::rig::{Scene, workspace};
use std::process::Command;
use std::time::Duration;

/// Kafka leaves some requests unanswered, and the test may have to be compiled.
/// The test that runs them.
const TEST: &str = "every_api_and_version_answers_as_kafka_does";
const DEADLINE: Duration = Duration::from_secs(900);

pub(super) fn every_api(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = fresh(scene, scene.rig.target)?;
    let records = std::env::var_os("THALWEG_DIFFERENTIAL_RECORD").is_some();
    let variable = match node.kind {
        Kind::Kafka if records => "THALWEG_DIFFERENTIAL_RECORD",
        Kind::Kafka => "THALWEG_DIFFERENTIAL_KAFKA",
        Kind::Thalweg => "THALWEG_DIFFERENTIAL_TARGET",
    };
    run(test().env_remove("THALWEG_DIFFERENTIAL_RECORD").env(variable, &node.address), DEADLINE)?;
    node.stop()
}

/// Both brokers live: the part of the page that is about requests, and whether something differs that is not explained.
pub(crate) fn both(scene: &Scene<'_>) -> Result<(String, Result<(), Fault>), Fault> {
    let (kafka, ours) = (fresh(scene, Kind::Kafka)?, fresh(scene, Kind::Thalweg)?);
    let page = scene.path("requests.md");
    let mut command = test();
    command.env("THALWEG_DIFFERENTIAL_KAFKA", &kafka.address).env("THALWEG_DIFFERENTIAL_TARGET", &ours.address);
    let verdict = run(command.env("THALWEG_DIFFERENTIAL_PAGE", &page), DEADLINE).map(|_| ());
    kafka.stop()?;
    ours.stop()?;
    let text = std::fs::read_to_string(&page);
    match (text, verdict) {
        (Ok(text), verdict) => Ok((text, verdict)),
        (Err(_), Err(fault)) => Err(fault),
        (Err(error), Ok(())) => Err(Fault::from(error).during(page.display())),
    }
}

fn test() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What the test says stands at the end of its output, and not a backtrace.
    command.current_dir(workspace()).env("RUST_BACKTRACE", "0");
    command.args(["test", "--quiet", "-p", "server", "--test", "differential", "--", "--exact", TEST]);
    command
}

/// A running broker that has seen nothing yet.
fn fresh(scene: &Scene<'_>, kind: Kind) -> Result<Node, Fault> {
    let plan = scene.plan_of(kind)?.configured().with("group.initial.rebalance.delay.ms", "0");
    // What the node does not support yet is off in both.
    let further: &[&str] = match kind {
        Kind::Kafka => &["--feature", "eligible.leader.replicas.version=0"],
        Kind::Thalweg => &[],
    };
    plan.format(scene, further)?;
    plan.start(scene)
}
