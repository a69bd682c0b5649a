//! The counters: strace for system calls, callgrind for instructions, each around a node from its start to its clean stop.

use conformance::fault::{During, Fault, ensure, fail};
use conformance::peers;
use conformance::process::{Running, now};
use conformance::rig::Scene;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A node runs fifty times slower under callgrind.
const DEADLINE: Duration = Duration::from_secs(120);

/// A program that counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// System calls.
    Strace,
    /// Instructions.
    Callgrind,
}

/// What was counted, by name where the tool tells names.
#[derive(Default)]
pub struct Counts {
    total: u64,
    by_name: BTreeMap<String, u64>,
}

/// What a request more costs.
pub struct Each {
    /// All together.
    pub total: f64,
    by_name: Vec<(String, f64)>,
}

/// A node that is counted.
pub struct Counted {
    tool: Tool,
    address: String,
    running: Running,
    output: PathBuf,
    data: PathBuf,
}

impl Tool {
    /// Both.
    pub const ALL: [Tool; 2] = [Tool::Strace, Tool::Callgrind];

    /// What it counts.
    pub fn unit(self) -> &'static str {
        match self {
            Tool::Strace => "system calls",
            Tool::Callgrind => "instructions",
        }
    }

    /// How many requests make the count of one exact enough in a few seconds.
    pub fn requests(self) -> usize {
        match self {
            Tool::Strace => 1_000,
            Tool::Callgrind => 500,
        }
    }

    /// Whether it can be had.
    pub fn find(self) -> Result<(), Fault> {
        let name = match self {
            Tool::Strace => "strace",
            Tool::Callgrind => "valgrind",
        };
        peers::debian(name, "--version").map(|_| ())
    }

    /// Starts a node on an empty folder.
    pub fn start(self, scene: &Scene<'_>, settings: &[(&str, &str)]) -> Result<Counted, Fault> {
        let (output, data) = (scene.path("counts"), scene.path("data"));
        drop(std::fs::remove_file(&output));
        let mut command = match self {
            // With -D the node itself is our child and gets our signals; strace looks on from beside it.
            Tool::Strace => {
                let mut command = Command::new("strace");
                command.args(["-D", "-f", "-c", "-o"]).arg(&output);
                command
            }
            Tool::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", output.display())]);
                command
            }
        };
        command.arg(peers::thalweg()?).args(["server", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let running = Running::start(&mut command, &scene.path("node.log"))?;
        let address = running.await_line(DEADLINE, |line| line.strip_prefix("ready ").map(str::to_owned))?;
        Ok(Counted { tool: self, address, running, output, data })
    }
}

impl Counted {
    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops the node and reads what was counted.
    pub fn finish(self) -> Result<Counts, Fault> {
        let status = self.running.terminate(DEADLINE)?;
        ensure(status.success(), || format!("SIGTERM ended it with {status}"))?;
        let counts = await_counts(self.tool, &self.output)?;
        std::fs::remove_dir_all(&self.data).during(self.data.display())?;
        Ok(counts)
    }
}

/// strace writes its table after the node is gone.
fn await_counts(tool: Tool, path: &Path) -> Result<Counts, Fault> {
    let until = now() + DEADLINE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let counts = match tool {
            Tool::Strace => read_strace(&text),
            Tool::Callgrind => read_callgrind(&text),
        };
        match counts {
            Some(counts) => return Ok(counts),
            None if now() > until => return fail(format!("{} has no counts", path.display())),
            None => std::thread::yield_now(),
        }
    }
}

/// The table of `strace -c`, once its last line is there: time, seconds, us a call, calls, perhaps errors, name.
fn read_strace(text: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let calls = fields.get(3).and_then(|calls| calls.parse::<u64>().ok());
        let (Some(calls), Some(name)) = (calls, fields.last()) else { continue };
        if *name == "total" {
            return Some(counts);
        }
        counts.total += calls;
        counts.by_name.insert((*name).to_owned(), calls);
    }
    None
}

/// The line `totals: N` at the end of callgrind's file.
fn read_callgrind(text: &str) -> Option<Counts> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    let total = line.split_whitespace().next()?.parse().ok()?;
    Some(Counts { total, by_name: BTreeMap::new() })
}

impl Counts {
    /// What each of `requests` cost beyond what was there without them.
    pub fn per_request(&self, idle: &Counts, requests: usize) -> Each {
        let each = |busy: u64, idle: u64| (busy as f64 - idle as f64) / requests as f64;
        let by_name = self
            .by_name
            .iter()
            .map(|(name, busy)| (name.clone(), each(*busy, idle.by_name.get(name).copied().unwrap_or(0))))
            .collect();
        Each { total: each(self.total, idle.total), by_name }
    }
}

impl Each {
    /// The names that a request needs, for whoever reads a failure.
    pub fn shown(&self) -> String {
        let named: Vec<String> = self
            .by_name
            .iter()
            .filter(|(_, each)| *each >= 0.05)
            .map(|(name, each)| format!("{name} {each:.2}"))
            .collect();
        if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{read_callgrind, read_strace};

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           3       200           sendto
 40.00    0.000400           2       150        50 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           2       350        50 total
";

    #[test]
    fn calls_are_read_with_and_without_errors() {
        let busy = read_strace(TABLE).expect("it is whole");
        assert_eq!((busy.total, busy.by_name["recvfrom"]), (350, 150));
        let idle = read_strace(&TABLE.replace("200", "100")).expect("it is whole");
        let each = busy.per_request(&idle, 100);
        assert_eq!((each.total, each.shown().as_str()), (1.0, " (sendto 1.00)"));
    }

    #[test]
    fn a_table_that_is_not_whole_yet_is_none() {
        assert!(read_strace(&TABLE[..TABLE.len() - 40]).is_none());
        assert!(read_callgrind("events: Ir\nfn=x\n1 2\n").is_none());
        assert_eq!(read_callgrind("events: Ir\ntotals: 12345\n").map(|counts| counts.total), Some(12_345));
    }
}
