//! `thalweg storage`: log dirs on the disk of this machine, without a node.

mod dump;
mod files;
mod format;
mod info;
mod scan;
mod verify;

use crate::options::Format;
use crate::output::Failure;
use clap::Subcommand;
use config::{NodeConfig, Properties};
pub(crate) use format::format_empty;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum Storage {
    /// Format the log dirs of a node
    Format(format::FormatArgs),
    /// Show the log dirs of a node, or what is in a log dir
    Info {
        /// The node's server.properties
        #[arg(long, short, required_unless_present = "dir")]
        config: Option<PathBuf>,
        /// A log dir
        #[arg(conflicts_with = "config")]
        dir: Option<PathBuf>,
        /// How to print results
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Print a segment, index, snapshot, checkpoint or metadata log as readable lines
    Dump {
        /// The files
        #[arg(required = true)]
        file: Vec<PathBuf>,
        /// Also print the records of a segment (those of the metadata log are printed anyway)
        #[arg(long, short)]
        records: bool,
        /// How to print results
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Read every byte of a log dir, a partition or a segment and check it
    Verify {
        /// A log dir, a partition's folder, or a segment
        path: PathBuf,
        /// How to print results
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Print a new random id, as for --cluster-id
    RandomUuid,
}

pub(crate) fn run(command: Storage) -> Result<(), Failure> {
    match command {
        Storage::Format(args) => format::run(&args),
        Storage::Info { config, dir, output } => info::run(config.as_deref(), dir.as_deref(), output),
        Storage::Dump { file, records, output } => dump::run(&file, records, output),
        Storage::Verify { path, output } => verify::run(&path, output),
        Storage::RandomUuid => crate::output::line(base::Uuid::random(&mut format::seeded_by_the_system()?)),
    }
}

/// Reads a node's configuration; warnings go to stderr.
pub(crate) fn load_config(path: &Path) -> Result<NodeConfig, Failure> {
    check_config(&load_properties(path)?, &path.display().to_string(), |warning| eprintln!("thalweg: {warning}"))
}

/// Reads a properties file.
pub(crate) fn load_properties(path: &Path) -> Result<Properties, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::said(format!("cannot read {}: {error}", path.display())))?;
    Ok(Properties::parse(&text))
}

/// A node's configuration from properties that come from `source`.
pub(crate) fn check_config(properties: &Properties, source: &str, warn: impl Fn(&str)) -> Result<NodeConfig, Failure> {
    let startup = NodeConfig::from_properties(properties);
    let startup = startup.map_err(|errors| Failure::said(format!("{source}: {}", errors.join("; "))))?;
    startup.warnings.iter().for_each(|warning| warn(&warning.0));
    Ok(startup.config)
}

/// An error about a path as a sentence.
fn on(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::said(format!("{}: {error}", path.display()))
}
