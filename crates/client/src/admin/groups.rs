//! Groups: list, describe, their offsets, and the end of them; of the classic protocol and of KIP-848's.
//!
//! Each request goes to the group's coordinator, which is looked up each time: a command asks once.

mod describe;
mod lag;

use super::Admin;
use crate::client::Lane;
use crate::error::Error;
use base::ErrorCode;
pub use describe::{GroupDescription, GroupMember};
pub use lag::{GroupLag, NextRecord};
use net::Channel;
use protocol::messages::delete_groups_request::DeleteGroupsRequest;
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::list_groups_request::ListGroupsRequest;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use protocol::messages::offset_fetch_response::{OffsetFetchResponse, OffsetFetchResponseTopics};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// From this version on FindCoordinator asks for several keys (KIP-699).
const COORDINATOR_KEYS_FROM: i16 = 4;
/// From these versions on ListGroups filters by state (KIP-518) and by type (KIP-848).
const STATES_FROM: i16 = 4;
const TYPES_FROM: i16 = 5;
/// From this version on OffsetFetch asks for several groups (KIP-709).
const FETCH_GROUPS_FROM: i16 = 8;
/// The last versions of OffsetFetch and OffsetCommit that name topics; later ones have only ids (KIP-848).
const NAMED_TOPICS_UNTIL: i16 = 9;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// `classic`, `consumer`, `share` or `streams`; empty when the broker is too old to say.
    pub group_type: String,
    /// Such as `consumer`; empty for a group that only holds offsets.
    pub protocol_type: String,
    /// Such as `Stable`; empty when the broker is too old to say.
    pub state: String,
}

/// Topic and partition.
pub type Place = (String, i32);

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the record that comes next.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 when it is not known.
    pub leader_epoch: i32,
    /// What the committer had to add.
    pub metadata: String,
}

