//! The node under test: the same data dirs again and again, each time at a port of its own.

use conformance::fault::{During, Fault, ensure};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, Running, now, run_any, tail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A start on a machine that compiles beside it; recovery of what a storm leaves takes milliseconds.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// A clean stop flushes everything.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// How to start a node.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its log dirs; the first one holds the metadata.
    pub dirs: Vec<PathBuf>,
    /// What it says goes here, all of its lives into one file.
    pub log: PathBuf,
    /// Configs.
    pub settings: Vec<(&'static str, String)>,
    /// A program that runs the node, as the liar does.
    pub through: Vec<PathBuf>,
}

/// A node that runs.
pub struct Node {
    /// `HOST:PORT` for clients.
    pub address: String,
    /// Its process.
    pub running: Running,
    /// From the start of its process to `ready`.
    pub ready_in: Duration,
}

impl Plan {
    /// A node with these log dirs that logs to `log`.
    pub fn new(dirs: &[PathBuf], log: &Path) -> Plan {
        Plan { dirs: dirs.to_vec(), log: log.to_owned(), settings: Vec::new(), through: Vec::new() }
    }

    /// With one more config.
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Plan {
        self.settings.push((key, value.to_string()));
        self
    }

    /// Starts it and waits until it serves.
    pub fn start(&self) -> Result<Node, Fault> {
        let thalweg = peers::thalweg()?;
        let words = [&self.through[..], &[thalweg]].concat();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("server").args(["--listen", "127.0.0.1:0"]);
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        command.arg("--set").arg(format!("log.dirs={}", dirs.join(",")));
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let started = now();
        let running = Running::start(&mut command, &self.log)?;
        let address = running.await_line(START_DEADLINE, |line| line.strip_prefix("ready ").map(str::to_owned))?;
        Ok(Node { address, running, ready_in: now() - started })
    }

    /// `thalweg storage verify` of every log dir of a stopped node.
    pub fn verify(&self) -> Result<(), Fault> {
        for dir in &self.dirs {
            let said = run_any(Command::new(peers::thalweg()?).args(["storage", "verify"]).arg(dir), CLIENT_DEADLINE)?;
            // A folder that was put aside is no log any more: nobody recovers what a crash tore in it.
            let is_aside = |line: &str| line.contains("-stray/") || line.contains("-delete/");
            let text = said.text();
            let faults = text.lines().any(|line| line.contains(": ") && line.starts_with('/') && !is_aside(line));
            let aside = text.lines().any(is_aside);
            ensure(said.status.success() || (aside && !faults), || {
                format!("storage verify: {}{}", tail(&text), tail(&said.stderr))
            })?;
        }
        Ok(())
    }
}

impl Node {
    /// SIGTERM; it must end by itself, in time and with status 0.
    pub fn stop(self) -> Result<(), Fault> {
        let status = self.running.terminate(STOP_DEADLINE).during("stopping the node")?;
        ensure(status.success(), || format!("SIGTERM ended it with {status}"))
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(self) -> Result<(), Fault> {
        self.running.kill()
    }
}
