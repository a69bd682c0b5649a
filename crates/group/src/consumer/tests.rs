//! Transcripts of the consumer protocol: each transition, what a member is told in it, and what is in the log of it.

use super::tests_support::{add_topic, image};
use super::{ConsumerGroup, LEAVE, LEAVE_STATIC, MemberState, State};
use crate::settings::{Bounded, ConsumerSettings};
use crate::testing::{Beat, World, beats, comes};
use crate::{Group, Record, Settings};
use base::{ErrorCode, Uuid};
use protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;

/// The topic `t`.
const T: Uuid = Uuid(1);

/// A broker whose groups assign at every change.
fn at_once() -> Settings {
    let assignment_interval = Bounded { default_ms: 0, min_ms: 0, max_ms: 15_000 };
    Settings {
        consumer: ConsumerSettings { assignment_interval, ..ConsumerSettings::default() },
        ..Settings::default()
    }
}

/// Topic `t` of six partitions, `u` of two.
fn world(settings: Settings) -> World {
    World::with_image(settings, image(&[("t", 6), ("u", 2)]))
}

fn group(world: &World) -> &ConsumerGroup {
    match world.shard.machine().group("g") {
        Some(Group::Consumer(group, _)) => group,
        other => panic!("no consumer group: {other:?}"),
    }
}

fn state(world: &World, member: &str) -> MemberState {
    group(world).members()[member].state
}

/// The partitions of `t` that an answer tells; none when it tells none.
fn told(answer: &ConsumerGroupHeartbeatResponse<'_>) -> Option<Vec<i32>> {
    let topics = &answer.assignment.as_ref()?.topic_partitions;
    Some(topics.iter().filter(|topic| topic.topic_id == T).flat_map(|topic| topic.partitions.clone()).collect())
}

/// What a member says that it has of `t`.
fn has(partitions: &[i32]) -> Option<Vec<(Uuid, Vec<i32>)>> {
    Some(vec![(T, partitions.to_vec())])
}

fn code(answer: Result<ConsumerGroupHeartbeatResponse<'_>, base::Refusal>) -> ErrorCode {
    answer.map_or_else(|refusal| refusal.code, |_| ErrorCode::None)
}

fn ok(world: &mut World, beat: &Beat) -> ConsumerGroupHeartbeatResponse<'static> {
    world.beat(beat).unwrap_or_else(|refusal| panic!("{beat:?}: {refusal}"))
}

/// The kinds of the records since `mark`, in short.
fn kinds(world: &World, mark: usize) -> String {
    let kind = |record: &Record| match record {
        Record::Classic(_, value) => {
            if value.is_some() {
                "classic"
            } else {
                "-classic"
            }
        }
        Record::Consumer(_, value) => {
            if value.is_some() {
                "epoch"
            } else {
                "-epoch"
            }
        }
        Record::ConsumerPartitions(..) => "-partitions",
        Record::ConsumerMember(_, value) => {
            if value.is_some() {
                "member"
            } else {
                "-member"
            }
        }
        Record::ConsumerTarget(_, value) => {
            if value.is_some() {
                "target"
            } else {
                "-target"
            }
        }
        Record::ConsumerTargetMember(_, value) => {
            if value.is_some() {
                "its-target"
            } else {
                "-its-target"
            }
        }
        Record::ConsumerCurrent(_, value) => {
            if value.is_some() {
                "current"
            } else {
                "-current"
            }
        }
        Record::ConsumerRegex(_, value) => {
            if value.is_some() {
                "regex"
            } else {
                "-regex"
            }
        }
        Record::Offset(_, value) | Record::LegacyOffset(_, value) => {
            if value.is_some() {
                "offset"
            } else {
                "-offset"
            }
        }
    };
    world.log[mark..].iter().map(kind).collect::<Vec<_>>().join(" ")
}

/// `a` and `b` share `t`: each has three partitions.
fn two_members(world: &mut World) -> i32 {
    ok(world, &comes("a"));
    let joined = ok(world, &comes("b"));
    assert_eq!((joined.member_epoch, told(&joined)), (3, Some(vec![])), "b waits for what a has");
    let must = ok(world, &beats("a", 2));
    let kept = told(&must).expect("a is told to give up");
    assert_eq!((must.member_epoch, kept.len()), (2, 3));
    let moved = ok(world, &Beat { owned: has(&kept), ..beats("a", 2) });
    assert_eq!(moved.member_epoch, 3);
    let got = ok(world, &beats("b", 3));
    assert_eq!(told(&got).map(|got| got.len()), Some(3));
    assert_eq!(group(world).state(), State::Stable);
    3
}

