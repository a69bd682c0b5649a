//! What a process has used, from the kernel's accounting.

use conformance::fault::{During, Fault};
use conformance::process::resident_kib;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a broker's manual asks for.
const OPEN_FILES: u64 = 200_000;

/// User and system time of a process, its ended threads included, in seconds. From the process's CPU clock, which has the
/// scheduler's nanoseconds: `/proc/PID/stat` has ticks of 10 ms, too coarse for a round that waits for a disk.
#[expect(unsafe_code, reason = "clock_getcpuclockid has no safe wrapper")]
pub fn cpu_seconds(pid: u32) -> Result<f64, Fault> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| Fault::Failed(format!("no process has the id {pid}")))?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write one value each, to locals that outlive them.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed {
        return Err(std::io::Error::last_os_error()).during(format!("the CPU clock of process {pid}"));
    }
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Resident memory in MiB.
pub fn memory_mib(pid: u32) -> Result<f64, Fault> {
    resident_kib(pid).map(|kib| kib as f64 / 1024.0)
}

/// Lets this process and its children open many files: thousands of connections, and for a broker several of each of ten thousand
/// partitions. Only root may go beyond the hard limit; others get that.
pub fn raise_open_files() -> Result<(), Fault> {
    if setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) }).is_ok() {
        return Ok(());
    }
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted)
        .map_err(|error| Fault::Failed(format!("raising the limit of open files: {error}")))
}

#[cfg(test)]
mod tests {
    use super::cpu_seconds;

    #[test]
    fn a_process_that_works_uses_time_and_none_that_is_not_there() {
        let me = std::process::id();
        let before = cpu_seconds(me).expect("this process is there");
        let worked: u64 = (0..1_000_000).map(std::hint::black_box).sum();
        assert!(worked > 0 && cpu_seconds(me).expect("still there") > before);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
