//! The group coordinator: FindCoordinator, groups of the classic protocol from the first JoinGroup to DeleteGroups, their offsets, and
//! groups of the consumer protocol (KIP-848).
//!
//! A group has one member where its answers are noted, so that none depends on what another client does meanwhile.

use crate::read::KEPT;
use crate::script::Script;
use base::Uuid;
use protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use protocol::messages::consumer_group_heartbeat_request::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use protocol::messages::delete_groups_request::DeleteGroupsRequest;
use protocol::messages::describe_groups_request::DescribeGroupsRequest;
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use protocol::messages::list_groups_request::ListGroupsRequest;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};

/// A topic that offsets are committed of.
const TOPIC: &str = "of-groups";
/// The versions of JoinGroup from which on a member has to ask for its id first (KIP-394).
const ID_FIRST: i16 = 4;

pub(crate) fn groups(script: &mut Script) {
    await_coordinator(script);
    script.topic(TOPIC, 2, KEPT);
    find_coordinator(script);
    refused_joins(script);
    for v in 0..=9 {
        life_of_a_member(script, v);
    }
    simple_commits(script);
    offset_fetches(script);
    describe_and_list(script);
    delete(script);
    consumer_groups(script);
}

fn await_coordinator(script: &mut Script) {
    let asked = FindCoordinatorRequest { key: "any".into(), ..FindCoordinatorRequest::default() };
    while script.look(3, &asked, |response| response.error_code) != 0 {}
    let fetch = offsets_of("any", None);
    while script.look(7, &fetch, |response| response.error_code) != 0 {}
}

fn asked(v: i16, keys: &[&str], key_type: i8) -> FindCoordinatorRequest<'static> {
    if v < 4 {
        FindCoordinatorRequest {
            key: keys[0].to_owned().into(),
            key_type: if v == 0 { 0 } else { key_type },
            ..FindCoordinatorRequest::default()
        }
    } else {
        let coordinator_keys = keys.iter().map(|key| (*key).to_owned().into()).collect();
        FindCoordinatorRequest { key_type, coordinator_keys, ..FindCoordinatorRequest::default() }
    }
}

/// Coordinators of transactions, and of share groups: the last steps, because Kafka makes a topic for the first of them.
pub(crate) fn other_coordinators(script: &mut Script) {
    let not_yet = base::ErrorCode::CoordinatorNotAvailable.code();
    while script.look(3, &asked(3, &["some"], 1), |response| response.error_code) == not_yet {}
    script.within("transaction", 1..=6, |v| asked(v, &["some"], 1));
    script.within("share", 1..=6, |v| asked(v, &["some"], 2));
}

fn find_coordinator(script: &mut Script) {
    script.all("group", |v| asked(v, &["some"], 0));
    script.all("empty-key", |v| asked(v, &[""], 0));
    script.within("key-type-7", 1..=6, |v| asked(v, &["some"], 7));
    script.within("key-type-negative", 1..=6, |v| asked(v, &["some"], -1));
    script.within("two-keys", 4..=6, |v| asked(v, &["some", "other"], 0));
    script.within("same-key-twice", 4..=6, |v| asked(v, &["some", "some"], 0));
    script.within("no-keys", 4..=6, |v| asked(v, &[], 0));
}

