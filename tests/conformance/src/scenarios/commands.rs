//! Our own command line, as a user types it: against Apache Kafka, for it speaks nothing but the protocol, and against our node.

use super::group_commands;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::node::Kind;
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, Running, Said, Signal, now, run, run_any};
use conformance::rig::Scene;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The demo streams a million records on a machine that may be busy.
const DEMO_DEADLINE: Duration = Duration::from_secs(300);

/// The program; whoever tests the scenarios against Kafka may not have one.
fn program(scene: &Scene<'_>) -> Result<PathBuf, Fault> {
    match peers::thalweg() {
        Err(_) if scene.rig.target == Kind::Kafka => Err(Fault::Skipped("`thalweg` is not built".to_owned())),
        program => program,
    }
}

pub(super) fn against_kafka(scene: &Scene<'_>) -> Result<(), Fault> {
    against(scene, Kind::Kafka)
}

pub(super) fn against_the_node(scene: &Scene<'_>) -> Result<(), Fault> {
    against(scene, scene.rig.target)
}

/// Our program, talking to a broker.
pub(super) struct Cli {
    program: PathBuf,
    /// The broker's.
    pub(super) address: String,
}

impl Cli {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("THALWEG_BOOTSTRAP", &self.address);
        command
    }

    pub(super) fn text(&self, words: &[&str]) -> Result<String, Fault> {
        run(&mut self.command(words), CLIENT_DEADLINE).map(|said| said.text())
    }

    fn fed(&self, words: &[&str], stdin: &Path) -> Result<Said, Fault> {
        let stdin = File::open(stdin).during(stdin.display())?;
        run(self.command(words).stdin(stdin), CLIENT_DEADLINE)
    }

    /// Refused with one sentence on stderr and nothing on stdout.
    pub(super) fn refused(&self, words: &[&str]) -> Result<(), Fault> {
        let said = run_any(&mut self.command(words), CLIENT_DEADLINE)?;
        let shown = || {
            format!("thalweg {}: {}; stdout {:?}, stderr {:?}", words.join(" "), said.status, said.text(), said.stderr)
        };
        let one_sentence = said.stderr.trim().lines().count() == 1;
        ensure(!said.status.success() && said.stdout.is_empty() && one_sentence, shown)
    }
}

pub(super) fn contains(text: &str, parts: &[&str]) -> Result<(), Fault> {
    parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("no `{part}` in: {text}")))
}

fn against(scene: &Scene<'_>, kind: Kind) -> Result<(), Fault> {
    let program = program(scene)?;
    let node = scene.plan_of(kind)?.with("group.initial.rebalance.delay.ms", "100").start(scene)?;
    let cli = Cli { program, address: node.address.clone() };
    cli.text(&["topic", "create", "rides", "--partitions", "3"])?;
    contains(&cli.text(&["topic", "list"])?, &["rides"])?;
    contains(&cli.text(&["topic", "describe", "rides"])?, &["rides", "3"])?;
    contains(&cli.text(&["topic", "list", "--output", "json"])?, &["\"rides\""])?;
    cli.refused(&["topic", "create", "rides"])?;
    cli.refused(&["topic", "describe", "absent"])?;

    let lines = scene.path("lines.txt");
    let want: Vec<String> = (0..2_000).map(|number| format!("key-{}\tline {number}", number % 13)).collect();
    std::fs::write(&lines, want.join("\n") + "\n").during(lines.display())?;
    cli.fed(&["produce", "rides", "--key-separator", "\\t"], &lines)?;
    // With 2,000 records over three partitions only each partition has an order.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let got = cli.text(&["consume", "rides", "--from", "earliest", "--count", "2000", "--print-key"])?;
    ensure(sorted(&got) == sorted(&want.join("\n")), || format!("other lines came back: {got}"))?;

    cli.text(&["config", "set", "--topic", "rides", "retention.ms=123456"])?;
    contains(&cli.text(&["config", "get", "--topic", "rides"])?, &["retention.ms", "123456"])?;
    contains(&cli.text(&["cluster", "describe"])?, &[&node.address])?;
    let demo = cli.text(&["demo", "--once", "--records", "50000", "--topic", "demo", "--bootstrap", &node.address])?;
    ensure(verified(&demo) == 50_000, || format!("the demo's 50,000 records: {demo}"))?;
    cli.text(&["topic", "delete", "rides"])?;
    cli.refused(&["topic", "describe", "rides"])?;
    group_commands::work(scene, &cli, kind)?;
    node.stop()
}

