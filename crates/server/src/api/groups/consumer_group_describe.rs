//! ConsumerGroupDescribe (KIP-848, KIP-1099).

use super::{GROUP_OPERATIONS, ask_shards, asker, consumer_protocol};
use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use protocol::messages::consumer_group_describe_response::{ConsumerGroupDescribeResponse, DescribedGroup};
use std::borrow::Cow;

pub(crate) fn handle(
    broker: &Broker,
    session: &Session,
    to: ReplyTo,
    request: &ConsumerGroupDescribeRequest<'_>,
) -> Reply {
    let ids = || request.group_ids.iter().map(AsRef::as_ref);
    if let Err(refusal) = consumer_protocol(broker) {
        let groups = ids().map(|id| failed(id, &refusal)).collect();
        return to.now(&ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() });
    }
    let with_journal = request.unknown_tags.get(GROUP_JOURNAL).is_some();
    let with_operations = request.include_authorized_operations;
    let (named, nameless): (Vec<&str>, Vec<&str>) = ids().partition(|id: &&str| !id.is_empty());
    let mut groups: Vec<DescribedGroup<'static>> =
        nameless.into_iter().map(|id| failed_with(id, ErrorCode::InvalidGroupId)).collect();
    let described = ask_shards(
        broker,
        asker(session, to),
        named.into_iter(),
        |groups, cx, ids, effects| groups.describe_consumers(cx, ids, with_journal, effects),
        |reply| if let group::Reply::ConsumerDescribe(described) = reply { Some(described) } else { None },
        failed_with,
    );
    Reply::Later(Box::pin(async move {
        groups.extend(described.await);
        if with_operations {
            let found = groups.iter_mut().filter(|group| group.error_code == 0);
            found.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
        }
        to.later(&ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() })
    }))
}

fn failed(id: &str, refusal: &Refusal) -> DescribedGroup<'static> {
    DescribedGroup { error_message: Some(Cow::Owned(refusal.message.to_string())), ..failed_with(id, refusal.code) }
}

fn failed_with(id: &str, code: ErrorCode) -> DescribedGroup<'static> {
    DescribedGroup { group_id: Cow::Owned(id.to_owned()), error_code: code.code(), ..DescribedGroup::default() }
}