#[test]
fn the_first_member_gets_everything_in_one_answer() {
    let mut world = world(at_once());
    let joined = ok(&mut world, &comes("a"));
    assert_eq!((joined.member_id.as_deref(), joined.member_epoch), (Some("a"), 2), "a group begins with epoch 1");
    assert_eq!(told(&joined), Some(vec![0, 1, 2, 3, 4, 5]));
    assert_eq!(joined.heartbeat_interval_ms, 5_000);
    assert_eq!(kinds(&world, 0), "member epoch its-target target current");
    assert_eq!(group(&world).state(), State::Stable);
    let again = ok(&mut world, &beats("a", 2));
    assert_eq!((again.member_epoch, told(&again)), (2, None), "nothing new is told");
    assert_eq!(world.log.len(), 5, "and nothing written");
    let full = ok(&mut world, &Beat { epoch: 2, owned: has(&[0]), ..comes("a") });
    assert_eq!(told(&full), Some(vec![0, 1, 2, 3, 4, 5]), "who says everything is told everything");
}

#[test]
fn partitions_move_when_their_owner_has_given_them_up() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    let mark = world.log.len();
    let b = ok(&mut world, &comes("b"));
    assert_eq!((b.member_epoch, told(&b)), (3, Some(vec![])));
    assert_eq!(kinds(&world, mark), "member epoch its-target its-target target current");
    assert_eq!((state(&world, "a"), state(&world, "b")), (MemberState::Stable, MemberState::UnreleasedPartitions));
    assert_eq!(group(&world).state(), State::Reconciling);
    let a = ok(&mut world, &beats("a", 2));
    let kept = told(&a).expect("it is told what to keep");
    assert_eq!(
        (a.member_epoch, state(&world, "a")),
        (2, MemberState::UnrevokedPartitions),
        "its epoch stays until then"
    );
    let still = ok(&mut world, &Beat { owned: has(&[0, 1, 2, 3, 4, 5]), ..beats("a", 2) });
    assert_eq!((still.member_epoch, told(&still)), (2, None), "it has not given them up");
    let waiting = ok(&mut world, &beats("b", 3));
    assert_eq!(told(&waiting), None);
    let done = ok(&mut world, &Beat { owned: has(&kept), ..beats("a", 2) });
    assert_eq!((done.member_epoch, state(&world, "a")), (3, MemberState::Stable));
    let got = told(&ok(&mut world, &beats("b", 3))).expect("they are free");
    assert_eq!(got.len(), 3);
    assert!(kept.iter().all(|partition| !got.contains(partition)));
    assert_eq!(group(&world).state(), State::Stable);
}

#[test]
fn a_member_that_leaves_leaves_its_partitions_to_the_others() {
    let mut world = world(at_once());
    let epoch = two_members(&mut world);
    let mark = world.log.len();
    let left = ok(&mut world, &beats("b", LEAVE));
    assert_eq!((left.member_epoch, left.member_id.as_deref()), (LEAVE, Some("b")));
    assert_eq!(kinds(&world, mark), "-current -its-target -member epoch");
    assert_eq!(group(&world).state(), State::Assigning);
    let all = ok(&mut world, &beats("a", epoch));
    assert_eq!((all.member_epoch, told(&all)), (epoch + 1, Some(vec![0, 1, 2, 3, 4, 5])));
    assert_eq!(code(world.beat(&beats("b", epoch))), ErrorCode::UnknownMemberId);
    ok(&mut world, &beats("a", LEAVE));
    assert_eq!(group(&world).state(), State::Empty);
    assert!(
        kinds(&world, mark).ends_with("-current -its-target -member epoch target"),
        "an empty group has its target"
    );
    assert_eq!((group(&world).epoch(), group(&world).target_epoch()), (epoch + 2, epoch + 2));
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let mut world = world(at_once());
    let epoch = two_members(&mut world);
    world.pass(44_000);
    ok(&mut world, &beats("a", epoch));
    world.pass(1_000);
    assert_eq!(group(&world).members().keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(code(world.beat(&beats("b", epoch))), ErrorCode::UnknownMemberId);
    assert_eq!(told(&ok(&mut world, &beats("a", epoch))).map(|all| all.len()), Some(6));
}

#[test]
fn who_does_not_give_up_within_its_rebalance_timeout_is_out_r42() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { rebalance_ms: 10_000, ..comes("a") });
    ok(&mut world, &comes("b"));
    ok(&mut world, &beats("a", 2));
    assert_eq!(state(&world, "a"), MemberState::UnrevokedPartitions);
    for _ in 0..9 {
        world.pass(1_000);
        ok(&mut world, &beats("a", 2));
    }
    world.pass(1_000);
    assert_eq!(group(&world).members().keys().collect::<Vec<_>>(), ["b"], "heartbeats alone do not help it");
    assert_eq!(told(&ok(&mut world, &beats("b", 3))).map(|all| all.len()), Some(6));
}

