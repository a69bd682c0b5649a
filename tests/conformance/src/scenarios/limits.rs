//! Limits that a client or an operator sets: small fetches, waiting fetches, large batches, too many or too quiet connections.

use crate::text;
use conformance::fault::{During, Fault, ensure};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, Running, now, run, run_any};
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect, expect_close};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `kcat -b ADDRESS -t TOPIC -p 0` with these further words.
fn kcat(kcat: &Path, address: &str, topic: &str, further: &[&str]) -> Command {
    let mut command = Command::new(kcat);
    command.args(["-b", address, "-t", topic, "-p", "0"]).args(further);
    command
}

fn text_file(scene: &Scene<'_>, name: &str, bytes: u64) -> Result<PathBuf, Fault> {
    let path = scene.path(name);
    text::write(&path, bytes).map(|_| path)
}

/// A batch larger than what the fetch asks for comes all the same, or a consumer would stand still for ever.
pub(super) fn small_fetches(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = peers::kcat()?;
    let node = scene.plan()?.start(scene)?;
    let file = text_file(scene, "lines.txt", 300_000)?;
    let produce = ["-P", "-z", "gzip", "-X", "linger.ms=100", "-l", &file.display().to_string()];
    run(&mut kcat(&program, &node.address, "t", &produce), CLIENT_DEADLINE)?;
    let consume = ["-C", "-o", "beginning", "-e", "-q", "-X", "fetch.message.max.bytes=100"];
    let got = run(&mut kcat(&program, &node.address, "t", &consume), CLIENT_DEADLINE)?.stdout;
    let want = std::fs::read(&file).during(file.display())?;
    ensure(got == want, || format!("{} bytes came back of {}", got.len(), want.len()))?;
    node.stop()
}

/// A node that may open 500 files stops cleanly with 150 written partitions: their flush, several files each, is made in groups.
pub(super) fn descriptors(scene: &Scene<'_>) -> Result<(), Fault> {
    let (program, thalweg) = (peers::kcat()?, peers::thalweg()?);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 500; exec \"$0\" \"$@\""]).arg(&thalweg);
    command.args(["server", "--listen", "127.0.0.1:0", "--data"]).arg(scene.path("data"));
    let node = Running::start(&mut command, &scene.path("node.log"))?;
    let address = node.await_line(CLIENT_DEADLINE, |line| line.strip_prefix("ready ").map(str::to_owned))?;
    let create = ["topic", "create", "t", "--partitions", "150", "--bootstrap", &address];
    run(Command::new(&thalweg).args(create), CLIENT_DEADLINE)?;
    let file = scene.path("lines.txt");
    std::fs::write(&file, "a line\n".repeat(3_000)).during(file.display())?;
    let produce = ["-P", "-b", &address, "-t", "t", "-X", "sticky.partitioning.linger.ms=0", "-l"];
    run(Command::new(&program).args(produce).arg(&file), CLIENT_DEADLINE)?;
    let status = node.terminate(CLIENT_DEADLINE)?;
    ensure(status.success(), || format!("SIGTERM ended it with {status}"))
}

/// A fetch at the log end that may wait for eight seconds is answered when a record comes, well before.
pub(super) fn waiting_fetch(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = peers::kcat()?;
    let node = scene.plan()?.start(scene)?;
    let first = scene.path("first.txt");
    std::fs::write(&first, "first\n").during(first.display())?;
    let produce = |file: &Path| {
        run(&mut kcat(&program, &node.address, "t", &["-P", "-l", &file.display().to_string()]), CLIENT_DEADLINE)
    };
    produce(&first)?;
    let wait = ["-C", "-o", "beginning", "-u", "-X", "fetch.wait.max.ms=8000"];
    let consumer = Running::start(&mut kcat(&program, &node.address, "t", &wait), &scene.path("consumer.log"))?;
    consumer.await_line(CLIENT_DEADLINE, |line| line.contains("Reached end of topic").then_some(()))?;
    let second = scene.path("second.txt");
    std::fs::write(&second, "second\n").during(second.display())?;
    let sent = now();
    produce(&second)?;
    consumer
        .await_line(Duration::from_secs(6), |line| (line == "second").then_some(()))
        .during("a fetch that may wait 8 s")?;
    scene.figure(&format!("a new kcat's record reached a waiting kcat in {} ms", (now() - sent).as_millis()));
    consumer.kill()?;
    node.stop()
}

/// Refused where the topic says so, taken where the topic allows more.
pub(super) fn oversized_batch(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = peers::kcat()?;
    let node = scene.plan()?.start(scene)?;
    let large = scene.path("large.txt");
    std::fs::write(&large, "x".repeat(2_000_000)).during(large.display())?;
    scene.java(|java| {
        java.peer(&["create", &node.address, "small", "1", "1"])?;
        java.peer(&["create", &node.address, "large", "1", "1", "max.message.bytes=4194304"])
    })?;
    let produce = ["-P", "-z", "none", "-X", "message.max.bytes=4000000", &large.display().to_string()];
    let said = run_any(&mut kcat(&program, &node.address, "small", &produce), CLIENT_DEADLINE)?;
    ensure(said.stderr.contains("Message size too large"), || format!("2 MB into a topic for 1 MB: {}", said.stderr))?;
    run(&mut kcat(&program, &node.address, "large", &produce), CLIENT_DEADLINE)?;
    let consume = ["-C", "-o", "beginning", "-e", "-q"];
    let got = run(&mut kcat(&program, &node.address, "large", &consume), CLIENT_DEADLINE)?.stdout;
    ensure(got.len() == 2_000_001, || format!("{} bytes came back", got.len()))?;
    node.stop()
}

/// `connections.max.idle.ms`: a connection without requests is closed; one with requests is not.
pub(super) fn idle_connections(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.with("connections.max.idle.ms", "2000").start(scene)?;
    let (mut idle, mut busy) = (connect(&node.address)?, connect(&node.address)?);
    api_versions(&mut idle)?;
    let pause = Duration::from_millis(300);
    idle.set_read_timeout(Some(pause)).during("read timeout")?;
    let until = now() + Duration::from_secs(30);
    // Its read times out while the connection is open: the pause between two requests of the busy one.
    while expect_close(&mut idle).is_err() {
        ensure(now() < until, || "an idle connection is open 30 s after its 2 s".to_owned())?;
        api_versions(&mut busy).during("a connection that is in use")?;
    }
    api_versions(&mut busy).during("a connection that is in use")?;
    node.stop()
}

/// `max.connections.per.ip`: what is over is refused, what is there goes on, and room that is made can be used.
pub(super) fn connections_per_ip(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.with("max.connections.per.ip", "20").start(scene)?;
    let mut open = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&node.address)?;
        if api_versions(&mut stream).is_ok() {
            open.push(stream);
        }
    }
    // Kafka counts its own connections between broker and controller, too.
    ensure((10..=20).contains(&open.len()), || format!("{} of 40 connections are served, 20 may be", open.len()))?;
    api_versions(&mut open[0]).during("the first connection")?;
    open.clear();
    let until = now() + Duration::from_secs(30);
    while connect(&node.address).and_then(|mut stream| api_versions(&mut stream)).is_err() {
        ensure(now() < until, || "no connection is served 30 s after all were closed".to_owned())?;
    }
    node.stop()
}
