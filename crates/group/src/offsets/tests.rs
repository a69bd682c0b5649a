//! Offsets beside groups: expiry, transactions, topics that go.

use super::Offsets;
use crate::testing::{Joining, World, joining};
use crate::{Record, Settings};
use base::{ErrorCode, Offset, ProducerEpoch, ProducerId, Uuid};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::messages::offset_commit_value::OffsetCommitValue;
use rsm::{Origin, Outcome};
use std::borrow::Cow;

fn key() -> OffsetCommitKey<'static> {
    OffsetCommitKey { group: Cow::Borrowed("g"), topic: Cow::Borrowed("t"), partition: 0 }
}

fn value(offset: i64) -> OffsetCommitValue<'static> {
    OffsetCommitValue { offset, ..OffsetCommitValue::default() }
}

fn in_transaction(at: i64) -> Origin {
    Origin::Loaded { offset: Offset(at), transaction: Some((ProducerId(9), ProducerEpoch(0))) }
}

fn plain(at: i64) -> Origin {
    Origin::Loaded { offset: Offset(at), transaction: None }
}

#[test]
fn offsets_of_a_transaction_count_when_it_is_committed() {
    for (outcome, want) in [(Outcome::Commit, Some(5)), (Outcome::Abort, None)] {
        let mut offsets = Offsets::default();
        offsets.apply(&key(), Some(&value(5)), in_transaction(0));
        assert!(offsets.get("g", "t", 0).is_none() && offsets.is_unstable("g", "t", 0));
        offsets.end_transaction(ProducerId(9), outcome);
        assert_eq!(offsets.get("g", "t", 0).map(|known| known.offset), want);
        assert!(!offsets.is_unstable("g", "t", 0) && !offsets.has_open_transaction("g"));
    }
}

#[test]
fn of_a_transaction_and_a_plain_commit_the_later_in_the_log_holds() {
    let mut offsets = Offsets::default();
    offsets.apply(&key(), Some(&value(5)), in_transaction(0));
    offsets.apply(&key(), Some(&value(6)), plain(1));
    offsets.end_transaction(ProducerId(9), Outcome::Commit);
    assert_eq!(offsets.get("g", "t", 0).map(|known| known.offset), Some(6));
}

#[test]
fn a_tombstone_takes_the_offset_of_an_open_transaction_too() {
    let mut offsets = Offsets::default();
    offsets.apply(&key(), Some(&value(5)), in_transaction(0));
    offsets.apply(&key(), None, plain(1));
    offsets.end_transaction(ProducerId(9), Outcome::Commit);
    assert!(offsets.get("g", "t", 0).is_none());
}

#[test]
fn offsets_of_a_deleted_topic_go_and_those_of_its_successor_stay() {
    let mut offsets = Offsets::default();
    let (old, new) = (Uuid(1), Uuid(2));
    let partition = |partition| OffsetCommitKey { partition, ..key() };
    offsets.apply(&partition(0), Some(&OffsetCommitValue { topic_id: old, ..value(5) }), plain(0));
    offsets.apply(&partition(1), Some(&OffsetCommitValue { topic_id: new, ..value(6) }), plain(1));
    offsets.apply(&partition(2), Some(&value(7)), plain(2));
    let gone: Vec<i32> = offsets
        .tombstones_of_topic(old, "t")
        .map(|record| match record {
            Record::Offset(key, None) => key.partition,
            other => panic!("no tombstone: {other:?}"),
        })
        .collect();
    assert_eq!(gone, [0, 2], "a commit without an id may be of either: it goes, as in Kafka");
}

fn quick() -> Settings {
    Settings {
        classic_initial_rebalance_delay_ms: 0,
        offsets_retention_ms: 100_000,
        offsets_retention_check_ms: 10_000,
        ..Settings::default()
    }
}

