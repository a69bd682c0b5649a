//! `thalweg demo`: a million ride events of a surge-pricing service through a node and back, every one checked.

mod rides;

use crate::output::{Failure, grouped, line, size};
use clap::Args;
use rides::{Plan, Report};
use server::Node;
use std::path::{Path, PathBuf};

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
    /// Where the node listens; port 0 takes a free one [default: 127.0.0.1:9092, or a free port with --once]
    #[arg(long, short, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the node keeps its data [default: a folder of its own that goes away at the end]
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use this cluster instead of starting a node
    #[arg(long, short, value_name = "HOST:PORT", conflicts_with_all = ["listen", "data"])]
    bootstrap: Option<String>,
}

pub(crate) fn run(command: &Demo) -> Result<(), Failure> {
    if let Some(bootstrap) = &command.bootstrap {
        return print(&rides::run(&plan(command, bootstrap)?)?);
    }
    let data = Data::new(command.data.as_deref());
    let node = start_node(command, &data.path)?;
    let bootstrap = node.bound().to_string();
    let report = plan(command, &bootstrap).and_then(|plan| rides::run(&plan));
    let outcome = report.and_then(|report| print(&report));
    if outcome.is_err() || command.once {
        let stopped = node.shutdown().map_err(|error| Failure::said(format!("the node did not stop cleanly: {error}")));
        return outcome.and(stopped);
    }
    let topic = &command.topic;
    line(format_args!("\nThe node serves on; try, in another terminal:"))?;
    for command in [
        format!("thalweg topic describe {topic} -b {bootstrap}"),
        format!("thalweg consume {topic} -b {bootstrap} --count 5 --print-key"),
        format!("echo hello | thalweg produce greetings -b {bootstrap}"),
        format!("kcat -b {bootstrap} -t {topic} -C -o beginning -c 5"),
    ] {
        line(format_args!("  {command}"))?;
    }
    line("Ctrl-C ends it.")?;
    super::server::serve(node)
}

fn start_node(command: &Demo, data: &Path) -> Result<Node, Failure> {
    telemetry::init_logs(telemetry::LogFormat::Text);
    let mut properties = super::server::single_node();
    let listen = command.listen.as_deref().or(command.once.then_some("127.0.0.1:0"));
    if let Some(listen) = listen {
        super::server::set_listen(&mut properties, listen)?;
    }
    super::server::set_data(&mut properties, data);
    let config = super::storage::check_config(&properties, "the demo", |warning| tracing::warn!("{warning}"))?;
    super::storage::format_empty(&config)?;
    super::server::start(config)
}

/// The node's folder; one that we made up goes away with us.
struct Data {
    path: PathBuf,
    ours: bool,
}

impl Data {
    fn new(given: Option<&Path>) -> Data {
        match given {
            Some(path) => Data { path: path.to_owned(), ours: false },
            None => {
                Data { path: std::env::temp_dir().join(format!("thalweg-demo-{}", std::process::id())), ours: true }
            }
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("thalweg: {} could not be removed: {error}", self.path.display());
        }
    }
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
