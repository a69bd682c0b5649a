//! `cargo xtask fuzz [TARGET..] [--seconds N]`: the targets of `fuzz/`, guided by coverage, on stable Rust.
//!
//! No cargo-fuzz and no nightly: the flags that make rustc count edges for libFuzzer are stable ones; what is not there without
//! nightly is the address sanitizer, which safe Rust needs least. libFuzzer itself is C++ and is compiled by its crate.
//! Two targets run at a time, each on a corpus of its own below `target/fuzz`, which grows from run to run.

use crate::process;
use std::path::{Path, PathBuf};

/// What each target gets in `cargo xtask test`: inputs are counted and begin at one seed, so that the same tree passes or fails the same,
/// however fast the machine is. To find what is new is left to longer runs.
pub(crate) const IN_TEST: Extent = Extent::Inputs { count: 60_000, seed: 44, seconds_max: 60 };
/// Seconds that each target gets otherwise, unless `--seconds` says it.
const SECONDS: u32 = 60;
/// Targets that run at the same time.
const PARALLEL: usize = 2;
/// Built and kept apart from everything else.
const HOME: &str = "target/fuzz";
/// The longest input, in bytes: what a target does with a longer one it does with a shorter one too.
const INPUT_BYTES_MAX: u32 = 16 * 1024;
/// KiB of stack: a tenth of what a thread of the node has, so that recursion that follows the input ends in a crash here.
const STACK_KIB: u32 = 1024;

/// What cargo-fuzz tells rustc without a sanitizer: count edges, and tell what comparisons compare.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// How far a target is run.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    /// For so long, each time with other inputs.
    Seconds(u32),
    /// With the same inputs each time, on a slow machine fewer of them.
    Inputs { count: u32, seed: u32, seconds_max: u32 },
}

/// What came of one target.
pub(crate) struct Outcome {
    /// The target.
    pub(crate) target: String,
    /// Inputs that were run.
    pub(crate) executions: u64,
    /// What libFuzzer said last, where an input broke something.
    pub(crate) broken: Option<String>,
}

/// Runs what `args` names.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let (mut names, mut seconds, mut rest) = (Vec::new(), SECONDS, args.iter());
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--seconds" => {
                let given = rest.next().and_then(|given| given.parse().ok());
                seconds = given.ok_or("--seconds needs a number")?;
            }
            name => names.push(name.to_owned()),
        }
    }
    let outcomes = targets(root, &names, Extent::Seconds(seconds))?;
    let broken = outcomes.iter().filter(|outcome| outcome.broken.is_some()).count();
    if broken == 0 { Ok(()) } else { Err(format!("{broken} targets are broken")) }
}

