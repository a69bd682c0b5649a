//! Deadlines of a group: sessions, joins, syncs, ids that were given out.

use super::join::end_wait;
use super::rebalance::{after_removal, prepare_rebalance, remove_member, try_complete_initial, try_complete_join};
use super::{ClassicGroup, JoinWait, State, Step};
use base::Monotonic;

/// The group came out of the log: sessions begin anew, and a group that is over its limit shrinks by a rebalance.
pub(crate) fn on_loaded(group: &mut ClassicGroup, step: &mut Step<'_>) {
    let ids: Vec<String> = group.members.keys().cloned().collect();
    for id in &ids {
        group.keep_alive(step, id);
    }
    if !ids.is_empty() {
        step.journal.assigned(&step.id, group.owners());
    }
    if ids.len() > step.settings.classic_size_max {
        let reason = format!("loaded with {} members, {} are allowed", ids.len(), step.settings.classic_size_max);
        prepare_rebalance(group, step, reason);
    }
}

/// Does what is due and asks to be woken for what is next.
pub(crate) fn on_timer(group: &mut ClassicGroup, step: &mut Step<'_>) {
    let now = step.now.mono;
    // A thread that is late finds many things due: a session that ended before the wait for joins did must not begin anew with the
    // generation.
    while let Some((at, wait)) = group.join_deadline.filter(|(at, _)| *at <= now) {
        expire(group, step, at);
        if group.join_deadline != Some((at, wait)) {
            continue;
        }
        group.join_deadline = None;
        match wait {
            JoinWait::Initial { delay_ms, remaining_ms } => try_complete_initial(group, step, delay_ms, remaining_ms),
            JoinWait::Rebalance => end_wait(group, step),
        }
    }
    expire(group, step, now);
    if let Some(at) = group.next_deadline() {
        step.wake(at);
    }
}

/// Whoever was awaited until `at` or before, and did not come.
fn expire(group: &mut ClassicGroup, step: &mut Step<'_>, at: Monotonic) {
    if group.sync_deadline.is_some_and(|until| until <= at) {
        group.sync_deadline = None;
        expire_syncs(group, step);
    }
    expire_pending_joins(group, step, at);
    expire_sessions(group, step, at);
}

/// Members that joined and never asked for their assignment are out.
fn expire_syncs(group: &mut ClassicGroup, step: &mut Step<'_>) {
    let silent: Vec<String> = std::mem::take(&mut group.pending_syncs).into_iter().collect();
    if silent.is_empty() || !matches!(group.state, State::CompletingRebalance | State::Stable) {
        return;
    }
    for id in &silent {
        group.take_out(id);
    }
    prepare_rebalance(
        group,
        step,
        format!("out, they joined and did not ask for an assignment: {}", silent.join(", ")),
    );
}

fn expire_pending_joins(group: &mut ClassicGroup, step: &mut Step<'_>, now: Monotonic) {
    let before = group.pending_joins.len();
    group.pending_joins.retain(|_, until| *until > now);
    if group.pending_joins.len() < before {
        try_complete_join(group, step);
    }
}

fn expire_sessions(group: &mut ClassicGroup, step: &mut Step<'_>, now: Monotonic) {
    let mut gone = Vec::new();
    for (id, member) in &mut group.members {
        if member.deadline.is_some_and(|at| at <= now) {
            // A member whose request waits here is alive; its session goes on when it is answered.
            member.deadline = None;
            if !member.is_heard() {
                gone.push(id.clone());
            }
        }
    }
    for id in &gone {
        remove_member(group, step, id);
    }
    if !gone.is_empty() {
        after_removal(group, step, format!("out, their sessions timed out: {}", gone.join(", ")));
    }
}

impl ClassicGroup {
    fn next_deadline(&self) -> Option<Monotonic> {
        let sessions = self.members.values().filter_map(|member| member.deadline);
        let pending = self.pending_joins.values().copied();
        let waits = self.join_deadline.map(|(at, _)| at).into_iter().chain(self.sync_deadline);
        sessions.chain(pending).chain(waits).min()
    }
}
