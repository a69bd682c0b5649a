//! `thalweg demo`: a million ride events of a surge-pricing service through a node and back, every one checked.

mod rides;

use crate::output::{Failure, grouped, line, size};
use clap::Args;
use rides::{Plan, Report};

#[derive(Args)]
pub(crate) struct Demo {
    /// How many events
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// How many producers, each a thread and a connection of its own
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// How many consumers
    #[arg(long, default_value_t = 2)]
    consumers: usize,
    /// How many partitions
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// The topic
    #[arg(long, default_value = "rides")]
    topic: String,
    /// End after the check instead of serving on
    #[arg(long)]
    once: bool,
    /// Use this cluster instead of starting a node
    #[arg(long, short, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
}

pub(crate) fn run(command: &Demo) -> Result<(), Failure> {
    let Some(bootstrap) = &command.bootstrap else {
        return Err(Failure::said("give --bootstrap HOST:PORT of a cluster to run the demo on"));
    };
    let plan = plan(command, bootstrap)?;
    print(&rides::run(&plan)?)
}

fn plan(command: &Demo, bootstrap: &str) -> Result<Plan, Failure> {
    if command.records == 0 || command.producers == 0 || command.consumers == 0 || command.partitions <= 0 {
        return Err(Failure::said("records, producers, consumers and partitions must be at least 1"));
    }
    Ok(Plan {
        bootstrap: bootstrap.to_owned(),
        topic: command.topic.clone(),
        partitions: command.partitions,
        records: command.records,
        producers: command.producers.min(64),
        consumers: command.consumers.min(64),
    })
}

fn print(report: &Report) -> Result<(), Failure> {
    let rate = |records: u64, bytes: u64, seconds: f64| {
        let per_second = |n: u64| (n as f64 / seconds.max(1e-9)) as u64;
        format!("{} records/s, {}/s", grouped(per_second(records)), size(per_second(bytes)))
    };
    line(format_args!(
        "produced {} ride events in {:.2} s: {}",
        grouped(report.records),
        report.produce_seconds,
        rate(report.records, report.bytes, report.produce_seconds)
    ))?;
    line(format_args!(
        "consumed them in {:.2} s: {}",
        report.consume_seconds,
        rate(report.records, report.bytes, report.consume_seconds)
    ))?;
    line(format_args!("verified {} records", report.records))
}
