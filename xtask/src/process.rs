//! Child processes of the tasks: run, streamed, checked.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Runs `args[0]` with the rest, output straight through; an error when it fails.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let status = stream(root, args, &mut |_| {})?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", args.join(" "))) }
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
