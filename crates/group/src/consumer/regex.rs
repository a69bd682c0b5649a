//! Subscriptions by regular expression (KIP-848, KIP-1101), resolved here against the topics that exist.
//!
//! Expressions run in linear time and compile to a bounded size. What they stand for is a record of its own, shared by all members
//! that subscribe to the same one.

mod re2;

use super::{ConsumerGroup, Sessions, Step, records};
use base::{ErrorCode, Refusal};
use metadata::MetadataImage;
use regex::{Regex, RegexBuilder};
use rsm::Now;
use std::collections::BTreeSet;

/// Bytes that a compiled expression may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// All expressions of a group are resolved again at most this often, ms.
const REFRESH_AT_MOST_MS: i64 = 10_000;

/// What an expression stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// The topics.
    pub topics: BTreeSet<String>,
    /// The metadata offset that they were looked up at.
    pub version: i64,
    /// When, ms.
    pub timestamp: i64,
}

/// What a member's change of its expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// It is the same one.
    Same,
    /// It is one that nobody else subscribes to: it is looked up soon.
    Unresolved,
    /// It is another one, and what that stands for is being looked up.
    Other,
    /// What the member reads is known and may be something else now.
    Resolved,
}

/// Whether `regex` is an expression.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION, with what is wrong.
pub(super) fn check(regex: &str) -> Result<(), Refusal> {
    compile(regex).map(drop)
}

fn compile(regex: &str) -> Result<Regex, Refusal> {
    let refuse = |why: &str| {
        let why = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, why)
    };
    let build = |regex: &str| {
        RegexBuilder::new(regex).size_limit(COMPILED_BYTES_MAX).build().map_err(|error| {
            // The last line says what is wrong, those before draw where.
            let why = error.to_string();
            refuse(why.lines().last().map_or("", |line| line.trim_start_matches("error: ").trim_end_matches('.')))
        })
    };
    let translated = re2::translate(regex).map_err(refuse)?;
    // Alone first: with what is put around it `a)|(b` would be an expression.
    build(&translated)?;
    // Kafka matches whole names.
    build(&format!("^(?:{translated})$"))
}

/// Follows a member that subscribes to another expression; the member's record is folded in already. Nobody's expression goes.
pub(super) fn follow(group: &mut ConsumerGroup, step: &mut Step<'_>, old: Option<&str>, new: Option<&str>) -> Follows {
    if old == new {
        return Follows::Same;
    }
    if let Some(old) = old
        && group.regex_subscribers(old) == 0
    {
        let record = records::no_regex(&step.id, old);
        step.record(group, record);
    }
    match new {
        Some(new) if group.regex_subscribers(new) == 1 => Follows::Unresolved,
        Some(new) if group.regexes.contains_key(new) => Follows::Resolved,
        Some(_) => Follows::Other,
        None => Follows::Resolved,
    }
}

/// Asks for all expressions of the group to be looked up, when it is time. That is done apart, by [`resolve_all`]: a topic name for every
/// expression is too much for a heartbeat, and Kafka writes its records in the same order.
pub(super) fn look_again(group: &ConsumerGroup, sessions: &mut Sessions, step: &mut Step<'_>, is_new: bool) {
    if group.regex_subscribers.is_empty() || sessions.must_resolve {
        return;
    }
    let last = group.regexes.values().map(|resolved| resolved.timestamp).max();
    let age_ms = last.map_or(i64::MAX, |last| step.now.wall.0.saturating_sub(last));
    if age_ms <= REFRESH_AT_MOST_MS {
        return;
    }
    let version = group.regexes.values().map(|resolved| resolved.version).min().unwrap_or(0);
    let is_missing = || group.regex_subscribers.keys().any(|regex| !group.regexes.contains_key(regex));
    if is_new || version < step.new_topics_at || age_ms > step.settings.consumer.regex_refresh_ms || is_missing() {
        sessions.must_resolve = true;
        step.wake(step.now.mono);
    }
}

/// Looks all expressions of the group up, and begins the next epoch when one stands for other topics than before.
pub(super) fn resolve_all(group: &mut ConsumerGroup, sessions: &mut Sessions, step: &mut Step<'_>) {
    let regexes: Vec<String> = group.regex_subscribers.keys().cloned().collect();
    let mut others = Vec::new();
    for regex in &regexes {
        // A log of Kafka may hold an expression that is none here. It must not stop the others.
        let resolved = resolve(regex, step.image, step.now).unwrap_or_else(|_| nothing(step.image, step.now));
        if group.regexes.get(regex).map_or(!resolved.topics.is_empty(), |known| known.topics != resolved.topics) {
            others.push(regex.as_str());
        }
        // Also when nothing changed, as in Kafka: the record says when it was looked up, so that not every heartbeat asks for it again.
        let record = records::regex(&step.id, regex, &resolved);
        step.record(group, record);
    }
    let hash = step.metadata_hash(group);
    if !others.is_empty() {
        step.journal(format!("stands for other topics than before: {}", others.join(", ")));
    } else if hash != group.metadata_hash && !regexes.is_empty() {
        step.journal("the topics that the group reads have changed".to_owned());
    } else {
        return;
    }
    step.bump(group, hash);
    sessions.knows_topics = true;
}

fn nothing(image: &MetadataImage, now: Now) -> ResolvedRegex {
    ResolvedRegex { topics: BTreeSet::new(), version: image.provenance().offset.0, timestamp: now.wall.0 }
}

fn resolve(regex: &str, image: &MetadataImage, now: Now) -> Result<ResolvedRegex, Refusal> {
    let compiled = compile(regex)?;
    let topics = image.topics().names().filter(|name| compiled.is_match(name)).map(str::to_owned).collect();
    Ok(ResolvedRegex { topics, ..nothing(image, now) })
}

#[cfg(test)]
mod tests;