fn join(group: &str, member: &str) -> JoinGroupRequest<'static> {
    let protocol = JoinGroupRequestProtocol {
        name: "mine".into(),
        metadata: vec![1, 2, 3].into(),
        ..JoinGroupRequestProtocol::default()
    };
    JoinGroupRequest {
        group_id: group.to_owned().into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned().into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

fn refused_joins(script: &mut Script) {
    script.all("empty-group", |_| join("", ""));
    script.all("session-too-short", |_| JoinGroupRequest { session_timeout_ms: 1, ..join("refused", "") });
    script.all("session-negative", |_| JoinGroupRequest { session_timeout_ms: -1, ..join("refused", "") });
    script.all("session-too-long", |_| JoinGroupRequest { session_timeout_ms: i32::MAX, ..join("refused", "") });
    script.all("no-protocols", |_| JoinGroupRequest { protocols: vec![], ..join("refused", "") });
    script.all("no-protocol-type", |_| JoinGroupRequest { protocol_type: "".into(), ..join("refused", "") });
    script.all("unknown-member", |_| join("refused", "nobody"));
    script.within("unknown-static-member", 5..=9, |_| JoinGroupRequest {
        group_instance_id: Some("one".into()),
        ..join("refused", "nobody")
    });
    script.within("empty-instance", 5..=9, |_| JoinGroupRequest {
        group_instance_id: Some("".into()),
        ..join("refused", "")
    });
}

/// Joins, syncs, commits, is refused what is not its right, and leaves. Versions of the other APIs go along as far as they reach.
fn life_of_a_member(script: &mut Script, v: i16) {
    let group = format!("life-v{v}");
    let mut member = String::new();
    let first = join(&group, "");
    script.one_with("first", v, &first, |response| {
        member = response.member_id.to_string();
        String::new()
    });
    if v >= ID_FIRST {
        script.one("with-its-id", v, &join(&group, &member));
    }
    script.one("other-protocol-type", v, &JoinGroupRequest { protocol_type: "other".into(), ..join(&group, "") });
    let other = JoinGroupRequestProtocol { name: "another".into(), ..JoinGroupRequestProtocol::default() };
    script.one("no-protocol-in-common", v, &JoinGroupRequest { protocols: vec![other], ..join(&group, "") });
    syncs(script, v.min(5), &group, &member);
    if v <= 4 {
        heartbeats(script, v, &group, &member);
    }
    if (2..=9).contains(&v) {
        commits(script, v, &group, &member);
    }
    script.one(&format!("stable.{group}"), v.min(6), &described(&[&group]));
    if v <= 3 {
        let names = vec![group.clone().into()];
        script.one("not-empty", v, &DeleteGroupsRequest { groups_names: names, ..DeleteGroupsRequest::default() });
    }
    if v == 0 {
        script.one("subscribed-or-not", 0, &deleted_offsets(&group, TOPIC, &[0]));
    }
    leaves(script, v.min(5), &group, &member);
    script.one(&format!("left.{group}"), v.min(6), &described(&[&group]));
}

fn syncs(script: &mut Script, v: i16, group: &str, member: &str) {
    let sync = |generation: i32, member: &str| SyncGroupRequest {
        group_id: group.to_owned().into(),
        generation_id: generation,
        member_id: member.to_owned().into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("mine".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.to_owned().into(),
            assignment: vec![7, 8, 9].into(),
            ..SyncGroupRequestAssignment::default()
        }],
        ..SyncGroupRequest::default()
    };
    // Only once a version: later lives of a capped version would note the same step again.
    let label = |name: &str| format!("{name}.{group}");
    script.one(&label("unknown-group"), v, &SyncGroupRequest { group_id: "absent".into(), ..sync(1, member) });
    script.one(&label("empty-group"), v, &SyncGroupRequest { group_id: "".into(), ..sync(1, member) });
    script.one(&label("unknown-member"), v, &sync(1, "nobody"));
    script.one(&label("generation-7"), v, &sync(7, member));
    script.one(&label("generation-minus-1"), v, &sync(-1, member));
    let other = SyncGroupRequest { protocol_name: Some("other".into()), ..sync(1, member) };
    if v >= 5 {
        script.one(&label("other-protocol"), v, &other);
        script.one(&label("other-type"), v, &SyncGroupRequest { protocol_type: Some("x".into()), ..sync(1, member) });
        script.one(&label("no-protocol"), v, &SyncGroupRequest { protocol_name: None, ..sync(1, member) });
    }
    script.one(&label("leader"), v, &sync(1, member));
    script.one(&label("again"), v, &SyncGroupRequest { assignments: vec![], ..sync(1, member) });
}

fn heartbeats(script: &mut Script, v: i16, group: &str, member: &str) {
    let beat = |group: &str, generation_id: i32, member: &str| HeartbeatRequest {
        group_id: group.to_owned().into(),
        generation_id,
        member_id: member.to_owned().into(),
        ..HeartbeatRequest::default()
    };
    script.one("member", v, &beat(group, 1, member));
    script.one("generation-0", v, &beat(group, 0, member));
    script.one("generation-2", v, &beat(group, 2, member));
    script.one("generation-minus-1", v, &beat(group, -1, member));
    script.one("unknown-member", v, &beat(group, 1, "nobody"));
    script.one("empty-member", v, &beat(group, 1, ""));
    script.one("unknown-group", v, &beat("absent", 1, member));
    script.one("empty-group", v, &beat("", 1, member));
    if v >= 3 {
        let named = HeartbeatRequest { group_instance_id: Some("one".into()), ..beat(group, 1, member) };
        script.one("not-static", v, &named);
    }
}