impl Admin {
    /// All groups of the cluster, by id; only those in one of `states` and of one of `types`, where such are given.
    ///
    /// # Errors
    /// When a broker does not answer, or is too old for a filter.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, Error> {
        let names = |all: &[String]| all.iter().map(|name| Cow::Owned(name.clone())).collect::<Vec<_>>();
        let request = ListGroupsRequest {
            states_filter: names(states),
            types_filter: names(types),
            ..ListGroupsRequest::default()
        };
        let oldest = match (states.is_empty(), types.is_empty()) {
            (_, false) => TYPES_FROM,
            (false, true) => STATES_FROM,
            (true, true) => 0,
        };
        let brokers: Vec<i32> = self.client.refresh_all().await?.brokers.keys().copied().collect();
        let mut groups = BTreeMap::new();
        for node in brokers {
            let what = format!("cannot list the groups of broker {node}");
            let attempt = async || {
                let channel = self.client.channel(Lane::COMMON, node).await?;
                let version = channel.negotiate::<ListGroupsRequest<'_>>(oldest..=i16::MAX)?;
                let frame = channel.send(&request, version).await?;
                let response = frame.decode()?;
                Error::check(&*what, response.error_code, None)?;
                let listed = |group: protocol::messages::list_groups_response::ListedGroup<'_>| ListedGroup {
                    id: group.group_id.into_owned(),
                    group_type: group.group_type.into_owned(),
                    protocol_type: group.protocol_type.into_owned(),
                    state: group.group_state.into_owned(),
                };
                Ok(response.groups.into_iter().map(listed).collect::<Vec<_>>())
            };
            let listed = self.client.with_retries(&what, attempt).await?;
            groups.extend(listed.into_iter().map(|group| (group.id.clone(), group)));
        }
        Ok(groups.into_values().collect())
    }

    /// A connection to a group's coordinator, and its node.
    async fn coordinator(&self, group: &str) -> Result<(Channel, i32), Error> {
        let what = format!("cannot find the coordinator of group {group}");
        let channel = self.client.any_channel().await?;
        let version = channel.negotiate::<FindCoordinatorRequest<'_>>(0..=i16::MAX)?;
        let mut request = FindCoordinatorRequest::default();
        if version >= COORDINATOR_KEYS_FROM {
            request.coordinator_keys.push(Cow::Borrowed(group));
        } else {
            request.key = Cow::Borrowed(group);
        }
        let frame = channel.send(&request, version).await?;
        let response = frame.decode()?;
        let (code, message, node) = match response.coordinators.first() {
            Some(found) => (found.error_code, found.error_message.as_deref(), found.node_id),
            None => (response.error_code, response.error_message.as_deref(), response.node_id),
        };
        Error::check(what, code, message)?;
        if !self.client.metadata().brokers.contains_key(&node) {
            self.client.refresh_all().await?;
        }
        Ok((self.client.channel(Lane::COMMON, node).await?, node))
    }

    /// What a group has committed; nothing for a group that does not exist.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub async fn group_offsets(&self, group: &str) -> Result<BTreeMap<Place, CommittedOffset>, Error> {
        let what = format!("cannot fetch the offsets of group {group}");
        let attempt = async || {
            let (channel, _) = self.coordinator(group).await?;
            let version = channel.negotiate::<OffsetFetchRequest<'_>>(2..=NAMED_TOPICS_UNTIL)?;
            let mut request = OffsetFetchRequest::default();
            if version >= FETCH_GROUPS_FROM {
                let all = OffsetFetchRequestGroup { topics: None, ..OffsetFetchRequestGroup::default() };
                request.groups.push(OffsetFetchRequestGroup { group_id: Cow::Borrowed(group), ..all });
            } else {
                request.group_id = Cow::Borrowed(group);
                request.topics = None;
            }
            let frame = channel.send(&request, version).await?;
            committed(&what, frame.decode()?)
        };
        self.client.with_retries(&what, attempt).await
    }

    /// Commits offsets for a group that has no members; a group that does not exist begins with them.
    ///
    /// # Errors
    /// When the coordinator refuses one: UNKNOWN_MEMBER_ID when the group has members.
    pub async fn commit_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<Place, CommittedOffset>,
    ) -> Result<(), Error> {
        let what = format!("cannot commit offsets of group {group}");
        let mut topics: Vec<OffsetCommitRequestTopic<'_>> = Vec::new();
        for ((topic, partition), committed) in offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                committed_metadata: Some(Cow::Borrowed(&committed.metadata)),
                ..OffsetCommitRequestPartition::default()
            };
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(OffsetCommitRequestTopic {
                    name: Cow::Borrowed(topic),
                    partitions: vec![partition],
                    ..OffsetCommitRequestTopic::default()
                }),
            }
        }
        let request = OffsetCommitRequest {
            group_id: Cow::Borrowed(group),
            generation_id_or_member_epoch: -1,
            topics,
            ..OffsetCommitRequest::default()
        };
        let attempt = async || {
            let (channel, _) = self.coordinator(group).await?;
            let version = channel.negotiate::<OffsetCommitRequest<'_>>(2..=NAMED_TOPICS_UNTIL)?;
            let frame = channel.send(&request, version).await?;
            let response = frame.decode()?;
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let what = format!("{what}, {}-{}", topic.name, partition.partition_index);
                    Error::check(what, partition.error_code, None)?;
                }
            }
            Ok(())
        };
        self.client.with_retries(&what, attempt).await
    }

    /// Deletes a group without members, and its offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let what = format!("cannot delete group {group}");
        let request =
            DeleteGroupsRequest { groups_names: vec![Cow::Borrowed(group)], ..DeleteGroupsRequest::default() };
        let attempt = async || {
            let (channel, _) = self.coordinator(group).await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result =
                response.results.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())
        };
        self.client.with_retries(&what, attempt).await
    }
}

/// The offsets of the one group of a response of any version.
fn committed(what: &str, response: OffsetFetchResponse<'_>) -> Result<BTreeMap<Place, CommittedOffset>, Error> {
    Error::check(what, response.error_code, None)?;
    let mut offsets = BTreeMap::new();
    let mut take = |topic: &str, partition: i32, code: i16, committed: CommittedOffset| -> Result<(), Error> {
        Error::check(format!("{what}, {topic}-{partition}"), code, None)?;
        if committed.offset >= 0 {
            offsets.insert((topic.to_owned(), partition), committed);
        }
        Ok(())
    };
    for topic in &response.topics {
        for one in &topic.partitions {
            let metadata = one.metadata.as_deref().unwrap_or_default().to_owned();
            let (offset, leader_epoch) = (one.committed_offset, one.committed_leader_epoch);
            let committed = CommittedOffset { offset, leader_epoch, metadata };
            take(&topic.name, one.partition_index, one.error_code, committed)?;
        }
    }
    let mut groups = Vec::new();
    for group in response.groups {
        match ErrorCode::from_code(group.error_code) {
            // What is not there has committed nothing.
            Some(ErrorCode::GroupIdNotFound) => {}
            _ => Error::check(what, group.error_code, None)?,
        }
        groups.extend(group.topics);
    }
    for OffsetFetchResponseTopics { name, partitions, .. } in &groups {
        for one in partitions {
            let metadata = one.metadata.as_deref().unwrap_or_default().to_owned();
            let (offset, leader_epoch) = (one.committed_offset, one.committed_leader_epoch);
            let committed = CommittedOffset { offset, leader_epoch, metadata };
            take(name, one.partition_index, one.error_code, committed)?;
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests;
