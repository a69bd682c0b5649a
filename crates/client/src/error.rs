//! Why something could not be done, each as one sentence that a user can act on.

use base::ErrorCode;
use net::ChannelError;

/// An error of any client operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No bootstrap address answered.
    #[error("no broker of {bootstrap} can be reached: {last}")]
    Unreachable {
        /// The addresses tried.
        bootstrap: String,
        /// What the last one said.
        last: String,
    },
    /// A connection failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A broker refused.
    #[error("{what}: {}{}", .code.name(), .message.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Broker {
        /// What was asked, such as `cannot create topic x`.
        what: String,
        /// Why not.
        code: ErrorCode,
        /// The broker's own words, if any.
        message: Option<String>,
    },
    /// It did not work out in time; `what` reads on, as `cannot create topic x`.
    #[error("{what} within {millis} ms; the last error was: {last}")]
    Deadline {
        /// What was asked.
        what: String,
        /// The time it had.
        millis: u128,
        /// What went wrong last.
        last: String,
    },
    /// Records that came from a broker are damaged.
    #[error("{topic}-{partition} has a damaged batch at offset {offset}: {reason}")]
    Corrupt {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The batch's base offset, as far as known.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// A broker's error code as an error; a code that Kafka 4.4 does not know becomes UNKNOWN_SERVER_ERROR with its number.
    pub(crate) fn broker(what: impl Into<String>, code: i16, message: Option<&str>) -> Error {
        let known = ErrorCode::from_code(code);
        let message = match (known, message) {
            (None, _) => Some(format!("error code {code}")),
            (Some(_), message) => message.filter(|text| !text.is_empty()).map(str::to_owned),
        };
        Error::Broker { what: what.into(), code: known.unwrap_or(ErrorCode::UnknownServerError), message }
    }

    /// `Ok` for code 0.
    pub(crate) fn check(what: impl Into<String>, code: i16, message: Option<&str>) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(Error::broker(what, code, message)) }
    }

    /// The broker's code, when a broker said no.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the broker does not serve the API in any version that we speak: it is older, or of another kind.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Error::Channel(ChannelError::UnsupportedVersion { .. }))
    }

    /// Whether trying again, with fresh metadata, may help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            // An admin request to a node that is no controller any more is Kafka's one retriable code that is not marked so.
            Error::Broker { code, .. } => code.is_retriable() || *code == ErrorCode::NotController,
            Error::Channel(error) => {
                matches!(
                    error,
                    ChannelError::Connect { .. } | ChannelError::Closed { .. } | ChannelError::Timeout { .. }
                )
            }
            Error::Unreachable { .. } => true,
            Error::Deadline { .. } | Error::Corrupt { .. } | Error::Invalid(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChannelError, Error};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn only_an_api_that_is_not_served_is_unsupported() {
        let (address, api) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)), "DescribeQuorum");
        let (theirs, ours) = ("no version of it".to_owned(), "0 to 2".to_owned());
        assert!(Error::from(ChannelError::UnsupportedVersion { address, api, theirs, ours }).is_unsupported());
        assert!(!Error::from(ChannelError::Timeout { address, api, millis: 5 }).is_unsupported());
        assert!(!Error::broker("cannot describe the metadata quorum", 35, None).is_unsupported());
    }
}
