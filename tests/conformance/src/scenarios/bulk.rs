//! Much real text through kcat, and the same bytes back.

use crate::text;
use conformance::fault::{During, Fault, ensure};
use conformance::peers;
use conformance::process::{now, run};
use conformance::rig::Scene;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// MiB of text by default; `THALWEG_CONFORMANCE_TEXT_MIB=1024` for the whole gigabyte.
const TEXT_MIB: u64 = 64;
const DEADLINE: Duration = Duration::from_secs(600);

pub(super) fn text_through_kcat(scene: &Scene<'_>) -> Result<(), Fault> {
    let kcat = peers::kcat()?;
    let mib = std::env::var("THALWEG_CONFORMANCE_TEXT_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(TEXT_MIB);
    let (sent, back) = (scene.path("sent.txt"), scene.path("back.txt"));
    let lines = text::write(&sent, mib << 20)?;
    let node = scene.plan()?.start(scene)?;
    let started = now();
    let mut produce = Command::new(&kcat);
    produce.args([
        "-P",
        "-b",
        &node.address,
        "-t",
        "text",
        "-p",
        "0",
        "-z",
        "none",
        "-X",
        "enable.idempotence=true",
        "-l",
    ]);
    run(produce.arg(&sent), DEADLINE).during("kcat produces")?;
    let produced = now();
    // kcat prints more than fits in memory: a shell gives it the file as its stdout.
    let mut consume = Command::new("sh");
    consume.args(["-c", "exec \"$0\" \"$@\" >\"$BACK\""]).env("BACK", &back).arg(&kcat);
    consume.args(["-C", "-b", &node.address, "-t", "text", "-p", "0", "-o", "beginning", "-e", "-q"]);
    run(&mut consume, DEADLINE).during("kcat consumes")?;
    let consumed = now();
    let (want, got) = (sha256(&sent)?, sha256(&back)?);
    ensure(want == got, || format!("{mib} MiB came back as {got}, sent was {want}"))?;
    let rate = |from: Instant, to: Instant| mib as f64 / (to - from).as_secs_f64();
    let (produced_rate, consumed_rate) = (rate(started, produced), rate(produced, consumed));
    scene.figure(&format!(
        "{lines} lines, {mib} MiB, sha256 {got}; kcat produced {produced_rate:.0} MiB/s, consumed {consumed_rate:.0} MiB/s"
    ));
    node.stop()
}

fn sha256(path: &Path) -> Result<String, Fault> {
    let said = run(Command::new("sha256sum").arg(path), DEADLINE)?.text();
    Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
}
