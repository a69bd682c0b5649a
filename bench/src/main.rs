//! Thalweg beside the bare kernel and Apache Kafka 4.4.0 under the same loads, in turn, round by round. See `bench/README.md`.
//!
//! The solid figures are the contestant's CPU time per GB or per request and their ratios: wall time on a shared machine says little.

mod admin;
mod ceiling;
mod connection;
mod figures;
mod gate;
mod lab;
mod load;
mod options;
mod report;
mod rounds;
mod usage;
mod wire;
mod workloads;

use conformance::fault::{Fault, ensure};
use conformance::process::now;
use conformance::rig::Rig;
use lab::Lab;
use options::{Options, Task};
use report::Report;
use report::conditions::Conditions;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match options::parse(words).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Skipped(why)) => {
            // The form that `cargo xtask` counts as a named skip.
            println!("test bench ... ignored, {why}");
            ExitCode::SUCCESS
        }
        Err(Fault::Failed(why)) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Fault> {
    match task {
        Task::List => {
            workloads::all().iter().for_each(|entry| println!("{:<18} {}", entry.workload, entry.case));
            Ok(())
        }
        Task::Ceiling(words) => ceiling::serve(&words),
        Task::Page(folder) => Report::read(&folder)?.write(&folder),
        Task::Gate(record) => gate::run(record),
        Task::Run(options) => measure(&options),
    }
}

fn measure(options: &Options) -> Result<(), Fault> {
    let entries: Vec<_> = workloads::all();
    let chosen: Vec<_> = entries.iter().filter(|entry| options.selects(entry.workload, &entry.case)).collect();
    ensure(!chosen.is_empty(), || "no case has such a name: see --list".to_owned())?;
    usage::raise_open_files()?;
    let started = now();
    let mut conditions = Conditions::observe(options)?;
    let rig = Rig::new()?;
    let scene = rig.scene("bench")?;
    let lab = Lab::new(&scene, options);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (number, entry) in chosen.iter().enumerate() {
        let seconds = (now() - started).as_secs();
        println!("{}/{} {} (after {seconds} s)", number + 1, chosen.len(), entry.case);
        match entry.run(&lab) {
            Ok(row) => {
                report::text::print(&row);
                rows.push(row);
            }
            // What could be measured is kept, and the run is a failed one.
            Err(Fault::Failed(why) | Fault::Skipped(why)) => {
                println!("  FAILED: {why}");
                failures.push((entry.case.clone(), why));
                lab.forget();
            }
        }
    }
    lab.close()?;
    if failures.is_empty() {
        drop(std::fs::remove_dir_all(&scene.folder));
    }
    rig.close();
    conditions.took_seconds = (now() - started).as_secs();
    let report = Report { conditions, rows, failures };
    report.write(&options.out)?;
    println!("{} cases in {} s: {}", report.rows.len(), report.conditions.took_seconds, options.out.display());
    let failed: Vec<&str> = report.failures.iter().map(|(case, _)| case.as_str()).collect();
    ensure(failed.is_empty(), || format!("failed: {}", failed.join(", ")))
}
