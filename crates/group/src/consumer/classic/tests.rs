//! Transcripts of online migration: classic groups that become consumer groups under their members, members of both protocols in one
//! group, and the way back.

use crate::classic::{self, ClassicGroup};
use crate::consumer::tests_support::image;
use crate::consumer::{ConsumerGroup, LEAVE, LEAVE_STATIC, MemberState, State};
use crate::settings::{Bounded, MigrationPolicy};
use crate::testing::{Beat, Joining, World, beats, code, comes, joining};
use crate::{Group, Record, Settings, embedded};
use base::{ErrorCode, Uuid};
use protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use protocol::messages::consumer_protocol_subscription as subscription;

const T: Uuid = Uuid(1);

fn settings(migration: MigrationPolicy) -> Settings {
    let mut settings = Settings { classic_initial_rebalance_delay_ms: 0, ..Settings::default() };
    settings.consumer.assignment_interval = Bounded { default_ms: 0, min_ms: 0, max_ms: 15_000 };
    settings.consumer.migration = migration;
    settings
}

fn world() -> World {
    World::with_image(settings(MigrationPolicy::Bidirectional), image(&[("t", 6)]))
}

/// A subscription to `t` of a member that has these partitions of it. Tests are few and short: what they leak is small.
fn reads(owned: &[i32]) -> &'static [u8] {
    let owned_partitions = vec![subscription::TopicPartition { topic: "t".into(), partitions: owned.to_vec() }];
    let value = subscription::ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        owned_partitions: if owned.is_empty() { Vec::new() } else { owned_partitions },
        ..Default::default()
    };
    embedded::subscription_bytes(&value, 3).expect("it fits").leak()
}

fn assigned(partitions: &[i32]) -> Vec<u8> {
    let value = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartition { topic: "t".into(), partitions: partitions.to_vec() }],
        ..Default::default()
    };
    embedded::assignment_bytes(&value, 3).expect("it fits")
}

fn partitions(bytes: &[u8]) -> Vec<i32> {
    let topics = embedded::assigned_partitions(bytes).expect("an assignment");
    topics.into_iter().flat_map(|(_, partitions)| partitions).collect()
}

fn joins(member: &str, owned: &[i32]) -> Joining {
    Joining { protocols: vec![("range", reads(owned))], ..joining(member) }
}

fn classic(world: &World) -> &ClassicGroup {
    match world.shard.machine().group("g") {
        Some(Group::Classic(group)) => group,
        other => panic!("no classic group: {other:?}"),
    }
}

fn consumers(world: &World) -> &ConsumerGroup {
    match world.shard.machine().group("g") {
        Some(Group::Consumer(group, _)) => group,
        other => panic!("no consumer group: {other:?}"),
    }
}

/// A stable classic group of one member that has everything; its id and generation.
fn one_classic(world: &mut World) -> (String, i32) {
    let (id, ticket) = world.join_new(&joins("", &[]));
    let generation = world.joined(ticket).generation_id;
    let synced = world.sync(&id, generation, &[(&id, &assigned(&[0, 1, 2, 3, 4, 5]))]);
    assert_eq!(world.synced(synced).0, ErrorCode::None);
    (id, generation)
}

/// A classic member `c` and a member `m` of the consumer protocol that share `t`; the classic one's id and the epoch.
fn mixed(world: &mut World) -> (String, i32) {
    let (id, generation) = one_classic(world);
    let joined = world.beat(&comes("m")).expect("the group is upgraded");
    assert_eq!(joined.member_epoch, generation + 1);
    assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::RebalanceInProgress);
    let again = world.join(&joins(&id, &[0, 1, 2, 3, 4, 5]));
    let again = world.joined(again);
    assert_eq!((again.error_code, again.generation_id), (0, generation), "it has partitions to give up first");
    let synced = world.sync(&id, generation, &[]);
    let kept = partitions(&world.synced(synced).1);
    assert_eq!(kept.len(), 3);
    assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::RebalanceInProgress, "it shall join when it has");
    let again = world.join(&joins(&id, &kept));
    let epoch = world.joined(again).generation_id;
    assert_eq!(epoch, generation + 1);
    let synced = world.sync(&id, epoch, &[]);
    assert_eq!(partitions(&world.synced(synced).1), kept);
    let got = world.beat(&beats("m", epoch)).expect("the partitions are free");
    assert_eq!(got.assignment.map(|got| got.topic_partitions[0].partitions.len()), Some(3));
    assert_eq!(consumers(world).state(), State::Stable);
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None);
    (id, epoch)
}

