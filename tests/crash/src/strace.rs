//! One failing system call in one thread of a running node, by strace; fetched through the package manager where it is missing.

use conformance::fault::{During, Fault, fail};
use conformance::process::{CLIENT_DEADLINE, Running, now, run};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What strace writes behind a call that it has tampered with.
const MARK: &str = "(INJECTED)";

/// The threads of a process whose names begin with `name`, in the order of their ids.
pub fn threads(pid: u32, name: &str) -> Result<Vec<u32>, Fault> {
    let tasks = format!("/proc/{pid}/task");
    let mut found = Vec::new();
    for task in std::fs::read_dir(&tasks).during(&tasks)? {
        let path = task.during(&tasks)?.path();
        let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if comm.starts_with(name) {
            found.extend(path.file_name().and_then(|id| id.to_string_lossy().parse::<u32>().ok()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Lets the `nth` call from now on of a thread fail with `error`; all calls that write or sync are written to `trace`.
pub fn inject(thread: u32, call: &str, error: &str, nth: u32, trace: &Path) -> Result<Running, Fault> {
    needs_strace()?;
    let mut command = Command::new("strace");
    command.args(["-y", "-e", "trace=fdatasync,fsync,syncfs,sync_file_range,pwritev,pwrite64,write,ftruncate"]);
    command.arg("-e").arg(format!("inject={call}:error={error}:when={nth}"));
    command.arg("-o").arg(trace).arg("-p").arg(thread.to_string());
    let log = trace.with_extension("log");
    let running = Running::start(&mut command, &log)?;
    let attached = running.await_line(CLIENT_DEADLINE, |line| line.contains("attached").then_some(()));
    match attached {
        Ok(()) => Ok(running),
        Err(Fault::Failed(why)) => Err(Fault::Skipped(format!("strace may not trace here: {why}"))),
        Err(skipped) => Err(skipped),
    }
}

/// The line of the call that failed, once it has.
pub fn await_injected(trace: &Path, deadline: Duration) -> Result<String, Fault> {
    let until = now() + deadline;
    loop {
        // The tracer makes the file before it says that it is attached.
        let text = std::fs::read_to_string(trace).during(trace.display())?;
        if let Some(line) = text.lines().find(|line| line.ends_with(MARK)) {
            return Ok(line.to_owned());
        }
        if now() > until {
            return fail(format!("no call was made to fail in {}", trace.display()));
        }
        std::thread::yield_now();
    }
}

/// The lines after it.
pub fn after_injected(trace: &Path) -> Result<Vec<String>, Fault> {
    let text = std::fs::read_to_string(trace).during(trace.display())?;
    Ok(text.lines().skip_while(|line| !line.ends_with(MARK)).skip(1).map(str::to_owned).collect())
}

fn needs_strace() -> Result<(), Fault> {
    let works = || run(Command::new("strace").arg("-V"), CLIENT_DEADLINE).is_ok();
    if works() {
        return Ok(());
    }
    for args in [&["update"][..], &["install", "-y", "--no-install-recommends", "strace"]] {
        // Whether it worked is seen below.
        drop(run(Command::new("apt-get").args(args), CLIENT_DEADLINE));
    }
    if works() { Ok(()) } else { Err(Fault::Skipped("strace is not installed and could not be fetched".to_owned())) }
}
