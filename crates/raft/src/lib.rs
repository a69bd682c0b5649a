//! The metadata quorum (KIP-595, KIP-853) as a state machine without clock, disk or network.
//!
//! Invariants: a vote is persisted before it counts; a leader's high watermark is a majority of *durable* log ends and moves only
//! once a record of its own epoch is among them (R19); an epoch never goes back. It knows batches and offsets, not what is in them.
//!
//! The core serves any number of voters, and observers; the shell of this version drives it with one, which elects itself in its first
//! step. The set of voters is fixed while a node runs, and a follower that is behind the log's start is not served a snapshot: changes
//! of voters (KIP-853) and FetchSnapshot (KIP-630) come with the first cluster.

mod election_state;
mod log_epochs;
mod message;
mod quorum;
mod snapshot;

pub use election_state::{ElectionState, QuorumStateError, QuorumStateVersion};
pub use log_epochs::{EpochEnd, LogEpochs};
pub use message::{FetchAnswer, FetchRequest, Message, VoteAnswer, VoteRequest};
pub use quorum::{Input, Output, Quorum, Settings, Timing, VoterState};
pub use snapshot::{SnapshotError, SnapshotId, SnapshotReader, SnapshotWriter};
