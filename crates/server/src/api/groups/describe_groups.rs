//! DescribeGroups (KIP-345, KIP-430, KIP-1043) of classic groups.

use super::{GROUP_OPERATIONS, ask_shards, asker};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::Reply;
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::describe_groups_request::DescribeGroupsRequest;
use protocol::messages::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};
use std::borrow::Cow;

pub(crate) fn handle(broker: &Broker, session: &Session, to: ReplyTo, request: &DescribeGroupsRequest<'_>) -> Reply {
    let with_journal = request.unknown_tags.get(GROUP_JOURNAL).is_some();
    let with_operations = request.include_authorized_operations;
    let described = ask_shards(
        broker,
        asker(session, to),
        // The empty name is one, too: offsets can be committed for it.
        request.groups.iter().map(AsRef::as_ref),
        |groups, cx, ids, effects| groups.describe(cx, ids, with_journal, effects),
        |reply| if let group::Reply::Describe(described) = reply { Some(described) } else { None },
        failed,
    );
    Reply::Later(Box::pin(async move {
        let mut groups = described.await;
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
