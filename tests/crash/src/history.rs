//! What happened, as the rig saw it: the one thing that the checker knows.
//!
//! Times are ticks of one counter, taken right before a request is sent and right after its answer was read. An operation whose
//! answer never came has an outcome that is unknown, which is not the same as one that was refused.

use crate::wire::batch::{Run, Value};

/// A place in the order of everything that the rig did.
pub type Tick = u64;

/// From when to when an operation may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before it was sent.
    pub invoked: Tick,
    /// After its answer was read; `Tick::MAX` when it never was.
    pub completed: Tick,
}

/// Whose answer a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// acks=0.
    None,
    /// acks=1: written, perhaps not on disk.
    Leader,
    /// acks=all by an idempotent producer, which repeats a batch until it is answered.
    All,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has said where its first record is.
    Acked {
        /// Offset of the first record.
        base: i64,
    },
    /// It may be there or not.
    Unknown,
}

/// One operation, or one thing done to the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A batch of `count` values from `first` on. A batch of unknown outcome may stand here again once it is answered.
    Sent {
        /// From its first sending to its answer.
        span: Span,
        /// Where to.
        partition: i32,
        /// Its first value.
        first: Value,
        /// How many values.
        count: u64,
        /// What was asked for.
        acks: Acks,
        /// How it ended.
        outcome: Outcome,
    },
    /// A consumer's fetch.
    Read {
        /// When.
        span: Span,
        /// Of what.
        partition: i32,
        /// The high watermark in the same answer.
        high_watermark: i64,
        /// What was read.
        runs: Vec<Run>,
    },
    /// All of a log, read while nobody wrote.
    Log {
        /// When.
        span: Span,
        /// Of what.
        partition: i32,
        /// Its first offset.
        start: i64,
        /// One past its last.
        end: i64,
        /// Everything in it.
        runs: Vec<Run>,
    },
    /// ListOffsets of the latest offset.
    Latest {
        /// When.
        span: Span,
        /// Of what.
        partition: i32,
        /// The answer.
        offset: i64,
    },
    /// A group's commit. Each group has one committer, which commits growing offsets.
    Commit {
        /// When.
        span: Span,
        /// The group's number.
        group: u32,
        /// Of what.
        partition: i32,
        /// What was committed.
        offset: i64,
        /// Whether that was confirmed.
        acked: bool,
    },
    /// A look at a group's committed offset; -1 for none.
    Committed {
        /// When.
        span: Span,
        /// The group's number.
        group: u32,
        /// Of what.
        partition: i32,
        /// The answer.
        offset: i64,
    },
    /// A topic was created or deleted, each name once.
    Topic {
        /// When.
        span: Span,
        /// Its name.
        name: String,
        /// Deleted, not created.
        deleted: bool,
        /// Whether that was confirmed.
        acked: bool,
    },
    /// All topics that the node has.
    Topics {
        /// When.
        span: Span,
        /// Their names.
        names: Vec<String>,
    },
    /// An error code that no sound node gives to a client that does nothing wrong.
    Refused {
        /// When.
        span: Span,
        /// Of what.
        partition: i32,
        /// Which request, and Kafka's error code.
        what: String,
    },
    /// The power was cut in this span: what was not on disk at its beginning is gone. An answer that was read in it comes from a node
    /// that ran on without its disk, as none does in a real power cut: nothing is confirmed by it.
    PowerCut(Span),
}
