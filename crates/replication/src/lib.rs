//! A partition as its leader sees it, and the fetch sessions of consumers.
//!
//! Pure: log ends and epochs come in, the high watermark and refusals come out. It knows offsets, not logs.

mod fetch_sessions;
mod leader;

pub use fetch_sessions::{
    FetchKind, FetchSessions, Fetched, PartitionKey, PartitionRequest, SessionRequest, SessionTopic,
};
pub use leader::{Isolation, Leader};
