//! From the first change to the next generation: waiting for members to join.

use super::refused::{join_error, sync_error};
use super::{ClassicGroup, JoinWait, State, Step};
use crate::groups::Reply;
use crate::journal::Owners;
use base::ErrorCode;

/// Between two looks at whether somebody has joined, ms: members may give themselves no time at all.
const WAIT_AGAIN_MS_MIN: i32 = 1_000;

/// A change came: begins a rebalance, or sees whether the running one can go on.
pub(super) fn prepare_rebalance_or_complete_join(group: &mut ClassicGroup, step: &mut Step<'_>, reason: String) {
    if group.state == State::PreparingRebalance {
        step.journal(reason);
        try_complete_join(group, step);
    } else {
        prepare_rebalance(group, step, reason);
    }
}

/// Begins a rebalance.
pub(super) fn prepare_rebalance(group: &mut ClassicGroup, step: &mut Step<'_>, reason: String) {
    step.journal(reason);
    if group.state == State::CompletingRebalance {
        // Whoever waits for an assignment of the generation that will not come joins anew.
        let ids: Vec<String> = group.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = group.members.get_mut(&id) {
                member.assignment.clear();
            }
            if group.answer_sync(step, &id, sync_error(ErrorCode::RebalanceInProgress)) {
                // While it waited here the end of its session may have been passed over.
                group.keep_alive(step, &id);
            }
        }
    }
    group.pending_syncs.clear();
    group.sync_deadline = None;
    let was_empty = group.state == State::Empty;
    group.transition(State::PreparingRebalance, step.now);
    if was_empty {
        let delay_ms = step.settings.classic_initial_rebalance_delay_ms;
        let remaining_ms = (group.rebalance_timeout_ms().saturating_sub(delay_ms)).max(0);
        wait_for_joins(group, step, delay_ms, JoinWait::Initial { delay_ms, remaining_ms });
        if delay_ms <= 0 {
            try_complete_initial(group, step, delay_ms, remaining_ms);
        }
    } else if group.has_all_joined() {
        complete_join(group, step);
    } else {
        let timeout_ms = group.rebalance_timeout_ms();
        wait_for_joins(group, step, timeout_ms, JoinWait::Rebalance);
    }
}

fn wait_for_joins(group: &mut ClassicGroup, step: &mut Step<'_>, ms: i32, wait: JoinWait) {
    let at = step.after_ms(ms);
    group.join_deadline = Some((at, wait));
    step.wake(at);
}

/// Goes on when everybody has joined. A group that was empty waits its delay out.
pub(super) fn try_complete_join(group: &mut ClassicGroup, step: &mut Step<'_>) {
    if group.state == State::PreparingRebalance && group.previous != State::Empty && group.has_all_joined() {
        complete_join(group, step);
    }
}

/// The delay of a group that was empty is over: new members draw it out, up to the rebalance timeout (KIP-134).
pub(super) fn try_complete_initial(group: &mut ClassicGroup, step: &mut Step<'_>, delay_ms: i32, remaining_ms: i32) {
    if group.new_member_added && remaining_ms != 0 {
        group.new_member_added = false;
        let next_ms = step.settings.classic_initial_rebalance_delay_ms.min(remaining_ms);
        let left_ms = (remaining_ms - delay_ms).max(0);
        wait_for_joins(group, step, next_ms, JoinWait::Initial { delay_ms: next_ms, remaining_ms: left_ms });
    } else {
        complete_join(group, step);
    }
}

/// Ends the wait for joins: who has not joined is out, the next generation begins, everybody who joined is answered.
pub(super) fn complete_join(group: &mut ClassicGroup, step: &mut Step<'_>) {
    group.join_deadline = None;
    group.new_member_added = false;
    let late: Vec<String> = group
        .members
        .iter()
        .filter(|(_, member)| member.awaiting_join.is_none() && member.instance_id.is_none())
        .map(|(id, _)| id.clone())
        .collect();
    for id in late {
        group.take_out(&id);
        step.journal(format!("{id} is out: it did not join in time"));
    }
    if !group.members.is_empty() && !elect_leader(group, step) {
        // Only static members that have not come back: they are waited for until their sessions end.
        let timeout_ms = group.rebalance_timeout_ms().max(WAIT_AGAIN_MS_MIN);
        wait_for_joins(group, step, timeout_ms, JoinWait::Rebalance);
        return;
    }
    group.generation = group.generation.wrapping_add(1).max(0);
    group.pending_syncs.clear();
    group.protocol = group.select_protocol();
    group.subscribed = group.compute_subscribed();
    if group.members.is_empty() {
        group.transition(State::Empty, step.now);
        group.leader = None;
        let record = group.record(&step.id);
        step.effects.append_applied(record);
        step.journal.assigned(&step.id, Owners::new());
        step.journal.ended(&step.id, step.now, group.generation, 0);
        return;
    }
    group.transition(State::CompletingRebalance, step.now);
    answer_joins(group, step);
}

/// The leader must be one that has joined.
fn elect_leader(group: &mut ClassicGroup, step: &mut Step<'_>) -> bool {
    let has_joined = |id: &str| group.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
    if group.leader.as_deref().is_some_and(has_joined) {
        return true;
    }
    let joined = group.members.iter().find(|(_, member)| member.awaiting_join.is_some()).map(|(id, _)| id.clone());
    let Some(joined) = joined else { return false };
    step.journal(format!("{joined} leads: the former leader did not join"));
    group.leader = Some(joined);
    true
}

fn answer_joins(group: &mut ClassicGroup, step: &mut Step<'_>) {
    let ids: Vec<String> = group.members.keys().cloned().collect();
    for id in ids {
        let members = if group.is_leader(&id) { group.members_for_leader() } else { Vec::new() };
        let response = group.join_response(&id, members);
        group.answer_join(step, &id, Reply::Join(response));
        group.keep_alive(step, &id);
        if let Some(member) = group.members.get_mut(&id) {
            member.is_new = false;
        }
        group.pending_syncs.insert(id);
    }
    let until = step.after_ms(group.rebalance_timeout_ms());
    group.sync_deadline = Some(until);
    step.wake(until);
}

/// Takes a member out that left or fell silent; its join that waits is told to begin anew.
pub(super) fn remove_member(group: &mut ClassicGroup, step: &mut Step<'_>, id: &str) {
    group.answer_join(step, id, join_error(ErrorCode::UnknownMemberId, ""));
    group.answer_sync(step, id, sync_error(ErrorCode::UnknownMemberId));
    group.take_out(id);
}

/// What follows when members are gone.
pub(super) fn after_removal(group: &mut ClassicGroup, step: &mut Step<'_>, reason: String) {
    match group.state {
        State::Stable | State::CompletingRebalance => prepare_rebalance(group, step, reason),
        State::PreparingRebalance => {
            step.journal(reason);
            try_complete_join(group, step);
        }
        State::Empty => {}
    }
}
