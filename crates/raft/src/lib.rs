//! The metadata quorum (KIP-595, KIP-853) as a state machine without clock, disk or network.
//!
//! Invariants: a vote is persisted before it counts; a leader's high watermark is a majority of *durable* log ends and moves only
//! once a record of its own epoch is among them (R19); an epoch never goes back. It knows batches and offsets, not what is in them.
//!
//! The core is written for any number of voters; the shell of this version drives it with one, which elects itself in its first
//! step. Requests between voters come with the first cluster.

mod election_state;
mod quorum;
mod snapshot;

pub use election_state::{ElectionState, QuorumStateError, QuorumStateVersion};
pub use quorum::{Output, Quorum, Settings, VoterState};
pub use snapshot::{SnapshotError, SnapshotId, SnapshotReader, SnapshotWriter};
