//! `thalweg demo`: a million ride events of a surge-pricing service through a node and back, every one checked.

mod rides;

use crate::output::{Failure, grouped, line, size};
use clap::Args;
use rides::{Plan, Report};
use server::Node;
use std::path::{Path, PathBuf};

/// Names that are tried for a folder of our own.
const TEMPORARY_MAX: u32 = 100;

#[derive(Args)]
pub(crate) struct Demo {
    /// How many events
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// How many producers, each a thread and a connection of its own
    #[arg(long, default_value_t = 2, value_parser = threads())]
    producers: u64,
    /// How many consumers
    #[arg(long, default_value_t = 2, value_parser = threads())]
    consumers: u64,
    /// How many partitions
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..))]
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

fn threads() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=64)
}

pub(crate) fn run(command: &Demo) -> Result<(), Failure> {
    if let Some(bootstrap) = &command.bootstrap {
        return print(&rides::run(&plan(command, bootstrap))?);
    }
    let data = Data::new(command.data.as_deref())?;
    let node = start_node(command, &data.path)?;
    let bootstrap = node.bound().to_string();
    let outcome = until_a_signal(plan(command, &bootstrap)).and_then(|report| print(&report));
    if outcome.is_err() || command.once {
        let stopped = node.shutdown().map_err(|error| Failure::said(format!("the node did not stop cleanly: {error}")));
        return outcome.and(stopped);
    }
    print_next_steps(&command.topic, &bootstrap)?;
    super::server::serve(node)
}

/// Runs the plan in a thread of its own, so that a signal ends the demo at once and its folder goes away with it.
fn until_a_signal(plan: Plan) -> Result<Report, Failure> {
    let job = async {
        let (sender, ended) = tokio::sync::oneshot::channel();
        let work = move || {
            // Nobody waits any more when a signal came first.
            let _ = sender.send(rides::run(&plan));
        };
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(work);
        thread.map_err(|error| Failure::said(format!("cannot start a thread: {error}")))?;
        ended.await.unwrap_or_else(|_| Err(Failure::said("the demo broke an invariant")))
    };
    let stopped = || Failure::said("stopped by a signal before every record was checked");
    super::server::on_a_signal_or(job)?.ok_or_else(stopped)?
}

fn print_next_steps(topic: &str, bootstrap: &str) -> Result<(), Failure> {
    line(format_args!("\nThe node serves on; try, in another terminal:"))?;
    for command in [
        format!("thalweg topic describe {topic} -b {bootstrap}"),
        format!("thalweg consume {topic} -b {bootstrap} --count 5 --print-key"),
        format!("echo hello | thalweg produce greetings -b {bootstrap}"),
        format!("kcat -b {bootstrap} -t {topic} -C -o beginning -c 5"),
    ] {
        line(format_args!("  {command}"))?;
    }
    line("Ctrl-C ends it.")
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
    /// The given folder, or a new one under the system's folder for such. Nobody else's is ever taken: what stands there under the name,
    /// be it left by a demo that was killed or put there by another user, is not ours to write to or to remove.
    fn new(given: Option<&Path>) -> Result<Data, Failure> {
        if let Some(path) = given {
            return Ok(Data { path: path.to_owned(), ours: false });
        }
        let folder = std::env::temp_dir();
        for attempt in 0..TEMPORARY_MAX {
            let path = folder.join(format!("thalweg-demo-{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Data { path, ours: true }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let path = path.display();
                    return Err(Failure::said(format!("cannot make {path}: {error}; name a folder with --data")));
                }
            }
        }
        Err(Failure::said(format!("{} is full of folders of demos: name one with --data", folder.display())))
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

fn plan(command: &Demo, bootstrap: &str) -> Plan {
    Plan {
        bootstrap: bootstrap.to_owned(),
        topic: command.topic.clone(),
        partitions: command.partitions,
        records: command.records,
        producers: command.producers as usize,
        consumers: command.consumers as usize,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_our_own_is_never_one_that_is_there() {
        let first = Data::new(None).expect("a folder");
        let second = Data::new(None).expect("another folder");
        assert_ne!(first.path, second.path);
        let (kept, path) = (second.path.clone(), first.path.clone());
        drop(first);
        assert!(!path.exists() && kept.exists());
    }
}
