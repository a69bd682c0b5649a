//! The command line as types. What a command does is in `cmd`.

use clap::{Parser, Subcommand};

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
