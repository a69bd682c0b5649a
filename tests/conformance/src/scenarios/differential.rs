//! The steps of `crates/server/tests/differential`, against a broker as a process. With Kafka in our node's place nothing may differ from the
//! transcript that is checked in, and with `THALWEG_DIFFERENTIAL_RECORD` set it is written again.

use conformance::fault::Fault;
use conformance::node::Kind;
use conformance::process::run;
use conformance::rig::{Scene, workspace};
use std::process::Command;
use std::time::Duration;

/// Kafka leaves some requests unanswered, and the test may have to be compiled.
const DEADLINE: Duration = Duration::from_secs(900);

pub(super) fn every_api(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?.configured();
    if plan.kind == Kind::Kafka {
        // What the node does not support yet is off in both.
        plan.format(scene, &["--feature", "eligible.leader.replicas.version=0"])?;
    } else {
        plan.format(scene, &[])?;
    }
    let node = plan.start(scene)?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).args(["test", "--quiet", "-p", "server", "--test", "differential", "every_api"]);
    let records = std::env::var_os("THALWEG_DIFFERENTIAL_RECORD").is_some();
    let variable = match plan.kind {
        Kind::Kafka if records => "THALWEG_DIFFERENTIAL_RECORD",
        Kind::Kafka => "THALWEG_DIFFERENTIAL_KAFKA",
        Kind::Thalweg => "THALWEG_DIFFERENTIAL_TARGET",
    };
    command.env_remove("THALWEG_DIFFERENTIAL_RECORD").env(variable, &node.address);
    run(&mut command, DEADLINE)?;
    node.stop()
}
