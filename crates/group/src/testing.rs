//! A shard with a log in memory that commits at once, and clients that say what they were told.

use crate::{Groups, Record, Reply, RequestContext, Settings};
use base::{ErrorCode, Monotonic, Offset, Refusal, SeededRng, Timestamp, Uuid};
use metadata::MetadataImage;
use protocol::messages as m;
use rsm::{Effects, Now, Origin, Shard, Ticket};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A shard under test.
pub(crate) struct World {
    pub(crate) shard: Shard<Groups>,
    pub(crate) now: Now,
    pub(crate) log: Vec<Record>,
    replies: BTreeMap<u64, Result<Reply, Refusal>>,
    next_ticket: u64,
    settings: Arc<Settings>,
    image: MetadataImage,
}

/// A ConsumerGroupHeartbeat in few words; `-` of a partition list is nothing.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) group: &'static str,
    pub(crate) member: String,
    pub(crate) epoch: i32,
    pub(crate) instance: Option<&'static str>,
    pub(crate) rack: Option<&'static str>,
    pub(crate) rebalance_ms: i32,
    pub(crate) topics: Option<Vec<&'static str>>,
    pub(crate) regex: Option<&'static str>,
    pub(crate) assignor: Option<&'static str>,
    pub(crate) owned: Option<Vec<(Uuid, Vec<i32>)>>,
    pub(crate) version: i16,
}

/// A member of group `g` that joins it and reads topic `t`.
pub(crate) fn comes(member: &str) -> Beat {
    Beat {
        group: "g",
        member: member.to_owned(),
        epoch: 0,
        instance: None,
        rack: None,
        rebalance_ms: 60_000,
        topics: Some(vec!["t"]),
        regex: None,
        assignor: None,
        owned: Some(Vec::new()),
        version: 1,
    }
}

/// A heartbeat that says nothing new.
pub(crate) fn beats(member: &str, epoch: i32) -> Beat {
    Beat { epoch, rebalance_ms: -1, topics: None, owned: None, ..comes(member) }
}

/// A JoinGroup in few words.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) group: &'static str,
    pub(crate) member: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) protocols: Vec<(&'static str, &'static [u8])>,
    pub(crate) protocol_type: &'static str,
    pub(crate) version: i16,
    pub(crate) session_ms: i32,
    pub(crate) rebalance_ms: i32,
}

