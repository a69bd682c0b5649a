use super::{
    ControlType, EndTxnMarker, KRaftVersion, LeaderChange, LeaderVoter, SnapshotHeader, Voter, VoterEndpoint, Voters,
};
use base::{NodeId, Timestamp, Uuid};

#[test]
fn values_round_trip_and_cut_values_are_refused() {
    let voter =
        |version| LeaderVoter { node: NodeId(3), directory_id: if version > 0 { Uuid(77) } else { Uuid::ZERO } };
    for version in 0..=1 {
        let change = LeaderChange {
            version,
            leader: NodeId(3),
            voters: vec![voter(version); 2],
            granting: vec![voter(version)],
        };
        let bytes = change.encode();
        assert_eq!(LeaderChange::decode(&bytes), Ok(change));
        assert!(LeaderChange::decode(&bytes[..bytes.len() / 2]).is_err());
    }
    let voters = Voters {
        voters: vec![Voter {
            node: NodeId(1),
            directory_id: Uuid(9),
            endpoints: vec![VoterEndpoint { name: "CONTROLLER".into(), host: "localhost".into(), port: 65_000 }],
            kraft_version_min: 0,
            kraft_version_max: 1,
        }],
    };
    let bytes = voters.encode();
    for len in 0..bytes.len() - 1 {
        assert!(Voters::decode(&bytes[..len]).is_err() || len == bytes.len() - 1, "{len}");
    }
    assert_eq!(Voters::decode(&bytes), Ok(voters));
    let header = SnapshotHeader { last_contained_log_timestamp: Timestamp(5) };
    assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
    assert_eq!(KRaftVersion::decode(&KRaftVersion { level: 1 }.encode()), Ok(KRaftVersion { level: 1 }));
    let marker = EndTxnMarker { coordinator_epoch: 12 };
    assert_eq!(EndTxnMarker::decode(&marker.encode()), Some(marker));
}

#[test]
fn keys_name_their_types() {
    for kind in [ControlType::Abort, ControlType::Commit, ControlType::LeaderChange, ControlType::KRaftVoters] {
        assert_eq!(ControlType::from_key(&kind.key()), Some(kind));
    }
    assert_eq!(ControlType::from_key(&[0, 0, 0]), None);
    assert_eq!(ControlType::from_key(&[0, 0, 0, 99]), None);
}