#[test]
fn who_gives_up_in_time_stays() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { rebalance_ms: 10_000, ..comes("a") });
    ok(&mut world, &comes("b"));
    let kept = told(&ok(&mut world, &beats("a", 2))).expect("what to keep");
    world.pass(9_999);
    ok(&mut world, &Beat { owned: has(&kept), ..beats("a", 2) });
    world.pass(20_000);
    assert_eq!(group(&world).members().len(), 2);
}

#[test]
fn epochs_fence_members_r43() {
    let mut world = world(at_once());
    let epoch = two_members(&mut world);
    let refused = |world: &mut World, beat: &Beat| code(world.beat(beat));
    assert_eq!(refused(&mut world, &beats("a", epoch + 1)), ErrorCode::FencedMemberEpoch);
    assert_eq!(
        refused(&mut world, &beats("a", epoch - 1)),
        ErrorCode::FencedMemberEpoch,
        "it says nothing of what it has"
    );
    let kept: Vec<i32> = group(&world).members()["a"].assigned[&T].keys().copied().collect();
    let lost_answer = Beat { owned: has(&kept), ..beats("a", epoch - 1) };
    assert_eq!(ok(&mut world, &lost_answer).member_epoch, epoch, "the answer with the new epoch was lost");
    let too_much = Beat { owned: has(&[0, 1, 2, 3, 4, 5]), ..beats("a", epoch - 1) };
    assert_eq!(refused(&mut world, &too_much), ErrorCode::FencedMemberEpoch);
    assert_eq!(refused(&mut world, &beats("stranger", epoch)), ErrorCode::UnknownMemberId);
    assert_eq!(refused(&mut world, &Beat { group: "absent", ..beats("a", epoch) }), ErrorCode::GroupIdNotFound);
    // Who is fenced begins anew with its id, and gets what it had.
    let again = ok(&mut world, &comes("a"));
    assert_eq!((again.member_epoch, told(&again)), (epoch, Some(kept)));
}

#[test]
fn commits_and_fetches_of_other_epochs_are_refused_and_change_nothing_r43() {
    let mut world = world(at_once());
    let epoch = two_members(&mut world);
    let of_a = *group(&world).members()["a"].assigned[&T].keys().next().expect("it has three");
    let of_b = *group(&world).members()["b"].assigned[&T].keys().next().expect("it has three");
    assert_eq!(world.commit_offset("a", epoch, of_a, 5), ErrorCode::None);
    assert_eq!(world.commit_offset("a", epoch, of_b, 5), ErrorCode::None, "a current epoch may commit anything");
    assert_eq!(world.commit_offset("a", epoch + 1, of_a, 6), ErrorCode::StaleMemberEpoch);
    // It has had the partition since epoch 2, and was told epoch 3 since.
    assert_eq!(world.commit_offset("a", epoch - 1, of_a, 7), ErrorCode::None);
    assert_eq!(world.commit_offset("a", 1, of_a, 8), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit_offset("a", epoch - 1, of_b, 9), ErrorCode::StaleMemberEpoch, "b has it");
    assert_eq!(world.commit_offset("stranger", epoch, of_a, 9), ErrorCode::UnknownMemberId);
    assert_eq!(world.commit_offset("", -1, of_a, 9), ErrorCode::UnknownMemberId, "the group has members");
    let offset = |world: &World, of| world.shard.machine().offsets().get("g", "t", of).map(|known| known.offset);
    assert_eq!((offset(&world, of_a), offset(&world, of_b)), (Some(7), Some(5)));
    assert_eq!(world.fetch_offsets(Some("a"), epoch), ErrorCode::None);
    assert_eq!(world.fetch_offsets(Some("a"), epoch - 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.fetch_offsets(Some("stranger"), epoch), ErrorCode::UnknownMemberId);
    assert_eq!(world.fetch_offsets(None, -1), ErrorCode::None, "an operator");
}

#[test]
fn a_partition_that_is_being_given_up_can_be_committed_until_it_is() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    ok(&mut world, &comes("b"));
    let kept = told(&ok(&mut world, &beats("a", 2))).expect("what to keep");
    let given = (0..6).find(|partition| !kept.contains(partition)).expect("three of them");
    assert_eq!(world.commit_offset("a", 2, given, 5), ErrorCode::None);
    ok(&mut world, &Beat { owned: has(&kept), ..beats("a", 2) });
    assert_eq!(world.commit_offset("a", 2, given, 6), ErrorCode::StaleMemberEpoch);
}

