//! Child processes of the tasks: run, streamed, checked.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// Runs `args[0]` with the rest, output straight through; an error when it fails.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let status = stream(root, args, &mut |_| {})?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", args.join(" "))) }
}

/// As [`run`], with these environment variables.
pub(crate) fn run_with(root: &Path, args: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let shown = args.join(" ");
    println!("$ {shown}");
    let (program, rest) = args.split_first().ok_or("an empty command")?;
    let mut command = Command::new(program);
    command.args(rest).current_dir(root).envs(environment.iter().copied()).stdin(Stdio::null());
    let status = command.status().map_err(|error| format!("`{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed: {status}")) }
}

/// What a command prints on stdout.
pub(crate) fn output(root: &Path, args: &[&str]) -> Result<String, String> {
    let shown = args.join(" ");
    let (program, rest) = args.split_first().ok_or("an empty command")?;
    let output = Command::new(program).args(rest).current_dir(root).output();
    let output = output.map_err(|error| format!("`{shown}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}`: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("`{shown}`: {error}"))
}

/// A command that runs beside others, its output kept.
pub(crate) struct Started {
    shown: String,
    child: Child,
    said: JoinHandle<std::io::Result<String>>,
}

/// Starts a command; what it says on stderr is kept, stdout is not wanted.
#[expect(clippy::disallowed_methods, reason = "a pipe that nobody reads would stop the command")]
pub(crate) fn start(root: &Path, args: &[&str]) -> Result<Started, String> {
    let shown = args.join(" ");
    let (program, rest) = args.split_first().ok_or("an empty command")?;
    let mut command = Command::new(program);
    command.args(rest).current_dir(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("`{shown}`: {error}"))?;
    let mut stderr = child.stderr.take().ok_or("no stderr")?;
    let said = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    Ok(Started { shown, child, said })
}

impl Started {
    /// Waits for its end: whether it succeeded, and what it said.
    pub(crate) fn finish(mut self) -> Result<(bool, String), String> {
        let status = self.child.wait().map_err(|error| format!("`{}`: {error}", self.shown))?;
        let said = self.said.join().map_err(|_| format!("`{}`: its reader panicked", self.shown))?;
        Ok((status.success(), said.map_err(|error| format!("`{}`: {error}", self.shown))?))
    }
}

/// Does `work` while a command runs beside it, which uses what the other leaves of the machine: one crate at a time is no rare thing for a
/// build. What the command says comes when both are done, and both have to succeed.
pub(crate) fn beside<T>(root: &Path, args: &[&str], work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let shown = args.join(" ");
    println!("$ {shown} &");
    let started = start(root, args)?;
    let done = work();
    let (success, said) = started.finish()?;
    println!("`{shown}` said:\n{said}");
    if success { done } else { Err(format!("`{shown}` failed")) }
}

/// As [`run`], handing every line of stdout to `line` after it is printed; the status is the caller's to judge.
pub(crate) fn stream(root: &Path, args: &[&str], line: &mut dyn FnMut(&str)) -> Result<ExitStatus, String> {
    let shown = args.join(" ");
    println!("$ {shown}");
    let failed = |error: std::io::Error| format!("`{shown}`: {error}");
    let (program, rest) = args.split_first().ok_or("an empty command")?;
    let mut child = Command::new(program)
        .args(rest)
        .current_dir(root)
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(stdout) = child.stdout.take() {
        for read in BufReader::new(stdout).split(b'\n') {
            let text = String::from_utf8_lossy(&read.map_err(failed)?).into_owned();
            println!("{text}");
            line(&text);
        }
    }
    child.wait().map_err(failed)
}

/// Whether a program runs at all.
pub(crate) fn works(root: &Path, args: &[&str]) -> bool {
    let Some((program, rest)) = args.split_first() else { return false };
    let quiet = Command::new(program).args(rest).current_dir(root).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::beside;
    use std::path::Path;

    #[test]
    fn what_runs_beside_has_to_succeed_and_so_has_the_work() {
        let here = Path::new(".");
        assert_eq!(beside(here, &["true"], || Ok(5)), Ok(5));
        assert!(beside(here, &["false"], || Ok(5)).is_err());
        assert_eq!(beside(here, &["true"], || Err::<(), _>("why".to_owned())), Err("why".to_owned()));
    }
}