/// A member of group `g` with one protocol, a session of 10 s and a rebalance timeout of 60 s.
pub(crate) fn joining(member: &str) -> Joining {
    Joining {
        group: "g",
        member: member.to_owned(),
        instance: None,
        protocols: vec![("range", b"r")],
        protocol_type: "consumer",
        version: 9,
        session_ms: 10_000,
        rebalance_ms: 60_000,
    }
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_image(settings, MetadataImage::default())
    }

    pub(crate) fn with_image(settings: Settings, image: MetadataImage) -> Self {
        let settings = Arc::new(settings);
        let groups = Groups::new(Arc::clone(&settings), image.clone(), SeededRng::new(7));
        let mut shard = Shard::new(groups);
        let now = Now { mono: Monotonic(1), wall: Timestamp(1_000_000) };
        shard.open(now, Offset::ZERO, Offset::ZERO);
        Self { shard, now, log: Vec::new(), replies: BTreeMap::new(), next_ticket: 1, settings, image }
    }

    /// Topics were made, changed or removed.
    pub(crate) fn publish(&mut self, change: impl FnOnce(&mut MetadataImage), topics: &[Uuid]) {
        change(&mut self.image);
        let offset = Offset(self.image.provenance().offset.0 + 1);
        self.image.set_provenance(metadata::Provenance { offset, ..self.image.provenance() });
        let (now, image) = (self.now, self.image.clone());
        self.shard.decide(|groups, effects| groups.on_metadata(now, image, topics, effects));
        self.commit();
    }

    /// A heartbeat and its answer.
    pub(crate) fn beat(
        &mut self,
        beat: &Beat,
    ) -> Result<m::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse<'static>, Refusal> {
        use m::consumer_group_heartbeat_request::{ConsumerGroupHeartbeatRequest, TopicPartitions};
        let owned = beat.owned.as_ref().map(|owned| {
            let topics = owned.iter().map(|(topic_id, partitions)| TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.clone(),
                ..Default::default()
            });
            topics.collect()
        });
        let request = ConsumerGroupHeartbeatRequest {
            group_id: Cow::Borrowed(beat.group),
            member_id: Cow::Borrowed(&beat.member),
            member_epoch: beat.epoch,
            instance_id: beat.instance.map(Cow::Borrowed),
            rack_id: beat.rack.map(Cow::Borrowed),
            rebalance_timeout_ms: beat.rebalance_ms,
            subscribed_topic_names: beat.topics.as_ref().map(|names| names.iter().map(|n| Cow::Borrowed(*n)).collect()),
            subscribed_topic_regex: beat.regex.map(Cow::Borrowed),
            server_assignor: beat.assignor.map(Cow::Borrowed),
            topic_partitions: owned,
            ..Default::default()
        };
        let ticket = self.ask(beat.version, |groups, cx, effects| groups.consumer_heartbeat(cx, &request, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::ConsumerHeartbeat(response))) => Ok(response),
            Some(Err(refusal)) => Err(refusal),
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    /// Makes a request and returns its ticket.
    pub(crate) fn ask(
        &mut self,
        version: i16,
        decide: impl FnOnce(&mut Groups, RequestContext<'_>, &mut Effects<Groups>),
    ) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let cx = RequestContext {
            now: self.now,
            ticket: Ticket(ticket),
            version,
            client_id: "client",
            client_host: "/127.0.0.1",
        };
        self.shard.decide(|groups, effects| decide(groups, cx, effects));
        self.commit();
        ticket
    }

    pub(crate) fn commit(&mut self) {
        while let Some(batch) = self.shard.take_batch() {
            self.log.extend(batch.records);
            let end = Offset(i64::try_from(self.log.len()).expect("few"));
            self.shard.on_appended(end);
            self.shard.on_high_watermark(end);
        }
        for release in self.shard.take_releases() {
            let again = self.replies.insert(release.ticket.0, release.reply);
            assert!(again.is_none(), "{:?} is answered twice", release.ticket);
        }
    }

    /// Lets time pass, firing what is due in between.
    pub(crate) fn pass(&mut self, ms: i64) {
        let end = self.now.mono.plus_millis(ms);
        let began = self.now;
        loop {
            let next = self.shard.next_deadline().filter(|at| *at <= end).unwrap_or(end);
            let passed = next.since(began.mono).as_millis();
            let wall = began.wall.plus_millis(i64::try_from(passed).expect("short"));
            self.now = Now { mono: next.max(self.now.mono), wall };
            self.shard.tick(self.now);
            self.commit();
            if next >= end {
                return;
            }
        }
    }

    /// The reply to a ticket, if there is one.
    pub(crate) fn reply(&mut self, ticket: u64) -> Option<Result<Reply, Refusal>> {
        self.replies.remove(&ticket)
    }

    pub(crate) fn waits(&self, ticket: u64) -> bool {
        !self.replies.contains_key(&ticket)
    }

    /// A new machine that has folded the log in.
    pub(crate) fn reload(&mut self) {
        let groups = Groups::new(Arc::clone(&self.settings), self.image.clone(), SeededRng::new(8));
        let mut shard = Shard::new(groups);
        for (at, record) in self.log.iter().enumerate() {
            let (key, value) = record.encode();
            let record = Record::decode(&key, value.as_deref()).expect("what was written can be read");
            let offset = Offset(i64::try_from(at).expect("few"));
            shard.load(&record, Origin::Loaded { offset, transaction: None });
        }
        let end = Offset(i64::try_from(self.log.len()).expect("few"));
        shard.open(self.now, end, end);
        self.shard = shard;
        self.replies.clear();
        self.commit();
    }

    pub(crate) fn join(&mut self, joining: &Joining) -> u64 {
        let protocols =
            joining.protocols.iter().map(|(name, metadata)| m::join_group_request::JoinGroupRequestProtocol {
                name: Cow::Borrowed(*name),
                metadata: Cow::Borrowed(*metadata),
                ..Default::default()
            });
        let request = m::join_group_request::JoinGroupRequest {
            group_id: Cow::Borrowed(joining.group),
            session_timeout_ms: joining.session_ms,
            rebalance_timeout_ms: joining.rebalance_ms,
            member_id: Cow::Borrowed(&joining.member),
            group_instance_id: joining.instance.map(Cow::Borrowed),
            protocol_type: Cow::Borrowed(joining.protocol_type),
            protocols: protocols.collect(),
            ..Default::default()
        };
        self.ask(joining.version, |groups, cx, effects| groups.join(cx, &request, effects))
    }

    /// The answer to a join that must be there.
    pub(crate) fn joined(&mut self, ticket: u64) -> m::join_group_response::JoinGroupResponse<'static> {
        match self.reply(ticket) {
            Some(Ok(Reply::Join(response))) => response,
            other => panic!("no answer to a join: {other:?}"),
        }
    }

    /// Joins twice, as a client without an id has to (KIP-394), and returns id and ticket.
    pub(crate) fn join_new(&mut self, joining: &Joining) -> (String, u64) {
        let first = self.join(joining);
        let first = self.joined(first);
        assert_eq!(code(first.error_code), ErrorCode::MemberIdRequired);
        let with_id = Joining { member: first.member_id.to_string(), ..joining.clone() };
        let ticket = self.join(&with_id);
        (with_id.member, ticket)
    }

    /// A LeaveGroup in a version that knows one member.
    pub(crate) fn leave_v2(&mut self, member: &str) -> ErrorCode {
        let request = m::leave_group_request::LeaveGroupRequest {
            group_id: "g".into(),
            member_id: member.into(),
            ..Default::default()
        };
        let ticket = self.ask(2, |groups, cx, effects| groups.leave(cx, &request, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::Leave(response))) => code(response.error_code),
            other => panic!("no answer to a leave: {other:?}"),
        }
    }

    pub(crate) fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &[u8])]) -> u64 {
        let assignments = assignments.iter().map(|(id, bytes)| m::sync_group_request::SyncGroupRequestAssignment {
            member_id: Cow::Borrowed(*id),
            assignment: Cow::Borrowed(*bytes),
            ..Default::default()
        });
        let request = m::sync_group_request::SyncGroupRequest {
            group_id: Cow::Borrowed("g"),
            generation_id: generation,
            member_id: Cow::Borrowed(member),
            assignments: assignments.collect(),
            ..Default::default()
        };
        self.ask(5, |groups, cx, effects| groups.sync(cx, &request, effects))
    }

    /// The answer to a sync that must be there: code and assignment.
    pub(crate) fn synced(&mut self, ticket: u64) -> (ErrorCode, Vec<u8>) {
        match self.reply(ticket) {
            Some(Ok(Reply::Sync(response))) => (code(response.error_code), response.assignment.to_vec()),
            other => panic!("no answer to a sync: {other:?}"),
        }
    }

    pub(crate) fn heartbeat(&mut self, member: &str, instance: Option<&str>, generation: i32) -> ErrorCode {
        let request = m::heartbeat_request::HeartbeatRequest {
            group_id: Cow::Borrowed("g"),
            generation_id: generation,
            member_id: Cow::Borrowed(member),
            group_instance_id: instance.map(Cow::Borrowed),
            ..Default::default()
        };
        let ticket = self.ask(4, |groups, cx, effects| groups.heartbeat(cx, &request, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::Heartbeat(response))) => code(response.error_code),
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    /// Leaves and returns the code of each member.
    pub(crate) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let members = members.iter().map(|(id, instance)| m::leave_group_request::MemberIdentity {
            member_id: Cow::Borrowed(*id),
            group_instance_id: instance.map(Cow::Borrowed),
            ..Default::default()
        });
        let request = m::leave_group_request::LeaveGroupRequest {
            group_id: Cow::Borrowed("g"),
            members: members.collect(),
            ..Default::default()
        };
        let ticket = self.ask(5, |groups, cx, effects| groups.leave(cx, &request, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::Leave(response))) => response.members.iter().map(|member| code(member.error_code)).collect(),
            other => panic!("no answer to a leave: {other:?}"),
        }
    }

    /// Commits one offset of topic `t` and returns the code.
    pub(crate) fn commit_offset(&mut self, member: &str, generation: i32, partition: i32, offset: i64) -> ErrorCode {
        self.commit_offset_v(9, member, generation, partition, offset)
    }

    /// The same in a version of OffsetCommit.
    pub(crate) fn commit_offset_v(
        &mut self,
        version: i16,
        member: &str,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> ErrorCode {
        self.commit_offset_of(version, member, None, generation, partition, offset)
    }

    /// The same of a static member.
    pub(crate) fn commit_offset_of(
        &mut self,
        version: i16,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> ErrorCode {
        use m::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
        let request = OffsetCommitRequest {
            group_id: Cow::Borrowed("g"),
            generation_id_or_member_epoch: generation,
            member_id: Cow::Borrowed(member),
            group_instance_id: instance.map(Cow::Borrowed),
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: Cow::Borrowed("t"),
                topic_id: self.image.topics().by_name("t").map_or(Uuid::ZERO, |topic| topic.id()),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let ticket = self.ask(version, |groups, cx, effects| groups.commit_offsets(cx, &request, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::OffsetCommit(response))) => code(response.topics[0].partitions[0].error_code),
            Some(Err(refusal)) => refusal.code,
            other => panic!("no answer to a commit: {other:?}"),
        }
    }

    /// Fetches all offsets and returns the code.
    pub(crate) fn fetch_offsets(&mut self, member: Option<&str>, epoch: i32) -> ErrorCode {
        let request = m::offset_fetch_request::OffsetFetchRequestGroup {
            group_id: Cow::Borrowed("g"),
            member_id: member.map(Cow::Borrowed),
            member_epoch: epoch,
            topics: None,
            ..Default::default()
        };
        let ticket = self.ask(9, |groups, cx, effects| groups.fetch_offsets(cx, &request, true, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::OffsetFetch(response))) => code(response.error_code),
            Some(Err(refusal)) => refusal.code,
            other => panic!("no answer to a fetch of offsets: {other:?}"),
        }
    }

    /// Deletes a group and returns the code.
    pub(crate) fn delete(&mut self, group: &str) -> ErrorCode {
        let ticket = self.ask(2, |groups, cx, effects| groups.delete(cx, &[group], effects));
        match self.reply(ticket) {
            Some(Ok(Reply::Delete(results))) => code(results[0].error_code),
            other => panic!("no answer to a deletion: {other:?}"),
        }
    }

    /// A group as ConsumerGroupDescribe tells it.
    pub(crate) fn describe_consumer(
        &mut self,
        group: &str,
    ) -> m::consumer_group_describe_response::DescribedGroup<'static> {
        let ticket = self.ask(1, |groups, cx, effects| groups.describe_consumers(cx, &[group], false, effects));
        match self.reply(ticket) {
            Some(Ok(Reply::ConsumerDescribe(mut described))) => described.remove(0),
            other => panic!("no answer to a ConsumerGroupDescribe: {other:?}"),
        }
    }

    /// Sets a config of a resource: 4 for brokers, 32 for a group.
    pub(crate) fn set_config(&mut self, kind: i8, of: &str, name: &str, value: &str) {
        let record = m::config_record::ConfigRecord {
            resource_type: kind,
            resource_name: Cow::Owned(of.to_owned()),
            name: Cow::Owned(name.to_owned()),
            value: Some(Cow::Owned(value.to_owned())),
            ..Default::default()
        };
        self.publish(|image| image.apply(&record.into(), &mut metadata::Changes::default()), &[]);
    }
}

pub(crate) fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("a code of Kafka")
}
