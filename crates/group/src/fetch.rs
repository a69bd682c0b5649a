//! OffsetFetch, one group at a time.

use crate::groups::{Group, Groups, Reply, RequestContext};
use crate::offsets::Committed;
use base::{ErrorCode, Uuid};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use rsm::Effects;
use std::borrow::Cow;

impl Groups {
    /// Answers one group of an OffsetFetch. No topics at all means all of them.
    ///
    /// # Errors
    /// Through the reply: a member of a consumer group that is not known, or says another epoch than it was told.
    pub fn fetch_offsets(
        &mut self,
        cx: RequestContext<'_>,
        request: &OffsetFetchRequestGroup<'_>,
        require_stable: bool,
        effects: &mut Effects<Groups>,
    ) {
        let group = &*request.group_id;
        let checked = match self.groups.get(group) {
            Some(Group::Consumer(known, _)) => {
                known.check_fetch(group, request.member_id.as_deref(), request.member_epoch)
            }
            Some(Group::Classic(_)) | None => Ok(()),
        };
        if let Err(refusal) = checked {
            effects.reply(cx.ticket, Err(refusal));
            return;
        }
        let topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| self.fetch_topic(group, topic, require_stable)).collect(),
            None => self.fetch_all(group, require_stable),
        };
        let response = OffsetFetchResponseGroup {
            group_id: Cow::Owned(group.to_owned()),
            topics,
            ..OffsetFetchResponseGroup::default()
        };
        effects.reply(cx.ticket, Ok(Reply::OffsetFetch(response)));
    }

    fn fetch_topic(
        &self,
        group: &str,
        topic: &OffsetFetchRequestTopics<'_>,
        require_stable: bool,
    ) -> OffsetFetchResponseTopics<'static> {
        let partitions = topic.partition_indexes.iter().map(|partition| {
            let is_its = |known: &&Committed| {
                known.topic_id == topic.topic_id || known.topic_id == Uuid::ZERO || topic.topic_id == Uuid::ZERO
            };
            let known = self.offsets.get(group, &topic.name, *partition).filter(is_its);
            self.fetched(group, &topic.name, *partition, known, require_stable)
        });
        OffsetFetchResponseTopics {
            name: Cow::Owned(topic.name.to_string()),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
            ..OffsetFetchResponseTopics::default()
        }
    }

    fn fetch_all(&self, group: &str, require_stable: bool) -> Vec<OffsetFetchResponseTopics<'static>> {
        let topics = self.offsets.of_group(group).into_iter().flatten().map(|(topic, partitions)| {
            let partitions = partitions
                .iter()
                .map(|(partition, known)| self.fetched(group, topic, *partition, Some(known), require_stable));
            OffsetFetchResponseTopics {
                name: Cow::Owned(topic.to_string()),
                partitions: partitions.collect(),
                ..OffsetFetchResponseTopics::default()
            }
        });
        topics.collect()
    }

    fn fetched(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        known: Option<&Committed>,
        require_stable: bool,
    ) -> OffsetFetchResponsePartitions<'static> {
        let none = OffsetFetchResponsePartitions {
            partition_index: partition,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(Cow::Borrowed("")),
            ..OffsetFetchResponsePartitions::default()
        };
        if require_stable && self.offsets.is_unstable(group, topic, partition) {
            return OffsetFetchResponsePartitions { error_code: ErrorCode::UnstableOffsetCommit.code(), ..none };
        }
        match known {
            Some(known) => OffsetFetchResponsePartitions {
                committed_offset: known.offset,
                committed_leader_epoch: known.leader_epoch,
                metadata: Some(Cow::Owned(known.metadata.to_string())),
                ..none
            },
            None => none,
        }
    }
}
