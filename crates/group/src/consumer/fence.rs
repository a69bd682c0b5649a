//! Sessions of members, which live beside the log: who is silent, or does not give up in time what it has to, is out.

use super::{ConsumerGroup, MemberState, Step, leave, regex};
use crate::group_id::GroupId;
use crate::groups::Groups;
use base::Monotonic;
use rsm::{Effects, Now};
use std::collections::{BTreeMap, BTreeSet};

/// What is awaited of one member, and until when.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// A sign of life.
    alive: Option<Monotonic>,
    /// That it gives partitions up, in this epoch.
    revoke: Option<(Monotonic, i32)>,
    /// That a member of the classic protocol joins again.
    join: Option<Monotonic>,
    /// That a member of the classic protocol, which has joined, asks for its assignment.
    sync: Option<Monotonic>,
}

/// All that a group remembers beside its records.
#[derive(Debug, Default)]
pub struct Sessions {
    members: BTreeMap<String, Session>,
    /// The topics that the group reads have not changed since their hash was taken.
    pub(super) knows_topics: bool,
    /// Expressions are to be looked up.
    pub(super) must_resolve: bool,
}

impl Sessions {
    /// Moves the end of a member's session on.
    pub(super) fn keep_alive(&mut self, step: &mut Step<'_>, id: &str, timeout_ms: i32) {
        let at = step.after_ms(timeout_ms);
        let session = match self.members.get_mut(id) {
            Some(session) => session,
            None => self.members.entry(id.to_owned()).or_default(),
        };
        // Moved on, the wake-up that is set for the earlier end does: the group looks again then.
        let is_set = session.alive.replace(at).is_some_and(|known| known <= at);
        if !is_set {
            step.wake(at);
        }
    }

    /// The member has so long, ms, to give partitions up, if it stays in this epoch; or nothing to give up.
    pub(super) fn must_revoke(&mut self, step: &mut Step<'_>, id: &str, within: Option<(i32, i32)>) {
        let session = self.members.entry(id.to_owned()).or_default();
        session.revoke = within.map(|(ms, epoch)| (step.after_ms(ms), epoch));
        if let Some((at, _)) = session.revoke {
            step.wake(at);
        }
    }

    /// A member of the classic protocol has so long, ms, to join again; told more than once, the first time counts.
    pub(super) fn must_join(&mut self, step: &mut Step<'_>, id: &str, within_ms: i32) {
        let session = self.members.entry(id.to_owned()).or_default();
        if session.join.is_none() {
            let at = step.after_ms(within_ms);
            session.join = Some(at);
            step.wake(at);
        }
    }

    /// A member of the classic protocol has joined, and shall ask for its assignment.
    pub(super) fn joined(&mut self, step: &mut Step<'_>, id: &str, session_ms: i32, within_ms: i32) {
        self.keep_alive(step, id, session_ms);
        let at = step.after_ms(within_ms);
        if let Some(session) = self.members.get_mut(id) {
            (session.join, session.sync) = (None, Some(at));
        }
        step.wake(at);
    }

    /// A member of the classic protocol has its assignment.
    pub(super) fn synced(&mut self, step: &mut Step<'_>, id: &str, session_ms: i32) {
        self.keep_alive(step, id, session_ms);
        if let Some(session) = self.members.get_mut(id) {
            session.sync = None;
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.members.remove(id);
    }

    /// The topics that the group reads may have changed.
    pub(crate) fn on_topics(&mut self) {
        self.knows_topics = false;
    }

    /// Whoever's time is over, by why.
    fn expired(&self, group: &ConsumerGroup, now: Monotonic) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut silent, mut late) = (BTreeSet::new(), BTreeSet::new());
        for (id, session) in &self.members {
            let Some(member) = group.members().get(id) else { continue };
            if session.alive.is_some_and(|at| at <= now) {
                silent.insert(id.clone());
            } else if session.revoke.is_some_and(|(at, epoch)| at <= now && member.epoch == epoch)
                || session.join.into_iter().chain(session.sync).any(|at| at <= now)
            {
                late.insert(id.clone());
            }
        }
        (silent, late)
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        let all = self.members.values();
        let deadlines =
            |session: &Session| [session.alive, session.revoke.map(|(at, _)| at), session.join, session.sync];
        all.flat_map(deadlines).flatten().min()
    }
}

/// The group came out of the log: sessions begin anew.
pub(crate) fn on_loaded(group: &ConsumerGroup, sessions: &mut Sessions, step: &mut Step<'_>) {
    let timeout_ms = step.session_timeout_ms();
    for (id, member) in group.members() {
        sessions.keep_alive(step, id, timeout_ms);
        if member.state == MemberState::UnrevokedPartitions {
            sessions.must_revoke(step, id, Some((member.rebalance_timeout_ms, member.epoch)));
        }
    }
    if !group.is_empty() {
        step.journal.assigned(&step.id, group.owned(step.image));
    }
}

/// Does what is due and asks to be woken for what is next.
pub(crate) fn on_timer(groups: &mut Groups, id: &GroupId, now: Now, effects: &mut Effects<Groups>) {
    let Some((group, sessions, mut step)) = groups.consumer_step(id, now, effects) else { return };
    if std::mem::take(&mut sessions.must_resolve) {
        regex::resolve_all(group, sessions, &mut step);
    }
    let (silent, late) = sessions.expired(group, now.mono);
    let names = |ids: &BTreeSet<String>| ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let why = format!("out, their sessions timed out: {}", names(&silent));
    leave::remove(groups, id, now, &silent, why, effects);
    let why = format!("out, they did not do in time what the rebalance asked of them: {}", names(&late));
    leave::remove(groups, id, now, &late, why, effects);
    if let Some((_, sessions, mut step)) = groups.consumer_step(id, now, effects) {
        for session in sessions.members.values_mut() {
            session.revoke = session.revoke.filter(|(at, _)| *at > now.mono);
        }
        if let Some(at) = sessions.next_deadline() {
            step.wake(at);
        }
    }
}
