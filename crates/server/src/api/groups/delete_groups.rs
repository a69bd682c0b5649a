//! DeleteGroups (KIP-229).

use super::{ask_shards, asker};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::messages::delete_groups_request::DeleteGroupsRequest;
use protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &DeleteGroupsRequest<'_>) -> Reply {
    // The answer is keyed by the group's id, so each is answered once.
    let ids: BTreeSet<&str> = request.groups_names.iter().map(AsRef::as_ref).collect();
    let deleted = ask_shards(
        broker,
        asker(session, to),
        ids.into_iter(),
        |groups, cx, ids, effects| groups.delete(cx, ids, effects),
        |reply| if let group::Reply::Delete(deleted) = reply { Some(deleted) } else { None },
        failed,
    );
    Reply::Later(Box::pin(async move {
        let results = deleted.await;
        to.later(&DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
    }))
}

fn failed(id: &str, code: ErrorCode) -> DeletableGroupResult<'static> {
    DeletableGroupResult {
        group_id: Cow::Owned(id.to_owned()),
        error_code: code.code(),
        ..DeletableGroupResult::default()
    }
}
