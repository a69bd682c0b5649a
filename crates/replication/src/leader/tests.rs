use super::Leader;
use base::{ErrorCode, LeaderEpoch, NodeId, Offset};

fn leading(fsync: bool) -> Leader {
    let mut leader = Leader::new(NodeId(1), fsync, Offset(10));
    assert!(leader.elect(NodeId(1), LeaderEpoch(3)));
    leader
}

#[test]
fn r12_only_durable_records_are_visible_under_fsync() {
    let mut leader = leading(true);
    assert!(!leader.on_appended(Offset(20)));
    assert_eq!(leader.high_watermark(), Offset(10));
    assert!(leader.on_durable(Offset(15)));
    assert!(leader.on_durable(Offset(99)));
    assert_eq!(leader.high_watermark(), Offset(20));
}

#[test]
fn page_cache_records_are_visible_without_it() {
    let mut leader = leading(false);
    assert!(leader.on_appended(Offset(20)));
    assert_eq!(leader.high_watermark(), Offset(20));
    assert!(!leader.on_durable(Offset(20)));
}

#[test]
fn the_high_watermark_stays_when_durability_changes_and_goes_on_by_the_new_rule() {
    let mut leader = leading(false);
    leader.on_appended(Offset(20));
    assert!(!leader.awaits_sync());
    assert!(!leader.set_fsync(true) && leader.awaits_sync());
    assert!(!leader.on_appended(Offset(30)));
    assert_eq!(leader.high_watermark(), Offset(20), "it was shown, so it stays shown");
    assert!(!leader.on_durable(Offset(15)));
    assert!(leader.on_durable(Offset(25)));
    assert!(leader.set_fsync(false));
    assert_eq!(leader.high_watermark(), Offset(30));
}

#[test]
fn r05_epochs_are_checked() {
    let leader = leading(true);
    assert_eq!(leader.check(LeaderEpoch(2)).unwrap_err().code, ErrorCode::FencedLeaderEpoch);
    assert_eq!(leader.check(LeaderEpoch(4)).unwrap_err().code, ErrorCode::UnknownLeaderEpoch);
    assert!(leader.check(LeaderEpoch(3)).is_ok() && leader.check(LeaderEpoch::NONE).is_ok());
    let mut moved = leader;
    assert!(!moved.elect(NodeId(2), LeaderEpoch(2)), "an old epoch is no news");
    assert!(moved.elect(NodeId::NONE, LeaderEpoch(4)));
    assert_eq!(moved.check(LeaderEpoch::NONE).unwrap_err().code, ErrorCode::NotLeaderOrFollower);
}
