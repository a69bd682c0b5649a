//! The skeleton of every coordinator: a [`Machine`]'s state is a fold over the records of one partition of an internal topic, and a
//! [`Shard`] is that partition's only writer.
//!
//! The walk of a request: *decide* reads the state and says records and replies ([`Shard::decide`]); the shard applies the records at
//! once and stages them; the shell appends what is staged batch by batch ([`Shard::take_batch`], [`Shard::on_appended`]); when the high
//! watermark has passed what a reply rests on, the shard lets it go ([`Shard::on_high_watermark`], [`Shard::take_releases`]).
//!
//! Invariants: no reply leaves before everything that the state held when it was made is committed, so nobody is told what a crash
//! can take back; a batch never ends within a decision, so nobody loads half of one; a failed append ends the shard, whose machine is then ahead of its log, and it is loaded anew; every parked
//! request is answered exactly once, at the latest when the shard closes.
//!
//! Pure: no clock, lock, runtime or IO. It does not know topics, wire formats or what a machine is for.

mod deadlines;
mod shard;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use deadlines::Deadlines;
pub use shard::{Release, Shard, StagedBatch};

use base::{Monotonic, Offset, ProducerEpoch, ProducerId, Refusal, Timestamp};
use std::fmt;

/// Names a request whose reply is still owed. Chosen by the shell, unique among those of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Both clocks, read once for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub mono: Monotonic,
    /// For what is written into records.
    pub wall: Timestamp,
}

/// Where a record that is applied comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The machine's own decision, just now.
    Decided,
    /// The log, while the shard loads.
    Loaded {
        /// Its place.
        offset: Offset,
        /// The batch's producer and its epoch, when the batch is transactional: the record counts once the transaction is committed.
        transaction: Option<(ProducerId, ProducerEpoch)>,
    },
}

/// The end of a transaction, as a control record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it wrote counts.
    Commit,
    /// What it wrote is void.
    Abort,
}

/// A state that is a fold over records, and decisions that read it.
///
/// [`Machine::apply`] is the only way that durable state changes; what a machine keeps beside it (sessions, waiting members) is lost
/// with the shard, and clients must be able to build it again.
pub trait Machine {
    /// One change of the state, as the log holds it.
    type Record: Clone + fmt::Debug;
    /// What a waiting request is told.
    type Reply: fmt::Debug;
    /// What a deadline is for.
    type Timer: Clone + Ord + fmt::Debug;

    /// Folds one record in. Must not fail: what does not fit is for the decision, or for the log's reader, to refuse.
    fn apply(&mut self, record: &Self::Record, origin: Origin);

    /// Ends a transaction that wrote into this partition.
    fn end_transaction(&mut self, producer: ProducerId, outcome: Outcome);

    /// The log is folded in completely: sessions start to run.
    fn on_loaded(&mut self, now: Now, effects: &mut Effects<Self>);

    /// A deadline that was set with [`Effects::wake`] has come. It may be early, when the machine has moved it on since; the machine
    /// then sets it again.
    fn on_timer(&mut self, now: Now, timer: &Self::Timer, effects: &mut Effects<Self>);

    /// Bytes that the record takes in a batch, about; bounds a batch.
    fn record_bytes(record: &Self::Record) -> usize;
}

/// What a decision wants done. Nothing of it has happened yet.
pub struct Effects<M: Machine + ?Sized> {
    pub(crate) records: Vec<(M::Record, bool)>,
    /// How many records there were each time a part ended.
    pub(crate) parts: Vec<usize>,
    pub(crate) replies: Vec<Release<M::Reply>>,
    pub(crate) timers: Vec<(M::Timer, Monotonic)>,
}

impl<M: Machine + ?Sized> Default for Effects<M> {
    fn default() -> Self {
        Self { records: Vec::new(), parts: Vec::new(), replies: Vec::new(), timers: Vec::new() }
    }
}

impl<M: Machine + ?Sized> Effects<M> {
    /// Appends a record; it is applied right after the decision.
    pub fn append(&mut self, record: M::Record) {
        self.records.push((record, false));
    }

    /// Appends a record that says what the decision has changed in the state itself; it is not applied again.
    pub fn append_applied(&mut self, record: M::Record) {
        self.records.push((record, true));
    }

    /// What comes next may be in the log later than what came until now, and a crash may leave it out. Without this all records of a
    /// decision are in one batch, however large.
    pub fn end_part(&mut self) {
        self.parts.push(self.records.len());
    }

    /// Answers a request, once everything that is staged or appended by now is committed.
    pub fn reply(&mut self, ticket: Ticket, reply: Result<M::Reply, Refusal>) {
        self.replies.push(Release { ticket, reply });
    }

    /// Asks for [`Machine::on_timer`] at `at` or earlier: of several wishes for one timer the earliest holds.
    pub fn wake(&mut self, timer: M::Timer, at: Monotonic) {
        self.timers.push((timer, at));
    }

    /// The records so far, for tests and for decisions that are made of several.
    pub fn records(&self) -> impl Iterator<Item = &M::Record> {
        self.records.iter().map(|(record, _)| record)
    }

    /// The replies so far, for tests.
    pub fn replies(&self) -> &[Release<M::Reply>] {
        &self.replies
    }
}

impl<M: Machine + ?Sized> fmt::Debug for Effects<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("records", &self.records)
            .field("replies", &self.replies)
            .field("timers", &self.timers)
            .finish()
    }
}
