//! Those who commit offsets: members of a classic group, which rebalance, and committers that are alone in their group.

use super::{Client, Cx, STATIC_TOPICS, Wire, decode};
use crate::model::Handle;
use base::{ErrorCode, Monotonic, SeededRng};
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::join_group_response::JoinGroupResponse;
use protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use std::borrow::Cow;

const GROUP: &str = "crew";
const TOPIC: &str = STATIC_TOPICS[0];
const COMMIT_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 8;

/// A commit of one partition of [`TOPIC`].
fn commit(group: &str, member: (i32, &str), partition: i32, offset: i64, tag: &str) -> OffsetCommitRequest<'static> {
    OffsetCommitRequest {
        group_id: Cow::Owned(group.to_owned()),
        generation_id_or_member_epoch: member.0,
        member_id: Cow::Owned(member.1.to_owned()),
        topics: vec![OffsetCommitRequestTopic {
            name: Cow::Borrowed(TOPIC),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(Cow::Owned(tag.to_owned())),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

/// A look-up of all partitions of [`TOPIC`].
pub(crate) fn fetch_offsets(group: &str, partitions: i32) -> OffsetFetchRequest<'static> {
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: Cow::Owned(group.to_owned()),
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: Cow::Borrowed(TOPIC),
                partition_indexes: (0..partitions).collect(),
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    }
}

fn partitions(cx: &Cx<'_>) -> i32 {
    cx.model.topics.get(TOPIC).map_or(0, |topic| topic.partitions)
}

/// How far a partition of [`TOPIC`] has been read.
fn position(cx: &mut Cx<'_>, partition: i32) -> Option<i64> {
    let id = cx.model.topics.get(TOPIC)?.id;
    Some(cx.model.log((id, partition)).seen_end())
}

/// Codes upon which a coordinator is asked again.
fn is_passing(code: Option<ErrorCode>) -> bool {
    matches!(
        code,
        Some(
            ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::RebalanceInProgress
        )
    )
}

/// What a commit's answer says; shared by all who commit.
fn committed(cx: &mut Cx<'_>, frame: &[u8], version: i16, handle: &Handle) -> Option<ErrorCode> {
    let answer = match decode::<OffsetCommitRequest<'_>>(frame, version) {
        Ok(answer) => answer,
        Err(what) => {
            cx.model.breach(what);
            return None;
        }
    };
    let code = answer.topics.first().and_then(|topic| topic.partitions.first()).map(|partition| partition.error_code);
    let code = code.and_then(ErrorCode::from_code);
    match code {
        Some(ErrorCode::None) => {
            cx.model.seen.commits += 1;
            cx.model.groups.confirm(handle, cx.step);
        }
        Some(
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::RebalanceInProgress
            | ErrorCode::CoordinatorLoadInProgress,
        ) => cx.model.groups.refuse(handle),
        Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::KafkaStorageError) => {}
        other => cx.model.breach(format!("OffsetCommit was refused with {other:?}")),
    }
    code
}

/// What a look-up's answer says.
pub(crate) fn looked_up(cx: &mut Cx<'_>, frame: &[u8], version: i16, group: &str, asked: u64) {
    let answer = match decode::<OffsetFetchRequest<'_>>(frame, version) {
        Ok(answer) => answer,
        Err(what) => return cx.model.breach(what),
    };
    let Some(found) = answer.groups.first() else {
        return cx.model.breach("OffsetFetch was answered without its group".to_owned());
    };
    match ErrorCode::from_code(found.error_code) {
        Some(ErrorCode::None) => {}
        code if is_passing(code) => return,
        other => return cx.model.breach(format!("OffsetFetch was refused with {other:?}")),
    }
    for partition in found.topics.iter().flat_map(|topic| &topic.partitions) {
        let tag = partition.metadata.as_deref().unwrap_or_default();
        let found = (partition.committed_offset, tag);
        let result = cx.model.groups.read(group, TOPIC, partition.partition_index, found, asked);
        cx.model.check(result);
    }
}

enum Sent {
    Join,
    Sync(i32),
    Heartbeat,
    Leave,
    Commit(Handle),
    Look(u64),
}

enum State {
    Out,
    Joining,
    /// Joined, and sent or about to send its assignment: generation, and what the leader assigns.
    Joined(i32, Vec<(String, Vec<i32>)>),
    Syncing,
    In(i32, Vec<i32>),
}

/// A member of the group.
pub(crate) struct Member {
    rng: SeededRng,
    wire: Wire<Sent>,
    id: String,
    state: State,
    rests_until: Monotonic,
    heartbeat_at: Monotonic,
}

impl Member {
    pub(crate) fn new(number: usize, rng: SeededRng) -> Member {
        Member {
            rng,
            wire: Wire::new(format!("member-{number}")),
            id: String::new(),
            state: State::Out,
            rests_until: Monotonic(0),
            heartbeat_at: Monotonic(0),
        }
    }

