//! The one who makes, grows, configures and removes topics, and deletes records. It does one thing at a time: when it cannot know whether
//! a change happened it looks the topics up, after a change that did happen, and then one of the two must be true.

use super::{Client, Cx, STATIC_TOPICS, Wire, decode, pick};
use crate::model::{Change, Key, Topic};
use base::{ErrorCode, Monotonic, SeededRng, Uuid};
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::metadata_request::MetadataRequest;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Topics that come and go.
const NAMES: [&str; 3] = ["north", "south", "east"];
const PARTITIONS_MAX: i32 = 3;
const TIMEOUT_MS: i32 = 30_000;
/// A config's value is the topic's own.
const SOURCE_TOPIC: i8 = 1;
const RESOURCE_TOPIC: i8 = 2;
const SET: i8 = 0;
/// The config that barriers change; it is left out where configs are compared.
const BARRIER_CONFIG: &str = "file.delete.delay.ms";

enum Sent {
    Change(Change),
    Delete {
        key: Key,
        offset: i64,
    },
    /// Any change at all, after which everything before is known to be over.
    Barrier,
    Topics,
    Configs(BTreeMap<String, Topic>),
}

/// The administrator.
pub(crate) struct Admin {
    rng: SeededRng,
    wire: Wire<Sent>,
    /// A change was neither confirmed nor refused.
    is_doubtful: bool,
    /// The barrier is behind, so the topics tell the truth.
    is_settled: bool,
    barriers: u64,
    rests_until: Monotonic,
}

fn configs_of(topics: &BTreeMap<String, Topic>) -> DescribeConfigsRequest<'static> {
    let resource = |name: &String| DescribeConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: Cow::Owned(name.clone()),
        ..DescribeConfigsResource::default()
    };
    DescribeConfigsRequest { resources: topics.keys().map(resource).collect(), ..DescribeConfigsRequest::default() }
}

fn set(topic: &str, config: &str, value: &str) -> IncrementalAlterConfigsRequest<'static> {
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: Cow::Owned(topic.to_owned()),
            configs: vec![AlterableConfig {
                name: Cow::Owned(config.to_owned()),
                config_operation: SET,
                value: Some(Cow::Owned(value.to_owned())),
                ..AlterableConfig::default()
            }],
            ..AlterConfigsResource::default()
        }],
        ..IncrementalAlterConfigsRequest::default()
    }
}

impl Admin {
    pub(crate) fn new(rng: SeededRng) -> Admin {
        Admin {
            rng,
            wire: Wire::new("admin".to_owned()),
            is_doubtful: false,
            is_settled: false,
            barriers: 0,
            rests_until: Monotonic(0),
        }
    }

