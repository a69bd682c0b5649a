//! One record at an offset, one offset for a record, and each of them written by somebody.

use super::{Kind, Verdict, after};
use crate::history::Event;
use crate::wire::batch::{FOREIGN, Run, Value};
use std::collections::{BTreeMap, HashMap};

/// What is known of a partition.
#[derive(Default)]
struct Partition {
    at: HashMap<i64, Value>,
    of: HashMap<Value, i64>,
    /// How many values each producer has sent.
    sent: BTreeMap<u32, u64>,
}

pub(super) fn check(history: &[Event], verdict: &mut Verdict) {
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    for event in history {
        if let Event::Sent { partition, first, count, .. } = event {
            let sent = partitions.entry(*partition).or_default().sent.entry(first.producer).or_default();
            *sent = (*sent).max(first.counter + count);
        }
    }
    for event in history {
        let (partition, runs) = match event {
            Event::Read { partition, high_watermark, runs, .. } => {
                let end = runs.last().map_or(0, |run| after(run.offset, run.count));
                if end > *high_watermark {
                    verdict.add(Kind::BeyondHighWatermark, || {
                        format!("partition {partition}: read up to {end} with the high watermark at {high_watermark}")
                    });
                }
                (partition, runs)
            }
            Event::Log { partition, runs, .. } => (partition, runs),
            _ => continue,
        };
        let known = partitions.entry(*partition).or_default();
        for run in runs {
            place(*partition, known, run, verdict);
        }
    }
}

fn place(partition: i32, known: &mut Partition, run: &Run, verdict: &mut Verdict) {
    for n in 0..run.count {
        let (offset, value) = (after(run.offset, n), Value { counter: run.first.counter + n, ..run.first });
        let sent = known.sent.get(&value.producer).copied().unwrap_or(0);
        if value.producer == FOREIGN || value.counter >= sent {
            verdict.add(Kind::Foreign, || format!("partition {partition}, offset {offset}: {value:?} was never sent"));
            continue;
        }
        let before = *known.at.entry(offset).or_insert(value);
        if before != value {
            verdict
                .add(Kind::Changed, || format!("partition {partition}, offset {offset}: {before:?}, then {value:?}"));
        }
        let first = *known.of.entry(value).or_insert(offset);
        if first != offset {
            verdict.duplicated += 1;
            verdict.add(Kind::Duplicate, || format!("partition {partition}: {value:?} at {first} and at {offset}"));
        }
    }
}
