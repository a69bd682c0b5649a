//! What happens to groups moves the numbers that are told of it, and loading a log moves none.

use super::{Activity, Census};
use crate::Settings;
use crate::consumer::LEAVE;
use crate::consumer::tests_support::image;
use crate::testing::{World, beats, comes, joining};
use base::ErrorCode;

fn quick() -> Settings {
    Settings {
        classic_initial_rebalance_delay_ms: 0,
        offsets_retention_ms: 100_000,
        offsets_retention_check_ms: 10_000,
        ..Settings::default()
    }
}

fn world() -> World {
    World::with_image(quick(), image(&[("t", 6)]))
}

fn activity(world: &mut World) -> Activity {
    world.shard.decide(|groups, _| groups.take_activity())
}

/// States that groups are in, and offsets.
fn census(world: &World) -> (Vec<&'static str>, Vec<&'static str>, u64) {
    let mut census = Census::default();
    world.shard.machine().count(&mut census);
    let taken = |states: &std::collections::BTreeMap<&'static str, u64>| {
        states.iter().filter(|(_, count)| **count > 0).map(|(state, _)| *state).collect()
    };
    (taken(&census.classic), taken(&census.consumer), census.offsets)
}

#[test]
fn a_classic_group_is_counted_in_its_state_and_a_rebalance_when_the_leader_has_assigned() {
    let mut world = world();
    let (id, ticket) = world.join_new(&joining(""));
    let generation = world.joined(ticket).generation_id;
    assert_eq!(census(&world), (vec!["CompletingRebalance"], vec![], 0));
    assert_eq!(activity(&mut world), Activity::default());
    let synced = world.sync(&id, generation, &[(&id, b"all")]);
    drop(world.synced(synced));
    assert_eq!(activity(&mut world), Activity { classic_rebalances: 1, ..Activity::default() });
    assert_eq!(census(&world), (vec!["Stable"], vec![], 0));
    world.leave(&[(&id, None)]);
    assert_eq!(census(&world), (vec!["Empty"], vec![], 0));
    assert_eq!(activity(&mut world), Activity::default(), "nobody was there to assign to");
}

#[test]
fn a_consumer_group_is_counted_in_its_state_and_a_rebalance_with_its_epoch() {
    let mut world = world();
    for member in ["a", "b"] {
        world.beat(&comes(member)).expect("it joins");
    }
    assert_eq!(activity(&mut world), Activity { consumer_rebalances: 2, ..Activity::default() });
    assert_eq!(census(&world), (vec![], vec!["Assigning"], 0), "the interval is not over");
    world.pass(1_000);
    world.beat(&beats("a", 2)).expect("it beats");
    assert_eq!(census(&world), (vec![], vec!["Reconciling"], 0));
    for member in ["a", "b"] {
        world.beat(&beats(member, LEAVE)).expect("it leaves");
    }
    assert_eq!(census(&world), (vec![], vec!["Empty"], 0));
    assert_eq!(activity(&mut world), Activity { consumer_rebalances: 2, ..Activity::default() });
}

#[test]
fn offsets_are_counted_when_they_are_committed_deleted_and_expire() {
    let mut world = world();
    for partition in 0..3 {
        assert_eq!(world.commit_offset("", -1, partition, 5), ErrorCode::None);
    }
    assert_eq!(world.commit_offset("stranger", 7, 0, 5), ErrorCode::UnknownMemberId, "refused, and not counted");
    assert_eq!(activity(&mut world), Activity { offset_commits: 3, ..Activity::default() });
    assert_eq!(census(&world), (vec!["Empty"], vec![], 3));
    assert_eq!(world.delete("g"), ErrorCode::None);
    assert_eq!(activity(&mut world), Activity { offset_deletions: 3, ..Activity::default() });
    assert_eq!(world.commit_offset("", -1, 0, 5), ErrorCode::None);
    world.pass(110_000);
    let both = Activity { offset_commits: 1, offset_expirations: 1, ..Activity::default() };
    assert_eq!(activity(&mut world), both);
    world.reload();
    assert_eq!(activity(&mut world), Activity::default(), "what is loaded was counted before");
}
