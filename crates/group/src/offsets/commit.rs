//! OffsetCommit, OffsetDelete, and offsets that nobody needs any more.

use super::tombstone;
use crate::group_id::GroupId;
use crate::groups::{Group, Groups, Reply, RequestContext, Timer};
use crate::{ClassicGroup, Record, refuse};
use base::{ErrorCode, Refusal};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use protocol::messages::offset_commit_value::OffsetCommitValue;
use protocol::messages::offset_delete_request::OffsetDeleteRequest;
use protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use rsm::{Effects, Now};
use std::borrow::Cow;

/// From this version on a group that does not exist is called so.
const GROUP_ID_NOT_FOUND_FROM: i16 = 9;

impl Groups {
    /// Answers an OffsetCommit whose topics exist; names are resolved.
    ///
    /// # Errors
    /// Through the reply: the code that all partitions are answered with.
    pub fn commit_offsets(
        &mut self,
        cx: RequestContext<'_>,
        request: &OffsetCommitRequest<'_>,
        effects: &mut Effects<Groups>,
    ) {
        let id = self.id(&request.group_id);
        if let Err(refusal) = self.check_commit(&id, cx, request, effects).and_then(|()| self.check_partitions(request))
        {
            effects.reply(cx.ticket, Err(refusal));
            return;
        }
        let expire_timestamp = match request.retention_time_ms {
            -1 => -1,
            retention_ms => cx.now.wall.plus_millis(retention_ms).0,
        };
        let mut committed = 0;
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let code = match self.offset_record(&request.group_id, topic, partition, cx.now, expire_timestamp) {
                    Ok(record) => {
                        effects.append(record);
                        committed += 1;
                        ErrorCode::None
                    }
                    Err(code) => code,
                };
                OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code.code(),
                    ..OffsetCommitResponsePartition::default()
                }
            });
            OffsetCommitResponseTopic {
                name: Cow::Owned(topic.name.to_string()),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..OffsetCommitResponseTopic::default()
            }
        });
        let topics = topics.collect();
        self.activity.offset_commits += committed;
        effects.reply(
            cx.ticket,
            Ok(Reply::OffsetCommit(OffsetCommitResponse { topics, ..OffsetCommitResponse::default() })),
        );
    }

    fn check_commit(
        &mut self,
        id: &GroupId,
        cx: RequestContext<'_>,
        request: &OffsetCommitRequest<'_>,
        effects: &mut Effects<Groups>,
    ) -> Result<(), Refusal> {
        if !self.groups.contains_key(id) {
            // Without a generation it is an operator, or a consumer that is given its partitions by hand.
            if request.generation_id_or_member_epoch >= 0 {
                let known = cx.version >= GROUP_ID_NOT_FOUND_FROM;
                return Err(refuse(if known { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration }));
            }
            self.groups.insert(GroupId::clone(id), Group::Classic(ClassicGroup::simple()));
        }
        let (member, instance) = (&*request.member_id, request.group_instance_id.as_deref());
        let generation = request.generation_id_or_member_epoch;
        if let Some(Group::Consumer(group, _)) = self.groups.get(id) {
            return group.check_commit(id, member, generation, cx.version).map(drop);
        }
        match self.classic_step(id, cx.now, effects) {
            Some((group, mut step)) => group.check_commit(&mut step, member, instance, generation),
            None => Err(refuse(ErrorCode::GroupIdNotFound)),
        }
    }

    /// A member of a consumer group that has not heard of its newest epoch may commit what it has had all the while; one partition that it
    /// has not refuses them all, but for those whose metadata is too large anyway.
    fn check_partitions(&self, request: &OffsetCommitRequest<'_>) -> Result<(), Refusal> {
        let id = &*request.group_id;
        let Some(Group::Consumer(group, _)) = self.groups.get(id) else { return Ok(()) };
        let epoch = request.generation_id_or_member_epoch;
        let check = group.check_commit(id, &request.member_id, epoch, i16::MAX)?;
        for topic in &request.topics {
            for partition in topic.partitions.iter().filter(|partition| !self.is_too_large(partition)) {
                check.of(topic.topic_id, partition.partition_index)?;
            }
        }
        Ok(())
    }

    fn is_too_large(&self, partition: &OffsetCommitRequestPartition<'_>) -> bool {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        metadata.encode_utf16().count() > self.settings.offset_metadata_max
    }

    fn offset_record(
        &self,
        group: &str,
        topic: &OffsetCommitRequestTopic<'_>,
        partition: &OffsetCommitRequestPartition<'_>,
        now: Now,
        expire_timestamp: i64,
    ) -> Result<Record, ErrorCode> {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        if self.is_too_large(partition) {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let key = OffsetCommitKey {
            group: Cow::Owned(group.to_owned()),
            topic: Cow::Owned(topic.name.to_string()),
            partition: partition.partition_index,
        };
        let value = OffsetCommitValue {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: Cow::Owned(metadata.to_owned()),
            commit_timestamp: now.wall.0,
            expire_timestamp,
            // The form with an expiry has no place for the id.
            topic_id: if expire_timestamp == -1 { topic.topic_id } else { base::Uuid::ZERO },
            ..OffsetCommitValue::default()
        };
        Ok(Record::Offset(key, Some(value)))
    }

    /// Answers an OffsetDelete.
    pub fn delete_offsets(
        &mut self,
        cx: RequestContext<'_>,
        request: &OffsetDeleteRequest<'_>,
        effects: &mut Effects<Groups>,
    ) {
        let checked = match self.groups.get(&*request.group_id) {
            Some(Group::Classic(group)) => group.check_delete_offsets(),
            Some(Group::Consumer(..)) => Ok(()),
            None => Err(refuse(ErrorCode::GroupIdNotFound)),
        };
        if let Err(refusal) = checked {
            effects.reply(cx.ticket, Err(refusal));
            return;
        }
        let mut deletions = 0;
        let topics = request.topics.iter().map(|topic| {
            let is_read = self.is_subscribed(&request.group_id, &topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                if is_read {
                    return deleted(index, ErrorCode::GroupSubscribedToTopic);
                }
                let (group, topic) = (&*request.group_id, &*topic.name);
                if self.offsets.get(group, topic, index).is_some() || self.offsets.is_unstable(group, topic, index) {
                    effects.append(tombstone(group, topic, index));
                    deletions += 1;
                }
                deleted(index, ErrorCode::None)
            });
            OffsetDeleteResponseTopic { name: Cow::Owned(topic.name.to_string()), partitions: partitions.collect() }
        });
        let topics = topics.collect();
        self.activity.offset_deletions += deletions;
        effects.reply(
            cx.ticket,
            Ok(Reply::OffsetDelete(OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() })),
        );
    }

    fn is_subscribed(&self, group: &str, topic: &str) -> bool {
        match self.groups.get(group) {
            Some(Group::Classic(group)) => group.is_subscribed_to(topic),
            Some(Group::Consumer(group, _)) => group.is_subscribed_to(topic),
            None => false,
        }
    }

    pub(crate) fn schedule_retention(&self, now: Now, effects: &mut Effects<Groups>) {
        effects.wake(Timer::OffsetRetention, now.mono.plus_millis(self.settings.offsets_retention_check_ms));
    }

    /// Removes offsets that have outlived their retention, and groups that have neither members nor offsets (KIP-211).
    pub(crate) fn expire_offsets(&mut self, now: Now, effects: &mut Effects<Groups>) {
        let mut expirations = 0;
        for (id, group) in &self.groups {
            let expired = self.expired_offsets(id, group, now);
            let kept = self.offsets.of_group(id).map_or(0, |topics| topics.values().map(|of| of.len()).sum::<usize>());
            let is_done = expired.len() == kept && !self.offsets.has_open_transaction(id);
            expirations += expired.len() as u64;
            for record in expired {
                effects.append(record);
                effects.end_part();
            }
            match group {
                Group::Classic(group) if is_done && group.is_empty() => effects.append(ClassicGroup::tombstone(id)),
                Group::Consumer(group, _) if is_done && group.is_empty() => {
                    group.tombstones(id).into_iter().for_each(|record| effects.append(record));
                }
                Group::Classic(_) | Group::Consumer(..) => {}
            }
            effects.end_part();
        }
        self.activity.offset_expirations += expirations;
    }

    fn expired_offsets(&self, id: &str, group: &Group, now: Now) -> Vec<Record> {
        let age_from = |commit_timestamp: i64| match group {
            Group::Classic(group) => group.offset_age_from(commit_timestamp),
            Group::Consumer(..) => Some(commit_timestamp),
        };
        let mut records = Vec::new();
        for (topic, partitions) in self.offsets.of_group(id).into_iter().flatten() {
            if self.is_subscribed(id, topic) {
                continue;
            }
            for (partition, committed) in partitions {
                let Some(from) = age_from(committed.commit_timestamp) else { continue };
                let is_old = if committed.expire_timestamp == -1 {
                    now.wall.0.saturating_sub(from) >= self.settings.offsets_retention_ms
                } else {
                    now.wall.0 >= committed.expire_timestamp
                };
                if is_old && !self.offsets.is_unstable(id, topic, *partition) {
                    records.push(tombstone(id, topic, *partition));
                }
            }
        }
        records
    }
}

fn deleted(partition_index: i32, code: ErrorCode) -> OffsetDeleteResponsePartition {
    OffsetDeleteResponsePartition { partition_index, error_code: code.code() }
}
