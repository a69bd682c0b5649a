//! The crash rig: power cuts, kills and failing disks under load, against a real node, from the outside only.
//!
//! `cargo xtask crash [--cuts N] [--kills N] [--seed S] [--partitions N] [--list] [NAME..]` runs the scenarios whose names contain one
//! of the words (none: all) and prints results in the form of cargo's test runner. See `tests/crash/README.md`.

mod checker;
mod history;
mod load;
mod native;
mod node;
mod rng;
mod scenarios;
mod session;
mod storm;
mod strace;
mod volume;
mod wire;

use conformance::fault::{Fault, fail};
use conformance::process::now;
use conformance::rig::Rig;
use std::process::ExitCode;

/// How much of it, and with which choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Power cuts under load.
    pub cuts: u32,
    /// kill -9 under load.
    pub kills: u32,
    /// The seed of every choice of the storms.
    pub seed: u64,
    /// Partitions that the storms write to.
    pub partitions: i32,
    /// Print names only.
    pub list: bool,
    /// Parts of names of scenarios; none for all.
    pub words: Vec<String>,
}

impl Options {
    /// Reads the arguments.
    fn parse(args: impl Iterator<Item = String>) -> Result<Options, Fault> {
        // What `cargo xtask test` takes: enough to notice, short enough for every run.
        let mut options = Options { cuts: 12, kills: 12, seed: 1, partitions: 4, list: false, words: Vec::new() };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args.next().unwrap_or_default();
                value.parse().map_err(|_| Fault::Failed(format!("{arg} wants a number, not `{value}`")))
            };
            match arg.as_str() {
                "--cuts" => options.cuts = u32::try_from(number()?).unwrap_or(u32::MAX),
                "--kills" => options.kills = u32::try_from(number()?).unwrap_or(u32::MAX),
                "--seed" => options.seed = number()?,
                "--partitions" => options.partitions = i32::try_from(number()?).unwrap_or(1).clamp(1, 10_000),
                "--list" => options.list = true,
                other if other.starts_with('-') => return fail(format!("`{other}` is no option")),
                word => options.words.push(word.to_owned()),
            }
        }
        Ok(options)
    }

    /// Partitions in one request of an idempotent producer: with many partitions, many.
    fn width(&self) -> usize {
        usize::try_from(self.partitions / 4).unwrap_or(1).clamp(2, 64)
    }
}

fn main() -> ExitCode {
    let done = Options::parse(std::env::args().skip(1)).and_then(|options| run(&options));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Fault::Failed(why) | Fault::Skipped(why)) => {
            eprintln!("crash: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, Fault> {
    let chosen = scenarios::ALL
        .iter()
        .filter(|(name, _)| options.words.is_empty() || options.words.iter().any(|word| name.contains(word.as_str())));
    if options.list {
        chosen.for_each(|(name, _)| println!("{name}"));
        return Ok(true);
    }
    let rig = Rig::new()?;
    let (mut passed, mut skipped, mut failed) = (0, 0, 0);
    for &(name, scenario) in chosen {
        let started = now();
        let scene = rig.scene(name)?;
        let verdict = scenario(&scene, options);
        let seconds = (now() - started).as_secs_f64();
        match verdict {
            Ok(()) => {
                println!("test {name} ... ok ({seconds:.1} s)");
                passed += 1;
            }
            Err(Fault::Skipped(why)) => {
                println!("test {name} ... ignored, {}", why.replace('\n', " "));
                skipped += 1;
            }
            Err(Fault::Failed(why)) => {
                println!("test {name} ... FAILED ({seconds:.1} s): {why}\n    its files: {}", scene.folder.display());
                failed += 1;
                continue;
            }
        }
        // Only what a failure left is worth keeping.
        drop(std::fs::remove_dir_all(&scene.folder));
    }
    rig.close();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {skipped} ignored");
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_and_others_refused() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
        let read = parse("--cuts 100 --seed 7 kill").expect("sound");
        assert_eq!((read.cuts, read.kills, read.seed, read.words), (100, 12, 7, vec!["kill".to_owned()]));
        assert!(parse("--cuts many").is_err());
        assert!(parse("--all").is_err());
    }
}
