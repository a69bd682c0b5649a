//! Whole logs after a restart: what was acked or seen before is in them, without holes, each producer's records in order.

use super::{Kind, Verdict, after};
use crate::history::{Acks, Event, Outcome, Tick};
use crate::wire::batch::{Run, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A log that was read.
struct Found<'a> {
    invoked: Tick,
    partition: i32,
    start: i64,
    end: i64,
    runs: &'a [Run],
}

pub(super) fn check(history: &[Event], verdict: &mut Verdict) {
    let cuts: Vec<Tick> = history
        .iter()
        .filter_map(|event| if let Event::PowerCut(span) = event { Some(span.completed) } else { None })
        .collect();
    let idempotent: HashSet<u32> = history
        .iter()
        .filter_map(|event| match event {
            Event::Sent { first, acks: Acks::All, .. } => Some(first.producer),
            _ => None,
        })
        .collect();
    let mut of_partition: BTreeMap<i32, Vec<&Event>> = BTreeMap::new();
    for event in history {
        if let Event::Sent { partition, .. } | Event::Read { partition, .. } | Event::Log { partition, .. } = event {
            of_partition.entry(*partition).or_default().push(event);
        }
    }
    // A record that one log misses is missed by the next ones too: it is told once.
    let mut told = HashSet::new();
    for event in history {
        let Event::Log { span, partition, start, end, runs } = event else { continue };
        let history = of_partition[partition].as_slice();
        let found = Found { invoked: span.invoked, partition: *partition, start: *start, end: *end, runs };
        dense(&found, verdict);
        ordered(&found, &idempotent, verdict);
        acked(history, &found, &cuts, &mut told, verdict);
        seen(history, &found, verdict);
    }
}

fn dense(found: &Found<'_>, verdict: &mut Verdict) {
    let mut next = found.start;
    for run in found.runs {
        if run.offset != next {
            let partition = found.partition;
            verdict.add(Kind::Hole, || format!("partition {partition}: offset {} follows {next}", run.offset));
        }
        next = after(run.offset, run.count);
    }
    if next != found.end {
        verdict.add(Kind::Hole, || {
            format!("partition {}: the last record is before {next}, the end is {}", found.partition, found.end)
        });
    }
}

fn ordered(found: &Found<'_>, idempotent: &HashSet<u32>, verdict: &mut Verdict) {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for run in found.runs {
        let producer = run.first.producer;
        let is_first = !next.contains_key(&producer);
        let due = next.insert(producer, run.first.counter + run.count).unwrap_or(0);
        let partition = found.partition;
        let what = || format!("partition {partition}, offset {}: {:?} when {due} was due", run.offset, run.first);
        if run.first.counter < due {
            verdict.add(Kind::Reordered, what);
        } else if run.first.counter > due && idempotent.contains(&producer) && !(is_first && found.start > 0) {
            verdict.add(Kind::Skipped, what);
        }
    }
}

fn acked(
    history: &[&Event],
    found: &Found<'_>,
    cuts: &[Tick],
    told: &mut HashSet<(i32, Value)>,
    verdict: &mut Verdict,
) {
    let places: HashMap<Value, i64> = found
        .runs
        .iter()
        .flat_map(|run| {
            (0..run.count).map(|n| (Value { counter: run.first.counter + n, ..run.first }, after(run.offset, n)))
        })
        .collect();
    for event in history {
        let Event::Sent { span, partition, first, count, acks, outcome: Outcome::Acked { base } } = event else {
            continue;
        };
        if *partition != found.partition || span.completed >= found.invoked || *acks == Acks::None {
            continue;
        }
        let cut = *acks == Acks::Leader && cuts.iter().any(|cut| *cut > span.completed && *cut < found.invoked);
        for n in 0..*count {
            let (offset, value) = (after(*base, n), Value { counter: first.counter + n, ..*first });
            let place = places.get(&value).copied();
            if offset < found.start || place == Some(offset) {
                continue;
            }
            if !told.insert((*partition, value)) {
                continue;
            }
            match place {
                Some(other) => verdict.add(Kind::Moved, || {
                    format!("partition {partition}: {value:?} was acked at {offset} and is at {other}")
                }),
                None if cut => verdict.given_up += 1,
                None => {
                    verdict.lost += 1;
                    verdict.add(Kind::Lost, || {
                        format!("partition {partition}: {value:?}, acked at {offset}; the log ends at {}", found.end)
                    });
                }
            }
        }
    }
}

fn seen(history: &[&Event], found: &Found<'_>, verdict: &mut Verdict) {
    let mut last = -1;
    for event in history {
        if let Event::Read { span, partition, runs, .. } | Event::Log { span, partition, runs, .. } = event
            && *partition == found.partition
            && span.completed < found.invoked
        {
            last = last.max(runs.last().map_or(-1, |run| after(run.offset, run.count) - 1));
        }
    }
    if last >= found.end {
        verdict.add(Kind::Vanished, || {
            format!("partition {}: offset {last} was read, the log ends at {}", found.partition, found.end)
        });
    }
}
