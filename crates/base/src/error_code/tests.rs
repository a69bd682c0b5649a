use super::ErrorCode;

#[test]
fn codes_and_names_round_trip() {
    assert_eq!(ErrorCode::ALL.len(), 138);
    for &error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(error));
    }
    assert_eq!(ErrorCode::from_code(-1), Some(ErrorCode::UnknownServerError));
    assert_eq!(ErrorCode::from_code(137), None);
    assert_eq!(ErrorCode::NotLeaderOrFollower.to_string(), "NOT_LEADER_OR_FOLLOWER");
}
