//! The ceiling: a broker that does nothing but what the kernel charges any broker for, in a process of its own, so that its CPU time
//! is told like everybody's.
//!
//! It takes the same frames from the same loads: receive, checksum, append (and sync, or a round of a write-ahead file), answer;
//! and for a fetch a header and sendfile. No validation of records, no index files, no recovery, no limits, one log file a partition: it
//! is a measuring device and must never meet anything but our loads.

mod events;
mod log;
mod session;
mod threads;

use crate::connection::UNPACED;
use conformance::fault::{During, Fault, fail};
use conformance::process::Running;
use log::Broker;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// It opens a socket and no more.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// The word that makes this program a ceiling.
pub const SERVE: &str = "serve-ceiling";

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// A blocking thread each: the cheapest for a few streams.
    Threads,
    /// One event loop: the cheapest for many connections, and for a hand-over from a producer to a waiting reader.
    Events,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Counted and forgotten.
    Nothing,
    /// Checksum and append to the page cache.
    Append,
    /// Also an fdatasync of each file that was written, before the answers.
    Sync,
    /// Also one write and one fdatasync of a write-ahead file, before the answers.
    Wal,
}

/// One kind of ceiling.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Connections.
    pub shell: Shell,
    /// Batches.
    pub disk: Disk,
}

/// Threads that append to the page cache.
pub const APPEND: Work = Work { shell: Shell::Threads, disk: Disk::Append };

const SHELLS: [(&str, Shell); 2] = [("threads", Shell::Threads), ("events", Shell::Events)];
const DISKS: [(&str, Disk); 4] =
    [("nothing", Disk::Nothing), ("append", Disk::Append), ("sync", Disk::Sync), ("wal", Disk::Wal)];

/// A ceiling that runs.
pub struct Ceiling {
    /// `HOST:PORT`.
    pub address: String,
    running: Running,
    data: PathBuf,
}

impl Ceiling {
    /// Starts this program as a ceiling with its files below `data`.
    pub fn start(work: Work, data: &Path, log: &Path) -> Result<Ceiling, Fault> {
        // A ceiling of an earlier workload leaves nothing behind that this one would find.
        drop(std::fs::remove_dir_all(data));
        let shell = SHELLS.iter().find(|(_, shell)| *shell == work.shell).map_or("", |(name, _)| name);
        let disk = DISKS.iter().find(|(_, disk)| *disk == work.disk).map_or("", |(name, _)| name);
        let mut command = Command::new(std::env::current_exe().during("finding this program")?);
        command.args([SERVE, shell, disk]).arg(data);
        let running = Running::start(&mut command, log)?;
        let address = running.await_line(START_DEADLINE, |line| line.strip_prefix("ready ").map(str::to_owned))?;
        Ok(Ceiling { address, running, data: data.to_owned() })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // Gigabytes that nobody asks for again; what it holds open goes with its process, which is killed next.
        drop(std::fs::remove_dir_all(&self.data));
    }
}

/// The main function of the other side: `serve-ceiling SHELL DISK DIR`. It ends with its parent's kill.
pub fn serve(words: &[String]) -> Result<(), Fault> {
    let [shell, disk, data] = words else { return fail(format!("usage: bench {SERVE} SHELL DISK DIR")) };
    let shell = SHELLS.iter().find(|(name, _)| name == shell).map(|(_, shell)| *shell);
    let disk = DISKS.iter().find(|(name, _)| name == disk).map(|(_, disk)| *disk);
    let (Some(shell), Some(disk)) = (shell, disk) else { return fail("no such ceiling") };
    let listener = TcpListener::bind(("127.0.0.1", 0)).during("binding")?;
    // What is accepted inherits it. Pacing within one machine is work that nobody needs.
    rustix::net::sockopt::set_tcp_congestion(&listener, UNPACED).during("TCP_CONGESTION")?;
    let address = listener.local_addr().during("binding")?;
    let broker = Arc::new(Broker::new(disk, address.port(), PathBuf::from(data))?);
    println!("ready {address}");
    match shell {
        Shell::Threads => threads::serve(&listener, &broker),
        Shell::Events => events::serve(&listener, &broker),
    }
}