#[test]
fn a_classic_group_becomes_a_consumer_group_under_its_member() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    assert_eq!(
        consumers(&world).members()[&id].classic.as_ref().map(|classic| classic.session_timeout_ms),
        Some(10_000)
    );
    let before = consumers(&world).clone();
    world.reload();
    assert_eq!(consumers(&world), &before, "the log says all of it");
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None);
    assert_eq!(
        world.describe_consumer("g").members.iter().map(|member| member.member_type).collect::<Vec<_>>(),
        [0, 1]
    );
}

#[test]
fn the_records_of_an_upgrade_are_in_kafkas_order() {
    let mut world = world();
    one_classic(&mut world);
    let mark = world.log.len();
    world.beat(&comes("m")).expect("the group is upgraded");
    let [old, member, epoch, target, of, current, ..] = &world.log[mark..] else { panic!("{:?}", &world.log[mark..]) };
    assert!(matches!(old, Record::Classic(_, None)) && matches!(member, Record::ConsumerMember(_, Some(_))));
    assert!(
        matches!(epoch, Record::Consumer(_, Some(_))) && matches!(target, Record::ConsumerTargetMember(_, Some(_)))
    );
    assert!(matches!(of, Record::ConsumerTarget(_, Some(_))) && matches!(current, Record::ConsumerCurrent(_, Some(_))));
}

#[test]
fn whoever_waits_in_a_classic_group_is_told_to_join_the_consumer_group() {
    let mut world = world();
    let (id, generation) = one_classic(&mut world);
    let (_, second) = world.join_new(&joins("", &[]));
    assert!(world.waits(second), "the first has not joined");
    world.beat(&comes("m")).expect("the group is upgraded");
    assert_eq!(code(world.joined(second).error_code), ErrorCode::RebalanceInProgress);
    assert_eq!(consumers(&world).members().len(), 3);
    assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_group_becomes_classic_again_when_its_last_consumer_leaves() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    let mark = world.log.len();
    world.beat(&beats("m", LEAVE)).expect("it leaves");
    assert!(matches!(world.log.last(), Some(Record::Classic(_, Some(_)))));
    assert!(world.log[mark..].iter().filter(|record| crate::consumer::is_tombstone(record)).count() == 9);
    assert_eq!(classic(&world).state(), classic::State::PreparingRebalance);
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::RebalanceInProgress);
    assert_eq!(world.commit_offset(&id, epoch, 0, 5), ErrorCode::None, "before it joins it commits what it has");
    let again = world.join(&joins(&id, &[]));
    let again = world.joined(again);
    assert_eq!((again.generation_id, again.members.len()), (epoch + 1, 1), "it leads again");
    let synced = world.sync(&id, epoch + 1, &[(&id, &assigned(&[0, 1, 2, 3, 4, 5]))]);
    assert_eq!(partitions(&world.synced(synced).1).len(), 6);
}

#[test]
fn a_downgraded_group_goes_on_after_its_coordinator_has_moved_r41() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    world.beat(&beats("m", LEAVE)).expect("it leaves");
    world.reload();
    assert_eq!((classic(&world).state(), classic(&world).generation()), (classic::State::Stable, epoch));
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None);
    let synced = world.sync(&id, epoch, &[]);
    assert_eq!(partitions(&world.synced(synced).1).len(), 3, "what it had");
}

#[test]
fn a_group_becomes_classic_when_its_last_consumer_falls_silent() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    for _ in 0..5 {
        world.pass(9_000);
        world.heartbeat(&id, None, epoch);
    }
    assert_eq!(classic(&world).members().keys().collect::<Vec<_>>(), [&id]);
}