fn commit(script: &Script, v: i16, group: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest<'static> {
    let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        committed_metadata: Some("note".into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: if v < 10 { TOPIC.into() } else { "".into() },
        topic_id: if v < 10 { Uuid::ZERO } else { script.id(TOPIC) },
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

fn commits(script: &mut Script, v: i16, group: &str, member: &str) {
    let by = |script: &Script, generation: i32, member: &str| OffsetCommitRequest {
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned().into(),
        ..commit(script, v, group, &[(0, 11)])
    };
    let request = by(script, 1, member);
    script.one("by-member", v, &request);
    let request = by(script, 0, member);
    script.one("by-older-generation", v, &request);
    let request = by(script, 2, member);
    script.one("by-later-generation", v, &request);
    let request = by(script, 1, "nobody");
    script.one("by-nobody", v, &request);
    let request = by(script, -1, "");
    script.one("by-no-member", v, &request);
    let request = OffsetCommitRequest { group_id: "absent".into(), ..by(script, 1, member) };
    script.one("unknown-group", v, &request);
    if v >= 7 {
        let request = OffsetCommitRequest { group_instance_id: Some("one".into()), ..by(script, 1, member) };
        script.one("not-static", v, &request);
    }
}

/// Commits without a member: a group comes into being with its first offset.
fn simple_commits(script: &mut Script) {
    for v in 2..=10 {
        let group = format!("simple-v{v}");
        let request = commit(script, v, &group, &[(0, 5), (1, 0)]);
        script.one("simple", v, &request);
        let request = commit(script, v, "", &[(0, 5)]);
        script.one("empty-group", v, &request);
        let request = commit(script, v, &group, &[(0, -5), (1, i64::MAX)]);
        script.one("odd-offsets", v, &request);
        let request = commit(script, v, &group, &[(99, 1), (-1, 1)]);
        script.one("odd-partitions", v, &request);
        let request = commit(script, v, &group, &[(0, 6), (0, 7)]);
        script.one("same-partition-twice", v, &request);
        let request = commit(script, v, &group, &[]);
        script.one("no-partitions", v, &request);
        let request = OffsetCommitRequest { topics: vec![], ..commit(script, v, &group, &[]) };
        script.one("no-topics", v, &request);
        let mut request = commit(script, v, &group, &[(0, 8)]);
        request.topics[0].partitions[0].committed_metadata = Some("x".repeat(5_000).into());
        script.one("long-metadata", v, &request);
        request.topics[0].partitions[0].committed_metadata = None;
        script.one("null-metadata", v, &request);
        let mut request = commit(script, v, &group, &[(0, 8)]);
        request.topics[0].name = "absent".into();
        request.topics[0].topic_id = Uuid(77);
        script.one("unknown-topic", v, &request);
        let request = OffsetCommitRequest { generation_id_or_member_epoch: 0, ..commit(script, v, &group, &[(0, 9)]) };
        script.one("generation-without-member", v, &request);
    }
}

/// All offsets of a group, in a version below 8.
fn offsets_of(group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequest<'static> {
    let topic = |(name, partitions): &(&str, &[i32])| OffsetFetchRequestTopic {
        name: (*name).to_owned().into(),
        partition_indexes: partitions.to_vec(),
        ..OffsetFetchRequestTopic::default()
    };
    OffsetFetchRequest {
        group_id: group.to_owned().into(),
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
        ..OffsetFetchRequest::default()
    }
}

fn offset_fetches(script: &mut Script) {
    let id = script.id(TOPIC);
    let request = |v: i16, groups: &[&str], topics: Option<&[(&str, &[i32])]>| {
        if v < 8 {
            return offsets_of(groups[0], topics);
        }
        let topic = |(name, partitions): &(&str, &[i32])| OffsetFetchRequestTopics {
            name: if v < 10 { (*name).to_owned().into() } else { "".into() },
            topic_id: match *name {
                _ if v < 10 => Uuid::ZERO,
                TOPIC => id,
                _ => Uuid(77),
            },
            partition_indexes: partitions.to_vec(),
            ..OffsetFetchRequestTopics::default()
        };
        let group = |group: &&str| OffsetFetchRequestGroup {
            group_id: (*group).to_owned().into(),
            topics: topics.map(|topics| topics.iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        };
        OffsetFetchRequest { groups: groups.iter().map(group).collect(), ..OffsetFetchRequest::default() }
    };
    let known: &[&str] = &["simple-v7"];
    script.all("committed", |v| request(v, known, Some(&[(TOPIC, &[0, 1])])));
    script.within("all", 2..=10, |v| request(v, known, None));
    script.all("unknown-group", |v| request(v, &["absent"], Some(&[(TOPIC, &[0])])));
    script.within("all-of-unknown-group", 2..=10, |v| request(v, &["absent"], None));
    script.all("empty-group", |v| request(v, &[""], Some(&[(TOPIC, &[0])])));
    script.all("unknown-topic", |v| request(v, known, Some(&[("absent", &[0])])));
    script.all("odd-partitions", |v| request(v, known, Some(&[(TOPIC, &[9, -1])])));
    script.all("same-partition-twice", |v| request(v, known, Some(&[(TOPIC, &[0, 0])])));
    script.all("no-partitions", |v| request(v, known, Some(&[(TOPIC, &[])])));
    script.all("no-topics", |v| request(v, known, Some(&[])));
    script.within("two-groups", 8..=10, |v| request(v, &["simple-v7", "absent"], Some(&[(TOPIC, &[0])])));
    script.within("no-groups", 8..=10, |v| request(v, &[], None));
    script.within("same-group-twice", 8..=10, |v| request(v, &["simple-v7", "simple-v7"], None));
    script.within("by-nobody", 9..=10, |v| {
        let mut asked = request(v, known, None);
        asked.groups[0].member_id = Some("nobody".into());
        asked.groups[0].member_epoch = 3;
        asked
    });
}

fn described(groups: &[&str]) -> DescribeGroupsRequest<'static> {
    let groups = groups.iter().map(|group| (*group).to_owned().into()).collect();
    DescribeGroupsRequest { groups, ..DescribeGroupsRequest::default() }
}

fn describe_and_list(script: &mut Script) {
    script.all("simple", |_| described(&["simple-v7"]));
    script.all("unknown", |_| described(&["absent"]));
    script.all("empty-name", |_| described(&[""]));
    script.all("none", |_| described(&[]));
    script.all("same-twice", |_| described(&["absent", "absent"]));
    script.within("operations", 3..=6, |_| DescribeGroupsRequest {
        include_authorized_operations: true,
        ..described(&["simple-v7"])
    });
    let listed = |states: &[&str], types: &[&str]| ListGroupsRequest {
        states_filter: states.iter().map(|state| (*state).to_owned().into()).collect(),
        types_filter: types.iter().map(|kind| (*kind).to_owned().into()).collect(),
        ..ListGroupsRequest::default()
    };
    script.all("all", |_| listed(&[], &[]));
    script.within("empty-ones", 4..=5, |_| listed(&["Empty"], &[]));
    script.within("in-lower-case", 4..=5, |_| listed(&["stable"], &[]));
    script.within("odd-state", 4..=5, |_| listed(&["Sleeping"], &[]));
    script.within("classic-ones", 5..=5, |_| listed(&[], &["classic"]));
    script.within("share-ones", 5..=5, |_| listed(&[], &["share"]));
    script.within("odd-type", 5..=5, |_| listed(&[], &["odd"]));
}

fn deleted_offsets(group: &str, topic: &str, partitions: &[i32]) -> OffsetDeleteRequest<'static> {
    let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index };
    let topic = OffsetDeleteRequestTopic {
        name: topic.to_owned().into(),
        partitions: partitions.iter().map(partition).collect(),
    };
    OffsetDeleteRequest { group_id: group.to_owned().into(), topics: vec![topic] }
}

