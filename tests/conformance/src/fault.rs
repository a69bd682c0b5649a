//! Why a scenario ended: it failed, or a peer that it needs is not to be had here.

use std::fmt;

/// The end of a scenario other than success.
#[derive(Debug)]
pub enum Fault {
    /// The node or a peer did something else than expected.
    Failed(String),
    /// What is missing on this machine; under `CI=true` the caller turns it into a failure.
    Skipped(String),
}

impl Fault {
    /// Puts what was being done before why it failed.
    pub fn during(self, what: impl fmt::Display) -> Fault {
        match self {
            Fault::Failed(why) => Fault::Failed(format!("{what}: {why}")),
            skipped @ Fault::Skipped(_) => skipped,
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Failed(error.to_string())
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(error: rustix::io::Errno) -> Fault {
        Fault::from(std::io::Error::from(error))
    }
}

/// A failure with this text.
pub fn fail<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Failed(why.into()))
}

/// Fails with `otherwise` unless it holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Failed(otherwise())) }
}

/// `what` as context for an error.
pub trait During<T> {
    /// Names what was being done.
    fn during(self, what: impl fmt::Display) -> Result<T, Fault>;
}

impl<T, E: Into<Fault>> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Result<T, Fault> {
        self.map_err(|error| error.into().during(what))
    }
}
