//! Transcripts of the classic protocol: each transition, and what a client is told in it.

use super::State;
use crate::testing::{Joining, World, code, joining};
use crate::{ClassicGroup, Group, Record, Settings};
use base::ErrorCode;
use rsm::Now;

fn at_once() -> Settings {
    Settings { classic_initial_rebalance_delay_ms: 0, ..Settings::default() }
}

fn group(world: &World) -> &ClassicGroup {
    match world.shard.machine().group("g") {
        Some(Group::Classic(group)) => group,
        other => panic!("no classic group: {other:?}"),
    }
}

/// A stable group of `count` members; the first leads. Returns their ids and the generation.
fn stable(world: &mut World, count: usize) -> (Vec<String>, i32) {
    let (leader, ticket) = world.join_new(&joining(""));
    let mut generation = world.joined(ticket).generation_id;
    let mut ids = vec![leader.clone()];
    let first = world.sync(&leader, generation, &[(&leader, b"all")]);
    assert_eq!(world.synced(first).0, ErrorCode::None);
    for _ in 1..count {
        let (id, joins) = world.join_new(&joining(""));
        let rejoins: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
        generation = world.joined(joins).generation_id;
        rejoins.into_iter().for_each(|ticket| drop(world.joined(ticket)));
        ids.push(id);
        let assignments: Vec<(&str, &[u8])> = ids.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
        let syncs: Vec<u64> = ids.iter().rev().map(|id| world.sync(id, generation, &assignments)).collect();
        syncs.into_iter().for_each(|ticket| assert_eq!(world.synced(ticket).0, ErrorCode::None));
    }
    assert_eq!(group(world).state(), State::Stable);
    (ids, generation)
}

#[test]
fn a_member_gets_an_id_first_and_comes_back_with_it_kip_394() {
    let mut world = World::new(at_once());
    let (id, ticket) = world.join_new(&joining(""));
    assert!(id.starts_with("client-") && id.len() == "client-".len() + 36, "{id}");
    let joined = world.joined(ticket);
    assert_eq!((joined.generation_id, &*joined.leader), (1, id.as_str()));
    assert_eq!(joined.members.len(), 1, "the leader is told of everybody");
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(group(&world).state(), State::CompletingRebalance);
}

#[test]
fn an_older_client_is_taken_in_without_coming_back() {
    let mut world = World::new(at_once());
    let ticket = world.join(&Joining { version: 3, ..joining("") });
    assert_eq!(world.joined(ticket).error_code, 0);
}

#[test]
fn an_id_that_is_not_used_expires_with_the_session() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 1);
    let first = world.join(&joining(""));
    assert_eq!(code(world.joined(first).error_code), ErrorCode::MemberIdRequired);
    // While the id is out, a rebalance waits for it.
    let rejoin = world.join(&joining(&ids[0]));
    assert!(world.waits(rejoin));
    world.pass(10_000);
    assert_eq!(world.joined(rejoin).generation_id, 2);
}

#[test]
fn an_empty_group_waits_for_more_members_and_each_draws_it_out_kip_134() {
    let mut world = World::new(Settings::default());
    let (_, first) = world.join_new(&joining(""));
    world.pass(2_999);
    assert!(world.waits(first));
    let (_, second) = world.join_new(&joining(""));
    world.pass(2_999);
    assert!(world.waits(first), "the second member drew it out by another delay");
    world.pass(2);
    assert_eq!((world.joined(first).generation_id, world.joined(second).generation_id), (1, 1));
}

#[test]
fn drawing_out_ends_with_the_rebalance_timeout() {
    let mut world = World::new(Settings::default());
    let short = Joining { rebalance_ms: 7_000, ..joining("") };
    let (_, first) = world.join_new(&short);
    for _ in 0..6 {
        world.pass(1_000);
        world.join_new(&short);
    }
    assert!(world.waits(first));
    world.pass(1_000);
    assert_eq!(world.joined(first).generation_id, 1);
}

#[test]
fn followers_wait_for_the_leader_and_get_what_it_gave() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 3);
    assert_eq!(generation, 3);
    let again = world.sync(&ids[1], generation, &[]);
    assert_eq!(world.synced(again), (ErrorCode::None, ids[1].clone().into_bytes()), "a stable group answers at once");
    let record = world.log.last().cloned();
    let Some(Record::Classic(_, Some(value))) = record else { panic!("the assignment is in the log: {record:?}") };
    assert_eq!((value.generation, value.members.len()), (3, 3));
}