#[test]
fn the_policy_says_which_way_a_group_may_go() {
    let image = || image(&[("t", 6)]);
    for (policy, up, down) in [
        (MigrationPolicy::Disabled, false, false),
        (MigrationPolicy::Upgrade, true, false),
        (MigrationPolicy::Downgrade, false, true),
        (MigrationPolicy::Bidirectional, true, true),
    ] {
        let mut world = World::with_image(settings(policy), image());
        one_classic(&mut world);
        let upgraded = world.beat(&comes("m"));
        assert_eq!(upgraded.is_ok(), up, "{policy:?}: {upgraded:?}");
        if let Err(refusal) = upgraded {
            assert_eq!(refusal.code, ErrorCode::GroupIdNotFound);
        }
        let mut world = World::with_image(settings(policy), image());
        world.beat(&comes("m")).expect("a new group");
        let joined = world.join(&joins("", &[]));
        let joined = world.joined(joined);
        if policy == MigrationPolicy::Disabled {
            assert_eq!(code(joined.error_code), ErrorCode::InconsistentGroupProtocol);
            continue;
        }
        assert_eq!(code(joined.error_code), ErrorCode::MemberIdRequired);
        let joined = world.join(&joins(&joined.member_id, &[]));
        assert_eq!(world.joined(joined).error_code, 0, "a member of either protocol may join");
        world.beat(&beats("m", LEAVE)).expect("it leaves");
        assert_eq!(matches!(world.shard.machine().group("g"), Some(Group::Classic(_))), down, "{policy:?}");
    }
}

#[test]
fn what_cannot_be_upgraded_stays_as_it_is() {
    let mut world = world();
    let other = world.join(&Joining { protocol_type: "connect", version: 3, ..joining("") });
    drop(world.joined(other));
    assert_eq!(world.beat(&comes("m")).expect_err("they are no consumers").code, ErrorCode::GroupIdNotFound);
    let mut world = self::world();
    let (id, ticket) = world.join_new(&joins("", &[]));
    let generation = world.joined(ticket).generation_id;
    let mut with_data = assigned(&[0]);
    let end = with_data.len() - 4;
    with_data[end..].copy_from_slice(&[0, 0, 0, 1]);
    with_data.push(7);
    let synced = world.sync(&id, generation, &[(&id, &with_data)]);
    assert_eq!(world.synced(synced).0, ErrorCode::None);
    let mark = world.log.len();
    let refusal = world.beat(&comes("m")).expect_err("its words would be lost");
    assert!(refusal.message.contains("custom assignor"), "{refusal}");
    assert_eq!((world.log.len(), world.heartbeat(&id, None, generation)), (mark, ErrorCode::None));
    let mut world = self::world();
    let (id, ticket) = world.join_new(&joining(""));
    let generation = world.joined(ticket).generation_id;
    assert!(world.beat(&comes("m")).expect_err("`r` is no subscription").message.contains("malformed"));
    let synced = world.sync(&id, generation, &[]);
    assert_eq!(world.synced(synced).0, ErrorCode::None);
}

#[test]
fn what_a_classic_member_says_of_itself_must_fit_a_record() {
    let value = subscription::ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        user_data: Some(vec![0; 20 << 20].into()),
        ..Default::default()
    };
    let wordy: &'static [u8] = embedded::subscription_bytes(&value, 3).expect("it fits").leak();
    let wordy = Joining { protocols: vec![("range", wordy)], ..joining("") };
    let mut world = world();
    let (id, ticket) = world.join_new(&wordy);
    let generation = world.joined(ticket).generation_id;
    let refusal = world.beat(&comes("m")).expect_err("it cannot be written down");
    assert!(refusal.message.contains("too much for a record"), "{refusal}");
    assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::None);
    let mut world = self::world();
    world.beat(&comes("m")).expect("a new group");
    let joined = world.join(&Joining { version: 3, ..wordy });
    assert_eq!(code(world.joined(joined).error_code), ErrorCode::UnknownServerError);
    assert!(world.log.iter().all(|record| record.encoded_len() < 1 << 20));
}

