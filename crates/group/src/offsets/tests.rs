//! Offsets beside groups: expiry, transactions, topics that go.

use super::Offsets;
use crate::testing::{World, joining};
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
fn offsets_of_a_group_with_members_whose_subscription_is_unreadable_stay_r42() {
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