#[test]
fn a_member_that_the_leader_forgot_gets_an_empty_assignment() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let joins: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
    let generation = joins.into_iter().map(|ticket| world.joined(ticket).generation_id).max().expect("two");
    let follower = world.sync(&ids[1], generation, &[]);
    assert!(world.waits(follower));
    let leader = group(&world).members().keys().next().cloned();
    assert!(leader.is_some());
    let led = world.sync(&ids[0], generation, &[(&ids[0], b"x"), ("nobody", b"y")]);
    assert_eq!(world.synced(led).1, b"x");
    assert_eq!(world.synced(follower), (ErrorCode::None, Vec::new()));
}

#[test]
fn heartbeats_tell_of_a_rebalance_and_a_silent_member_is_out() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::None);
    assert_eq!(world.heartbeat(&ids[0], None, generation - 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat("stranger", None, generation), ErrorCode::UnknownMemberId);
    world.pass(6_000);
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::None);
    world.pass(6_000);
    // The other one was silent for 12 s, its session is 10 s.
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat(&ids[1], None, generation), ErrorCode::UnknownMemberId);
    let rejoin = world.join(&joining(&ids[0]));
    assert_eq!(world.joined(rejoin).generation_id, generation + 1);
}

#[test]
fn a_member_that_waits_for_its_join_is_not_silent() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let waiting = world.join(&Joining { session_ms: 6_000, ..joining(&ids[0]) });
    world.pass(9_000);
    assert!(world.waits(waiting), "the other member's session of 10 s goes on");
    world.pass(60_000);
    let joined = world.joined(waiting);
    assert_eq!((joined.error_code, joined.members.len()), (0, 1), "the one that did not join is out");
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_out_r42() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let leader = world.join(&Joining { rebalance_ms: 5_000, ..joining(&ids[0]) });
    for _ in 0..20 {
        world.pass(3_000);
        world.heartbeat(&ids[1], None, generation);
    }
    assert_eq!(world.joined(leader).members.len(), 1);
    assert_eq!(world.heartbeat(&ids[1], None, generation), ErrorCode::UnknownMemberId);
}

#[test]
fn who_joins_and_does_not_ask_for_its_assignment_is_out_r42() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let short = |id: &str| Joining { rebalance_ms: 8_000, ..joining(id) };
    let joins: Vec<u64> = ids.iter().map(|id| world.join(&short(id))).collect();
    let generation = joins.into_iter().map(|ticket| world.joined(ticket).generation_id).max().expect("two");
    let led = world.sync(&ids[0], generation, &[]);
    assert_eq!(world.synced(led).0, ErrorCode::None);
    for _ in 0..4 {
        world.pass(2_000);
        world.heartbeat(&ids[0], None, generation);
        world.heartbeat(&ids[1], None, generation);
    }
    assert_eq!(world.heartbeat(&ids[1], None, generation), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_stale_generation_is_refused_in_sync_and_commit_r43() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let stale = world.sync(&ids[0], generation - 1, &[]);
    assert_eq!(world.synced(stale).0, ErrorCode::IllegalGeneration);
    assert_eq!(world.commit_offset(&ids[0], generation - 1, 0, 5), ErrorCode::IllegalGeneration);
    assert_eq!(world.commit_offset("stranger", generation, 0, 5), ErrorCode::UnknownMemberId);
    assert_eq!(world.commit_offset("", -1, 0, 5), ErrorCode::UnknownMemberId, "the group has members");
    assert_eq!(world.commit_offset(&ids[0], generation, 0, 5), ErrorCode::None);
    assert_eq!(world.commit_offset(&ids[0], generation - 1, 0, 3), ErrorCode::IllegalGeneration);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5), "unchanged");
}