#[test]
fn an_older_client_may_not_commit_without_epochs() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    assert_eq!(world.commit_offset_v(8, "a", 2, 0, 5), ErrorCode::UnsupportedVersion);
}

#[test]
fn a_static_member_leaves_for_a_while_and_comes_back_to_what_it_had() {
    let mut world = world(at_once());
    let fixed = Beat { instance: Some("i"), ..comes("a") };
    ok(&mut world, &fixed);
    let b = ok(&mut world, &comes("b")).member_epoch;
    let kept = told(&ok(&mut world, &Beat { instance: Some("i"), ..beats("a", 2) })).expect("what to keep");
    ok(&mut world, &Beat { instance: Some("i"), owned: has(&kept), ..beats("a", 2) });
    ok(&mut world, &beats("b", b));
    let mark = world.log.len();
    let left = ok(&mut world, &Beat { instance: Some("i"), ..beats("a", LEAVE_STATIC) });
    assert_eq!((left.member_epoch, kinds(&world, mark).as_str()), (LEAVE_STATIC, "current"));
    assert_eq!(told(&ok(&mut world, &beats("b", b))), None, "nobody gets its partitions");
    assert_eq!(world.commit_offset("a", b, kept[0], 5), ErrorCode::StaleMemberEpoch);
    let mark = world.log.len();
    let back = ok(&mut world, &Beat { instance: Some("i"), ..comes("a2") });
    assert_eq!((back.member_epoch, told(&back)), (b, Some(kept.clone())));
    assert_eq!(kinds(&world, mark), "-current -its-target -member member its-target current current");
    assert_eq!(code(world.beat(&Beat { instance: Some("i"), ..beats("a", b) })), ErrorCode::FencedInstanceId);
    assert_eq!(code(world.beat(&beats("a", b))), ErrorCode::UnknownMemberId);
    assert_eq!(group(&world).epoch(), b, "no rebalance");
    assert_eq!(world.commit_offset("a2", b, kept[0], 6), ErrorCode::None);
}

#[test]
fn a_static_member_that_does_not_come_back_is_out_after_its_session() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { instance: Some("i"), ..comes("a") });
    ok(&mut world, &Beat { instance: Some("i"), ..beats("a", LEAVE_STATIC) });
    world.pass(44_999);
    assert_eq!(group(&world).members().len(), 1);
    world.pass(1);
    assert!(group(&world).is_empty());
}

#[test]
fn an_instance_id_belongs_to_one_member() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { instance: Some("i"), ..comes("a") });
    let other = world.beat(&Beat { instance: Some("i"), ..comes("b") });
    assert_eq!(code(other), ErrorCode::UnreleasedInstanceId);
    let unknown = Beat { instance: Some("j"), ..beats("a", 2) };
    assert_eq!(code(world.beat(&unknown)), ErrorCode::UnknownMemberId);
    let for_good = Beat { instance: Some("i"), ..beats("a", LEAVE) };
    ok(&mut world, &for_good);
    assert!(group(&world).is_empty());
    ok(&mut world, &Beat { instance: Some("i"), ..comes("b") });
}