/// `thalweg demo --once`: ends by itself, with its own verdict on every record.
pub(super) fn demo(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = program(scene)?;
    let said = run(Command::new(program).args(["demo", "--once"]).current_dir(&scene.folder), DEMO_DEADLINE)?.text();
    let count = verified(&said);
    scene.figure(&said.lines().rev().take(3).collect::<Vec<_>>().join("; "));
    ensure(count >= 1_000_000, || format!("no `verified N records` of a million in: {said}"))
}

/// Ctrl-C in the middle of a demo: one sentence, and nothing of it stays.
pub(super) fn demo_is_stopped(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = program(scene)?;
    let folder = scene.path("tmp");
    std::fs::create_dir(&folder).during(folder.display())?;
    let mut command = Command::new(program);
    command.args(["demo", "--once", "--records", "100000000"]).env("TMPDIR", &folder);
    let demo = Running::start(&mut command, &scene.path("demo.log"))?;
    let streams = || Some(std::fs::read_dir(&folder).ok()?.next()?.ok()?.path().join("rides-0").exists());
    let until = now() + CLIENT_DEADLINE;
    while streams() != Some(true) {
        ensure(now() < until && !demo.has_ended(), || format!("the demo makes no topic; it said: {}", demo.said()))?;
        std::thread::yield_now();
    }
    let status = demo.end_by(Signal::INT, CLIENT_DEADLINE)?;
    ensure(status.code() == Some(1), || format!("the demo's end by a signal: {status}"))?;
    let left = std::fs::read_dir(&folder).during(folder.display())?.count();
    ensure(left == 0, || format!("{left} folders are left in {}", folder.display()))
}

/// `consume --follow | head -1`, where no second record ever comes.
pub(super) fn follower_ends(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = program(scene)?;
    let node = scene.plan()?.start(scene)?;
    let cli = Cli { program, address: node.address.clone() };
    let line = scene.path("line.txt");
    std::fs::write(&line, "only\n").during(line.display())?;
    cli.fed(&["produce", "rides"], &line)?;
    let mut follower = cli.command(&["consume", "rides", "--follow"]);
    let mut follower = follower.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().during("a follower")?;
    let mut first = String::new();
    if let Some(stdout) = follower.stdout.take() {
        BufReader::new(stdout).read_line(&mut first).during("its first line")?;
    }
    ensure(first == "only\n", || format!("its first line is {first:?}"))?;
    let until = now() + CLIENT_DEADLINE;
    loop {
        if let Some(status) = follower.try_wait().during("its end")? {
            ensure(status.success(), || format!("its end: {status}"))?;
            return node.stop();
        }
        if now() >= until {
            drop(follower.kill());
            return fail("it follows on for nobody");
        }
        std::thread::yield_now();
    }
}

/// Whatever asks the node to end leaves a data dir that needs no recovery; SIGHUP comes from a terminal that is closed.
pub(super) fn signals(scene: &Scene<'_>) -> Result<(), Fault> {
    let program = program(scene)?;
    for (number, signal) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
        let data = scene.path(&format!("data-{number}"));
        let mut command = Command::new(&program);
        command.args(["server", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        let node = Running::start(&mut command, &scene.path("node.log"))?;
        node.await_line(CLIENT_DEADLINE, |line| line.starts_with("ready ").then_some(()))?;
        let status = node.end_by(signal, CLIENT_DEADLINE)?;
        ensure(status.success(), || format!("the end by {signal:?}: {status}"))?;
        let marker = data.join(".kafka_cleanshutdown");
        ensure(marker.exists(), || format!("after {signal:?} there is no {}", marker.display()))?;
    }
    Ok(())
}

/// N of `verified N records`, with or without separators between thousands; 0 when it is not said.
fn verified(said: &str) -> u64 {
    let number =
        |line: &str| Some(line.split_once("verified ")?.1.split_once(" records")?.0.replace([',', ' ', '_'], ""));
    said.lines().filter_map(number).find_map(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::verified;

    #[test]
    fn the_demos_count_is_read() {
        assert_eq!(verified("read 3 s\nverified 1,000,000 records in 12 s\n"), 1_000_000);
        assert_eq!(verified("verified nothing\n"), 0);
    }
}
