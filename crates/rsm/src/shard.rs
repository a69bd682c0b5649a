//! The only writer of one partition: stages what the machine decides, holds replies until what they rest on is committed.

use crate::{Deadlines, Effects, Machine, Now, Origin, Outcome, Ticket};
use base::{Monotonic, Offset, ProducerId, Refusal};
use std::collections::VecDeque;
use std::fmt;

/// Bytes of records that are taken into one batch. More wait for the next, unless they belong together.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// A reply that may be given.
#[derive(Debug)]
pub struct Release<R> {
    /// The request.
    pub ticket: Ticket,
    /// Its reply.
    pub reply: Result<R, Refusal>,
}

/// Records to append as one batch, in order.
#[derive(Debug)]
pub struct StagedBatch<R> {
    /// At least one.
    pub records: Vec<R>,
}

/// What a held reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// This many records, counted since the shard opened, must have been appended, and then committed.
    Staged(u64),
    /// This offset must be committed.
    Until(Offset),
}

/// A record that is decided and applied, not appended.
struct Staged<R> {
    record: R,
    /// A batch may end here: those before it that belong to it have come.
    ends_part: bool,
}

/// A machine and what is between it and its log.
pub struct Shard<M: Machine> {
    machine: M,
    timers: Deadlines<M::Timer>,
    staged: VecDeque<Staged<M::Record>>,
    /// How many records were staged, and how many of those appended, since the shard opened.
    staged_count: u64,
    appended_count: u64,
    /// Records of a batch that was taken and not yet reported.
    taken: u64,
    /// In order of what they wait for.
    held: VecDeque<(Hold, Release<M::Reply>)>,
    ready: Vec<Release<M::Reply>>,
    log_end: Offset,
    high_watermark: Offset,
}

impl<M: Machine> Shard<M> {
    /// A shard that has folded nothing in yet.
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            timers: Deadlines::default(),
            staged: VecDeque::new(),
            staged_count: 0,
            appended_count: 0,
            taken: 0,
            held: VecDeque::new(),
            ready: Vec::new(),
            log_end: Offset::ZERO,
            high_watermark: Offset::ZERO,
        }
    }

    /// Folds in a record of the log, while loading.
    pub fn load(&mut self, record: &M::Record, origin: Origin) {
        self.machine.apply(record, origin);
    }

    /// Folds in a transaction's end of the log, while loading.
    pub fn load_transaction_end(&mut self, producer: ProducerId, outcome: Outcome) {
        self.machine.end_transaction(producer, outcome);
    }

    /// Loading is done up to `log_end`. Call before the first decision.
    pub fn open(&mut self, now: Now, log_end: Offset, high_watermark: Offset) {
        self.log_end = log_end;
        self.high_watermark = high_watermark;
        let mut effects = Effects::default();
        self.machine.on_loaded(now, &mut effects);
        self.carry_out(effects);
    }

    /// The machine, to look at. What is seen may be uncommitted: replies go through [`Effects::reply`].
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Lets the machine decide, applies what it decided and stages it.
    pub fn decide<T>(&mut self, decide: impl FnOnce(&mut M, &mut Effects<M>) -> T) -> T {
        let mut effects = Effects::default();
        let said = decide(&mut self.machine, &mut effects);
        self.carry_out(effects);
        said
    }

    fn carry_out(&mut self, effects: Effects<M>) {
        let count = effects.records.len();
        let mut parts = effects.parts.into_iter().chain([count]).peekable();
        for (at, (record, applied)) in effects.records.into_iter().enumerate() {
            if !applied {
                self.machine.apply(&record, Origin::Decided);
            }
            while parts.next_if(|end| *end <= at).is_some() {}
            self.staged.push_back(Staged { record, ends_part: parts.peek() == Some(&(at + 1)) });
            self.staged_count += 1;
        }
        for (timer, at) in effects.timers {
            self.timers.wake(timer, at);
        }
        let hold = if self.staged_count > self.appended_count {
            Hold::Staged(self.staged_count)
        } else {
            Hold::Until(self.log_end)
        };
        for release in effects.replies {
            if hold == Hold::Until(self.log_end) && self.log_end <= self.high_watermark {
                self.ready.push(release);
            } else {
                self.held.push_back((hold, release));
            }
        }
    }

    /// Wakes the machine for every deadline that has come.
    pub fn tick(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.mono) {
            let mut effects = Effects::default();
            self.machine.on_timer(now, &timer, &mut effects);
            self.carry_out(effects);
        }
    }

    /// When [`Shard::tick`] is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.timers.next()
    }

    /// What to append now. While an earlier batch is not committed only a full one is given, so that under load one batch carries
    /// many requests, and an idle shard waits for nothing. A batch is in the log with all of its records or not at all, so none ends
    /// within a part of a decision.
    pub fn take_batch(&mut self) -> Option<StagedBatch<M::Record>> {
        if self.staged.is_empty() || self.taken > 0 {
            return None;
        }
        let (mut bytes, mut count) = (0, 0);
        for (at, staged) in self.staged.iter().enumerate() {
            bytes += M::record_bytes(&staged.record);
            // A part that is larger than a batch travels alone.
            if bytes > BATCH_BYTES_MAX && count > 0 {
                break;
            }
            if staged.ends_part {
                count = at + 1;
            }
        }
        let is_full = bytes > BATCH_BYTES_MAX;
        if !is_full && self.log_end > self.high_watermark {
            return None;
        }
        let records: Vec<M::Record> = self.staged.drain(..count).map(|staged| staged.record).collect();
        self.taken = records.len() as u64;
        Some(StagedBatch { records })
    }

    /// The batch that was taken is in the log, which now ends at `log_end`.
    pub fn on_appended(&mut self, log_end: Offset) {
        self.appended_count += self.taken;
        self.taken = 0;
        self.log_end = log_end;
        for (hold, _) in &mut self.held {
            match *hold {
                Hold::Staged(count) if count <= self.appended_count => *hold = Hold::Until(log_end),
                Hold::Staged(_) => break,
                Hold::Until(_) => {}
            }
        }
    }

    /// The log is committed below `high_watermark`.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        while let Some((Hold::Until(offset), _)) = self.held.front() {
            if *offset > self.high_watermark {
                break;
            }
            self.ready.extend(self.held.pop_front().map(|(_, release)| release));
        }
    }

    /// Replies that may be given now.
    pub fn take_releases(&mut self) -> Vec<Release<M::Reply>> {
        std::mem::take(&mut self.ready)
    }

    /// Records that are decided and not in the log yet.
    pub fn staged(&self) -> usize {
        self.staged.len() + usize::try_from(self.taken).unwrap_or(usize::MAX)
    }

    /// Replies that wait for a commit.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

impl<M: Machine> fmt::Debug for Shard<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("staged", &self.staged.len())
            .field("held", &self.held.len())
            .field("log_end", &self.log_end)
            .field("high_watermark", &self.high_watermark)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
