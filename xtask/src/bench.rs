//! `cargo xtask bench`: builds the node as it is released and the loads, and measures; `bench/README.md` says what.
//!
//! The gate counts instructions of a quicker build, the one that the conformance tests use, so that CI builds it once.

use crate::process;
use std::path::Path;

/// What a user gets.
const RELEASE: &str = "release";
/// Built in seconds.
const QUICK: &str = "release-lite";

/// Builds, then hands the arguments to `bench`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let gate = args.iter().any(|arg| arg == "--gate");
    let measures = !args.iter().any(|arg| arg == "--list" || arg == "--page");
    let profile = if gate { QUICK } else { RELEASE };
    if measures {
        process::run(root, &["cargo", "build", "--profile", profile, "--package", "cli"])?;
    }
    process::run(root, &["cargo", "build", "--profile", QUICK, "--package", "bench"])?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| root.join("target").display().to_string());
    let binary = std::env::var("THALWEG_CONFORMANCE_BINARY").unwrap_or_else(|_| format!("{target}/{profile}/thalweg"));
    let program = format!("{target}/{QUICK}/bench");
    let mut command = vec!["env".to_owned(), format!("THALWEG_CONFORMANCE_BINARY={binary}"), program];
    command.extend(args.iter().cloned());
    process::run(root, &command.iter().map(String::as_str).collect::<Vec<_>>())
}