    fn draw(&mut self, cx: &Cx<'_>) -> Option<Change> {
        let name = (*pick(&mut self.rng, &NAMES)?).to_owned();
        let Some(topic) = cx.model.topics.get(&name) else {
            let mut configs = BTreeMap::new();
            if self.rng.below(3) == 0 {
                configs.insert("retention.bytes".to_owned(), "6000".to_owned());
            }
            return Some(Change::Create { name, partitions: 1 + self.rng.below(2) as i32, configs });
        };
        match self.rng.below(6) {
            0 | 1 => Some(Change::Delete { name }),
            2 if topic.partitions < PARTITIONS_MAX => Some(Change::Grow { name, partitions: topic.partitions + 1 }),
            2 => None,
            _ => {
                let value = (1_000 + self.rng.below(1_000)).to_string();
                Some(Change::Set { name, config: "segment.index.bytes".to_owned(), value })
            }
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, change: Change) {
        match &change {
            Change::Create { name, partitions, configs } => {
                let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
                    name: Cow::Borrowed(name.as_str()),
                    value: Some(Cow::Borrowed(value.as_str())),
                    ..CreatableTopicConfig::default()
                });
                let topic = CreatableTopic {
                    name: Cow::Borrowed(name.as_str()),
                    num_partitions: *partitions,
                    replication_factor: 1,
                    configs: configs.collect(),
                    ..CreatableTopic::default()
                };
                let request = CreateTopicsRequest {
                    topics: vec![topic],
                    timeout_ms: TIMEOUT_MS,
                    ..CreateTopicsRequest::default()
                };
                self.wire.send(cx, 7, &request, Sent::Change(change.clone()));
            }
            Change::Delete { name } => {
                if let Some(topic) = cx.model.topics.get(name).cloned() {
                    for index in 0..PARTITIONS_MAX {
                        cx.model.log((topic.id, index)).is_doomed = true;
                    }
                }
                let state =
                    DeleteTopicState { name: Some(Cow::Borrowed(name.as_str())), ..DeleteTopicState::default() };
                let request = DeleteTopicsRequest {
                    topics: vec![state],
                    timeout_ms: TIMEOUT_MS,
                    ..DeleteTopicsRequest::default()
                };
                self.wire.send(cx, 6, &request, Sent::Change(change.clone()));
            }
            Change::Grow { name, partitions } => {
                let topic = CreatePartitionsTopic {
                    name: Cow::Borrowed(name.as_str()),
                    count: *partitions,
                    assignments: None,
                    ..CreatePartitionsTopic::default()
                };
                let request = CreatePartitionsRequest {
                    topics: vec![topic],
                    timeout_ms: TIMEOUT_MS,
                    ..CreatePartitionsRequest::default()
                };
                self.wire.send(cx, 3, &request, Sent::Change(change.clone()));
            }
            Change::Set { name, config, value } => {
                self.wire.send(cx, 1, &set(name, config, value), Sent::Change(change.clone()));
            }
        }
        cx.model.topics.ask(change);
    }

    fn delete_records(&mut self, cx: &mut Cx<'_>) {
        let topics = cx.model.topics.iter().filter(|(name, _)| STATIC_TOPICS.contains(name));
        let all: Vec<(String, Key)> = topics
            .flat_map(|(name, topic)| (0..topic.partitions).map(move |index| (name.to_owned(), (topic.id, index))))
            .collect();
        let Some((name, key)) = pick(&mut self.rng, &all).cloned() else { return };
        let log = cx.model.log(key);
        let room = log.seen_end() - log.log_start();
        let offset = log.log_start() + self.rng.below(room.unsigned_abs() / 2 + 1) as i64;
        log.deleted_to = log.deleted_to.max(offset);
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Cow::Borrowed(&name),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: key.1,
                    offset,
                    ..DeleteRecordsPartition::default()
                }],
                ..DeleteRecordsTopic::default()
            }],
            timeout_ms: TIMEOUT_MS,
            ..DeleteRecordsRequest::default()
        };
        self.wire.send(cx, 2, &request, Sent::Delete { key, offset });
    }

    /// A change was answered, or not: `code` is the answer's.
    fn changed(&mut self, cx: &mut Cx<'_>, change: &Change, code: i16, id: Option<Uuid>) {
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => {
                cx.model.seen.metadata_changes += 1;
                if let (Change::Create { configs, .. }, Some(id)) = (change, id)
                    && !configs.is_empty()
                {
                    (0..PARTITIONS_MAX).for_each(|index| cx.model.log((id, index)).has_retention = true);
                }
                cx.model.topics.confirmed(id);
            }
            Some(ErrorCode::RequestTimedOut | ErrorCode::KafkaStorageError) => self.doubt(),
            other => cx.model.breach(format!("{change:?} was refused with {other:?}")),
        }
    }

    fn doubt(&mut self) {
        (self.is_doubtful, self.is_settled) = (true, false);
    }

    /// Gets out of doubt: a barrier, then all topics, then their configs.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if self.is_settled {
            return self.look(cx);
        }
        self.barriers += 1;
        let value = (60_000 + self.barriers).to_string();
        self.wire.send(cx, 1, &set(STATIC_TOPICS[0], BARRIER_CONFIG, &value), Sent::Barrier);
    }

    fn look(&mut self, cx: &mut Cx<'_>) {
        self.wire.send(cx, 12, &MetadataRequest { topics: None, ..MetadataRequest::default() }, Sent::Topics);
    }

    fn saw_topics(&mut self, cx: &mut Cx<'_>, frame: &[u8], version: i16) {
        let answer = match decode::<MetadataRequest<'_>>(frame, version) {
            Ok(answer) => answer,
            Err(what) => return cx.model.breach(what),
        };
        let mut topics = BTreeMap::new();
        for topic in answer.topics.iter().filter(|topic| !topic.is_internal) {
            let name = topic.name.as_deref().unwrap_or_default().to_owned();
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            topics.insert(name, Topic { id: topic.topic_id, partitions, configs: BTreeMap::new() });
        }
        let request = configs_of(&topics);
        self.wire.send(cx, 4, &request, Sent::Configs(topics));
    }

    fn saw_configs(&mut self, cx: &mut Cx<'_>, mut topics: BTreeMap<String, Topic>, frame: &[u8], version: i16) {
        let answer = match decode::<DescribeConfigsRequest<'_>>(frame, version) {
            Ok(answer) => answer,
            Err(what) => return cx.model.breach(what),
        };
        for result in &answer.results {
            let Some(topic) = topics.get_mut(&*result.resource_name) else { continue };
            let own = result.configs.iter().filter(|config| config.config_source == SOURCE_TOPIC);
            for config in own.filter(|config| config.name != BARRIER_CONFIG) {
                let value = config.value.as_deref().unwrap_or_default().to_owned();
                topic.configs.insert(config.name.to_string(), value);
            }
        }
        let found = cx.model.topics.looked_up(&topics);
        cx.model.check(found);
        for topic in topics.values().filter(|topic| topic.configs.contains_key("retention.bytes")) {
            (0..PARTITIONS_MAX).for_each(|index| cx.model.log((topic.id, index)).has_retention = true);
        }
        self.is_doubtful = false;
    }

    fn answered_change(&mut self, cx: &mut Cx<'_>, change: &Change, frame: &[u8], version: i16) {
        let said = match change {
            Change::Create { .. } => decode::<CreateTopicsRequest<'_>>(frame, version)
                .map(|answer| answer.topics.first().map(|topic| (topic.error_code, Some(topic.topic_id)))),
            Change::Delete { .. } => decode::<DeleteTopicsRequest<'_>>(frame, version)
                .map(|answer| answer.responses.first().map(|topic| (topic.error_code, None))),
            Change::Grow { .. } => decode::<CreatePartitionsRequest<'_>>(frame, version)
                .map(|answer| answer.results.first().map(|topic| (topic.error_code, None))),
            Change::Set { .. } => decode::<IncrementalAlterConfigsRequest<'_>>(frame, version)
                .map(|answer| answer.responses.first().map(|resource| (resource.error_code, None))),
        };
        match said {
            Ok(Some((code, id))) => self.changed(cx, change, code, id),
            Ok(None) => cx.model.breach(format!("{change:?} was answered without its topic")),
            Err(what) => cx.model.breach(what),
        }
    }

    fn answered_deletion(&mut self, cx: &mut Cx<'_>, key: Key, offset: i64, frame: &[u8], version: i16) {
        let answer = match decode::<DeleteRecordsRequest<'_>>(frame, version) {
            Ok(answer) => answer,
            Err(what) => return cx.model.breach(what),
        };
        let Some(partition) = answer.topics.first().and_then(|topic| topic.partitions.first()) else {
            return cx.model.breach("DeleteRecords was answered without its partition".to_owned());
        };
        match ErrorCode::from_code(partition.error_code) {
            Some(ErrorCode::None) => {
                cx.model.seen.deletions += 1;
                if partition.low_watermark < offset {
                    let low = partition.low_watermark;
                    return cx.model.breach(format!("DeleteRecords before {offset} left the log start at {low}"));
                }
                cx.model.log(key).deleted(partition.low_watermark);
            }
            Some(ErrorCode::KafkaStorageError | ErrorCode::RequestTimedOut) => {}
            other => cx.model.breach(format!("DeleteRecords before {offset} was refused with {other:?}")),
        }
    }
}