#[test]
fn new_partitions_and_topics_are_found_by_the_hash_of_the_topics() {
    let mut world = world(at_once());
    let both = Beat { topics: Some(vec!["t", "later"]), ..comes("a") };
    assert_eq!(told(&ok(&mut world, &both)).map(|all| all.len()), Some(6));
    world.publish(|image| add_topic(image, Uuid(9), "elsewhere", &[vec![1]]), &[Uuid(9)]);
    assert_eq!(ok(&mut world, &beats("a", 2)).member_epoch, 2, "it does not read that one");
    world.publish(|image| add_topic(image, Uuid(8), "later", &[vec![1], vec![1]]), &[Uuid(8)]);
    let mark = world.log.len();
    let more = ok(&mut world, &beats("a", 2));
    let topics = more.assignment.map_or(0, |assignment| assignment.topic_partitions.len());
    assert_eq!((more.member_epoch, topics, kinds(&world, mark).as_str()), (3, 2, "epoch its-target target current"));
    world.publish(|image| add_topic(image, T, "t", &vec![vec![1]; 8]), &[T]);
    assert_eq!(told(&ok(&mut world, &beats("a", 3))).map(|all| all.len()), Some(8));
}

#[test]
fn a_topic_that_is_deleted_is_taken_from_its_reader() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { topics: Some(vec!["t", "u"]), ..comes("a") });
    assert_eq!(world.commit_offset("a", 2, 0, 5), ErrorCode::None);
    let remove = protocol::messages::remove_topic_record::RemoveTopicRecord { topic_id: T, ..Default::default() };
    world.publish(|image| image.apply(&remove.into(), &mut metadata::Changes::default()), &[T]);
    let less = ok(
        &mut world,
        &Beat { owned: Some(vec![(T, vec![0, 1, 2, 3, 4, 5]), (Uuid(2), vec![0, 1])]), ..beats("a", 2) },
    );
    assert_eq!(told(&less), Some(vec![]));
    assert_eq!(state(&world, "a"), MemberState::UnrevokedPartitions);
    let done = ok(&mut world, &Beat { owned: Some(vec![(Uuid(2), vec![0, 1])]), ..beats("a", 2) });
    assert_eq!((done.member_epoch, group(&world).state()), (3, State::Stable));
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0), None);
}

#[test]
fn a_member_that_reads_something_else_gives_up_what_it_read() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    let mark = world.log.len();
    let other = ok(&mut world, &Beat { topics: Some(vec!["u"]), ..beats("a", 2) });
    assert_eq!((other.member_epoch, told(&other)), (2, Some(vec![])), "it has to give up first");
    assert_eq!(kinds(&world, mark), "member epoch its-target target current");
    let done = ok(&mut world, &Beat { owned: Some(vec![]), ..beats("a", 2) });
    assert_eq!((done.member_epoch, done.assignment.map_or(0, |all| all.topic_partitions.len())), (3, 1));
    // Without topics it still belongs to the group.
    let none = ok(&mut world, &Beat { topics: Some(vec![]), owned: Some(vec![]), ..beats("a", 3) });
    assert_eq!((none.member_epoch, group(&world).state()), (4, State::Stable));
}

#[test]
fn an_expression_is_looked_up_and_its_topics_come_with_the_next_heartbeat() {
    let mut world = world(at_once());
    let by_regex = Beat { topics: None, regex: Some("t|u.*"), ..comes("a") };
    let joined = ok(&mut world, &by_regex);
    assert_eq!((joined.member_epoch, told(&joined)), (1, Some(vec![])));
    assert_eq!(kinds(&world, 0), "member current");
    world.pass(1);
    assert_eq!(kinds(&world, 2), "regex epoch");
    let got = ok(&mut world, &beats("a", 1));
    assert_eq!((got.member_epoch, told(&got).map(|all| all.len())), (2, Some(6)));
    world.pass(10_001);
    world.publish(|image| add_topic(image, Uuid(8), "u2", &[vec![1]]), &[Uuid(8)]);
    ok(&mut world, &beats("a", 2));
    world.pass(1);
    let more = ok(&mut world, &beats("a", 2));
    assert_eq!((more.member_epoch, more.assignment.map_or(0, |all| all.topic_partitions.len())), (3, 3));
    ok(&mut world, &beats("a", LEAVE));
    assert!(
        matches!(&world.log[world.log.len() - 3..], [Record::ConsumerRegex(_, None), ..]),
        "{:?}",
        world.log.last()
    );
    let wrong = world.beat(&Beat { topics: None, regex: Some("("), ..comes("b") });
    assert_eq!(code(wrong), ErrorCode::InvalidRegularExpression);
}

