//! Child processes with deadlines. Nothing here sleeps: it waits for an exit or for a line, and gives up at the deadline.
//!
//! A process that outlives its owner is killed, by its id and never by name.

use crate::fault::{During, Fault, fail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take for a small task on a busy machine.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(120);
/// Lines of output kept for error messages and waiting; older ones are dropped.
const LINES_KEPT: usize = 20_000;

/// The machine's clock: this program measures and waits for real processes.
#[expect(clippy::disallowed_methods, reason = "deadlines and figures of real processes")]
pub fn now() -> Instant {
    Instant::now()
}

/// A thread with a name; its closure ends when the process that it watches does.
fn watch(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ()).during("starting a thread")
}

/// What a finished process said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its bytes, which need not be text.
    pub stdout: Vec<u8>,
    /// Its text, for people.
    pub stderr: String,
}

impl Said {
    /// Its stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs to the end; a status other than 0 and a missed deadline are failures.
pub fn run(command: &mut Command, deadline: Duration) -> Result<Said, Fault> {
    let shown = shown(command);
    let said = run_any(command, deadline)?;
    if said.status.success() {
        return Ok(said);
    }
    fail(format!("{shown}: {}; stderr: {}; stdout: {}", said.status, tail(&said.stderr), tail(&said.text())))
}

/// As [`run`], whatever the status.
pub fn run_any(command: &mut Command, deadline: Duration) -> Result<Said, Fault> {
    let shown = shown(command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().during(&shown)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pid = child.id();
    let (send, receive) = sync_channel(1);
    watch("run", move || {
        let errors = std::thread::Builder::new().spawn(move || read_all(stderr));
        let stdout = read_all(stdout);
        let stderr = errors.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        // The receiver may have given up: then nobody wants the answer.
        drop(send.send((child.wait(), stdout, stderr)));
    })?;
    match receive.recv_timeout(deadline) {
        Ok((status, stdout, stderr)) => {
            Ok(Said { status: status.during(&shown)?, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
        }
        Err(RecvTimeoutError::Timeout) => {
            signal(pid, Signal::KILL)?;
            let said = receive.recv().map(|(_, stdout, stderr)| [stderr, stdout].concat()).unwrap_or_default();
            fail(format!("{shown}: not done after {deadline:?}; it said: {}", tail(&String::from_utf8_lossy(&said))))
        }
        Err(RecvTimeoutError::Disconnected) => fail(format!("{shown}: its watcher died")),
    }
}

fn read_all(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // A pipe that breaks ends the output; the exit status tells why.
        drop(from.read_to_end(&mut bytes));
    }
    bytes
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    let text = words.join(" ");
    if text.len() > 400 { format!("{}...", text.chars().take(400).collect::<String>()) } else { text }
}

/// The last few lines, for error messages.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n    ")
}

fn signal(pid: u32, signal: Signal) -> Result<(), Fault> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::Failed("a process id that is none".to_owned()))?;
    kill_process(pid, signal).map_err(|error| Fault::Failed(format!("signalling {pid:?}: {error}")))
}

struct Output {
    lines: Vec<String>,
    /// Pipes that have not ended: what a dying process says on stderr may come after the end of its stdout.
    open: u32,
}

impl Output {
    fn ended(&self) -> bool {
        self.open == 0
    }
}

/// A process that runs beside the scenario, with its output to wait on.
pub struct Running {
    child: Child,
    name: String,
    /// stdout and stderr, in order of arrival.
    output: Arc<(Mutex<Output>, Condvar)>,
}

