//! ConsumerGroupDescribe (KIP-848, KIP-1099): a group as its members' owners want to see it.

use super::{ConsumerGroup, Member, OwnedPartitions, target};
use crate::groups::{Group, Groups, Reply, RequestContext};
use base::{ErrorCode, Uuid};
use metadata::MetadataImage;
use protocol::extension::GROUP_JOURNAL;
use protocol::messages::consumer_group_describe_response as m;
use protocol::wire::UnknownTags;
use rsm::Effects;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Member types of the response.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

impl Groups {
    /// Answers this shard's part of a ConsumerGroupDescribe; `with_journal` adds the last rebalances of each group as a tagged field of
    /// ours. A group that is named again is not described again: the answer could be of any size.
    pub fn describe_consumers(
        &mut self,
        cx: RequestContext<'_>,
        ids: &[&str],
        with_journal: bool,
        effects: &mut Effects<Groups>,
    ) {
        let mut told = BTreeSet::new();
        let ids = ids.iter().filter(|id| !self.groups.contains_key(**id) || told.insert(**id));
        let described = ids.map(|id| {
            let why = match self.groups.get(*id) {
                Some(Group::Consumer(group, _)) => {
                    let mut described = group.described(id, &self.image);
                    described.assignor_name = own(target::assignor_name(group, &self.settings.consumer));
                    if with_journal {
                        described.unknown_tags = UnknownTags::with(GROUP_JOURNAL, self.journal.json(id));
                    }
                    return described;
                }
                Some(Group::Classic(_)) => format!("Group {id} is not a consumer group."),
                None => format!("Group {id} not found."),
            };
            m::DescribedGroup {
                group_id: own(id),
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(Cow::Owned(why)),
                ..m::DescribedGroup::default()
            }
        });
        let described = described.collect();
        effects.reply(cx.ticket, Ok(Reply::ConsumerDescribe(described)));
    }
}

fn own(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

impl ConsumerGroup {
    fn described(&self, id: &str, image: &MetadataImage) -> m::DescribedGroup<'static> {
        let members = self.members.iter().map(|(id, member)| {
            let target = self.targets.get(id).into_iter().flatten();
            let target = target.map(|(topic, of)| (*topic, of.iter().copied().collect())).collect();
            describe_member(id, member, target, image)
        });
        m::DescribedGroup {
            group_id: own(id),
            group_state: Cow::Borrowed(self.state().name()),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            members: members.collect(),
            ..m::DescribedGroup::default()
        }
    }
}

fn describe_member(
    id: &str,
    member: &Member,
    target: BTreeMap<Uuid, Vec<i32>>,
    image: &MetadataImage,
) -> m::Member<'static> {
    let maybe = |text: &Option<String>| text.as_deref().map(own);
    // What it has to give up is its own until it has.
    let mut has: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    let mut add = |owned: &OwnedPartitions| {
        owned.iter().for_each(|(topic, of)| has.entry(*topic).or_default().extend(of.keys()));
    };
    add(&member.assigned);
    add(&member.revoking);
    m::Member {
        member_id: own(id),
        instance_id: maybe(&member.instance_id),
        rack_id: maybe(&member.rack_id),
        member_epoch: member.epoch,
        client_id: own(&member.client_id),
        client_host: own(&member.client_host),
        subscribed_topic_names: member.topics.iter().map(|name| own(name)).collect(),
        subscribed_topic_regex: maybe(&member.topic_regex),
        assignment: assignment(has, image),
        target_assignment: assignment(target, image),
        member_type: if member.classic.is_some() { CLASSIC } else { CONSUMER },
        ..m::Member::default()
    }
}

/// Topics that are gone have no name and are left out.
fn assignment(topics: BTreeMap<Uuid, Vec<i32>>, image: &MetadataImage) -> m::Assignment<'static> {
    let topics = topics.into_iter().filter_map(|(topic_id, partitions)| {
        let topic_name = own(image.topics().by_id(topic_id)?.name());
        Some(m::TopicPartitions { topic_id, topic_name, partitions, ..m::TopicPartitions::default() })
    });
    m::Assignment { topic_partitions: topics.collect(), ..m::Assignment::default() }
}