#[test]
fn members_vote_for_the_assignor() {
    let mut world = world(at_once());
    let range = Beat { assignor: Some("range"), ..comes("a") };
    ok(&mut world, &range);
    assert_eq!(world.describe_consumer("g").assignor_name, "range");
    let other = world.beat(&Beat { assignor: Some("mine"), ..comes("b") });
    let refusal = other.expect_err("there is no such assignor");
    assert_eq!(refusal.code, ErrorCode::UnsupportedAssignor);
    assert_eq!(refusal.message, "ServerAssignor mine is not supported. Supported assignors: uniform, range.");
    let epoch = group(&world).epoch();
    ok(&mut world, &Beat { assignor: Some("uniform"), ..beats("a", 2) });
    assert_eq!(group(&world).epoch(), epoch + 1, "another assignor assigns anew");
}

#[test]
fn the_target_is_not_computed_more_often_than_the_interval_says() {
    let mut world = world(Settings::default());
    ok(&mut world, &comes("a"));
    world.pass(500);
    let b = ok(&mut world, &comes("b"));
    assert_eq!((b.member_epoch, group(&world).epoch(), group(&world).target_epoch()), (2, 3, 2));
    assert_eq!(group(&world).state(), State::Assigning);
    ok(&mut world, &beats("a", 2));
    assert_eq!(group(&world).target_epoch(), 2);
    world.pass(500);
    ok(&mut world, &beats("a", 2));
    assert_eq!(group(&world).target_epoch(), 3);
    // A group that was empty has no interval to wait for.
    ok(&mut world, &beats("a", LEAVE));
    ok(&mut world, &beats("b", LEAVE));
    assert_eq!(told(&ok(&mut world, &comes("c"))).map(|all| all.len()), Some(6));
}

/// A log with such a record could not be loaded again.
#[test]
fn a_subscription_that_is_too_large_for_a_record_is_refused() {
    let long: &'static str = "x".repeat(30_000).leak();
    let mut world = world(at_once());
    let beat = Beat { topics: Some(vec![long; 600]), ..comes("m1") };
    assert_eq!(world.beat(&beat).expect_err("18 MB").code, ErrorCode::InvalidRequest);
    assert_eq!(world.log.len(), 0);
}

#[test]
fn a_full_group_takes_no_more() {
    let mut settings = at_once();
    settings.consumer.size_max = 1;
    let mut world = world(settings);
    ok(&mut world, &Beat { instance: Some("i"), ..comes("a") });
    assert_eq!(code(world.beat(&comes("b"))), ErrorCode::GroupMaxSizeReached);
    ok(&mut world, &Beat { instance: Some("i"), ..beats("a", LEAVE_STATIC) });
    ok(&mut world, &Beat { instance: Some("i"), ..comes("a2") });
}

#[test]
fn requests_that_cannot_be_are_refused_before_anything_changes() {
    let mut world = world(at_once());
    let refused = |world: &mut World, beat: Beat| code(world.beat(&beat));
    for beat in [
        comes(""),
        beats("", 1),
        Beat { group: "", ..comes("a") },
        Beat { instance: Some(""), ..comes("a") },
        Beat { rack: Some(" "), ..comes("a") },
        Beat { rebalance_ms: -1, ..comes("a") },
        Beat { owned: None, ..comes("a") },
        Beat { owned: has(&[1]), ..comes("a") },
        Beat { topics: None, ..comes("a") },
        beats("a", LEAVE_STATIC),
        beats("a", -3),
    ] {
        assert_eq!(refused(&mut world, beat.clone()), ErrorCode::InvalidRequest, "{beat:?}");
    }
    assert_eq!(refused(&mut world, beats("a", LEAVE)), ErrorCode::GroupIdNotFound);
    assert!(world.log.is_empty() && world.shard.machine().group("g").is_none());
    let given = ok(&mut world, &Beat { version: 0, ..comes("") });
    assert_eq!(given.member_id.map(|id| id.len()), Some(22), "version 0 lets the coordinator make the id");
}