fn leaves(script: &mut Script, v: i16, group: &str, member: &str) {
    let leave = |group: &str, members: &[(&str, Option<&str>)]| {
        if v < 3 {
            return LeaveGroupRequest {
                group_id: group.to_owned().into(),
                member_id: members.first().map_or("", |(member, _)| *member).to_owned().into(),
                ..LeaveGroupRequest::default()
            };
        }
        let member = |(member, instance): &(&str, Option<&str>)| MemberIdentity {
            member_id: (*member).to_owned().into(),
            group_instance_id: instance.map(|instance| instance.to_owned().into()),
            ..MemberIdentity::default()
        };
        LeaveGroupRequest {
            group_id: group.to_owned().into(),
            members: members.iter().map(member).collect(),
            ..LeaveGroupRequest::default()
        }
    };
    let label = |name: &str| format!("{name}.{group}");
    script.one(&label("unknown-group"), v, &leave("absent", &[(member, None)]));
    script.one(&label("empty-group"), v, &leave("", &[(member, None)]));
    script.one(&label("unknown-member"), v, &leave(group, &[("nobody", None)]));
    script.one(&label("no-member"), v, &leave(group, &[]));
    if v >= 3 {
        script.one(&label("unknown-instance"), v, &leave(group, &[("", Some("one"))]));
        script.one(&label("one-of-two"), v, &leave(group, &[(member, None), ("nobody", None)]));
    } else {
        script.one(&label("member"), v, &leave(group, &[(member, None)]));
    }
    script.one(&label("again"), v, &leave(group, &[(member, None)]));
}