impl Client for Admin {
    fn act(&mut self, cx: &mut Cx<'_>) {
        self.wire.check_patience(cx);
        if cx.disconnect || self.wire.len() > 0 || cx.now < self.rests_until {
            return;
        }
        self.rests_until = cx.now.plus_millis(self.rng.below(400) as i64);
        if self.is_doubtful {
            return self.settle(cx);
        }
        if cx.is_ending {
            return;
        }
        match self.rng.below(8) {
            0 => self.look(cx),
            1 | 2 => self.delete_records(cx),
            _ => {
                if let Some(change) = self.draw(cx) {
                    self.ask(cx, change);
                }
            }
        }
    }

    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let Some((version, sent)) = self.wire.next() else { return };
        match sent {
            Sent::Change(change) => self.answered_change(cx, &change, frame, version),
            Sent::Delete { key, offset } => self.answered_deletion(cx, key, offset, frame, version),
            Sent::Barrier => match decode::<IncrementalAlterConfigsRequest<'_>>(frame, version) {
                Ok(answer) => self.is_settled = answer.responses.iter().all(|resource| resource.error_code == 0),
                Err(what) => cx.model.breach(what),
            },
            Sent::Topics => self.saw_topics(cx, frame, version),
            Sent::Configs(topics) => self.saw_configs(cx, topics, frame, version),
        }
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>) {
        if self.wire.drain().iter().any(|sent| matches!(sent, Sent::Change(_))) {
            self.doubt();
        }
        // A barrier that was lost has to be sent again.
        self.is_settled = false;
        self.rests_until = cx.now.plus_millis(self.rng.below(300) as i64);
    }

    fn waits_for(&self) -> Option<String> {
        (self.wire.len() > 0 || self.is_doubtful).then(|| "the admin waits for a reply".to_owned())
    }

    fn may_be_late(&self) -> bool {
        // It could not tell any more what is true.
        false
    }
}
