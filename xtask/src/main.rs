//! Developer tasks: `cargo xtask codegen [--check] | book [--check] | tidy | test [STAGE] | diff | takeover | crash | sim | bench [WORKLOAD..] |
//! fuzz [TARGET..] [--seconds N] | ci`.

mod bench;
mod book;
mod ci;
mod codegen;
mod fuzz;
mod process;
mod suite;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match task.as_str() {
        "codegen" => codegen::run(&root(), rest.iter().any(|arg| arg == "--check")),
        "book" => book::run(&root(), rest.iter().any(|arg| arg == "--check")),
        "tidy" => tidy::run(&root()),
        "test" => suite::run(&root(), &rest),
        "diff" => suite::diff(&root()),
        "takeover" => suite::takeover(&root()),
        "crash" => suite::run_crash(&root(), &rest),
        "bench" => bench::run(&root(), &rest),
        "fuzz" => fuzz::run(&root(), &rest),
        "sim" => simulate(&rest),
        "ci" => ci::run(&root()),
        other => Err(format!(
            "`{other}` is not a task: try codegen, book, tidy, test, diff, takeover, crash, sim, bench, fuzz or ci"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the simulator, whose arguments are its own.
fn simulate(args: &[String]) -> Result<(), String> {
    let mut command = vec!["cargo", "run", "--quiet", "--profile", "release-lite", "--package", "sim", "--"];
    command.extend(args.iter().map(String::as_str));
    process::run(&root(), &command)
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}
