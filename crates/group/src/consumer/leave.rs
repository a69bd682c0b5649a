//! Members that go: by their own word, for a while, or because they are fenced.

use super::admit::{check_static, unknown_member};
use super::{ConsumerGroup, LEAVE_STATIC, Member, OwnedPartitions, Sessions, Step, convert, records};
use crate::group_id::GroupId;
use crate::groups::{Group, Groups, RequestContext};
use base::{ErrorCode, Refusal};
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use rsm::{Effects, Now};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A heartbeat that says goodbye.
pub(super) fn by_heartbeat(
    groups: &mut Groups,
    cx: RequestContext<'_>,
    request: &ConsumerGroupHeartbeatRequest<'_>,
    effects: &mut Effects<Groups>,
) -> Result<ConsumerGroupHeartbeatResponse<'static>, Refusal> {
    let id = groups.id(&request.group_id);
    let not_found = |why: String| Err(Refusal::new(ErrorCode::GroupIdNotFound, why));
    let group = match groups.groups.get(&id) {
        Some(Group::Consumer(group, _)) => group,
        Some(Group::Classic(_)) => return not_found(format!("Group {id} is not a consumer group.")),
        None => return not_found(format!("Group {id} not found.")),
    };
    let member_id = &*request.member_id;
    match request.instance_id.as_deref() {
        Some(instance) => drop(check_static(group, member_id, instance)?),
        None if !group.members().contains_key(member_id) => return Err(unknown_member(&id, member_id)),
        None => {}
    }
    if request.instance_id.is_some() && request.member_epoch == LEAVE_STATIC {
        if let Some((group, _, mut step)) = groups.consumer_step(&id, cx.now, effects) {
            leave_for_a_while(group, &mut step, member_id);
        }
    } else {
        let gone = BTreeSet::from([member_id.to_owned()]);
        remove(groups, &id, cx.now, &gone, format!("left: {member_id}"), effects);
    }
    Ok(ConsumerGroupHeartbeatResponse {
        member_id: Some(Cow::Owned(member_id.to_owned())),
        member_epoch: request.member_epoch,
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

/// A static member's partitions wait for it until its session ends. Commits under its old id are fenced from now on: whoever comes back has
/// its partitions since epoch 0.
fn leave_for_a_while(group: &mut ConsumerGroup, step: &mut Step<'_>, id: &str) {
    let member = group.members[id].clone();
    let since_0 = |owned: &OwnedPartitions| {
        let topics = owned.iter().map(|(topic, of)| (*topic, of.keys().map(|partition| (*partition, 0)).collect()));
        topics.collect()
    };
    let away =
        Member { epoch: LEAVE_STATIC, assigned: since_0(&member.assigned), revoking: OwnedPartitions::new(), ..member };
    let instance = away.instance_id.as_deref().unwrap_or_default();
    step.journal(format!("static member {instance} ({id}) has left for a while; its partitions wait for it"));
    let record = records::current(&step.id, id, &away);
    step.record(group, record);
}

/// Takes members out: their partitions are free, and the next epoch begins. When only members of the classic protocol stay, the group
/// becomes a classic one.
pub(super) fn remove(
    groups: &mut Groups,
    id: &GroupId,
    now: Now,
    gone: &BTreeSet<String>,
    why: String,
    effects: &mut Effects<Groups>,
) {
    let settings = Arc::clone(&groups.settings);
    let Some((group, _, mut step)) = groups.consumer_step(id, now, effects) else { return };
    if gone.is_empty() {
        return;
    }
    step.journal(why);
    if convert::is_downgrade(group, convert::Going::Out(gone), &settings) {
        let why = "only members of the classic protocol stay: the group becomes a classic one".to_owned();
        match downgrade(groups, id, now, gone, Some(why), effects) {
            Ok(()) => return,
            // What a member has said cannot be read: its group goes on as it is, without those who have gone.
            Err(refusal) => groups.journal.event(id, now, refusal.to_string()),
        }
    }
    let Some((group, sessions, mut step)) = groups.consumer_step(id, now, effects) else { return };
    fence(group, sessions, &mut step, gone);
    step.settle(group);
}

/// The group becomes a classic one of those who stay, and rebalances when there is a reason for it.
///
/// # Errors
/// When what members have said of themselves cannot be read; nothing has happened then.
pub(super) fn downgrade(
    groups: &mut Groups,
    id: &GroupId,
    now: Now,
    leaving: &BTreeSet<String>,
    rebalance: Option<String>,
    effects: &mut Effects<Groups>,
) -> Result<(), Refusal> {
    let Some(Group::Consumer(group, _)) = groups.groups.get(id) else { return Ok(()) };
    let classic = convert::downgraded(id, group, leaving, &groups.image, now)?;
    group.tombstones(id).into_iter().for_each(|record| effects.append_applied(record));
    effects.append_applied(classic.record(id));
    groups.groups.insert(GroupId::clone(id), Group::Classic(classic));
    if let Some((group, mut step)) = groups.classic_step(id, now, effects) {
        group.begin(&mut step, rebalance);
    }
    Ok(())
}

fn fence(group: &mut ConsumerGroup, sessions: &mut Sessions, step: &mut Step<'_>, gone: &BTreeSet<String>) {
    let mut regexes = BTreeSet::new();
    for id in gone {
        let Some(member) = group.members.get(id) else { continue };
        regexes.extend(member.regex().map(str::to_owned));
        let group_id = GroupId::clone(&step.id);
        for record in
            [records::no_current(&group_id, id), records::no_target(&group_id, id), records::no_member(&group_id, id)]
        {
            step.record(group, record);
        }
        sessions.forget(id);
    }
    for regex in regexes {
        if group.regex_subscribers(&regex) == 0 {
            let record = records::no_regex(&step.id, &regex);
            step.record(group, record);
        }
    }
    let hash = step.metadata_hash(group);
    step.bump(group, hash);
    if group.is_empty() {
        // The next member begins as in a new group: no interval keeps it waiting.
        let record = records::target_epoch(&step.id, group.epoch, 0);
        step.record(group, record);
    }
}
