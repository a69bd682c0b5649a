//! All groups of a shard: which group a request or record concerns, and what kind it is.

use crate::classic::{self, ClassicGroup, Step};
use crate::consumer::{self, ConsumerGroup, OwnConfigs, Sessions, TopicHashes};
use crate::group_id::GroupId;
use crate::journal::Journal;
use crate::offsets::Offsets;
use crate::{Activity, Record, Settings};
use base::{ProducerId, SeededRng, Uuid};
use metadata::MetadataImage;
use protocol::messages as m;
use rsm::{Effects, Machine, Now, Origin, Outcome, Ticket};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// Both clocks.
    pub now: Now,
    /// The request; its reply is owed.
    pub ticket: Ticket,
    /// Version of the request.
    pub version: i16,
    /// The client id of its header; empty when it has none.
    pub client_id: &'a str,
    /// The peer's address as Kafka writes it, `/127.0.0.1`.
    pub client_host: &'a str,
}

/// A group.
#[derive(Debug)]
pub enum Group {
    /// Its members share their partitions out themselves.
    Classic(ClassicGroup),
    /// The coordinator does (KIP-848).
    Consumer(ConsumerGroup, Sessions),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To JoinGroup.
    Join(m::join_group_response::JoinGroupResponse<'static>),
    /// To SyncGroup.
    Sync(m::sync_group_response::SyncGroupResponse<'static>),
    /// To Heartbeat.
    Heartbeat(m::heartbeat_response::HeartbeatResponse),
    /// To LeaveGroup.
    Leave(m::leave_group_response::LeaveGroupResponse<'static>),
    /// To OffsetCommit.
    OffsetCommit(m::offset_commit_response::OffsetCommitResponse<'static>),
    /// To one group of OffsetFetch.
    OffsetFetch(m::offset_fetch_response::OffsetFetchResponseGroup<'static>),
    /// To OffsetDelete.
    OffsetDelete(m::offset_delete_response::OffsetDeleteResponse<'static>),
    /// To this shard's part of ListGroups.
    List(Vec<m::list_groups_response::ListedGroup<'static>>),
    /// To this shard's part of DescribeGroups.
    Describe(Vec<m::describe_groups_response::DescribedGroup<'static>>),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(m::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse<'static>),
    /// To this shard's part of ConsumerGroupDescribe.
    ConsumerDescribe(Vec<m::consumer_group_describe_response::DescribedGroup<'static>>),
    /// To this shard's part of DeleteGroups.
    Delete(Vec<m::delete_groups_response::DeletableGroupResult<'static>>),
    /// To a change of the metadata, which nobody waits for.
    Done,
}

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Something of this group: the group knows what.
    Group(GroupId),
    /// Offsets that nobody uses any more.
    OffsetRetention,
}

/// All groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Groups {
    pub(crate) settings: Arc<Settings>,
    pub(crate) image: MetadataImage,
    pub(crate) rng: SeededRng,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) offsets: Offsets,
    pub(crate) journal: Journal,
    pub(crate) activity: Activity,
    pub(crate) hashes: TopicHashes,
    own_configs: OwnConfigs,
    /// The metadata offset at which topics were made last.
    new_topics_at: i64,
}

impl Groups {
    /// No group yet.
    #[must_use]
    pub fn new(settings: Arc<Settings>, image: MetadataImage, rng: SeededRng) -> Self {
        Self {
            own_configs: OwnConfigs::of_image(&image, settings.node_id),
            settings,
            rng,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            journal: Journal::default(),
            activity: Activity::default(),
            hashes: TopicHashes::default(),
            new_topics_at: image.provenance().offset.0,
            image,
        }
    }

    /// A group by its id.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// The ids of all groups, in order.
    pub fn ids(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.keys()
    }

    /// The offsets that groups have committed.
    #[must_use]
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// What happened to groups of late.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Follows the metadata: offsets of deleted topics go, and groups look anew at topics that they read.
    pub fn on_metadata(&mut self, _now: Now, image: MetadataImage, topics: &[Uuid], effects: &mut Effects<Groups>) {
        let name = |image: &MetadataImage, id: &Uuid| Some(Arc::clone(image.topics().by_id(*id)?.name()));
        let changed = topics.iter().flat_map(|id| name(&self.image, id).into_iter().chain(name(&image, id)));
        let changed: BTreeSet<Arc<str>> = changed.collect();
        let deleted: Vec<(Uuid, Arc<str>)> = topics
            .iter()
            .filter(|id| image.topics().by_id(**id).is_none())
            .filter_map(|id| Some((*id, name(&self.image, id)?)))
            .collect();
        let is_new = |id: &Uuid| image.topics().by_id(*id).is_some() && self.image.topics().by_id(*id).is_none();
        if topics.iter().any(is_new) {
            self.new_topics_at = image.provenance().offset.0;
        }
        self.own_configs = OwnConfigs::of_image(&image, self.settings.node_id);
        self.image = image;
        for (id, name) in deleted {
            for record in self.offsets.tombstones_of_topic(id, &name) {
                effects.append(record);
                effects.end_part();
            }
        }
        if changed.is_empty() {
            return;
        }
        changed.iter().for_each(|name| self.hashes.forget(name));
        for group in self.groups.values_mut() {
            if let Group::Consumer(group, sessions) = group
                && changed.iter().any(|name| group.is_subscribed_to(name))
            {
                sessions.on_topics();
            }
        }
    }

    /// A classic group and what its steps need.
    pub(crate) fn classic_step<'a>(
        &'a mut self,
        id: &str,
        now: Now,
        effects: &'a mut Effects<Groups>,
    ) -> Option<(&'a mut ClassicGroup, Step<'a>)> {
        match shared_id_and_group(&mut self.groups, id)? {
            (id, Group::Classic(group)) => {
                let step = Step {
                    id,
                    now,
                    settings: &self.settings,
                    rng: &mut self.rng,
                    journal: &mut self.journal,
                    activity: &mut self.activity,
                    effects,
                };
                Some((group, step))
            }
            (_, Group::Consumer(..)) => None,
        }
    }

    /// A consumer group and what its steps need.
    pub(crate) fn consumer_step<'a>(
        &'a mut self,
        id: &str,
        now: Now,
        effects: &'a mut Effects<Groups>,
    ) -> Option<(&'a mut ConsumerGroup, &'a mut Sessions, consumer::Step<'a>)> {
        let (id, Group::Consumer(group, sessions)) = shared_id_and_group(&mut self.groups, id)? else { return None };
        let step = consumer::Step {
            own: self.own_configs.of(&id),
            id,
            now,
            settings: &self.settings,
            image: &self.image,
            hashes: &mut self.hashes,
            new_topics_at: self.new_topics_at,
            journal: &mut self.journal,
            activity: &mut self.activity,
            effects,
        };
        Some((group, sessions, step))
    }

    /// The shared form of a group's id, or a new one.
    pub(crate) fn id(&self, id: &str) -> GroupId {
        self.groups.get_key_value(id).map_or_else(|| Arc::from(id), |(known, _)| Arc::clone(known))
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.groups.remove(id);
        self.journal.forget(id);
    }

    /// Folds in a record of a consumer group. What takes something away makes no group, and an odd order of records does no harm (R41).
    fn apply_consumer(&mut self, record: &Record) {
        let Some(id) = consumer::group_of(record) else { return };
        let is_tombstone = consumer::is_tombstone(record);
        match self.groups.get_mut(id) {
            Some(Group::Consumer(..)) if matches!(record, Record::Consumer(_, None)) => self.remove(id),
            Some(Group::Consumer(group, _)) => group.apply(record),
            Some(Group::Classic(_)) | None if is_tombstone => {}
            // A classic group that only holds offsets has no record of its own; of two kinds of records the later ones hold.
            Some(Group::Classic(_)) | None => {
                let mut group = ConsumerGroup::default();
                group.apply(record);
                let id = self.id(id);
                self.groups.insert(id, Group::Consumer(group, Sessions::default()));
            }
        }
    }

    fn ensure_classic(&mut self, id: &str) {
        if !self.groups.contains_key(id) {
            self.groups.insert(Arc::from(id), Group::Classic(ClassicGroup::simple()));
        }
    }
}

/// A group and the shared form of its id by one look-up, which is half of what a heartbeat costs.
fn shared_id_and_group<'a>(groups: &'a mut BTreeMap<GroupId, Group>, id: &str) -> Option<(GroupId, &'a mut Group)> {
    let (known, group) = groups.range_mut::<str, _>((Bound::Included(id), Bound::Unbounded)).next()?;
    (**known == *id).then(|| (Arc::clone(known), group))
}

impl Machine for Groups {
    type Record = Record;
    type Reply = Reply;
    type Timer = Timer;

    fn apply(&mut self, record: &Record, origin: Origin) {
        match record {
            Record::LegacyOffset(key, value) | Record::Offset(key, value) => {
                if value.is_some() {
                    self.ensure_classic(&key.group);
                }
                self.offsets.apply(key, value.as_ref(), origin);
            }
            Record::Classic(key, Some(value)) => {
                let id = self.id(&key.group);
                self.groups.insert(id, Group::Classic(ClassicGroup::loaded(value)));
            }
            Record::Classic(key, None) => {
                if matches!(self.groups.get(&*key.group), Some(Group::Classic(_))) {
                    self.remove(&key.group);
                }
            }
            Record::Consumer(..)
            | Record::ConsumerPartitions(..)
            | Record::ConsumerMember(..)
            | Record::ConsumerTarget(..)
            | Record::ConsumerTargetMember(..)
            | Record::ConsumerCurrent(..)
            | Record::ConsumerRegex(..) => self.apply_consumer(record),
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, outcome: Outcome) {
        self.offsets.end_transaction(producer, outcome);
    }

    fn on_loaded(&mut self, now: Now, effects: &mut Effects<Self>) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            if let Some((group, mut step)) = self.classic_step(&id, now, effects) {
                classic::on_loaded(group, &mut step);
            } else if let Some((group, sessions, mut step)) = self.consumer_step(&id, now, effects) {
                consumer::on_loaded(group, sessions, &mut step);
            }
        }
        self.schedule_retention(now, effects);
    }

    fn on_timer(&mut self, now: Now, timer: &Timer, effects: &mut Effects<Self>) {
        match timer {
            Timer::Group(id) => {
                if let Some((group, mut step)) = self.classic_step(id, now, effects) {
                    classic::on_timer(group, &mut step);
                } else {
                    consumer::on_timer(self, id, now, effects);
                }
            }
            Timer::OffsetRetention => {
                self.expire_offsets(now, effects);
                self.schedule_retention(now, effects);
            }
        }
    }

    fn record_bytes(record: &Record) -> usize {
        record.encoded_len()
    }
}
