//! Answers that carry an error.

use crate::groups::Reply;
use base::ErrorCode;
use protocol::messages::join_group_response::JoinGroupResponse;
use protocol::messages::sync_group_response::SyncGroupResponse;
use std::borrow::Cow;

/// The answer to a JoinGroup that carries an error.
pub(crate) fn join_error(code: ErrorCode, member_id: &str) -> Reply {
    Reply::Join(JoinGroupResponse {
        error_code: code.code(),
        member_id: Cow::Owned(member_id.to_owned()),
        protocol_name: None,
        ..JoinGroupResponse::default()
    })
}

/// The answer to a SyncGroup that carries an error.
pub(crate) fn sync_error(code: ErrorCode) -> Reply {
    Reply::Sync(SyncGroupResponse { error_code: code.code(), ..SyncGroupResponse::default() })
}
