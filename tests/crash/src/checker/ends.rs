//! Ends of logs as clients learn them: an end that somebody has learnt, or an ack promises, is never taken back.

use super::{Kind, Verdict, after};
use crate::history::{Acks, Event, Outcome, Span};
use std::collections::BTreeMap;

pub(super) fn check(history: &[Event], verdict: &mut Verdict) {
    // Per partition: what promises an end, and what tells it.
    let mut promises: BTreeMap<i32, Vec<(Span, i64)>> = BTreeMap::new();
    let mut tellings: BTreeMap<i32, Vec<(Span, i64)>> = BTreeMap::new();
    for event in history {
        match event {
            Event::Latest { span, partition, offset: end }
            | Event::Read { span, partition, high_watermark: end, .. }
            | Event::Log { span, partition, end, .. } => {
                promises.entry(*partition).or_default().push((*span, *end));
                tellings.entry(*partition).or_default().push((*span, *end));
            }
            Event::Sent { span, partition, count, acks: Acks::All, outcome: Outcome::Acked { base }, .. } => {
                promises.entry(*partition).or_default().push((*span, after(*base, *count)));
            }
            _ => {}
        }
    }
    for (partition, tellings) in tellings {
        let promises = promises.remove(&partition).unwrap_or_default();
        for (promised, told) in regressions(promises, tellings) {
            verdict.add(Kind::EndRegressed, || format!("partition {partition}: {promised}, then {told}"));
        }
    }
}

/// Each telling that began after a larger promise was complete: (promise, telling).
pub(super) fn regressions(mut promises: Vec<(Span, i64)>, mut tellings: Vec<(Span, i64)>) -> Vec<(i64, i64)> {
    promises.sort_by_key(|(span, _)| span.completed);
    tellings.sort_by_key(|(span, _)| span.invoked);
    let mut found = Vec::new();
    let (mut at, mut highest) = (0, i64::MIN);
    for (span, told) in tellings {
        while promises.get(at).is_some_and(|(promise, _)| promise.completed < span.invoked) {
            highest = highest.max(promises[at].1);
            at += 1;
        }
        if told < highest {
            found.push((highest, told));
        }
    }
    found
}