#[test]
fn a_fenced_instance_commits_nothing_r43() {
    let mut world = World::new(at_once());
    let with_instance = |member: &str| Joining { instance: Some("i"), ..joining(member) };
    let old = world.join(&with_instance(""));
    let old = world.joined(old);
    let synced = world.sync(&old.member_id, old.generation_id, &[(&old.member_id, b"all")]);
    drop(world.synced(synced));
    let new = world.join(&with_instance(""));
    let new = world.joined(new);
    assert_ne!(new.member_id, old.member_id);
    let commit = |world: &mut World, member: &str, generation: i32, offset: i64| {
        world.commit_offset_of(9, member, Some("i"), generation, 0, offset)
    };
    assert_eq!(commit(&mut world, &new.member_id, new.generation_id, 5), ErrorCode::None);
    assert_eq!(commit(&mut world, &old.member_id, old.generation_id, 3), ErrorCode::FencedInstanceId);
    assert_eq!(world.shard.machine().offsets().get("g", "t", 0).map(|known| known.offset), Some(5), "unchanged");
}

#[test]
fn a_leader_that_dies_while_it_assigns_does_not_hold_the_group_r42() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let joins: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
    let generation = joins.into_iter().map(|ticket| world.joined(ticket).generation_id).max().expect("two");
    assert_eq!(group(&world).state(), State::CompletingRebalance);
    let (leader, follower) = if group(&world).is_leader(&ids[0]) { (&ids[0], &ids[1]) } else { (&ids[1], &ids[0]) };
    let waiting = world.sync(follower, generation, &[]);
    // The leader's session is 10 s.
    for _ in 0..3 {
        assert!(world.waits(waiting));
        world.pass(4_000);
    }
    assert_eq!(world.synced(waiting).0, ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat(leader, None, generation), ErrorCode::UnknownMemberId);
    let again = world.join(&joining(follower));
    assert_eq!(world.joined(again).generation_id, generation + 1);
}

#[test]
fn offsets_can_be_committed_while_members_join_and_not_while_the_leader_assigns() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let first = world.join(&joining(&ids[0]));
    assert_eq!(group(&world).state(), State::PreparingRebalance);
    assert_eq!(world.commit_offset(&ids[1], generation, 0, 5), ErrorCode::None, "before it gives its partitions up");
    let second = world.join(&joining(&ids[1]));
    let next = world.joined(first).generation_id;
    drop(world.joined(second));
    assert_eq!(world.commit_offset(&ids[1], next, 0, 6), ErrorCode::RebalanceInProgress);
}

