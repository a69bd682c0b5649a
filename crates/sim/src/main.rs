//! `cargo xtask sim [--seed N] [--seeds K] [--first N] [--steps M] [--disk-errors] [--controls]`: runs seeds, shrinks the first that fails, and prints its
//! last events.

use sim::{CONTROLS, Options, caught_by, run, shrink};
use std::process::ExitCode;
use std::time::Instant;

/// Steps of a run when nobody says otherwise.
const STEPS: u64 = 2_500;
/// Seeds within which a negative control must be caught.
const CONTROL_SEEDS: u64 = 200;

struct Args {
    first: u64,
    seeds: u64,
    steps: u64,
    controls: bool,
    whole: bool,
    all: bool,
    /// Disks fail in every run, not only where the seed says so.
    disk_errors: bool,
}

fn parse() -> Result<Args, String> {
    let mut args =
        Args { first: 0, seeds: 100, steps: STEPS, controls: false, whole: false, all: false, disk_errors: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"))
        };
        match word.as_str() {
            "--seed" => (args.first, args.seeds) = (number()?, 1),
            "--first" => args.first = number()?,
            "--seeds" => args.seeds = number()?,
            "--steps" => args.steps = number()?,
            "--controls" => args.controls = true,
            "--no-shrink" => args.whole = true,
            "--all" => args.all = true,
            "--disk-errors" => args.disk_errors = true,
            "--log" => telemetry::init_logs(telemetry::LogFormat::Text),
            _ => {
                let usage = "usage: sim [--seed N] [--first N] [--seeds K] [--steps M] [--all] [--disk-errors] [--no-shrink] [--log] [--controls]";
                return Err(format!("`{word}` is not known; {usage}"));
            }
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match parse().and_then(|args| if args.controls { controls(&args) } else { seeds(&args) }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sim: {why}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the time that a run took is told, nothing depends on it")]
fn seeds(args: &Args) -> Result<(), String> {
    let began = Instant::now();
    let mut steps = 0;
    let mut seen = sim::Seen::default();
    for seed in args.first..args.first + args.seeds {
        let mut options = Options::new(seed, args.steps);
        options.faults.disk_errors |= args.disk_errors;
        let outcome = run(&options);
        steps += outcome.steps;
        seen.add(&outcome.seen);
        if args.all && outcome.breach.is_some() {
            println!("seed {seed}, step {}: {}", outcome.steps, outcome.breach.unwrap_or_default());
        } else if outcome.breach.is_some() {
            let (options, outcome) = if args.whole { (options, outcome) } else { shrink(&options, outcome) };
            println!("{}", outcome.trace);
            println!(
                "seed {seed}: steps {}, clients {:#011b}, {:?}",
                options.steps,
                options.clients & 0x1ff,
                options.faults
            );
            return Err(format!("seed {seed}, step {}: {}", outcome.steps, outcome.breach.unwrap_or_default()));
        }
        if args.seeds == 1 {
            println!("{}hash {:016x}", outcome.trace, outcome.hash);
        }
    }
    let took = began.elapsed().as_secs_f64();
    let rate = steps as f64 / took.max(1e-9);
    println!("{} seeds, {steps} steps, {took:.1} s, {rate:.0} steps/s", args.seeds);
    println!("{seen:?}");
    Ok(())
}

fn controls(args: &Args) -> Result<(), String> {
    for control in CONTROLS {
        match caught_by(control, CONTROL_SEEDS, args.steps) {
            Some((seed, outcome)) => {
                println!("{control:?}: seed {seed}, step {}: {}", outcome.steps, outcome.breach.unwrap_or_default());
            }
            None => return Err(format!("{control:?} was not caught within {CONTROL_SEEDS} seeds")),
        }
    }
    Ok(())
}
