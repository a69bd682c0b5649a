//! DescribeGroups (KIP-345, KIP-430, KIP-1043) of classic groups.

use super::{GROUP_OPERATIONS, asker, by_shard, outcome_of};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::describe_groups_request::DescribeGroupsRequest;
use protocol::messages::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    session: &Session,
    to: ReplyTo,
    request: &DescribeGroupsRequest<'_>,
) -> Reply {
    let with_journal = request.unknown_tags.get(GROUP_JOURNAL).is_some();
    let with_operations = request.include_authorized_operations;
    let mut groups: Vec<DescribedGroup<'static>> = Vec::new();
    // The empty name is one, too: offsets can be committed for it.
    let (shards, homeless) = by_shard(broker, request.groups.iter().map(AsRef::as_ref));
    groups.extend(homeless.into_iter().map(|id| failed(id, ErrorCode::NotCoordinator)));
    let asked: Vec<_> = shards
        .into_iter()
        .map(|(index, ids)| {
            let answer = broker.groups.ask_shard(index, asker(session, to), |groups, cx, effects| {
                groups.describe(cx, &ids, with_journal, effects);
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
                Ok(group::Reply::Describe(described)) => groups.extend(described),
                Ok(_) => groups.extend(ids.iter().map(|id| failed(id, ErrorCode::UnknownServerError))),
                Err(refusal) => groups.extend(ids.iter().map(|id| failed(id, refusal.code))),
            }
        }
        if with_operations {
            let found = groups.iter_mut().filter(|group| group.error_code == 0);
            found.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
        }
        to.later(&DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
    }))
}

fn failed(id: &str, code: ErrorCode) -> DescribedGroup<'static> {
    DescribedGroup { group_id: Cow::Owned(id.to_owned()), error_code: code.code(), ..DescribedGroup::default() }
}