#[test]
fn leaving_begins_a_rebalance_and_the_last_to_leave_empties_the_group() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    assert_eq!(world.leave(&[(&ids[0], None), ("stranger", None)]), [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(world.heartbeat(&ids[1], None, generation), ErrorCode::RebalanceInProgress);
    assert_eq!(world.leave(&[(&ids[1], None)]), [ErrorCode::None]);
    assert_eq!(group(&world).state(), State::Empty);
    assert!(matches!(world.log.last(), Some(Record::Classic(_, Some(value))) if value.members.is_empty()));
    assert_eq!(world.commit_offset("", -1, 0, 1), ErrorCode::None, "an empty group takes offsets of an operator");
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment_without_a_rebalance_kip_345_kip_814() {
    let mut world = World::new(at_once());
    let fixed = Joining { instance: Some("i1"), ..joining("") };
    let first = world.join(&fixed);
    let first = world.joined(first);
    let id = first.member_id.to_string();
    assert!(id.starts_with("i1-"), "{id}");
    let synced = world.sync(&id, 1, &[(&id, b"mine")]);
    assert_eq!(world.synced(synced).1, b"mine");
    let again = world.join(&fixed);
    let again = world.joined(again);
    assert_eq!((again.error_code, again.generation_id, again.skip_assignment), (0, 1, true));
    assert_ne!(again.member_id, first.member_id);
    assert_eq!(again.leader, again.member_id);
    let new_id = again.member_id.to_string();
    let synced = world.sync(&new_id, 1, &[]);
    assert_eq!(world.synced(synced), (ErrorCode::None, b"mine".to_vec()));
    assert_eq!(world.heartbeat(&id, Some("i1"), 1), ErrorCode::FencedInstanceId);
    assert_eq!(world.heartbeat(&id, None, 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&new_id, Some("i1"), 1), ErrorCode::None);
    world.reload();
    assert_eq!(world.heartbeat(&new_id, Some("i1"), 1), ErrorCode::None, "the new id is in the log");
}

#[test]
fn an_older_static_leader_that_comes_back_is_told_its_old_id_leads() {
    let mut world = World::new(at_once());
    let fixed = Joining { instance: Some("i1"), version: 8, ..joining("") };
    let first = world.join(&fixed);
    let id = world.joined(first).member_id.to_string();
    let synced = world.sync(&id, 1, &[(&id, b"mine")]);
    drop(world.synced(synced));
    let again = world.join(&fixed);
    let again = world.joined(again);
    assert_eq!((&*again.leader, again.skip_assignment, again.members.len()), (id.as_str(), false, 0));
}

/// An id that was longer than a text of the log panicked at every step of the shard from then on.
#[test]
fn an_id_fits_the_log_whatever_it_is_made_of() {
    let long: &'static str = "\u{e9}".repeat(0x3fff).leak();
    let mut world = World::new(at_once());
    let ticket = world.join(&Joining { instance: Some(long), ..joining("") });
    let joined = world.joined(ticket);
    assert!(joined.member_id.len() <= 0x7fff && joined.member_id.starts_with("\u{e9}"), "{}", joined.member_id.len());
    let ticket = world.sync(&joined.member_id, joined.generation_id, &[(&joined.member_id, b"all")]);
    assert_eq!(world.synced(ticket).0, ErrorCode::None);
    world.reload();
    assert_eq!(group(&world).members().len(), 1);
}

/// A log with such a record could not be loaded again.
#[test]
fn what_is_too_large_for_a_record_is_not_assigned() {
    let large: &'static [u8] = vec![0; 20 << 20].leak();
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let tickets: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
    tickets.into_iter().for_each(|ticket| assert_eq!(world.joined(ticket).generation_id, generation + 1));
    let waits = world.sync(&ids[1], generation + 1, &[]);
    let ticket = world.sync(&ids[0], generation + 1, &[(&ids[1], large)]);
    assert_eq!(world.synced(ticket).0, ErrorCode::UnknownServerError);
    assert_eq!(world.synced(waits).0, ErrorCode::UnknownServerError);
    assert_eq!(group(&world).state(), State::PreparingRebalance);
    let largest = world.log.iter().map(Record::encoded_len).max().expect("some");
    assert!(largest < 1 << 20, "{largest}");
    let tickets: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
    tickets.into_iter().for_each(|ticket| assert_eq!(world.joined(ticket).generation_id, generation + 2));
}

#[test]
fn a_static_member_whose_words_are_too_large_for_a_record_rebalances() {
    let large: &'static [u8] = vec![0; 20 << 20].leak();
    let mut world = World::new(at_once());
    let first = world.join(&Joining { instance: Some("i"), ..joining("") });
    let first = world.joined(first);
    let ticket = world.sync(&first.member_id, first.generation_id, &[(&first.member_id, b"all")]);
    assert_eq!(world.synced(ticket).0, ErrorCode::None);
    let again = world.join(&Joining { instance: Some("i"), protocols: vec![("range", large)], ..joining("") });
    assert_eq!(world.joined(again).generation_id, first.generation_id + 1);
    let largest = world.log.iter().map(Record::encoded_len).max().expect("some");
    assert!(largest < 1 << 20, "{largest}");
}

/// Its session ended while it waited for the leader; told to join again, it was waited for without end when it did not.
#[test]
fn a_static_member_that_waited_long_for_its_assignment_still_has_a_session() {
    let mut world = World::new(at_once());
    let leads = world.join(&Joining { instance: Some("a"), ..joining("") });
    let leads = world.joined(leads).member_id.into_owned();
    let follows = world.join(&Joining { instance: Some("b"), ..joining("") });
    let again = world.join(&Joining { instance: Some("a"), ..joining(&leads) });
    let generation = world.joined(again).generation_id;
    let follows = world.joined(follows).member_id.into_owned();
    let waits = world.sync(&follows, generation, &[]);
    for _ in 0..3 {
        world.pass(5_000);
        assert_eq!(world.heartbeat(&leads, Some("a"), generation), ErrorCode::None);
    }
    assert_eq!(world.leave(&[("", Some("a"))]), [ErrorCode::None]);
    assert_eq!(world.synced(waits).0, ErrorCode::RebalanceInProgress);
    world.pass(10_000);
    assert_eq!(group(&world).state(), State::Empty, "nobody is left");
}

/// Waiting for no time, again and again, kept the coordinator's thread busy for ever.
#[test]
fn static_members_without_a_rebalance_timeout_are_waited_for_until_their_sessions_end() {
    let mut world = World::new(at_once());
    let joining = |instance| Joining { instance: Some(instance), rebalance_ms: 0, ..joining("") };
    let leads = world.join(&joining("a"));
    let leads = world.joined(leads).member_id.into_owned();
    let ticket = world.sync(&leads, 1, &[(&leads, b"all")]);
    assert_eq!(world.synced(ticket).0, ErrorCode::None);
    let other = world.join(&joining("b"));
    assert_eq!(world.leave(&[("", Some("b"))]), [ErrorCode::None]);
    assert_eq!(code(world.joined(other).error_code), ErrorCode::UnknownMemberId);
    world.pass(9_000);
    assert_eq!(group(&world).members().len(), 1);
    world.pass(1_000);
    assert_eq!(group(&world).state(), State::Empty);
}

/// A thread that was late took the end of the wait for joins first, and with the generation every session began anew.
#[test]
fn what_is_due_at_once_is_done_in_the_order_in_which_it_came_due() {
    let mut world = World::new(at_once());
    let silent = world.join(&Joining { instance: Some("a"), ..joining("") });
    let silent = world.joined(silent).member_id.into_owned();
    let ticket = world.sync(&silent, 1, &[(&silent, b"all")]);
    assert_eq!(world.synced(ticket).0, ErrorCode::None);
    let (id, ticket) = world.join_new(&joining(""));
    let late = Now { mono: world.now.mono.plus_millis(70_000), wall: world.now.wall.plus_millis(70_000) };
    world.now = late;
    world.shard.tick(late);
    world.commit();
    let joined = world.joined(ticket);
    let members: Vec<&str> = joined.members.iter().map(|member| &*member.member_id).collect();
    assert_eq!((&*joined.leader, members), (id.as_str(), vec![id.as_str()]), "the silent one is out");
}

#[test]
fn a_static_member_that_changes_its_protocols_rebalances() {
    let mut world = World::new(at_once());
    let first = world.join(&Joining { instance: Some("i1"), ..joining("") });
    let id = world.joined(first).member_id.to_string();
    let synced = world.sync(&id, 1, &[]);
    drop(world.synced(synced));
    let other = Joining { instance: Some("i1"), protocols: vec![("range", b""), ("sticky", b"s")], ..joining("") };
    let again = world.join(&other);
    assert_eq!(world.joined(again).generation_id, 1, "range is still what everybody supports first");
    let other = Joining { instance: Some("i1"), protocols: vec![("sticky", b"s"), ("range", b"")], ..joining("") };
    let again = world.join(&other);
    let again = world.joined(again);
    assert_eq!((again.generation_id, again.protocol_name.as_deref()), (2, Some("sticky")));
}

#[test]
fn an_operator_removes_a_static_member_by_its_instance() {
    let mut world = World::new(at_once());
    let first = world.join(&Joining { instance: Some("i1"), ..joining("") });
    drop(world.joined(first));
    assert_eq!(world.leave(&[("", Some("i2")), ("", Some("i1"))]), [ErrorCode::UnknownMemberId, ErrorCode::None]);
    assert_eq!(group(&world).state(), State::Empty);
}

#[test]
fn only_the_newest_request_of_a_member_waits() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let older = world.join(&joining(&ids[0]));
    let newer = world.join(&joining(&ids[0]));
    assert_eq!(code(world.joined(older).error_code), ErrorCode::RebalanceInProgress);
    assert!(world.waits(newer));
}

#[test]
fn protocols_must_fit_the_group() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 1);
    let wrong_type = world.join(&Joining { protocol_type: "connect", ..joining("") });
    assert_eq!(code(world.joined(wrong_type).error_code), ErrorCode::InconsistentGroupProtocol);
    let wrong_name = world.join(&Joining { protocols: vec![("sticky", b"")], ..joining("") });
    assert_eq!(code(world.joined(wrong_name).error_code), ErrorCode::InconsistentGroupProtocol);
    let none = world.join(&Joining { group: "new", protocols: Vec::new(), ..joining("") });
    assert_eq!(code(world.joined(none).error_code), ErrorCode::InconsistentGroupProtocol);
    let short = world.join(&Joining { session_ms: 5_999, ..joining("") });
    assert_eq!(code(world.joined(short).error_code), ErrorCode::InvalidSessionTimeout);
    let stranger = world.join(&joining("stranger"));
    assert_eq!(code(world.joined(stranger).error_code), ErrorCode::UnknownMemberId);
    assert_eq!(group(&world).members().keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
}

