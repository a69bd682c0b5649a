//! The two programs in `tests/crash/native`, in C since they need system calls that no safe Rust has. Whoever builds Rust has a linker
//! driver, so `cc` is there; where it is not, what needs them is skipped.

use conformance::fault::{During, Fault};
use conformance::process::{CLIENT_DEADLINE, run};
use conformance::rig::workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cuts the power of a file system.
pub fn powercut() -> Result<PathBuf, Fault> {
    built("powercut")
}

/// Runs a command whose syncs do nothing.
pub fn liar() -> Result<PathBuf, Fault> {
    built("liar")
}

/// Compiles a program unless it is newer than its source.
fn built(name: &str) -> Result<PathBuf, Fault> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("native").join(format!("{name}.c"));
    let folder = workspace().join("target/crash");
    std::fs::create_dir_all(&folder).during(folder.display())?;
    let program = folder.join(name);
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if modified(&program).is_some_and(|built| modified(&source).is_some_and(|written| written < built)) {
        return Ok(program);
    }
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-o"]).arg(&program).arg(&source);
    match run(&mut command, CLIENT_DEADLINE) {
        Ok(_) => Ok(program),
        Err(Fault::Failed(why)) => Err(Fault::Skipped(format!("{name}.c cannot be compiled: {why}"))),
        Err(skipped) => Err(skipped),
    }
}
