//! The one binary, `thalweg`. Arguments come in, sentences go out; everything else is in the crates below.
//!
//! Invariants: data goes to stdout, everything else to stderr; a failure is one clear sentence and a non-zero exit.

mod allocator;
mod args;
mod cmd;
mod options;
mod output;
mod time;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match cmd::run(args) {
        Ok(code) => code,
        // Whoever read our output has seen enough: not a failure.
        Err(output::Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(output::Failure::Said(sentence)) => {
            eprintln!("thalweg: {sentence}");
            ExitCode::FAILURE
        }
    }
}