/// Each name of one member was looked for in every other member's list: this took minutes, and all groups of the shard waited.
#[test]
fn members_with_many_protocols_join_in_no_time() {
    let names = |prefix: char| -> Vec<(&'static str, &'static [u8])> {
        let own = (0..60_000).map(|number| &*format!("{prefix}{number}").leak());
        own.chain(["range"]).map(|name| (name, &b"r"[..])).collect()
    };
    let mut world = World::new(at_once());
    let (leader, ticket) = world.join_new(&Joining { protocols: names('a'), ..joining("") });
    let generation = world.joined(ticket).generation_id;
    let (_, joins) = world.join_new(&Joining { protocols: names('b'), ..joining("") });
    let again = world.join(&Joining { protocols: names('a'), ..joining(&leader) });
    assert_eq!(world.joined(joins).protocol_name.as_deref(), Some("range"));
    assert_eq!(world.joined(again).generation_id, generation + 1);
}

#[test]
fn members_vote_for_the_protocol_that_most_prefer() {
    let mut world = World::new(Settings::default());
    let votes = [["a", "b"], ["b", "a"], ["b", "a"]];
    let tickets: Vec<u64> = votes
        .iter()
        .map(|names| {
            let protocols = names.iter().map(|name| (*name, &b""[..])).collect();
            world.join_new(&Joining { protocols, ..joining("") }).1
        })
        .collect();
    world.pass(20_000);
    for ticket in tickets {
        assert_eq!(world.joined(ticket).protocol_name.as_deref(), Some("b"));
    }
}

