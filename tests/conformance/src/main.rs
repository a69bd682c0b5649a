//! The conformance rig: real processes and real clients against a real node, from the outside only.
//!
//! `cargo run -p conformance -- [--list] [NAME..]` runs the scenarios whose names contain one of the words (none: all), one after
//! the other, each with its own node and data folder, and prints results in the form of cargo's test runner. It shares no code with
//! what it tests. `--diff PAGE` compares with Apache Kafka and writes what it found (`cargo xtask diff`). Environment: see `tests/conformance/README.md`.

mod clients;
mod diff;
mod members;
mod scenarios;
mod table;
mod text;

use conformance::fault::Fault;
use conformance::process;
use conformance::rig::{Rig, Scene};
use std::process::ExitCode;

/// How a scenario ended.
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        scenarios::ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let done = match &words[..] {
        [flag, page] if flag == "--diff" => diff::run(std::path::Path::new(page)),
        words => run(words),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Fault::Failed(why) | Fault::Skipped(why)) => {
            eprintln!("conformance: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<bool, Fault> {
    let rig = Rig::new()?;
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for &(name, scenario) in scenarios::ALL {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let started = process::now();
        let scene = rig.scene(name)?;
        let verdict = verdict(&scene, scenario);
        let seconds = (process::now() - started).as_secs_f64();
        for (part, why) in scene.skipped.borrow().iter() {
            println!("test {name}::{part} ... ignored, {why}");
            skipped += 1;
        }
        match verdict {
            Verdict::Passed => {
                println!("test {name} ... ok ({seconds:.1} s)");
                passed += 1;
                // Only what a failure left is worth keeping.
                drop(std::fs::remove_dir_all(&scene.folder));
            }
            Verdict::Skipped(why) => {
                println!("test {name} ... ignored, {why}");
                skipped += 1;
                drop(std::fs::remove_dir_all(&scene.folder));
            }
            Verdict::Failed(why) => {
                println!("test {name} ... FAILED ({seconds:.1} s): {why}\n    its files: {}", scene.folder.display());
                failed.push(name);
            }
        }
    }
    rig.close();
    failed.iter().for_each(|name| println!("failed: {name}"));
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {} failed; {skipped} ignored", failed.len());
    Ok(failed.is_empty())
}

fn verdict(scene: &Scene<'_>, scenario: scenarios::Scenario) -> Verdict {
    match scenario(scene) {
        Ok(()) => Verdict::Passed,
        Err(Fault::Failed(why)) => Verdict::Failed(why),
        Err(Fault::Skipped(why)) => Verdict::Skipped(why.replace('\n', " ")),
    }
}
