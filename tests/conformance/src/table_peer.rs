//! The peers of the table: one program per family of clients, which answers commands with canonical lines.
//!
//! A command is a line of words; the answer is lines, and then a line with a dot. What the words mean stands in the README of this folder.

use crate::fault::{During, Fault, fail};
use crate::java::{QUICK_FLAGS, java};
use crate::peers;
use crate::process::tail;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Peers give up by themselves after 40 s and say so; a later answer is a broken peer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(100);
/// Lines of answers that wait to be read.
const LINES_MAX: usize = 1_024;

/// Families of clients, by the names that the table's limits use.
pub const FAMILIES: &[&str] = &["java", "librdkafka", "go", "node", "kafka-python", "kcat"];

/// A peer that runs.
pub struct TablePeer {
    /// Its family.
    pub family: &'static str,
    /// The broker that it talks to.
    pub address: String,
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    log: std::path::PathBuf,
}

impl TablePeer {
    /// Starts the family's program against a broker; what it logs goes to a file in `folder`. Further words are settings of the peer's
    /// own. Skipped where the family cannot be had.
    pub fn start(family: &'static str, address: &str, further: &[&str], folder: &Path) -> Result<TablePeer, Fault> {
        let mut command = command(family)?;
        command.arg(address).args(further);
        let log = folder.join(format!("{family}.log"));
        let stderr = File::options().create(true).append(true).open(&log).during(log.display())?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().during(family)?;
        let (Some(commands), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return fail(format!("{family} was started without pipes"));
        };
        let (send, lines) = sync_channel(LINES_MAX);
        std::thread::Builder::new()
            .name(family.to_owned())
            .spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            })
            .during("starting a thread")?;
        Ok(TablePeer { family, address: address.to_owned(), child, commands, lines, log })
    }

    /// One command and its answer.
    pub fn ask(&mut self, command: &str) -> Result<Vec<String>, Fault> {
        let what = format!("{} `{}`", self.family, command.chars().take(200).collect::<String>());
        writeln!(self.commands, "{command}").and_then(|()| self.commands.flush()).during(&what)?;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(ANSWER_DEADLINE) {
                Ok(line) if line == "." => return Ok(said),
                Ok(line) => said.push(line),
                Err(why) => {
                    // It cannot be asked again: an answer that comes late would be taken for the next one's.
                    drop(self.child.kill());
                    let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                    let why = match why {
                        RecvTimeoutError::Timeout => "no answer in time",
                        RecvTimeoutError::Disconnected => "it ended",
                    };
                    return fail(format!("{what}: {why}; it said {said:?} and logged: {}", tail(&log)));
                }
            }
        }
    }
}

impl Drop for TablePeer {
    fn drop(&mut self) {
        // Already gone is fine: that is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a family's program is called, with its packages fetched.
fn command(family: &str) -> Result<Command, Fault> {
    let python = |client: &str| {
        let mut command = Command::new(peers::python()?);
        command.arg(peers::manifests().join("python_table.py")).arg(client);
        Ok(command)
    };
    match family {
        "java" => {
            let jars = peers::kafka_jars()?;
            let classes = peers::java_peer(&jars)?;
            let mut command = java(&jars, Some(&classes), &[QUICK_FLAGS, &["-Xmx256m"]].concat());
            command.arg("TablePeer");
            Ok(command)
        }
        "librdkafka" => python("confluent"),
        "kafka-python" => python("pure"),
        "kcat" => {
            peers::kcat()?;
            let mut command = Command::new(peers::plain_python()?);
            command.arg(peers::manifests().join("kcat_table.py"));
            Ok(command)
        }
        "go" => Ok(Command::new(peers::go()?)),
        "node" => {
            let mut command = Command::new("node");
            command.arg(peers::node_script("table.mjs")?);
            Ok(command)
        }
        other => fail(format!("`{other}` is no family of clients")),
    }
}
