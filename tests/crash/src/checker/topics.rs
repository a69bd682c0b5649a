//! Topics: there once their creation was confirmed, gone once their deletion was, in between as it comes.

use super::{Kind, Verdict};
use crate::history::{Event, Span};
use std::collections::BTreeMap;

#[derive(Default)]
struct Known {
    created: Option<(Span, bool)>,
    deleted: Option<(Span, bool)>,
}

pub(super) fn check(history: &[Event], verdict: &mut Verdict) {
    let mut topics: BTreeMap<&str, Known> = BTreeMap::new();
    for event in history {
        if let Event::Topic { span, name, deleted, acked } = event {
            let known = topics.entry(name).or_default();
            *(if *deleted { &mut known.deleted } else { &mut known.created }) = Some((*span, *acked));
        }
    }
    for event in history {
        let Event::Topics { span, names } = event else { continue };
        for (name, known) in &topics {
            let is_due = known.created.is_some_and(|(done, acked)| acked && done.completed < span.invoked);
            let may_be_gone = known.deleted.is_some_and(|(done, _)| done.invoked < span.completed);
            if is_due && !may_be_gone && !names.iter().any(|found| found == name) {
                verdict.add(Kind::TopicLost, || (*name).to_owned());
            }
        }
        for name in names {
            let known = topics.get(name.as_str());
            let was_asked =
                known.is_some_and(|known| known.created.is_some_and(|(done, _)| done.invoked < span.completed));
            let is_gone = known
                .and_then(|known| known.deleted)
                .is_some_and(|(done, acked)| acked && done.completed < span.invoked);
            if !was_asked || is_gone {
                verdict.add(Kind::TopicForeign, || name.clone());
            }
        }
    }
}
