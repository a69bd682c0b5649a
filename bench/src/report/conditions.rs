//! Where and how a run was made: without it no figure means anything.

use crate::options::Options;
use conformance::fault::{During, Fault};
use conformance::java::KAFKA_FLAGS;
use conformance::peers;
use conformance::process::run;
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// Machine, versions and command.
#[derive(Serialize, Deserialize)]
pub struct Conditions {
    /// UTC, `2026-11-27 15:25`.
    pub date: String,
    /// As it was typed.
    pub command: String,
    /// Beside the warm-up.
    pub rounds: usize,
    /// Of a round.
    pub seconds: f64,
    /// Of the whole run.
    pub took_seconds: u64,
    /// Name, cores and memory.
    pub machine: String,
    /// Release and machine.
    pub kernel: String,
    /// Of the folder where everybody's data was.
    pub file_system: String,
    /// Processes that wanted a core before the run began: 0.0 is a quiet machine.
    pub load_before: f64,
    /// Version, commit, profile.
    pub thalweg: String,
    /// Version, Java, flags.
    pub kafka: String,
}

impl Conditions {
    /// Of figures that were not measured.
    #[cfg(test)]
    pub fn unknown() -> Conditions {
        let unknown = String::new;
        Conditions {
            date: unknown(),
            command: unknown(),
            rounds: 0,
            seconds: 0.0,
            took_seconds: 0,
            machine: unknown(),
            kernel: unknown(),
            file_system: unknown(),
            load_before: 0.0,
            thalweg: unknown(),
            kafka: unknown(),
        }
    }

    /// Looks at the machine before anything is started on it.
    pub fn observe(options: &Options) -> Result<Conditions, Fault> {
        let binary = peers::thalweg()?;
        let version = said(Command::new(&binary).arg("--version"));
        let mut describe = Command::new("git");
        describe.args(["describe", "--always", "--dirty", "--exclude", "*"]).current_dir(conformance::rig::workspace());
        let profile = binary.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy();
        let java = Command::new("java").arg("-version").output().map(|out| out.stderr).unwrap_or_default();
        let java = String::from_utf8_lossy(&java).lines().next().unwrap_or("none").replace('"', "");
        let kafka = format!("4.4.0 from Maven, {java}, {}", KAFKA_FLAGS.join(" "));
        Ok(Conditions {
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"])),
            command: options.command.clone(),
            rounds: options.rounds,
            seconds: options.time.as_secs_f64(),
            took_seconds: 0,
            machine: machine()?,
            kernel: format!("{}, TCP {}", said(Command::new("uname").args(["-srm"])), congestion_control()),
            file_system: said(
                Command::new("findmnt").args(["-no", "FSTYPE,OPTIONS", "-T"]).arg(conformance::rig::workspace()),
            ),
            load_before: std::fs::read_to_string("/proc/loadavg")
                .during("/proc/loadavg")?
                .split_whitespace()
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(f64::NAN),
            thalweg: format!("{version}, commit {}, profile {profile}", said(&mut describe)),
            kafka: if options.kafka { kafka } else { "not asked for".to_owned() },
        })
    }
}

/// A courtesy to the reader: what cannot be told is said to be unknown.
fn said(command: &mut Command) -> String {
    run(command, DEADLINE).map_or_else(|_| "unknown".to_owned(), |said| said.text().trim().to_owned())
}

/// The system's default. What paces (BBR) makes a broker that leaves it alone pay several times for what it sends.
fn congestion_control() -> String {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    said.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

fn machine() -> Result<String, Fault> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").during("/proc/cpuinfo")?;
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unnamed CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").during("/proc/meminfo")?;
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0);
    Ok(format!("{}, {cores} cores, {:.0} GiB", name.trim_start_matches(['\t', ' ', ':']), kib / f64::from(1 << 20)))
}