#[test]
fn a_full_group_takes_no_more() {
    let mut world = World::new(Settings { classic_size_max: 2, ..at_once() });
    let (ids, generation) = stable(&mut world, 2);
    let third = world.join(&joining(""));
    assert_eq!(code(world.joined(third).error_code), ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::None, "and is not disturbed");
}

#[test]
fn a_leader_that_joins_again_begins_a_rebalance_and_a_follower_does_not() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let (leader, follower) = match group(&world).is_leader(&ids[0]) {
        true => (&ids[0], &ids[1]),
        false => (&ids[1], &ids[0]),
    };
    let again = world.join(&joining(follower));
    let again = world.joined(again);
    assert_eq!((again.generation_id, again.members.len()), (generation, 0));
    let leads = world.join(&joining(leader));
    assert!(world.waits(leads));
    assert_eq!(group(&world).state(), State::PreparingRebalance);
}

#[test]
fn a_sync_that_waits_is_told_to_join_again_when_the_group_changes() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    let joins: Vec<u64> = ids.iter().map(|id| world.join(&joining(id))).collect();
    let generation = joins.into_iter().map(|ticket| world.joined(ticket).generation_id).max().expect("two");
    let follower = if group(&world).is_leader(&ids[0]) { &ids[1] } else { &ids[0] };
    let waiting = world.sync(follower, generation, &[]);
    world.join_new(&joining(""));
    assert_eq!(world.synced(waiting).0, ErrorCode::RebalanceInProgress);
}

#[test]
fn a_group_goes_on_after_its_coordinator_has_moved_r41() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 3);
    assert_eq!(world.commit_offset(&ids[1], generation, 4, 44), ErrorCode::None);
    world.reload();
    for id in &ids {
        assert_eq!(world.heartbeat(id, None, generation), ErrorCode::None);
        let synced = world.sync(id, generation, &[]);
        assert_eq!(world.synced(synced).1, id.as_bytes());
    }
    assert_eq!(world.commit_offset(&ids[1], generation, 4, 45), ErrorCode::None);
    world.pass(10_000);
    assert_eq!(world.heartbeat(&ids[0], None, generation), ErrorCode::UnknownMemberId, "sessions began with the load");
}

