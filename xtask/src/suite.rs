//! `cargo xtask test`: the one test command. Streams every stage, adds up what each runner said, and closes with one line,
//! `N passed, N failed, N skipped`.
//!
//! A stage that fails without a failing test (it did not compile, a runner died) counts as one failure. What was skipped is
//! named with its reason; where `CI=true` a skip is a failure, so that a green run means that everything ran.

use crate::{fuzz, process};
use std::path::Path;

/// Counts over all stages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    /// What was skipped and why.
    skipped: Vec<String>,
}

/// Property tests try the same cases each time, as the fuzz targets do ([`fuzz::IN_TEST`]); `cargo test` alone tries others.
const PROPERTIES_BEGIN_AT: &str = "PROPTEST_RNG_SEED=44";

/// Runs the stages that `args` name (none: all): `workspace`, `fuzz`, or `conformance [NAME..]` with parts of scenario names, or
/// `crash [NAME..]`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let mut tally = Tally::default();
    let only = args.first().map(String::as_str);
    if !matches!(only, None | Some("workspace" | "fuzz" | "conformance" | "crash")) {
        return Err("usage: cargo xtask test [workspace | fuzz | conformance [NAME..] | crash [NAME..]]".to_owned());
    }
    let names = args.get(1..).unwrap_or_default();
    let runs = |stage: &str| only.is_none_or(|only| only == stage);
    if runs("workspace") {
        stage(root, &["env", PROPERTIES_BEGIN_AT, "cargo", "test", "--workspace", "--no-fail-fast"], &mut tally)?;
    }
    if runs("fuzz") {
        fuzzing(root, only.is_none(), &mut tally);
    }
    for rig in ["conformance", "crash"] {
        if runs(rig) {
            against_the_node(root, rig, names, &mut tally)?;
        }
    }
    close(&tally, std::env::var("CI").is_ok_and(|ci| ci == "true"))
}

/// The broker is built as a user would run it, less link-time optimisation: start time and memory are printed, not guessed.
const BUILD_NODE: [&str; 6] = ["cargo", "build", "--profile", "release-lite", "--package", "cli"];

/// The page that `cargo xtask diff` writes.
const DIFFERENCES: &str = "docs/book/differences.md";
/// Parts of the names of the scenarios in which one broker goes on with what the other has written.
const TAKEOVERS: [&str; 5] = ["takes_over", "taken_over", "is_shared", "kafka_starts_on", "same_workload"];

/// `cargo xtask diff`: our node and Apache Kafka side by side, and the page about it. Fails when a difference has no reason.
pub(crate) fn diff(root: &Path) -> Result<(), String> {
    process::run(root, &BUILD_NODE)?;
    process::run(root, &["cargo", "run", "--quiet", "--package", "conformance", "--", "--diff", DIFFERENCES])
}

/// `cargo xtask takeover`: one data dir, both brokers, both ways, and the files that the same workload makes of each.
pub(crate) fn takeover(root: &Path) -> Result<(), String> {
    let args: Vec<String> = ["conformance"].iter().chain(&TAKEOVERS).map(|word| (*word).to_owned()).collect();
    run(root, &args)
}

/// `cargo xtask crash`: the crash rig alone, with its own arguments.
pub(crate) fn run_crash(root: &Path, args: &[String]) -> Result<(), String> {
    let mut tally = Tally::default();
    against_the_node(root, "crash", args, &mut tally)?;
    if args.iter().any(|arg| arg == "--list") {
        return Ok(());
    }
    close(&tally, std::env::var("CI").is_ok_and(|ci| ci == "true"))
}

/// Builds the node and runs a rig against it.
fn against_the_node(root: &Path, rig: &str, args: &[String], tally: &mut Tally) -> Result<(), String> {
    if let Err(why) = process::run(root, &BUILD_NODE) {
        println!("{why}");
        tally.failed += 1;
        return Ok(());
    }
    let mut command = vec!["cargo", "run", "--quiet", "--package", rig, "--"];
    command.extend(args.iter().map(String::as_str));
    stage(root, &command, tally)
}

/// Each fuzz target over its seeds, and from there so many inputs on. Where the node is wanted next it is built beside the targets, but not
/// while these run: what they get through is not to depend on it.
fn fuzzing(root: &Path, node_is_next: bool, tally: &mut Tally) {
    if !process::works(root, &["c++", "--version"]) {
        tally.skipped.push("fuzz: no C++ compiler (c++) to compile libFuzzer with".to_owned());
        return;
    }
    // Whichever of the two cannot be built is told of again, and counted, by whoever needs it.
    if node_is_next && let Err(why) = process::beside(root, &BUILD_NODE, || fuzz::build(root)) {
        println!("{why}");
    }
    match fuzz::targets(root, &[], fuzz::IN_TEST) {
        Ok(outcomes) => outcomes.iter().for_each(|outcome| match outcome.broken {
            Some(_) => tally.failed += 1,
            None => tally.passed += 1,
        }),
        Err(why) => {
            println!("{why}");
            tally.failed += 1;
        }
    }
}

fn stage(root: &Path, command: &[&str], tally: &mut Tally) -> Result<(), String> {
    let failed_before = tally.failed;
    let status = process::stream(root, command, &mut |line| tally.read(line))?;
    if !status.success() && tally.failed == failed_before {
        println!("`{}` ended with {status} and no failing test: counted as one failure", command.join(" "));
        tally.failed += 1;
    }
    Ok(())
}

impl Tally {
    /// Takes in one line of a runner: cargo's results, its ignored tests, and the conformance rig's, which prints the same forms.
    fn read(&mut self, line: &str) {
        if let Some((_, counts)) = line.split_once("test result: ") {
            for part in counts.split_once(". ").map_or("", |(_, rest)| rest).split("; ") {
                match part.split_once(' ') {
                    Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                    Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some((name, reason)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ignored"))
        {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() { "no reason given" } else { reason };
            self.skipped.push(format!("{name}: {reason}"));
        }
    }
}

fn close(tally: &Tally, ci: bool) -> Result<(), String> {
    for skip in &tally.skipped {
        println!("skipped {skip}");
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped.len());
    if tally.failed > 0 {
        return Err(format!("{} tests failed", tally.failed));
    }
    if tally.passed == 0 {
        return Err("no test ran".to_owned());
    }
    if ci && !tally.skipped.is_empty() {
        return Err(format!("{} tests were skipped, and CI=true lets none be", tally.skipped.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Tally, close};

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let tally = read(&[
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]);
        assert_eq!((tally.passed, tally.failed), (15, 2));
        assert!(close(&tally, false).is_err());
    }

    #[test]
    fn a_skip_is_named_and_fails_only_ci() {
        let tally = read(&[
            "test result: ok. 1 passed; 0 failed; 1 ignored",
            "test kcat_round_trip ... ignored, kcat is not installed",
        ]);
        assert_eq!(tally.skipped, ["kcat_round_trip: kcat is not installed"]);
        assert_eq!(close(&tally, false), Ok(()));
        assert!(close(&tally, true).is_err());
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(close(&Tally::default(), false).is_err());
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(read(&["running 3 tests", "test a::b ... ok", "12 passed"]), Tally::default());
    }
}