#[test]
fn a_group_goes_on_after_its_coordinator_has_moved_r41() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { rebalance_ms: 10_000, ..comes("a") });
    ok(&mut world, &comes("b"));
    let kept = told(&ok(&mut world, &beats("a", 2))).expect("what to keep");
    let before = group(&world).clone();
    world.reload();
    assert_eq!(group(&world), &before, "the log says all of it, in the middle of a reconciliation");
    let moved = ok(&mut world, &Beat { owned: has(&kept), ..beats("a", 2) });
    assert_eq!(moved.member_epoch, 3);
    assert_eq!(told(&ok(&mut world, &beats("b", 3))).map(|got| got.len()), Some(3));
    world.pass(44_999);
    assert_eq!(group(&world).members().len(), 2, "sessions begin with the load");
    world.pass(1);
    assert!(group(&world).is_empty());
}

#[test]
fn the_rebalance_timeout_goes_on_after_a_load_r42() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { rebalance_ms: 10_000, ..comes("a") });
    ok(&mut world, &comes("b"));
    ok(&mut world, &beats("a", 2));
    world.reload();
    world.pass(10_000);
    assert_eq!(group(&world).members().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn odd_orders_of_records_load_r41() {
    let mut world = world(at_once());
    two_members(&mut world);
    ok(&mut world, &beats("b", LEAVE));
    let log = world.log.clone();
    let mut tombstones: Vec<Record> = log.iter().filter(|record| super::is_tombstone(record)).cloned().collect();
    tombstones.push(super::records::no_epoch("g"));
    tombstones.push(crate::ClassicGroup::tombstone("g"));
    // Tombstones of what compaction has removed, offsets before the group, and the same records twice.
    world.log = tombstones.iter().cloned().chain(log.clone()).chain(log).collect();
    world.reload();
    assert_eq!(group(&world).members().keys().collect::<Vec<_>>(), ["a"]);
    world.log.extend(tombstones);
    world.reload();
    assert!(world.shard.machine().group("g").is_none());
}

#[test]
fn an_empty_group_is_deleted_with_its_offsets_and_one_with_members_is_not() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    assert_eq!(world.commit_offset("a", 2, 0, 5), ErrorCode::None);
    assert_eq!(world.delete("g"), ErrorCode::NonEmptyGroup);
    ok(&mut world, &beats("a", LEAVE));
    let mark = world.log.len();
    assert_eq!(world.delete("g"), ErrorCode::None);
    assert_eq!(kinds(&world, mark), "-offset -target -partitions -epoch");
    assert!(world.shard.machine().group("g").is_none());
    world.reload();
    assert!(world.shard.machine().group("g").is_none());
}

#[test]
fn offsets_of_a_group_with_members_stay_and_an_empty_one_goes_with_them_kip_211_r40() {
    let week_ms = 7 * 24 * 3_600 * 1_000;
    let mut world = world(Settings { offsets_retention_check_ms: week_ms / 2, ..at_once() });
    ok(&mut world, &comes("a"));
    assert_eq!(world.commit_offset("a", 2, 0, 5), ErrorCode::None);
    // Heartbeats keep it alive over two weeks.
    for _ in 0..4 {
        world.pass(44_000);
        ok(&mut world, &beats("a", 2));
        world.now.wall = world.now.wall.plus_millis(week_ms / 2);
        world.now.mono = world.now.mono.plus_millis(1);
    }
    world.shard.decide(|groups, effects| groups.expire_offsets(world.now, effects));
    world.commit();
    assert!(world.shard.machine().offsets().get("g", "t", 0).is_some(), "a reads the topic");
    ok(&mut world, &beats("a", LEAVE));
    let mark = world.log.len();
    world.shard.decide(|groups, effects| groups.expire_offsets(world.now, effects));
    world.commit();
    assert_eq!(kinds(&world, mark), "-offset -target -partitions -epoch");
}

#[test]
fn a_group_that_only_held_offsets_becomes_a_consumer_group() {
    let mut world = world(at_once());
    assert_eq!(world.commit_offset("", -1, 0, 5), ErrorCode::None);
    let mark = world.log.len();
    let joined = ok(&mut world, &comes("a"));
    assert!(kinds(&world, mark).starts_with("-classic member epoch"), "{}", kinds(&world, mark));
    assert_eq!(joined.member_epoch, 2);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5));
    world.reload();
    assert_eq!(ok(&mut world, &beats("a", 2)).member_epoch, 2);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5));
}