#[test]
fn the_journal_tells_who_joined_who_left_and_why() {
    let mut world = World::new(at_once());
    let (ids, _) = stable(&mut world, 2);
    world.leave(&[(&ids[0], None)]);
    let told: Vec<String> = world
        .shard
        .machine()
        .journal()
        .rebalances("g")
        .flat_map(|rebalance| rebalance.events.iter().map(|event| event.what.clone()))
        .collect();
    assert!(told.iter().any(|what| what.starts_with(&ids[1]) && what.contains("joins as a new member")), "{told:?}");
    assert!(told.iter().any(|what| what.starts_with("left: ") && what.contains(&ids[0])), "{told:?}");
}

/// An assignment as consumers write it: topic `t` with these partitions.
fn partitions_of_t(partitions: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, partitions.len() as u8];
    partitions.iter().for_each(|partition| bytes.extend([0, 0, 0, *partition]));
    bytes.extend([0xff; 4]);
    bytes
}

#[test]
fn the_journal_tells_which_partitions_moved() {
    let mut world = World::new(at_once());
    let (ids, generation) = stable(&mut world, 2);
    let again = |world: &mut World, members: &[&String], shares: &[&[u8]]| {
        let joins: Vec<u64> = members.iter().map(|id| world.join(&joining(id))).collect();
        let generation = joins.into_iter().map(|join| world.joined(join).generation_id).max().expect("members");
        let bytes: Vec<Vec<u8>> = shares.iter().map(|share| partitions_of_t(share)).collect();
        let shares: Vec<(&str, &[u8])> =
            members.iter().zip(&bytes).map(|(id, bytes)| (id.as_str(), bytes.as_slice())).collect();
        let synced = world.sync(members[0], generation, &shares);
        assert_eq!(world.synced(synced).0, ErrorCode::None);
        generation
    };
    let first = again(&mut world, &[&ids[0], &ids[1]], &[&[0, 1], &[2]]);
    assert!(first > generation);
    world.leave(&[(&ids[1], None)]);
    again(&mut world, &[&ids[0]], &[&[1, 2]]);
    let journal = world.shard.machine().journal();
    let moves = &journal.rebalances("g").last().expect("a rebalance").moves;
    let told: Vec<(i32, Option<&str>, Option<&str>)> =
        moves.iter().map(|one| (one.partition, one.from.as_deref(), one.to.as_deref())).collect();
    assert_eq!(told, [(0, Some(ids[0].as_str()), None), (2, Some(ids[1].as_str()), Some(ids[0].as_str()))]);
    let json = String::from_utf8(journal.json("g")).expect("JSON is text");
    assert!(json.starts_with('[') && json.contains(r#""partition":2"#) && json.contains("left: "), "{json}");
}

#[test]
fn the_journal_tells_of_a_static_member_that_came_back() {
    let mut world = World::new(at_once());
    let one = Joining { instance: Some("i"), ..joining("") };
    let join = world.join(&one);
    let joined = world.joined(join);
    let (old, generation) = (joined.member_id.to_string(), joined.generation_id);
    let synced = world.sync(&old, generation, &[(&old, &partitions_of_t(&[0]))]);
    assert_eq!(world.synced(synced).0, ErrorCode::None);
    let join = world.join(&one);
    let new = world.joined(join).member_id.to_string();
    assert_ne!(new, old);
    let journal = world.shard.machine().journal();
    let last = journal.rebalances("g").last().expect("it is noted");
    assert_eq!((last.is_rebalance, last.generation, last.members), (false, generation, 1));
    assert!(last.events[0].what.contains(&format!("{old} is fenced")), "{last:?}");
    // The partition stays where it is: only its owner's id is another one.
    world.leave(&[(&new, Some("i"))]);
    let last = world.shard.machine().journal().rebalances("g").last().cloned().expect("a rebalance");
    assert_eq!(last.moves.iter().map(|one| one.from.as_deref()).collect::<Vec<_>>(), [Some(new.as_str())]);
}
