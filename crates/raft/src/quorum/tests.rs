mod simulation;

use super::{Output, Quorum, Settings, Timing};
use crate::{ElectionState, LogEpochs};
use base::{LeaderEpoch, NodeId, Offset, Timestamp, Uuid};
use record::control::{LeaderChange, Voter, Voters};
use record::{BatchView, Batches};

fn settings(voters: i32, dynamic: bool) -> Settings {
    let one = |id: i32| (NodeId(id), Uuid(1_000 + id as u128));
    let voter = |id: i32| Voter {
        node: NodeId(id),
        directory_id: one(id).1,
        endpoints: vec![],
        kraft_version_min: 0,
        kraft_version_max: 1,
    };
    Settings {
        node: NodeId(1),
        directory_id: one(1).1,
        voters: (1..=voters).map(one).collect(),
        voters_record: dynamic.then(|| Voters { voters: (1..=voters).map(voter).collect() }),
        timing: Timing::default(),
        seed: 1,
    }
}

fn elected(voters: i32, dynamic: bool, log_end: i64) -> (Quorum, Vec<Output>) {
    let mut quorum = Quorum::new(
        settings(voters, dynamic),
        ElectionState::unattached(vec![]),
        LogEpochs::new([], Offset(log_end)),
        false,
    );
    let mut out = Vec::new();
    quorum.campaign(Timestamp(5), &mut out);
    (quorum, out)
}

#[test]
fn r15_the_only_voter_persists_its_vote_before_it_leads() {
    let (quorum, out) = elected(1, true, 0);
    let [Output::Persist(vote), Output::Persist(leader), Output::Append(batch)] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!((vote.epoch, vote.leader, vote.voted), (LeaderEpoch(1), None, Some((NodeId(1), Uuid(1_001)))));
    assert_eq!((leader.epoch, leader.leader), (LeaderEpoch(1), Some(NodeId(1))));
    let (view, _) = BatchView::parse(batch).unwrap();
    assert!(view.header.is_control());
    assert_eq!((view.header.record_count, view.header.leader_epoch, quorum.log_end()), (3, LeaderEpoch(1), Offset(3)));
    let mut scratch = Vec::new();
    let change = view.records(&mut scratch, 1 << 20).unwrap().next().unwrap().unwrap();
    assert_eq!(LeaderChange::decode(change.value.unwrap()).unwrap().version, 0, "Kafka reads no other version");
}

#[test]
fn one_of_three_does_not_elect_itself() {
    let (quorum, out) = elected(3, false, 0);
    assert!(!quorum.is_leader());
    assert!(matches!(out.as_slice(), [Output::Persist(_), Output::Send { .. }, Output::Send { .. }]));
}

#[test]
fn r19_old_records_are_committed_only_with_one_of_the_own_epoch() {
    let (mut quorum, mut out) = elected(1, false, 10);
    out.clear();
    quorum.on_durable(NodeId(1), Offset(10), &mut out);
    assert_eq!((out.len(), quorum.high_watermark()), (0, Offset::ZERO));
    quorum.on_durable(NodeId(1), Offset(11), &mut out);
    assert_eq!(out, [Output::HighWatermark(Offset(11))]);
}

#[test]
fn only_durable_ends_count_and_the_watermark_never_goes_back() {
    let (mut quorum, mut out) = elected(1, false, 0);
    let last = quorum.append(Timestamp(6), &[vec![1], vec![2]], &mut out);
    assert_eq!((last, quorum.log_end(), quorum.high_watermark()), (Offset(2), Offset(3), Offset::ZERO));
    quorum.on_durable(NodeId(1), Offset(3), &mut out);
    quorum.on_durable(NodeId(1), Offset(1), &mut out);
    quorum.on_durable(NodeId(9), Offset(99), &mut out);
    assert_eq!(quorum.high_watermark(), Offset(3));
    let batches: Vec<u8> = out
        .iter()
        .filter_map(|output| if let Output::Append(bytes) = output { Some(bytes.clone()) } else { None })
        .flatten()
        .collect();
    let bases: Vec<_> = Batches::new(&batches).map(|batch| batch.unwrap().header.base_offset).collect();
    assert_eq!(bases, [Offset(0), Offset(1)]);
}