#[test]
fn offsets_of_an_empty_group_expire_after_the_retention_and_the_group_with_them_kip_211() {
    let mut world = World::new(quick());
    assert_eq!(world.commit_offset("", -1, 0, 5), ErrorCode::None);
    world.pass(90_000);
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_some());
    world.pass(20_000);
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_none());
    world.pass(10_000);
    assert!(world.shard.machine().group("g").is_none(), "nothing is left of it");
    world.reload();
    assert!(world.shard.machine().group("g").is_none());
}

#[test]
fn offsets_of_a_group_with_members_whose_subscription_is_unreadable_stay_r40() {
    let mut world = World::new(quick());
    let (id, ticket) = world.join_new(&joining(""));
    let generation = world.joined(ticket).generation_id;
    let synced = world.sync(&id, generation, &[]);
    drop(world.synced(synced));
    assert_eq!(world.commit_offset(&id, generation, 0, 5), ErrorCode::None);
    for _ in 0..40 {
        world.pass(5_000);
        assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::None);
    }
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_some());
    // Its age is counted from when the group became empty, not from the commit.
    world.leave(&[(&id, None)]);
    world.pass(90_000);
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_some());
    world.pass(20_000);
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_none());
}

/// A consumer's subscription to topic `u`.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01u\xff\xff\xff\xff";

/// Offsets of `t`, which the group does not read, go from a stable group and stay while it rebalances (KAFKA-13636).
#[test]
fn offsets_of_a_group_that_rebalances_stay_r40() {
    let mut world = World::new(quick());
    let reads_u = Joining { protocols: vec![("range", SUBSCRIPTION)], rebalance_ms: 1_000_000, ..joining("") };
    let (first, ticket) = world.join_new(&reads_u);
    let generation = world.joined(ticket).generation_id;
    let synced = world.sync(&first, generation, &[]);
    drop(world.synced(synced));
    assert_eq!(world.commit_offset(&first, generation, 0, 5), ErrorCode::None);
    // Another one comes and the first does not join again: a rebalance that lasts as long as its timeout.
    let (second, waiting) = world.join_new(&reads_u);
    for _ in 0..30 {
        world.pass(5_000);
        assert_eq!(world.heartbeat(&first, None, generation), ErrorCode::RebalanceInProgress);
    }
    assert!(world.waits(waiting));
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_some(), "retention is over, and the group rebalances");
    world.leave(&[(&first, None)]);
    let generation = world.joined(waiting).generation_id;
    let synced = world.sync(&second, generation, &[]);
    drop(world.synced(synced));
    for _ in 0..3 {
        world.pass(5_000);
        assert_eq!(world.heartbeat(&second, None, generation), ErrorCode::None);
    }
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_none(), "the group is stable and does not read it");
}

/// Kafka before 2.2 wrote an expiry into each record, and where there was none, -1: that is no time that has passed (KAFKA-8069).
#[test]
fn an_expiry_that_is_none_or_to_come_takes_no_offset_when_it_is_loaded_r40() {
    let bytes = |partition: i32, expiry: i64| {
        let key = [&[0, 1, 0, 1, b'g', 0, 1, b't'][..], &partition.to_be_bytes()].concat();
        let (offset, no_metadata, committed) = (7_i64.to_be_bytes(), [0, 0], 1_000_000_i64.to_be_bytes());
        let value = [&[0, 1][..], &offset, &no_metadata, &committed, &expiry.to_be_bytes()].concat();
        Record::decode(&key, Some(&value)).expect("version 1 of an offset")
    };
    let mut world = World::new(quick());
    let now = world.now.wall.0;
    world.log = vec![bytes(0, -1), bytes(1, now + 50_000), bytes(2, now - 1)];
    world.reload();
    let kept = |world: &World| [0, 1, 2].map(|index| world.shard.machine().offsets().get("g", "t", index).is_some());
    assert_eq!(kept(&world), [true, true, true], "loading expires nothing");
    world.pass(10_000);
    assert_eq!(kept(&world), [true, true, false]);
    world.pass(50_000);
    assert_eq!(kept(&world), [true, false, false]);
    world.pass(50_000);
    assert_eq!(kept(&world), [false; 3], "its age is counted from its commit");
}