#[test]
fn a_groups_own_configs_hold_within_the_brokers_bounds() {
    let mut world = world(Settings::default());
    ok(&mut world, &comes("a"));
    for (name, value) in [
        ("consumer.session.timeout.ms", "50000"),
        ("consumer.heartbeat.interval.ms", "99999"),
        ("consumer.assignment.interval.ms", "0"),
    ] {
        world.set_config(32, "g", name, value);
    }
    assert_eq!(ok(&mut world, &beats("a", 2)).heartbeat_interval_ms, 15_000, "the most that the broker allows");
    assert_eq!(ok(&mut world, &comes("b")).member_epoch, 3, "no interval keeps it waiting");
    world.pass(49_999);
    assert_eq!(group(&world).members().len(), 2);
    world.pass(1);
    assert!(group(&world).is_empty());
}

#[test]
fn the_assignment_interval_of_all_groups_is_dynamic() {
    let mut world = world(Settings::default());
    ok(&mut world, &comes("a"));
    world.set_config(4, "", "group.consumer.assignment.interval.ms", "0");
    assert_eq!(ok(&mut world, &comes("b")).member_epoch, 3);
    world.set_config(32, "g", "consumer.assignment.interval.ms", "15000");
    assert_eq!(ok(&mut world, &comes("c")).member_epoch, 3, "the group's own goes before");
}

#[test]
fn the_assignment_interval_of_one_broker_goes_before_that_of_all() {
    let mut world = world(Settings::default());
    ok(&mut world, &comes("a"));
    world.set_config(4, "", "group.consumer.assignment.interval.ms", "15000");
    world.set_config(4, "1", "group.consumer.assignment.interval.ms", "0");
    assert_eq!(ok(&mut world, &comes("b")).member_epoch, 3);
    world.set_config(4, "2", "group.consumer.assignment.interval.ms", "15000");
    assert_eq!(ok(&mut world, &comes("c")).member_epoch, 4, "another broker's is none of its own");
}

#[test]
fn what_kafka_kept_of_the_topics_is_removed_with_the_next_look() {
    let mut world = world(at_once());
    ok(&mut world, &comes("a"));
    let key = protocol::messages::consumer_group_partition_metadata_key::ConsumerGroupPartitionMetadataKey {
        group_id: "g".into(),
    };
    world.log.push(Record::ConsumerPartitions(key, Some(Default::default())));
    world.reload();
    let mark = world.log.len();
    ok(&mut world, &beats("a", 2));
    assert_eq!(kinds(&world, mark), "-partitions");
}

#[test]
fn a_described_group_shows_what_members_have_and_shall_have() {
    let mut world = world(at_once());
    ok(&mut world, &Beat { rack: Some("r1"), instance: Some("i"), ..comes("a") });
    ok(&mut world, &comes("b"));
    ok(&mut world, &Beat { instance: Some("i"), ..beats("a", 2) });
    let described = world.describe_consumer("g");
    assert_eq!((&*described.group_state, described.group_epoch, described.assignment_epoch), ("Reconciling", 3, 3));
    let count = |of: &protocol::messages::consumer_group_describe_response::Assignment<'_>| {
        of.topic_partitions.iter().map(|topic| topic.partitions.len()).sum::<usize>()
    };
    let a = &described.members[0];
    assert_eq!((count(&a.assignment), count(&a.target_assignment)), (6, 3), "what it gives up is its own until then");
    assert_eq!((a.rack_id.as_deref(), a.instance_id.as_deref(), a.member_type), (Some("r1"), Some("i"), 1));
    assert_eq!(world.describe_consumer("absent").error_code, ErrorCode::GroupIdNotFound.code());
}

#[test]
fn the_journal_tells_of_a_rebalance_and_which_partitions_moved() {
    let mut world = world(at_once());
    two_members(&mut world);
    ok(&mut world, &beats("b", LEAVE));
    ok(&mut world, &beats("a", 3));
    let journal = world.shard.machine().journal();
    let told: Vec<(i32, usize, &str, usize)> = journal
        .rebalances("g")
        .map(|one| (one.generation, one.members, one.events[0].what.as_str(), one.moves.len()))
        .collect();
    assert_eq!(
        told,
        [(2, 1, "a joins as a new member", 6), (3, 2, "b joins as a new member", 3), (4, 1, "left: b", 3)]
    );
}
