//! Judges a history. Pure: it knows no node, no disk and no clock, so a history made by hand is as good as a real one.
//!
//! What must hold: a record acked with acks=all is there, once, where the ack said, in the order of its producer; one acked with
//! acks=1 is, unless the power was cut after; what a consumer saw stays as it was; nothing is read that nobody wrote; ends of logs
//! and committed offsets never go back; a topic is there from the confirmation of its creation to that of its deletion.

mod commits;
mod ends;
mod logs;
mod placed;
mod topics;

use crate::history::{Acks, Event, Outcome, Span, Tick};
use std::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record that was acked is not there.
    Lost,
    /// A record that a consumer saw is not there any more.
    Vanished,
    /// An offset held one record, then another.
    Changed,
    /// A record that nobody wrote, or not like this.
    Foreign,
    /// A record is there twice.
    Duplicate,
    /// A producer's records are not in the order in which it sent them.
    Reordered,
    /// An idempotent producer's record is missing while a later one is there.
    Skipped,
    /// A record is not where its ack said.
    Moved,
    /// An offset without a record.
    Hole,
    /// A consumer was given a record above the high watermark.
    BeyondHighWatermark,
    /// The end of a log went back, or is below what was acked.
    EndRegressed,
    /// A group's committed offset went back, or a confirmed commit is gone.
    CommitRegressed,
    /// A group's committed offset is one that nobody committed.
    CommitForeign,
    /// A topic that was created is not there.
    TopicLost,
    /// A topic that was deleted, or never asked for, is there.
    TopicForeign,
    /// A client that did nothing wrong was refused.
    Refused,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anomaly {
    /// Which.
    pub kind: Kind,
    /// Where and how.
    pub what: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}: {}", self.kind, self.what)
    }
}

/// What was found, and how much there was to find.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Everything that is wrong; more than [`ANOMALIES_MAX`] of a kind are counted only.
    pub anomalies: Vec<Anomaly>,
    /// How many anomalies of each kind were left out.
    pub left_out: usize,
    /// Records acked with acks=all.
    pub acked_all: u64,
    /// Records acked with acks=1.
    pub acked_leader: u64,
    /// Records that are lost, of those that were acked and had to stay.
    pub lost: u64,
    /// Records that are there more than once.
    pub duplicated: u64,
    /// Records with acks=1 that a power cut took, as it may.
    pub given_up: u64,
    /// Confirmed commits of groups.
    pub commits: u64,
}

/// Anomalies of one kind that are told one by one.
const ANOMALIES_MAX: usize = 5;

impl Verdict {
    fn add(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        if self.anomalies.iter().filter(|anomaly| anomaly.kind == kind).count() < ANOMALIES_MAX {
            self.anomalies.push(Anomaly { kind, what: what() });
        } else {
            self.left_out += 1;
        }
    }

    /// Whether an anomaly of this kind was found.
    pub fn has(&self, kind: Kind) -> bool {
        self.anomalies.iter().any(|anomaly| anomaly.kind == kind)
    }
}

/// Judges a history.
pub fn check(history: &[Event]) -> Verdict {
    let mut verdict = Verdict::default();
    let history = &before_cuts(history);
    count(history, &mut verdict);
    placed::check(history, &mut verdict);
    logs::check(history, &mut verdict);
    ends::check(history, &mut verdict);
    commits::check(history, &mut verdict);
    topics::check(history, &mut verdict);
    for event in history {
        if let Event::Refused { partition, what, .. } = event {
            verdict.add(Kind::Refused, || format!("partition {partition}: {what}"));
        }
    }
    verdict.anomalies.sort();
    verdict
}

/// The history without answers that nobody would have had: those that were read while the power was being cut.
///
/// They are not all good: the system call that cuts the power takes a moment, and an fdatasync that is under way may return 0 though its
/// blocks are gone afterwards.
fn before_cuts(history: &[Event]) -> Vec<Event> {
    let cuts: Vec<Span> =
        history.iter().filter_map(|event| if let Event::PowerCut(span) = event { Some(*span) } else { None }).collect();
    let in_cut = |span: &Span| cuts.iter().any(|cut| cut.invoked < span.completed && span.completed < cut.completed);
    let never = |span: &mut Span| span.completed = Tick::MAX;
    let mut kept = Vec::with_capacity(history.len());
    for event in history {
        let mut event = event.clone();
        match &mut event {
            Event::Sent { span, outcome, .. } if in_cut(span) => {
                never(span);
                *outcome = Outcome::Unknown;
            }
            Event::Commit { span, acked, .. } | Event::Topic { span, acked, .. } if in_cut(span) => {
                never(span);
                *acked = false;
            }
            Event::Read { span, .. }
            | Event::Latest { span, .. }
            | Event::Committed { span, .. }
            | Event::Topics { span, .. }
            | Event::Refused { span, .. }
                if in_cut(span) =>
            {
                continue;
            }
            _ => {}
        }
        kept.push(event);
    }
    kept
}

fn count(history: &[Event], verdict: &mut Verdict) {
    for event in history {
        match event {
            Event::Sent { count, acks: Acks::All, outcome: Outcome::Acked { .. }, .. } => verdict.acked_all += count,
            Event::Sent { count, acks: Acks::Leader, outcome: Outcome::Acked { .. }, .. } => {
                verdict.acked_leader += count;
            }
            Event::Commit { acked: true, .. } => verdict.commits += 1,
            _ => {}
        }
    }
}

/// The offset `n` records after `base`.
fn after(base: i64, n: u64) -> i64 {
    base.saturating_add(i64::try_from(n).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
