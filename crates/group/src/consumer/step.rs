//! What a step of a consumer group has at hand besides the group, and what steps have in common: a record that is folded in at once, and
//! a group epoch that goes up.

use super::{ConsumerGroup, Sessions, State, TopicHashes, records};
use crate::group_id::GroupId;
use crate::groups::{Groups, Timer};
use crate::journal::Journal;
use crate::record::Record;
use crate::{Activity, Settings};
use base::Monotonic;
use metadata::MetadataImage;
use rsm::{Effects, Now};
use std::collections::BTreeMap;

/// Types of configs in the metadata.
const BROKER_RESOURCE: i8 = 4;
const GROUP_RESOURCE: i8 = 32;

/// The timeouts and intervals that are set for a group, ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnConfig {
    session_timeout_ms: Option<i32>,
    heartbeat_interval_ms: Option<i32>,
    assignment_interval_ms: Option<i32>,
}

/// The configs of all groups that have some, and what is set for all of them: taken out of the metadata when it changes, since every
/// heartbeat asks for them.
#[derive(Debug, Default)]
pub(crate) struct OwnConfigs {
    by_group: BTreeMap<Box<str>, OwnConfig>,
    /// Of the broker's configs only the interval is dynamic.
    of_all: OwnConfig,
}

impl OwnConfigs {
    pub(crate) fn of_image(image: &MetadataImage, node_id: i32) -> Self {
        let interval = |broker: &str| {
            let mut set = image.configs(BROKER_RESOURCE, broker);
            let (_, value) = set.find(|(name, _)| *name == "group.consumer.assignment.interval.ms")?;
            value.trim().parse().ok()
        };
        // What is set for this broker goes before what is set for all.
        let assignment_interval_ms = interval(&node_id.to_string()).or_else(|| interval(""));
        let of_all = OwnConfig { assignment_interval_ms, ..OwnConfig::default() };
        let by_group = image.config_resources(GROUP_RESOURCE).map(|group| {
            let mut own = of_all;
            for (name, value) in image.configs(GROUP_RESOURCE, group) {
                match name {
                    "consumer.session.timeout.ms" => own.session_timeout_ms = value.parse().ok(),
                    "consumer.heartbeat.interval.ms" => own.heartbeat_interval_ms = value.parse().ok(),
                    "consumer.assignment.interval.ms" => own.assignment_interval_ms = value.parse().ok(),
                    _ => {}
                }
            }
            (group.into(), own)
        });
        Self { by_group: by_group.collect(), of_all }
    }

    pub(crate) fn of(&self, group: &str) -> OwnConfig {
        self.by_group.get(group).copied().unwrap_or(self.of_all)
    }
}

/// What a step has at hand.
pub(crate) struct Step<'a> {
    pub(crate) id: GroupId,
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    pub(crate) image: &'a MetadataImage,
    pub(crate) own: OwnConfig,
    pub(crate) hashes: &'a mut TopicHashes,
    /// The metadata offset at which topics were made last.
    pub(crate) new_topics_at: i64,
    pub(crate) journal: &'a mut Journal,
    pub(crate) activity: &'a mut Activity,
    pub(crate) effects: &'a mut Effects<Groups>,
}

impl Step<'_> {
    /// Changes the group by a record that goes into the log.
    pub(super) fn record(&mut self, group: &mut ConsumerGroup, record: Record) {
        group.apply(&record);
        self.effects.append_applied(record);
    }

    pub(super) fn journal(&mut self, what: String) {
        self.journal.event(&self.id, self.now, what);
    }

    pub(super) fn wake(&mut self, at: Monotonic) {
        self.effects.wake(Timer::Group(GroupId::clone(&self.id)), at);
    }

    pub(super) fn after_ms(&self, ms: i32) -> Monotonic {
        self.now.mono.plus_millis(i64::from(ms))
    }

    pub(super) fn session_timeout_ms(&self) -> i32 {
        self.settings.consumer.session_timeout.effective(self.own.session_timeout_ms)
    }

    pub(super) fn heartbeat_interval_ms(&self) -> i32 {
        self.settings.consumer.heartbeat_interval.effective(self.own.heartbeat_interval_ms)
    }

    pub(super) fn assignment_interval_ms(&self) -> i32 {
        self.settings.consumer.assignment_interval.effective(self.own.assignment_interval_ms)
    }

    pub(super) fn metadata_hash(&mut self, group: &ConsumerGroup) -> i64 {
        self.hashes.of_topics(self.image, &group.subscribed_topics())
    }

    /// Begins the next epoch.
    pub(super) fn bump(&mut self, group: &mut ConsumerGroup, metadata_hash: i64) {
        let epoch = group.epoch().saturating_add(1);
        let record = records::epoch(&self.id, epoch, metadata_hash);
        self.record(group, record);
        self.activity.consumer_rebalances += 1;
    }

    /// Begins the next epoch when it `must`, or when the topics are others than before. They are looked at in both cases.
    pub(super) fn refresh_metadata(&mut self, group: &mut ConsumerGroup, sessions: &mut Sessions, must: bool) {
        let hash = self.metadata_hash(group);
        let has_changed = hash != group.metadata_hash;
        if has_changed && !must {
            self.journal("the topics that the group reads have changed".to_owned());
        }
        if has_changed || must {
            self.bump(group, hash);
        }
        sessions.knows_topics = true;
        if group.has_partition_metadata {
            // Kafka before 4.1 kept the topics here; the hash takes their place.
            let record = records::no_partition_metadata(&self.id);
            self.record(group, record);
        }
    }

    /// Ends the journal's entry when everybody has arrived.
    pub(super) fn settle(&mut self, group: &ConsumerGroup) {
        if self.journal.is_running(&self.id) && matches!(group.state(), State::Stable | State::Empty) {
            self.journal.assigned(&self.id, group.owned(self.image));
            self.journal.ended(&self.id, self.now, group.epoch(), group.members().len());
        }
    }
}
