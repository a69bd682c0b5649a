//! ListGroups, DescribeGroups and DeleteGroups, for the groups of one shard.

use crate::classic::{CONSUMER_PROTOCOL_TYPE, State};
use crate::groups::{Group, Groups, Reply, RequestContext};
use crate::offsets::Offsets;
use crate::{ClassicGroup, refuse};
use base::{ErrorCode, Refusal};
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::delete_groups_response::DeletableGroupResult;
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::messages::list_groups_response::ListedGroup;
use protocol::wire::UnknownTags;
use rsm::Effects;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// From this version on DescribeGroups calls a missing group missing; before, it is a dead one.
const DESCRIBE_NOT_FOUND_FROM: i16 = 6;

/// Which groups ListGroups shall show; an empty list means all. Names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// States, such as `stable`.
    pub states: Vec<String>,
    /// Types, such as `classic`.
    pub types: Vec<String>,
}

impl Groups {
    /// Answers this shard's part of a ListGroups.
    pub fn list(&mut self, cx: RequestContext<'_>, filter: &Filter, effects: &mut Effects<Groups>) {
        let listed = self.groups.iter().map(|(id, group)| match group {
            Group::Classic(group) => ListedGroup {
                group_id: Cow::Owned(id.to_string()),
                protocol_type: Cow::Owned(group.protocol_type().unwrap_or_default().to_owned()),
                group_state: Cow::Borrowed(group.state().name()),
                group_type: Cow::Borrowed("classic"),
                ..ListedGroup::default()
            },
            Group::Consumer(group, _) => ListedGroup {
                group_id: Cow::Owned(id.to_string()),
                protocol_type: Cow::Borrowed(CONSUMER_PROTOCOL_TYPE),
                group_state: Cow::Borrowed(group.state().name()),
                group_type: Cow::Borrowed("consumer"),
                ..ListedGroup::default()
            },
        });
        let wanted = |list: &[String], name: &str| list.is_empty() || list.contains(&name.to_ascii_lowercase());
        let listed = listed
            .filter(|group| wanted(&filter.states, &group.group_state) && wanted(&filter.types, &group.group_type));
        let listed = listed.collect();
        effects.reply(cx.ticket, Ok(Reply::List(listed)));
    }

    /// Answers this shard's part of a DescribeGroups; `with_journal` adds the last rebalances of each group as a tagged field of ours.
    /// A group that is named again is not described again: the answer could be of any size.
    pub fn describe(
        &mut self,
        cx: RequestContext<'_>,
        ids: &[&str],
        with_journal: bool,
        effects: &mut Effects<Groups>,
    ) {
        let mut told = BTreeSet::new();
        let ids = ids.iter().filter(|id| !self.groups.contains_key(**id) || told.insert(**id));
        let described = ids.map(|id| {
            let why = match self.groups.get(*id) {
                Some(Group::Classic(group)) => {
                    let mut described = describe_classic(id, group);
                    if with_journal {
                        described.unknown_tags = UnknownTags::with(GROUP_JOURNAL, self.journal.json(id));
                    }
                    return described;
                }
                Some(Group::Consumer(..)) => format!("Group {id} is not a classic group."),
                None => format!("Group {id} not found."),
            };
            let mut described = DescribedGroup {
                group_id: Cow::Owned((*id).to_owned()),
                group_state: Cow::Borrowed("Dead"),
                ..DescribedGroup::default()
            };
            if cx.version >= DESCRIBE_NOT_FOUND_FROM {
                described.error_code = ErrorCode::GroupIdNotFound.code();
                described.error_message = Some(Cow::Owned(why));
            }
            described
        });
        let described = described.collect();
        effects.reply(cx.ticket, Ok(Reply::Describe(described)));
    }

    /// Answers this shard's part of a DeleteGroups.
    pub fn delete(&mut self, cx: RequestContext<'_>, ids: &[&str], effects: &mut Effects<Groups>) {
        let results = ids.iter().map(|id| {
            let deleted = self.delete_one(id, effects);
            effects.end_part();
            DeletableGroupResult {
                group_id: Cow::Owned((*id).to_owned()),
                error_code: deleted.map_or_else(|refusal| refusal.code.code(), |()| 0),
                ..DeletableGroupResult::default()
            }
        });
        let results = results.collect();
        effects.reply(cx.ticket, Ok(Reply::Delete(results)));
    }

    fn delete_one(&mut self, id: &str, effects: &mut Effects<Groups>) -> Result<(), Refusal> {
        match self.groups.get(id) {
            Some(Group::Classic(group)) => {
                group.check_delete()?;
                self.activity.offset_deletions += delete_offsets(&self.offsets, id, effects);
                effects.append(ClassicGroup::tombstone(id));
                Ok(())
            }
            Some(Group::Consumer(group, _)) => {
                if !group.is_empty() {
                    return Err(refuse(ErrorCode::NonEmptyGroup));
                }
                self.activity.offset_deletions += delete_offsets(&self.offsets, id, effects);
                group.tombstones(id).into_iter().for_each(|record| effects.append(record));
                Ok(())
            }
            None => Err(refuse(ErrorCode::GroupIdNotFound)),
        }
    }
}

/// Removes everything that a group has committed; how many offsets that are.
fn delete_offsets(offsets: &Offsets, id: &str, effects: &mut Effects<Groups>) -> u64 {
    let records = offsets.tombstones_of_group(id);
    let count = records.len() as u64;
    records.into_iter().for_each(|record| effects.append(record));
    count
}

fn describe_classic(id: &str, group: &ClassicGroup) -> DescribedGroup<'static> {
    // What members told and were given is only settled between two rebalances.
    let settled = (group.state() == State::Stable).then(|| group.protocol().unwrap_or_default());
    let members = group.members().iter().map(|(member_id, member)| DescribedGroupMember {
        member_id: Cow::Owned(member_id.clone()),
        group_instance_id: member.instance_id.clone().map(Cow::Owned),
        client_id: Cow::Owned(member.client_id.clone()),
        client_host: Cow::Owned(member.client_host.clone()),
        member_metadata: Cow::Owned(settled.map_or_else(Vec::new, |protocol| member.metadata(protocol).to_vec())),
        member_assignment: Cow::Owned(settled.map_or_else(Vec::new, |_| member.assignment.clone())),
        ..DescribedGroupMember::default()
    });
    DescribedGroup {
        group_id: Cow::Owned(id.to_owned()),
        group_state: Cow::Borrowed(group.state().name()),
        protocol_type: Cow::Owned(group.protocol_type().unwrap_or_default().to_owned()),
        protocol_data: Cow::Owned(settled.unwrap_or_default().to_owned()),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

#[cfg(test)]
mod tests;
