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
use workloads::Entry;

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
        Task::Page(folder) => Report::read(&folder)?.write_page(&folder),
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
    let mut report = Report { conditions: Conditions::observe(options)?, rows: Vec::new(), failures: Vec::new() };
    let rig = Rig::new()?;
    let scene = rig.scene("bench")?;
    let lab = Lab::new(&scene, options);
    for (number, entry) in chosen.iter().enumerate() {
        println!("{}/{} {} (after {} s)", number + 1, chosen.len(), entry.case, (now() - started).as_secs());
        one(entry, &lab, &mut report);
        // A run that is cut short leaves what it has measured.
        report.conditions.took_seconds = (now() - started).as_secs();
        report.write(&options.out)?;
    }
    if let Err(Fault::Failed(why) | Fault::Skipped(why)) = lab.close() {
        report.failures.push(("stopping the nodes".to_owned(), why));
    }
    if report.failures.is_empty() {
        drop(std::fs::remove_dir_all(&scene.folder));
    }
    drop(scene);
    rig.close();
    report.conditions.took_seconds = (now() - started).as_secs();
    report.write(&options.out)?;
    println!("{} cases in {} s: {}", report.rows.len(), report.conditions.took_seconds, options.out.display());
    let failed: Vec<&str> = report.failures.iter().map(|(case, _)| case.as_str()).collect();
    ensure(failed.is_empty(), || format!("failed: {}", failed.join(", ")))
}

/// Runs a case and takes it into the report. What could be measured is kept when one fails, and the run is a failed one.
fn one(entry: &Entry, lab: &Lab<'_>, report: &mut Report) {
    let started = now();
    let ran = entry.run(lab);
    let took = (now() - started).as_secs_f64();
    match ran {
        Ok(mut row) => {
            row.seconds = took;
            report::text::print(&row);
            println!("  took {took:.1} s");
            report.rows.push(row);
        }
        Err(Fault::Failed(why) | Fault::Skipped(why)) => {
            println!("  FAILED after {took:.1} s: {why}");
            report.failures.push((entry.case.clone(), why));
            lab.forget();
        }
    }
}