fn delete(script: &mut Script) {
    script.one("plain", 0, &deleted_offsets("simple-v7", TOPIC, &[0]));
    script.one("again", 0, &deleted_offsets("simple-v7", TOPIC, &[0, 9]));
    script.one("same-partition-twice", 0, &deleted_offsets("simple-v7", TOPIC, &[1, 1]));
    script.one("negative-partition", 0, &deleted_offsets("simple-v7", TOPIC, &[-1]));
    script.one("invalid-topic", 0, &deleted_offsets("simple-v7", "a b", &[0]));
    script.one("empty-topic", 0, &deleted_offsets("simple-v7", "", &[0]));
    script.one("unknown-topic", 0, &deleted_offsets("simple-v7", "absent", &[0]));
    script.one("unknown-group", 0, &deleted_offsets("absent", TOPIC, &[0]));
    script.one("empty-group", 0, &deleted_offsets("", TOPIC, &[0]));
    script.one("no-partitions", 0, &deleted_offsets("simple-v7", TOPIC, &[]));
    let none = OffsetDeleteRequest { topics: vec![], ..deleted_offsets("simple-v7", TOPIC, &[]) };
    script.one("no-topics", 0, &none);
    let deleted = |groups: &[&str]| DeleteGroupsRequest {
        groups_names: groups.iter().map(|group| (*group).to_owned().into()).collect(),
        ..DeleteGroupsRequest::default()
    };
    for v in 0..=2 {
        let group = format!("life-v{v}");
        script.one("plain", v, &deleted(&[&group]));
        script.one("again", v, &deleted(&[&group]));
    }
    script.all("unknown", |_| deleted(&["absent"]));
    script.all("empty-name", |_| deleted(&[""]));
    script.all("none", |_| deleted(&[]));
    script.all("same-twice", |_| deleted(&["absent", "absent"]));
}

fn beat(group: &str, member: &str, member_epoch: i32) -> ConsumerGroupHeartbeatRequest<'static> {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned().into(),
        member_id: member.to_owned().into(),
        member_epoch,
        rebalance_timeout_ms: -1,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// A first heartbeat.
fn entry(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest<'static> {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![TOPIC.into()]),
        topic_partitions: Some(vec![]),
        ..beat(group, member, 0)
    }
}

