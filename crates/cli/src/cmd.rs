//! One file a command.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod group;
pub(crate) mod produce;
pub(crate) mod server;
pub(crate) mod storage;
pub(crate) mod topic;

use crate::args::{Args, Command};
use crate::output::Failure;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs a command to its end.
pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Topic(command) => client_command(command.connection().verbose, topic::run(command)),
        Command::Config(command) => client_command(command.connection().verbose, config::run(command)),
        Command::Group(command) => client_command(command.connection().verbose, group::run(command)),
        Command::Produce(command) => client_command(command.connection.verbose, produce::run(command)),
        Command::Consume(command) => client_command(command.connection.verbose, consume::run(command)),
        Command::Server(command) => server::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Demo(command) => demo::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Storage(command) => storage::run(command).map(|()| ExitCode::SUCCESS),
        Command::Cluster(command) => client_command(command.connection().verbose, cluster::run(command)),
    }
}

/// Runs on one thread: a client command waits for the network, or is as fast as its pipe.
fn client_command(verbose: u8, command: impl Future<Output = Result<(), Failure>>) -> Result<ExitCode, Failure> {
    let level = match verbose {
        0 => "warn",
        1 => "debug,mio=warn",
        _ => "trace",
    };
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(level).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::said(format!("cannot start: {error}")))?;
    runtime.block_on(command).map(|()| ExitCode::SUCCESS)
}