/// Builds and runs the targets that are named (none: all), and prints a line for each.
pub(crate) fn targets(root: &Path, names: &[String], extent: Extent) -> Result<Vec<Outcome>, String> {
    let all = list(root)?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        return Err(format!("there is no fuzz target `{unknown}`: {}", all.join(", ")));
    }
    let chosen: Vec<String> = all.into_iter().filter(|name| names.is_empty() || names.contains(name)).collect();
    let programs = build(root)?;
    for target in &chosen {
        plant(root, target)?;
    }
    let mut outcomes = Vec::new();
    for pair in chosen.chunks(PARALLEL) {
        let started: Vec<_> = pair.iter().map(|target| start(root, &programs, target, extent)).collect();
        for (target, child) in pair.iter().zip(started) {
            let outcome = finish(target, child?)?;
            println!("fuzz {}: {} executions{}", outcome.target, outcome.executions, outcome.verdict());
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

impl Outcome {
    fn verdict(&self) -> String {
        self.broken.as_ref().map_or_else(String::new, |said| format!(", BROKEN:\n{said}"))
    }
}

fn list(root: &Path) -> Result<Vec<String>, String> {
    let dir = root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let stem = |entry: std::fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.filter_map(|entry| stem(entry.ok()?)).collect();
    names.sort();
    Ok(names)
}

/// The versions of the root's lock file are those that are fuzzed.
fn lock(root: &Path) -> Result<(), String> {
    let copied = std::fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock"));
    copied.map(|_| ()).map_err(|error| format!("fuzz/Cargo.lock: {error}"))
}

/// Clippy over the fuzz workspace, which the root's does not reach.
const LINT: [&str; 12] = [
    "cargo",
    "clippy",
    "--manifest-path",
    "fuzz/Cargo.toml",
    "--target-dir",
    HOME,
    "--lib",
    "--example",
    "seeds",
    "--",
    "-D",
    "warnings",
];

/// Does `work` while clippy looks at the fuzz workspace.
pub(crate) fn lint_beside(root: &Path, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    lock(root)?;
    process::beside(root, &LINT, work)
}

/// Builds all targets; where they are.
pub(crate) fn build(root: &Path) -> Result<PathBuf, String> {
    lock(root)?;
    let host = process::output(root, &["rustc", "--version", "--verbose"])?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not say its host")?;
    // With `--target`, the flags are for what runs and not for build scripts, which have no libFuzzer in them.
    let manifest = ["cargo", "build", "--release", "--bins", "--manifest-path", "fuzz/Cargo.toml"];
    let command = [&manifest[..], &["--target-dir", HOME, "--target", host]].concat();
    process::run_with(root, &command, &[("RUSTFLAGS", FLAGS)])?;
    Ok(root.join(HOME).join(host).join("release"))
}

/// Writes the seeds of a target as libFuzzer wants them: a file each.
fn plant(root: &Path, target: &str) -> Result<(), String> {
    let corpus = root.join(HOME).join("corpus").join(target);
    let failed = |error: std::io::Error| format!("{}: {error}", corpus.display());
    std::fs::create_dir_all(&corpus).map_err(failed)?;
    std::fs::create_dir_all(root.join(HOME).join("found")).map_err(failed)?;
    let path = root.join(format!("fuzz/seeds/{target}.txt"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for (number, line) in text.lines().filter(|line| !line.starts_with('#')).enumerate() {
        let input = unhex(line).ok_or_else(|| format!("{}: line {number} is not hex", path.display()))?;
        std::fs::write(corpus.join(format!("seed-{number}")), input).map_err(failed)?;
    }
    Ok(())
}

fn unhex(line: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(line.get(at..at + 2)?, 16).ok();
    (0..line.len()).step_by(2).map(pair).collect()
}

fn start(root: &Path, programs: &Path, target: &str, extent: Extent) -> Result<process::Started, String> {
    let (corpus, found) = (root.join(HOME).join("corpus").join(target), root.join(HOME).join("found"));
    // The shell sets the limit of the main thread's stack, on which libFuzzer runs a target.
    let script = format!("ulimit -S -s {STACK_KIB} && exec \"$@\"");
    let program = programs.join(target).display().to_string();
    // libFuzzer takes a seed of 0 for "of your own choice", and -1 inputs for "without an end".
    let (seconds, inputs, seed) = match extent {
        Extent::Seconds(seconds) => (seconds, -1, 0),
        Extent::Inputs { count, seed, seconds_max } => (seconds_max, i64::from(count), seed),
    };
    let [time, inputs] = [format!("-max_total_time={seconds}"), format!("-runs={inputs}")];
    let [length, seed] = [format!("-max_len={INPUT_BYTES_MAX}"), format!("-seed={seed}")];
    let found = format!("-artifact_prefix={}/{target}-", found.display());
    let corpus = corpus.display().to_string();
    let command = ["sh", "-c", &script, "sh", &program, &corpus, &time, &inputs, &length, &seed, &found];
    let limits = ["-rss_limit_mb=1024", "-timeout=20", "-print_final_stats=1", "-reload=0"];
    process::start(root, &[&command[..], &limits[..]].concat())
}

fn finish(target: &str, started: process::Started) -> Result<Outcome, String> {
    let (success, said) = started.finish()?;
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executions = executions.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let tail: Vec<&str> = said.lines().rev().take(60).collect();
    let broken = (!success).then(|| tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    Ok(Outcome { target: target.to_owned(), executions, broken })
}

#[cfg(test)]
mod tests {
    use super::unhex;

    #[test]
    fn seeds_are_hex() {
        assert_eq!(unhex("00ff7a"), Some(vec![0, 255, 0x7a]));
        assert_eq!(unhex(""), Some(Vec::new()));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
    }
}
