//! ListGroups (KIP-518, KIP-848): the groups of every shard of this node.

use super::{asker, settled};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use group::Filter;
use net::Reply;
use protocol::messages::list_groups_request::ListGroupsRequest;
use protocol::messages::list_groups_response::ListGroupsResponse;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &ListGroupsRequest<'_>) -> Reply {
    let lower = |names: &[std::borrow::Cow<'_, str>]| {
        names.iter().map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let filter = Filter { states: lower(&request.states_filter), types: lower(&request.types_filter) };
    let answers: Vec<_> = broker
        .groups
        .indexes()
        .into_iter()
        .map(|index| {
            broker.groups.ask_shard(index, asker(session, to), |groups, cx, effects| groups.list(cx, &filter, effects))
        })
        .collect();
    Reply::Later(Box::pin(async move {
        let mut response = ListGroupsResponse::default();
        for answer in answers {
            match settled(answer).await {
                Ok(group::Reply::List(groups)) => response.groups.extend(groups),
                Ok(_) => response.error_code = ErrorCode::UnknownServerError.code(),
                // A shard that has moved is listed where it is now.
                Err(refusal) if refusal.code == ErrorCode::NotCoordinator => {}
                Err(refusal) => response.error_code = refusal.code.code(),
            }
        }
        if response.error_code != 0 {
            response.groups.clear();
        }
        to.later(&response)
    }))
}
