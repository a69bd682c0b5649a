//! DeleteGroups (KIP-229).

use super::{asker, by_shard, outcome_of};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::messages::delete_groups_request::DeleteGroupsRequest;
use protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) fn handle(broker: &Arc<Broker>, session: &Session, to: ReplyTo, request: &DeleteGroupsRequest<'_>) -> Reply {
    // The answer is keyed by the group's id, so each is answered once.
    let ids: BTreeSet<&str> = request.groups_names.iter().map(AsRef::as_ref).collect();
    let (shards, homeless) = by_shard(broker, ids.into_iter());
    let mut results: Vec<_> = homeless.into_iter().map(|id| failed(id, ErrorCode::NotCoordinator)).collect();
    let asked: Vec<_> = shards
        .into_iter()
        .map(|(index, ids)| {
            let answer = broker.groups.ask_shard(index, asker(session, to), |groups, cx, effects| {
                groups.delete(cx, &ids, effects);
            });
            (ids.into_iter().map(str::to_owned).collect::<Vec<_>>(), answer)
        })
        .collect();
    Reply::Later(Box::pin(async move {
        for (ids, answer) in asked {
            let outcome = match answer {
                Ok(answer) => outcome_of(answer).await,
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(group::Reply::Delete(deleted)) => results.extend(deleted),
                Ok(_) => results.extend(ids.iter().map(|id| failed(id, ErrorCode::UnknownServerError))),
                Err(refusal) => results.extend(ids.iter().map(|id| failed(id, refusal.code))),
            }
        }
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