#[test]
fn classic_members_are_fenced_by_generation_and_protocol_r43() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    assert_eq!(world.heartbeat(&id, None, epoch - 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat("stranger", None, epoch), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat("m", None, epoch), ErrorCode::UnknownMemberId, "it speaks the other protocol");
    let stale = world.sync(&id, epoch - 1, &[]);
    assert_eq!(world.synced(stale).0, ErrorCode::IllegalGeneration);
    let mine = *consumers(&world).members()[&id].assigned[&T].keys().next().expect("it has three");
    assert_eq!(world.commit_offset(&id, epoch, mine, 5), ErrorCode::None);
    assert_eq!(world.commit_offset(&id, epoch + 1, mine, 6), ErrorCode::IllegalGeneration);
    assert_eq!(world.commit_offset(&id, epoch - 2, mine, 7), ErrorCode::IllegalGeneration);
    assert_eq!(world.shard.machine().offsets().get("g", "t", mine).map(|known| known.offset), Some(5));
    let other = world.join(&Joining { protocols: vec![("sticky", reads(&[]))], ..joining("x") });
    assert_eq!(code(world.joined(other).error_code), ErrorCode::InconsistentGroupProtocol);
    let other = world.join(&Joining { protocol_type: "connect", ..joins("x", &[]) });
    assert_eq!(code(world.joined(other).error_code), ErrorCode::InconsistentGroupProtocol);
    let other = world.join(&Joining { protocols: vec![("range", b"")], ..joining("x") });
    assert_eq!(code(world.joined(other).error_code), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None);
}

#[test]
fn a_classic_member_that_does_not_join_or_sync_in_time_is_out_r42() {
    let mut world = world();
    let (id, generation) = one_classic(&mut world);
    world.beat(&comes("m")).expect("the group is upgraded");
    for _ in 0..11 {
        assert_eq!(world.heartbeat(&id, None, generation), ErrorCode::RebalanceInProgress);
        world.pass(5_500);
        world.beat(&beats("m", generation + 1)).expect("it goes on");
    }
    assert_eq!(consumers(&world).members().keys().collect::<Vec<_>>(), ["m"], "it never joined again");
    let late = world.join(&joins("late", &[]));
    assert_eq!(world.joined(late).error_code, 0);
    for _ in 0..8 {
        world.pass(8_000);
        world.heartbeat("late", None, consumers(&world).members().get("late").map_or(0, |late| late.epoch));
        let epoch = consumers(&world).members()["m"].epoch;
        world.beat(&beats("m", epoch)).expect("it goes on");
    }
    assert_eq!(consumers(&world).members().keys().collect::<Vec<_>>(), ["m"], "it never asked for its assignment");
}

#[test]
fn a_classic_member_that_falls_silent_is_out_after_its_own_session() {
    let mut world = world();
    let (_, epoch) = mixed(&mut world);
    world.pass(9_999);
    assert_eq!(consumers(&world).members().len(), 2);
    world.pass(1);
    assert_eq!(consumers(&world).members().keys().collect::<Vec<_>>(), ["m"]);
    let all = world.beat(&beats("m", epoch)).expect("it goes on").assignment.expect("it gets everything");
    assert_eq!(all.topic_partitions[0].partitions.len(), 6);
}

#[test]
fn a_member_waits_until_what_it_shall_have_is_free_and_is_told_then() {
    let mut world = world();
    world.beat(&comes("m")).expect("a new group");
    let id = {
        let first = world.join(&joins("", &[]));
        world.joined(first).member_id.to_string()
    };
    let joined = world.join(&joins(&id, &[]));
    let epoch = world.joined(joined).generation_id;
    let synced = world.sync(&id, epoch, &[]);
    assert_eq!(partitions(&world.synced(synced).1).len(), 0);
    assert_eq!(consumers(&world).members()[&id].state, MemberState::UnreleasedPartitions);
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None, "m has them still");
    let kept = world.beat(&beats("m", epoch - 1)).expect("it is told").assignment.expect("what to keep");
    let kept = vec![(T, kept.topic_partitions[0].partitions.clone())];
    world.beat(&Beat { owned: Some(kept), ..beats("m", epoch - 1) }).expect("it has given them up");
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::RebalanceInProgress, "they are free");
    let joined = world.join(&joins(&id, &[]));
    assert_eq!(world.joined(joined).generation_id, epoch);
    let synced = world.sync(&id, epoch, &[]);
    assert_eq!(partitions(&world.synced(synced).1).len(), 3);
}