    fn join(&mut self, cx: &mut Cx<'_>) {
        let request = JoinGroupRequest {
            group_id: Cow::Borrowed(GROUP),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 5_000,
            member_id: Cow::Owned(self.id.clone()),
            protocol_type: Cow::Borrowed("sim"),
            protocols: vec![JoinGroupRequestProtocol {
                name: Cow::Borrowed("deal"),
                metadata: Cow::Borrowed(b"m"),
                ..JoinGroupRequestProtocol::default()
            }],
            ..JoinGroupRequest::default()
        };
        self.state = State::Joining;
        self.wire.send(cx, 7, &request, Sent::Join);
    }

    fn sync(&mut self, cx: &mut Cx<'_>, generation: i32, deal: &[(String, Vec<i32>)]) {
        let assignments = deal.iter().map(|(member, partitions)| SyncGroupRequestAssignment {
            member_id: Cow::Borrowed(member.as_str()),
            assignment: Cow::Owned(partitions.iter().flat_map(|partition| partition.to_be_bytes()).collect()),
            ..SyncGroupRequestAssignment::default()
        });
        let request = SyncGroupRequest {
            group_id: Cow::Borrowed(GROUP),
            generation_id: generation,
            member_id: Cow::Owned(self.id.clone()),
            protocol_type: Some(Cow::Borrowed("sim")),
            protocol_name: Some(Cow::Borrowed("deal")),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        self.state = State::Syncing;
        self.wire.send(cx, 5, &request, Sent::Sync(generation));
    }

    fn act_within(&mut self, cx: &mut Cx<'_>, generation: i32, owned: &[i32]) {
        if cx.now >= self.heartbeat_at {
            self.heartbeat_at = cx.now.plus_millis(2_000);
            let request = HeartbeatRequest {
                group_id: Cow::Borrowed(GROUP),
                generation_id: generation,
                member_id: Cow::Owned(self.id.clone()),
                ..HeartbeatRequest::default()
            };
            return self.wire.send(cx, 4, &request, Sent::Heartbeat);
        }
        match self.rng.below(40) {
            0 if !cx.is_ending => {
                let member = MemberIdentity { member_id: Cow::Owned(self.id.clone()), ..MemberIdentity::default() };
                let request = LeaveGroupRequest {
                    group_id: Cow::Borrowed(GROUP),
                    members: vec![member],
                    ..LeaveGroupRequest::default()
                };
                self.wire.send(cx, 5, &request, Sent::Leave);
            }
            1..=12 if !owned.is_empty() && !cx.is_ending => {
                let partition = owned[self.rng.below(owned.len() as u64) as usize];
                let Some(offset) = position(cx, partition) else { return };
                let (handle, tag) = cx.model.groups.ask(GROUP, TOPIC, partition, offset, cx.step);
                let request = commit(GROUP, (generation, &self.id), partition, offset, &tag);
                self.wire.send(cx, COMMIT_VERSION, &request, Sent::Commit(handle));
            }
            13..=16 if !cx.is_ending => {
                let request = fetch_offsets(GROUP, partitions(cx));
                self.wire.send(cx, FETCH_VERSION, &request, Sent::Look(cx.step));
            }
            _ => self.rests_until = cx.now.plus_millis(self.rng.below(300) as i64),
        }
    }

    fn joined(&mut self, cx: &mut Cx<'_>, answer: &JoinGroupResponse<'_>) {
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {
                self.id = answer.member_id.to_string();
                let mut deal: Vec<(String, Vec<i32>)> =
                    answer.members.iter().map(|member| (member.member_id.to_string(), Vec::new())).collect();
                if answer.leader == answer.member_id && !deal.is_empty() {
                    for partition in 0..partitions(cx) {
                        let to = partition as usize % deal.len();
                        deal[to].1.push(partition);
                    }
                }
                self.state = State::Joined(answer.generation_id, deal);
            }
            Some(ErrorCode::MemberIdRequired) => {
                self.id = answer.member_id.to_string();
                self.state = State::Out;
            }
            code => self.lost(cx, code, "JoinGroup"),
        }
    }

    /// The group has gone on without it, or goes on to another generation.
    fn lost(&mut self, cx: &mut Cx<'_>, code: Option<ErrorCode>, api: &str) {
        match code {
            Some(ErrorCode::UnknownMemberId) => self.id.clear(),
            Some(ErrorCode::IllegalGeneration | ErrorCode::KafkaStorageError) => {}
            code if is_passing(code) => {}
            other => cx.model.breach(format!("{api} was refused with {other:?}")),
        }
        self.state = State::Out;
        self.rests_until = cx.now.plus_millis(self.rng.below(200) as i64);
    }

