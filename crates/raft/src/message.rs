//! What voters say to each other, as flat structs: Vote (KIP-996 pre-votes included), BeginQuorumEpoch, EndQuorumEpoch and Fetch.
//!
//! The shell maps them to and from the requests of the wire. Every answer names the answerer's epoch and the leader it knows.

use crate::log_epochs::EpochEnd;
use base::{LeaderEpoch, NodeId, Offset, Uuid};

/// One message between two nodes of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for a vote.
    Vote(VoteRequest),
    /// Grants or denies it.
    VoteAnswer(VoteAnswer),
    /// A leader announces itself in this epoch; the sender is the leader.
    BeginEpoch {
        /// The leader's epoch.
        epoch: LeaderEpoch,
    },
    /// The sender led this epoch and does so no more.
    EndEpoch {
        /// The epoch that is over.
        epoch: LeaderEpoch,
    },
    /// Asks the leader for what follows in the log.
    Fetch(FetchRequest),
    /// What follows, or why it does not.
    FetchAnswer(FetchAnswer),
}

/// Asks for a vote, or with `pre_vote` only whether there would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The candidate's epoch; for a pre-vote the one it is in, without a claim to it.
    pub epoch: LeaderEpoch,
    /// The candidate's metadata directory.
    pub directory_id: Uuid,
    /// How far the candidate's log goes.
    pub last: EpochEnd,
    /// Binds nobody (KIP-996).
    pub pre_vote: bool,
}

/// Grants or denies a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteAnswer {
    /// The answerer's epoch.
    pub epoch: LeaderEpoch,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// Whether the vote is the candidate's.
    pub granted: bool,
    /// As asked.
    pub pre_vote: bool,
}

/// Asks the leader for what follows in the log; its offset says what this replica holds *durably*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Matches the answer to the question, so that a late or repeated answer is not taken for the one waited for.
    pub correlation: u64,
    /// The epoch of the leader asked.
    pub epoch: LeaderEpoch,
    /// The asker's log end, and the epoch of the record before it.
    pub last: EpochEnd,
}

/// What a fetch gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// As in the question.
    pub correlation: u64,
    /// The answerer's epoch.
    pub epoch: LeaderEpoch,
    /// The leader it knows: another than the answerer means that it does not lead.
    pub leader: Option<NodeId>,
    /// Everything below is committed.
    pub high_watermark: Offset,
    /// The asker's log parts from the leader's: it holds nothing in common behind this place (KIP-595).
    pub diverging: Option<EpochEnd>,
    /// Whole batches from the asked offset on.
    pub records: Vec<u8>,
}