#[test]
fn members_of_both_protocols_leave_by_leave_group() {
    let mut world = world();
    let (id, epoch) = mixed(&mut world);
    assert_eq!(world.leave(&[("stranger", None), (&id, Some("i"))]), [ErrorCode::UnknownMemberId; 2]);
    assert_eq!(world.heartbeat(&id, None, epoch), ErrorCode::None);
    assert_eq!(world.leave_v2(&id), ErrorCode::None);
    assert_eq!(consumers(&world).members().keys().collect::<Vec<_>>(), ["m"]);
    assert_eq!(world.leave(&[("m", None)]), [ErrorCode::None]);
    assert!(consumers(&world).is_empty());
}

#[test]
fn an_empty_consumer_group_gives_way_to_a_classic_one_and_its_offsets_stay() {
    let mut world = world();
    world.beat(&comes("m")).expect("a new group");
    assert_eq!(world.commit_offset("m", 2, 0, 5), ErrorCode::None);
    world.beat(&beats("m", LEAVE)).expect("it leaves");
    let stranger = world.join(&joins("stranger", &[]));
    assert_eq!(code(world.joined(stranger).error_code), ErrorCode::UnknownMemberId);
    one_classic(&mut world);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5));
    world.reload();
    assert_eq!(classic(&world).members().len(), 1);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5));
}

#[test]
fn a_static_classic_member_takes_the_place_of_the_last_consumer_without_a_rebalance() {
    let mut world = world();
    world.beat(&Beat { instance: Some("i"), ..comes("m") }).expect("a new group");
    world.beat(&Beat { instance: Some("i"), ..beats("m", LEAVE_STATIC) }).expect("it leaves for a while");
    let back = world.join(&Joining { instance: Some("i"), ..joins("", &[]) });
    let back = world.joined(back);
    let id = back.member_id.to_string();
    assert_eq!((back.error_code, back.generation_id), (0, 2));
    assert_eq!(classic(&world).state(), classic::State::Stable);
    let synced = world.sync(&id, 2, &[]);
    assert_eq!(partitions(&world.synced(synced).1).len(), 6, "what it had");
    world.reload();
    assert_eq!(world.heartbeat(&id, Some("i"), 2), ErrorCode::None);
    // And a consumer takes the place of the classic one.
    let again = world.beat(&Beat { instance: Some("i"), ..comes("n") }).expect("the group is upgraded");
    assert_eq!(again.assignment.map(|all| all.topic_partitions[0].partitions.len()), Some(6));
    assert_eq!(consumers(&world).members().keys().collect::<Vec<_>>(), ["n"]);
    assert_eq!(world.heartbeat(&id, Some("i"), 2), ErrorCode::FencedInstanceId);
}

#[test]
fn a_static_classic_member_that_reads_something_else_rebalances_the_group() {
    let mut world = World::with_image(settings(MigrationPolicy::Bidirectional), image(&[("t", 6), ("u", 1)]));
    world.beat(&Beat { instance: Some("i"), topics: Some(vec!["u"]), ..comes("m") }).expect("a new group");
    let joined = world.join(&joins("x", &[]));
    assert_eq!(world.joined(joined).error_code, 0);
    let back = world.join(&Joining { instance: Some("i"), ..joins("", &[]) });
    assert_eq!(world.joined(back).error_code, 0);
    assert_eq!(classic(&world).state(), classic::State::PreparingRebalance);
    assert_eq!(classic(&world).members().len(), 2);
}
