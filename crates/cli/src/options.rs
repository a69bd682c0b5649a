//! What several commands take.

use crate::output::Failure;
use clap::{Args, ValueEnum};
use client::{Client, ClientOptions};
use tokio::time::Duration;

/// What every command that talks to a cluster takes.
#[derive(Args, Clone)]
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

impl Connection {
    /// Connects as the arguments say.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let timeout = Duration::from_secs(self.timeout);
        let channel = net::ChannelOptions {
            client_id: "thalweg-cli".to_owned(),
            connect_timeout: timeout.min(Duration::from_secs(10)),
            request_timeout: timeout,
            ..net::ChannelOptions::default()
        };
        Ok(Client::connect(&self.bootstrap, ClientOptions { channel, api_timeout: timeout }).await?)
    }
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