fn consumer_groups(script: &mut Script) {
    refused_entries(script);
    let id = script.id(TOPIC);
    let owned = |partitions: &[i32]| {
        Some(vec![TopicPartitions { topic_id: id, partitions: partitions.to_vec(), ..TopicPartitions::default() }])
    };
    for v in 0..=1 {
        let group = format!("new-v{v}");
        let member = "a-member-of-its-own";
        script.one("entry", v, &entry(&group, member));
        script.one("entry-again", v, &entry(&group, member));
        script.one(
            "beat",
            v,
            &ConsumerGroupHeartbeatRequest { topic_partitions: owned(&[0, 1]), ..beat(&group, member, 1) },
        );
        script.one("beat-without-change", v, &beat(&group, member, 1));
        script.one("older-epoch", v, &beat(&group, member, 0));
        script.one("later-epoch", v, &beat(&group, member, 9));
        script.one("unknown-member", v, &beat(&group, "nobody", 1));
        script.one("unknown-group", v, &beat("absent", member, 1));
        script.one("odd-epoch", v, &beat(&group, member, -3));
        script.one("described", v, &describe_consumer(&[&group]));
        if v == 1 {
            script.one("classic-join", 9, &join(&group, ""));
            commits_by_epoch(script, &group, member);
            script.one("consumer-described", 6, &described(&[&group]));
            let names = vec![group.clone().into()];
            script.one(
                "consumer-not-empty",
                2,
                &DeleteGroupsRequest { groups_names: names, ..DeleteGroupsRequest::default() },
            );
        }
        script.one("leave", v, &beat(&group, member, -1));
        script.one("leave-again", v, &beat(&group, member, -1));
        script.one("described-empty", v, &describe_consumer(&[&group]));
    }
    script.all("unknown", |_| describe_consumer(&["absent"]));
    script.all("empty-name", |_| describe_consumer(&[""]));
    script.all("classic", |_| describe_consumer(&["simple-v7"]));
    script.all("none", |_| describe_consumer(&[]));
    script.all("same-twice", |_| describe_consumer(&["absent", "absent"]));
}

fn refused_entries(script: &mut Script) {
    type Change = fn(&mut ConsumerGroupHeartbeatRequest<'static>);
    let changes: [(&str, Change); 12] = [
        ("empty-group", |asked| asked.group_id = "".into()),
        ("blank-group", |asked| asked.group_id = " ".into()),
        ("no-rebalance-timeout", |asked| asked.rebalance_timeout_ms = -1),
        ("rebalance-timeout-0", |asked| asked.rebalance_timeout_ms = 0),
        ("no-subscription", |asked| asked.subscribed_topic_names = None),
        ("empty-subscription", |asked| asked.subscribed_topic_names = Some(vec![])),
        ("no-partitions", |asked| asked.topic_partitions = None),
        ("owns-already", |asked| {
            let owned = TopicPartitions { topic_id: Uuid(77), partitions: vec![0], ..TopicPartitions::default() };
            asked.topic_partitions = Some(vec![owned]);
        }),
        ("unknown-assignor", |asked| asked.server_assignor = Some("mine".into())),
        ("empty-instance", |asked| asked.instance_id = Some("".into())),
        ("empty-rack", |asked| asked.rack_id = Some("".into())),
        ("leave-as-static-without-instance", |asked| asked.member_epoch = -2),
    ];
    for (label, change) in changes {
        script.all(label, |_| {
            let mut asked = entry("refused-new", "a-member-of-its-own");
            change(&mut asked);
            asked
        });
    }
    script.within("no-member-id", 1..=1, |_| entry("refused-new", ""));
    script.within("bad-regex", 1..=1, |_| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("(".into()),
        ..entry("refused-new", "a-member-of-its-own")
    });
    script.within("of-a-classic-group", 1..=1, |_| entry("simple-v7", "a-member-of-its-own"));
}

/// Offsets by a member of the consumer protocol are checked against its epoch, from OffsetCommit and OffsetFetch 9 on.
fn commits_by_epoch(script: &mut Script, group: &str, member: &str) {
    for v in 8..=10 {
        for epoch in [1, 0, 5] {
            let request = OffsetCommitRequest {
                generation_id_or_member_epoch: epoch,
                member_id: member.to_owned().into(),
                ..commit(script, v, group, &[(0, 3)])
            };
            script.one(&format!("epoch-{epoch}"), v, &request);
        }
    }
    for v in 9..=10 {
        for epoch in [1, 0, 5] {
            let asked = OffsetFetchRequestGroup {
                group_id: group.to_owned().into(),
                member_id: Some(member.to_owned().into()),
                member_epoch: epoch,
                ..OffsetFetchRequestGroup::default()
            };
            let request = OffsetFetchRequest { groups: vec![asked], ..OffsetFetchRequest::default() };
            script.one(&format!("epoch-{epoch}"), v, &request);
        }
    }
}

fn describe_consumer(groups: &[&str]) -> ConsumerGroupDescribeRequest<'static> {
    let group_ids = groups.iter().map(|group| (*group).to_owned().into()).collect();
    ConsumerGroupDescribeRequest { group_ids, ..ConsumerGroupDescribeRequest::default() }
}