impl Running {
    /// Starts it; both outputs also go to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Running, Fault> {
        let name = shown(command);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().during(&name)?;
        let output = Arc::new((Mutex::new(Output { lines: Vec::new(), open: 2 }), Condvar::new()));
        let file = Arc::new(Mutex::new(File::options().create(true).append(true).open(log).during(log.display())?));
        if let Some(stdout) = child.stdout.take() {
            let (output, file) = (Arc::clone(&output), Arc::clone(&file));
            watch("stdout", move || collect(stdout, &output, &file))?;
        }
        if let Some(stderr) = child.stderr.take() {
            let (output, file) = (Arc::clone(&output), file);
            watch("stderr", move || collect(stderr, &output, &file))?;
        }
        Ok(Running { child, name, output })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line, past or to come, for which `pick` answers.
    pub fn await_line<T>(&self, deadline: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
        let until = now() + deadline;
        let (mutex, changed) = &*self.output;
        let mut output = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(found) = output.lines[seen.min(output.lines.len())..].iter().find_map(|line| pick(line)) {
                return Ok(found);
            }
            seen = output.lines.len();
            let left = until.saturating_duration_since(now());
            if output.ended() || left.is_zero() {
                let why = if output.ended() { "ended" } else { "said nothing such in time" };
                let said = output.lines.join("\n");
                return fail(format!("{}: {why}; it said: {}", self.name, tail(&said)));
            }
            output = changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines from number `from` on, as soon as there is one; none when it has ended or nothing came in time.
    pub fn lines_from(&self, from: usize, deadline: Duration) -> Vec<String> {
        let until = now() + deadline;
        let (mutex, changed) = &*self.output;
        let mut output = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(now());
            if output.lines.len() > from || output.ended() || left.is_zero() {
                return output.lines.get(from..).unwrap_or_default().to_vec();
            }
            output = changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything it has said so far.
    pub fn said(&self) -> String {
        self.output.0.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n")
    }

    /// Whether both outputs have ended, as they do when it exits.
    pub fn has_ended(&self) -> bool {
        self.output.0.lock().unwrap_or_else(PoisonError::into_inner).ended()
    }

    /// SIGTERM, and no wait.
    pub fn ask_to_end(&self) -> Result<(), Fault> {
        signal(self.child.id(), Signal::TERM)
    }

    /// SIGKILL, and no wait: its last lines can still be read.
    pub fn strike(&self) -> Result<(), Fault> {
        signal(self.child.id(), Signal::KILL)
    }

    /// SIGSTOP: it stays where it is until it is killed or told to go on.
    pub fn pause(&self) -> Result<(), Fault> {
        signal(self.child.id(), Signal::STOP)
    }

    /// SIGCONT, after [`Running::pause`].
    pub fn go_on(&self) -> Result<(), Fault> {
        signal(self.child.id(), Signal::CONT)
    }

    /// Waits until it has ended and everything that it said is here.
    pub fn await_end(&self, deadline: Duration) -> Result<(), Fault> {
        let until = now() + deadline;
        let (mutex, changed) = &*self.output;
        let mut output = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        while !output.ended() {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                let said = output.lines.join("\n");
                return fail(format!("{}: still runs after {deadline:?}; it said: {}", self.name, tail(&said)));
            }
            output = changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Whether it has not exited.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then its exit status; one that does not end in time is killed and a failure.
    pub fn terminate(self, deadline: Duration) -> Result<ExitStatus, Fault> {
        self.end_by(Signal::TERM, deadline)
    }

    /// As [`Running::terminate`], by another signal.
    pub fn end_by(mut self, which: Signal, deadline: Duration) -> Result<ExitStatus, Fault> {
        signal(self.child.id(), which)?;
        self.await_end(deadline)?;
        self.child.wait().during("waiting for the end")
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) -> Result<(), Fault> {
        self.child.kill().during("SIGKILL")?;
        self.child.wait().during("waiting for the end").map(|_| ())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine: that is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads lines until the end of `from`.
fn collect(from: impl Read, output: &(Mutex<Output>, Condvar), log: &Mutex<File>) {
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { break };
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
        // The log is a courtesy to whoever reads a failure; the lines in memory decide.
        drop(writeln!(file, "{text}"));
        let mut kept = output.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lines.len() < LINES_KEPT {
            kept.lines.push(text);
        }
        output.1.notify_all();
    }
    output.0.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
    output.1.notify_all();
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Result<u64, Fault> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).during(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next()).and_then(|figure| figure.parse().ok());
    figure.ok_or_else(|| Fault::Failed(format!("{path} has no VmRSS")))
}

#[cfg(test)]
mod tests {
    use super::{Running, run, run_any};
    use crate::fault::Fault;
    use std::process::Command;
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failing_command_is_a_failure_with_its_words() {
        let Err(Fault::Failed(why)) = run(&mut shell("echo said; echo why >&2; exit 3"), Duration::from_secs(20))
        else {
            panic!("a status of 3 is no success")
        };
        assert!(why.contains("why") && why.contains("said"), "{why}");
    }

    #[test]
    fn large_output_on_both_pipes_does_not_block() {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
        let said = run_any(&mut shell(script), Duration::from_secs(20)).expect("it ends");
        assert_eq!((said.stdout.len(), said.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn a_missed_deadline_kills_and_fails() {
        let Err(Fault::Failed(why)) = run(&mut shell("exec cat /dev/zero >/dev/null"), Duration::from_millis(50))
        else {
            panic!("it never ends by itself")
        };
        assert!(why.contains("not done"), "{why}");
    }

    #[test]
    fn a_line_is_waited_for_and_an_end_is_noticed() {
        let log = std::env::temp_dir().join(format!("conformance-{}.log", std::process::id()));
        let running = Running::start(&mut shell("echo one; echo ready x:1; exec cat"), &log).expect("it starts");
        let found = running.await_line(Duration::from_secs(20), |line| line.strip_prefix("ready ").map(str::to_owned));
        assert_eq!(found.expect("it says so"), "x:1");
        assert!(running.await_line(Duration::from_secs(20), |line| line.strip_prefix("never").map(str::len)).is_err());
        std::fs::remove_file(log).expect("the log was written");
    }
}