    fn synced(&mut self, cx: &mut Cx<'_>, generation: i32, assignment: &[u8]) {
        let owned: Vec<i32> = assignment
            .chunks_exact(4)
            .filter_map(|four| four.first_chunk::<4>())
            .map(|four| i32::from_be_bytes(*four))
            .collect();
        cx.model.seen.assignments += 1;
        for partition in &owned {
            let found = cx.model.groups.own(GROUP, generation, *partition, &self.id);
            cx.model.check(found);
        }
        self.state = State::In(generation, owned);
    }
}

impl Client for Member {
    fn act(&mut self, cx: &mut Cx<'_>) {
        self.wire.check_patience(cx);
        if cx.disconnect || self.wire.len() > 0 || cx.now < self.rests_until || partitions(cx) == 0 {
            return;
        }
        match std::mem::replace(&mut self.state, State::Out) {
            State::Out | State::Joining | State::Syncing => self.join(cx),
            State::Joined(generation, deal) => self.sync(cx, generation, &deal),
            State::In(generation, owned) => {
                self.act_within(cx, generation, &owned);
                self.state = State::In(generation, owned);
            }
        }
    }

    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let Some((version, sent)) = self.wire.next() else { return };
        let code = match sent {
            Sent::Join => match decode::<JoinGroupRequest<'_>>(frame, version) {
                Ok(answer) => return self.joined(cx, &answer),
                Err(what) => return cx.model.breach(what),
            },
            Sent::Sync(generation) => match decode::<SyncGroupRequest<'_>>(frame, version) {
                Ok(answer) if answer.error_code == 0 => return self.synced(cx, generation, &answer.assignment),
                Ok(answer) => ErrorCode::from_code(answer.error_code),
                Err(what) => return cx.model.breach(what),
            },
            Sent::Heartbeat => match decode::<HeartbeatRequest<'_>>(frame, version) {
                Ok(answer) => ErrorCode::from_code(answer.error_code),
                Err(what) => return cx.model.breach(what),
            },
            Sent::Leave => {
                self.id.clear();
                self.state = State::Out;
                return;
            }
            Sent::Commit(handle) => committed(cx, frame, version, &handle),
            Sent::Look(asked) => return looked_up(cx, frame, version, GROUP, asked),
        };
        if code != Some(ErrorCode::None) {
            self.lost(cx, code, "a member's request");
        }
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>) {
        drop(self.wire.drain());
        self.state = State::Out;
        self.rests_until = cx.now.plus_millis(self.rng.below(500) as i64);
    }

    fn waits_for(&self) -> Option<String> {
        match self.state {
            State::In(..) => None,
            _ => Some(format!("{} is not in its group", self.wire.name)),
        }
    }
}

/// One who commits alone in its group, without being a member.
pub(crate) struct Committer {
    rng: SeededRng,
    group: String,
    wire: Wire<Sent>,
    rests_until: Monotonic,
}

impl Committer {
    pub(crate) fn new(number: usize, rng: SeededRng) -> Committer {
        Committer {
            rng,
            group: format!("solo-{number}"),
            wire: Wire::new(format!("committer-{number}")),
            rests_until: Monotonic(0),
        }
    }
}

impl Client for Committer {
    fn act(&mut self, cx: &mut Cx<'_>) {
        self.wire.check_patience(cx);
        let count = partitions(cx);
        if cx.disconnect || cx.is_ending || self.wire.len() > 1 || cx.now < self.rests_until || count == 0 {
            return;
        }
        self.rests_until = cx.now.plus_millis(self.rng.below(100) as i64);
        if self.rng.below(3) == 0 {
            let request = fetch_offsets(&self.group, count);
            return self.wire.send(cx, FETCH_VERSION, &request, Sent::Look(cx.step));
        }
        let partition = self.rng.below(u64::from(count.unsigned_abs())) as i32;
        let Some(offset) = position(cx, partition) else { return };
        let (handle, tag) = cx.model.groups.ask(&self.group, TOPIC, partition, offset, cx.step);
        self.wire.send(
            cx,
            COMMIT_VERSION,
            &commit(&self.group, (-1, ""), partition, offset, &tag),
            Sent::Commit(handle),
        );
    }

    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        match self.wire.next() {
            Some((version, Sent::Commit(handle))) => drop(committed(cx, frame, version, &handle)),
            Some((version, Sent::Look(asked))) => looked_up(cx, frame, version, &self.group, asked),
            Some(_) | None => {}
        }
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>) {
        drop(self.wire.drain());
        self.rests_until = cx.now.plus_millis(self.rng.below(300) as i64);
    }

    fn waits_for(&self) -> Option<String> {
        (self.wire.len() > 0).then(|| format!("{} waits for a reply", self.wire.name))
    }
}
