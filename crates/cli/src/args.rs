//! The command line as types. What a command does is in `cmd`.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// A Kafka-compatible distributed log: the node and its tools in one binary.
#[derive(Parser)]
#[command(name = "thalweg", version, about, max_term_width = 100, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a node: broker and controller
    Server(crate::cmd::server::Server),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(crate::cmd::topic::Topic),
    /// Show and change configs of topics and brokers
    #[command(subcommand)]
    Config(crate::cmd::config::Config),
    /// Send lines to a topic
    Produce(crate::cmd::produce::Produce),
    /// Read records from a topic
    Consume(crate::cmd::consume::Consume),
    /// List, describe, reset and delete groups of consumers
    #[command(subcommand)]
    Group(crate::cmd::group::Group),
    /// Look at a cluster
    #[command(subcommand)]
    Cluster(crate::cmd::cluster::Cluster),
    /// Format, look at and check log dirs on this machine
    #[command(subcommand)]
    Storage(crate::cmd::storage::Storage),
    /// Send a million ride events through a node, read them back and check every one
    Demo(crate::cmd::demo::Demo),
}

/// What every command that talks to a cluster takes.
#[derive(ClapArgs, Clone)]
pub(crate) struct Connection {
    /// Brokers to ask first, HOST:PORT[,HOST:PORT]...
    #[arg(
        long,
        short = 'b',
        env = "THALWEG_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT",
        global = true
    )]
    pub(crate) bootstrap: String,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub(crate) output: Format,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS", global = true, value_parser = seconds())]
    pub(crate) timeout: u64,
    /// Say more on stderr: -v retries, -vv everything
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

/// At most a year: what is longer overflows a deadline.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=366 * 24 * 60 * 60)
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// `NAME=VALUE`.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
