//! Committed offsets of groups: one committer each, growing offsets, so what is read lies between what was confirmed and what was
//! asked for.

use super::ends::regressions;
use super::{Kind, Verdict};
use crate::history::{Event, Span};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Register {
    asked: BTreeSet<i64>,
    promises: Vec<(Span, i64)>,
    tellings: Vec<(Span, i64)>,
}

pub(super) fn check(history: &[Event], verdict: &mut Verdict) {
    let mut registers: BTreeMap<(u32, i32), Register> = BTreeMap::new();
    for event in history {
        match event {
            Event::Commit { span, group, partition, offset, acked } => {
                let register = registers.entry((*group, *partition)).or_default();
                register.asked.insert(*offset);
                if *acked {
                    register.promises.push((*span, *offset));
                }
            }
            Event::Committed { span, group, partition, offset } => {
                let register = registers.entry((*group, *partition)).or_default();
                register.tellings.push((*span, *offset));
                register.promises.push((*span, *offset));
            }
            _ => {}
        }
    }
    for ((group, partition), register) in registers {
        for (_, told) in &register.tellings {
            if *told >= 0 && !register.asked.contains(told) {
                verdict.add(Kind::CommitForeign, || format!("group {group}, partition {partition}: {told}"));
            }
        }
        for (promised, told) in regressions(register.promises, register.tellings) {
            verdict.add(Kind::CommitRegressed, || {
                format!("group {group}, partition {partition}: {promised} was committed, {told} is told")
            });
        }
    }
}
