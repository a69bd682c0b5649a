//! One group with its members: by ConsumerGroupDescribe where that is a group of KIP-848, else by DescribeGroups.

use super::super::Admin;
use crate::error::Error;
use base::ErrorCode;
use net::Channel;
use protocol::ApiKey;
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use protocol::messages::consumer_group_describe_response as modern;
use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::messages::describe_groups_request::DescribeGroupsRequest;
use protocol::messages::describe_groups_response as classic;
use protocol::wire::{Decode, Reader, UnknownTags};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// From this version on DescribeGroups has tagged fields.
const CLASSIC_FLEXIBLE_FROM: i16 = 5;

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: String,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Its address, as the broker writes it: `/127.0.0.1`.
    pub client_host: String,
    /// Its epoch, in a group of KIP-848.
    pub epoch: Option<i32>,
    /// Its partitions, by topic; none when they cannot be read, as of members that are no consumers.
    pub assignment: Option<BTreeMap<String, Vec<i32>>>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// `classic` or `consumer`.
    pub group_type: &'static str,
    /// Such as `Stable`.
    pub state: String,
    /// Who shares the partitions out: `range`, `uniform`; empty while nobody has been chosen.
    pub assignor: String,
    /// The group's epoch, of a group of KIP-848.
    pub epoch: Option<i32>,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members, by id.
    pub members: Vec<GroupMember>,
    /// The last rebalances as JSON, oldest first, when they were asked for and the coordinator keeps them.
    pub journal: Option<String>,
}

impl Admin {
    /// Describes a group; `with_journal` asks for the last rebalances, which only Thalweg keeps.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when there is none.
    pub async fn describe_group(&self, group: &str, with_journal: bool) -> Result<GroupDescription, Error> {
        let what = format!("cannot describe group {group}");
        let attempt = async || {
            let (channel, node) = self.coordinator(group).await?;
            if channel.broker_versions(ApiKey::ConsumerGroupDescribe).is_some()
                && let Some(found) = describe_modern(&channel, node, &what, group, with_journal).await?
            {
                return Ok(found);
            }
            describe_classic(&channel, node, &what, group, with_journal).await
        };
        self.client.with_retries(&what, attempt).await
    }
}

fn tags(with_journal: bool) -> UnknownTags {
    if with_journal { UnknownTags::with(GROUP_JOURNAL, Vec::new()) } else { UnknownTags::default() }
}

fn journal(tags: &UnknownTags) -> Option<String> {
    tags.get(GROUP_JOURNAL).and_then(|json| String::from_utf8(json.to_vec()).ok())
}

/// `None` when the group is not of KIP-848.
async fn describe_modern(
    channel: &Channel,
    node: i32,
    what: &str,
    group: &str,
    with_journal: bool,
) -> Result<Option<GroupDescription>, Error> {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![Cow::Borrowed(group)],
        unknown_tags: tags(with_journal),
        ..ConsumerGroupDescribeRequest::default()
    };
    let version = channel.negotiate::<ConsumerGroupDescribeRequest<'_>>(0..=i16::MAX)?;
    let frame = channel.send(&request, version).await?;
    let mut response = frame.decode()?;
    let found = response.groups.pop().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
    match ErrorCode::from_code(found.error_code) {
        // The group without a name may have offsets, and is none of KIP-848.
        Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion | ErrorCode::InvalidGroupId) => {
            return Ok(None);
        }
        _ => Error::check(what, found.error_code, found.error_message.as_deref())?,
    }
    let mut members: Vec<GroupMember> = found.members.into_iter().map(modern_member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Some(GroupDescription {
        id: group.to_owned(),
        group_type: "consumer",
        state: found.group_state.into_owned(),
        assignor: found.assignor_name.into_owned(),
        epoch: Some(found.group_epoch),
        coordinator: node,
        members,
        journal: journal(&found.unknown_tags),
    }))
}

fn modern_member(member: modern::Member<'_>) -> GroupMember {
    let of = member.assignment.topic_partitions.into_iter();
    GroupMember {
        id: member.member_id.into_owned(),
        instance_id: member.instance_id.map(Cow::into_owned),
        client_id: member.client_id.into_owned(),
        client_host: member.client_host.into_owned(),
        epoch: Some(member.member_epoch),
        assignment: Some(of.map(|topic| (topic.topic_name.into_owned(), topic.partitions)).collect()),
    }
}

async fn describe_classic(
    channel: &Channel,
    node: i32,
    what: &str,
    group: &str,
    with_journal: bool,
) -> Result<GroupDescription, Error> {
    let version = channel.negotiate::<DescribeGroupsRequest<'_>>(0..=i16::MAX)?;
    let request = DescribeGroupsRequest {
        groups: vec![Cow::Borrowed(group)],
        unknown_tags: tags(with_journal && version >= CLASSIC_FLEXIBLE_FROM),
        ..DescribeGroupsRequest::default()
    };
    let frame = channel.send(&request, version).await?;
    let mut response = frame.decode()?;
    let found = response.groups.pop().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
    Error::check(what, found.error_code, found.error_message.as_deref())?;
    // Before version 6 a group that does not exist is a dead one.
    if found.group_state == "Dead" {
        return Err(Error::broker(what, ErrorCode::GroupIdNotFound.code(), None));
    }
    let is_consumers = found.protocol_type.is_empty() || found.protocol_type == "consumer";
    let mut members: Vec<GroupMember> =
        found.members.into_iter().map(|member| classic_member(member, is_consumers)).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(GroupDescription {
        id: group.to_owned(),
        group_type: "classic",
        state: found.group_state.into_owned(),
        assignor: found.protocol_data.into_owned(),
        epoch: None,
        coordinator: node,
        members,
        journal: journal(&found.unknown_tags),
    })
}

fn classic_member(member: classic::DescribedGroupMember<'_>, is_consumer: bool) -> GroupMember {
    GroupMember {
        id: member.member_id.into_owned(),
        instance_id: member.group_instance_id.map(Cow::into_owned),
        client_id: member.client_id.into_owned(),
        client_host: member.client_host.into_owned(),
        epoch: None,
        assignment: if is_consumer { assignment(&member.member_assignment) } else { None },
    }
}

/// What the leader of a classic group wrote; only the part that every version begins with.
fn assignment(bytes: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    if bytes.is_empty() {
        return Some(BTreeMap::new());
    }
    let mut reader = Reader::new(bytes);
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    let read = ConsumerProtocolAssignment::decode(&mut reader, 0).ok()?;
    Some(read.assigned_partitions.into_iter().map(|of| (of.topic.into_owned(), of.partitions)).collect())
}
