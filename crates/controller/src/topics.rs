//! Creating and deleting topics and partitions.

use crate::placement::{Usable, place};
use crate::{Controller, Decision, VersionedRecord};
use base::{ErrorCode, LeaderEpoch, NodeId, Refusal, Uuid};
use config::{ConfigSource, Overrides, describe_topic, validate_topic};
use metadata::{PartitionRegistration, check_topic_name, has_collision, partition_record};
use protocol::messages::config_record::ConfigRecord;
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse};
use protocol::messages::delete_topics_request::DeleteTopicsRequest;
use protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use protocol::messages::remove_topic_record::RemoveTopicRecord;
use protocol::messages::topic_record::TopicRecord;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The most partitions that one request may make, so that its records fit into a batch of the metadata log.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
const TOPIC: i8 = 2;
/// The topic of the metadata log itself.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A topic that is to be made.
struct Plan {
    assignments: Vec<Vec<NodeId>>,
    configs: BTreeMap<String, String>,
}

impl Controller {
    /// CreateTopics.
    pub fn create_topics(&mut self, request: &CreateTopicsRequest<'_>) -> Decision<CreateTopicsResponse<'static>> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> =
            request.topics.iter().map(|t| &*t.name).filter(|name| !seen.insert(*name)).collect();
        let mut records = Vec::new();
        let mut answered = BTreeSet::new();
        let mut topics = Vec::new();
        let mut budget = PARTITIONS_PER_REQUEST_MAX;
        for topic in &request.topics {
            if !answered.insert(&*topic.name) {
                continue;
            }
            let planned = if twice.contains(&*topic.name) {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.plan_topic(topic, &mut budget)
            };
            topics.push(match planned {
                Ok(plan) => self.topic_made(topic, plan, request.validate_only, &mut records),
                Err(refusal) => refused_topic(&topic.name, refusal),
            });
        }
        Decision { records, reply: CreateTopicsResponse { topics, ..CreateTopicsResponse::default() } }
    }

    fn plan_topic(&mut self, topic: &CreatableTopic<'_>, budget: &mut usize) -> Result<Plan, Refusal> {
        check_topic_name(&topic.name).map_err(|why| Refusal::new(ErrorCode::InvalidTopicException, why))?;
        if topic.name == METADATA_TOPIC {
            let why = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        if self.image.topics().by_name(&topic.name).is_some() {
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", topic.name)));
        }
        if let Some(other) = self.image.topics().names().find(|other| has_collision(other, &topic.name)) {
            let why = format!("Topic '{}' collides with existing topic: {other}", topic.name);
            return Err(Refusal::new(ErrorCode::InvalidTopicException, why));
        }
        let mut configs = BTreeMap::new();
        for config in &topic.configs {
            let Some(value) = &config.value else {
                let why = format!("Null value not supported for topic configs: {}", config.name);
                return Err(Refusal::new(ErrorCode::InvalidConfig, why));
            };
            configs.insert(config.name.to_string(), value.to_string());
        }
        validate_topic(&configs).map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
        let assignments =
            if topic.assignments.is_empty() { self.automatic(topic, budget)? } else { self.manual(topic, budget)? };
        Ok(Plan { assignments, configs })
    }

    fn automatic(&mut self, topic: &CreatableTopic<'_>, budget: &mut usize) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let partitions = if topic.num_partitions == -1 { self.settings.num_partitions } else { topic.num_partitions };
        if partitions < 1 {
            let why = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, why));
        }
        let factor = match topic.replication_factor {
            -1 => self.settings.default_replication_factor,
            factor => factor,
        };
        if factor < 1 {
            let why = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, why));
        }
        take(budget, partitions)?;
        self.spread(partitions as usize, factor as usize)
    }

    fn spread(&mut self, partitions: usize, factor: usize) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let brokers = self.image.brokers().filter(|broker| !broker.is_fenced() && !broker.is_shutting_down());
        let usable: Vec<Usable> =
            brokers.map(|b| Usable { node: b.node(), rack: b.record.rack.as_deref().map(str::to_owned) }).collect();
        if factor > usable.len() {
            let why = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached \
                 because only {} broker(s) are registered.",
                usable.len()
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, why));
        }
        Ok(place(&usable, partitions, factor, &mut self.rng))
    }

    fn manual(&self, topic: &CreatableTopic<'_>, budget: &mut usize) -> Result<Vec<Vec<NodeId>>, Refusal> {
        if topic.replication_factor != -1 || topic.num_partitions != -1 {
            let why = "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.";
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        take(budget, i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX))?;
        let mut by_index = BTreeMap::new();
        for assignment in &topic.assignments {
            if by_index.insert(assignment.partition_index, self.check_replicas(&assignment.broker_ids)?).is_some() {
                let why =
                    format!("Found multiple manual partition assignments for partition {}", assignment.partition_index);
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
            }
        }
        if !by_index.keys().copied().eq(0..i32::try_from(by_index.len()).unwrap_or(i32::MAX)) {
            let why = "partitions should be a consecutive 0-based integer sequence";
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        }
        Ok(by_index.into_values().collect())
    }

    fn check_replicas(&self, ids: &[i32]) -> Result<Vec<NodeId>, Refusal> {
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        if ids.is_empty() {
            return invalid("The manual partition assignment includes an empty replica list.".into());
        }
        let mut seen = BTreeSet::new();
        for id in ids {
            if !seen.insert(id) {
                return invalid(format!("The manual partition assignment includes the broker {id} more than once."));
            }
            if self.image.broker(NodeId(*id)).is_none() {
                return invalid(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
        }
        if !ids.iter().any(|id| self.image.is_alive(NodeId(*id))) {
            return invalid(
                "All brokers specified in the manual partition assignment are fenced or in controlled shutdown.".into(),
            );
        }
        Ok(ids.iter().copied().map(NodeId).collect())
    }

    fn topic_made(
        &mut self,
        topic: &CreatableTopic<'_>,
        plan: Plan,
        validate_only: bool,
        records: &mut Vec<VersionedRecord>,
    ) -> CreatableTopicResult<'static> {
        // As in Kafka, an id is told even of a topic that is only tried.
        let topic_id = self.random_uuid();
        if !validate_only {
            let name: Cow<'static, str> = Cow::Owned(topic.name.to_string());
            records.push((TopicRecord { name: name.clone(), topic_id, ..TopicRecord::default() }.into(), 0));
            records.extend(plan.configs.iter().map(|(key, value)| {
                let record = ConfigRecord {
                    resource_type: TOPIC,
                    resource_name: name.clone(),
                    name: Cow::Owned(key.clone()),
                    value: Some(Cow::Owned(value.clone())),
                    ..ConfigRecord::default()
                };
                (record.into(), 0)
            }));
            records.extend(
                plan.assignments.iter().zip(0..).map(|(replicas, index)| self.new_partition(topic_id, index, replicas)),
            );
        }
        CreatableTopicResult {
            name: Cow::Owned(topic.name.to_string()),
            topic_id,
            error_message: None,
            num_partitions: i32::try_from(plan.assignments.len()).unwrap_or(i32::MAX),
            replication_factor: plan.assignments.first().map_or(-1, |replicas| replicas.len() as i16),
            configs: Some(self.described(&plan.configs)),
            ..CreatableTopicResult::default()
        }
    }

    fn new_partition(&self, topic_id: Uuid, index: i32, replicas: &[NodeId]) -> VersionedRecord {
        let version = self.version();
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| self.image.is_alive(*node)).collect();
        let partition = PartitionRegistration {
            leader: isr.first().copied().unwrap_or(NodeId::NONE),
            isr,
            directories: replicas.iter().map(|node| self.default_directory(*node)).collect(),
            replicas: replicas.to_vec(),
            removing: Vec::new(),
            adding: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader_recovery_state: 0,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        };
        (partition_record(topic_id, index, &partition, version).into(), version.partition_version())
    }

    /// The log dir of a broker that has only one; with several the broker chooses (KIP-858).
    fn default_directory(&self, node: NodeId) -> Uuid {
        match self.image.broker(node).map(|broker| broker.record.log_dirs.as_slice()) {
            Some([only]) => *only,
            _ => Uuid::UNASSIGNED_DIR,
        }
    }

    fn described(&self, overrides: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs<'static>> {
        let set = |name: &str| {
            self.image.configs(4, name).map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let (default_broker, broker) = (set(""), BTreeMap::new());
        let node = Overrides { broker: &broker, default_broker: &default_broker, file: &self.settings.node_configs };
        let entries = describe_topic(overrides, node).into_iter();
        entries
            .map(|entry| CreatableTopicConfigs {
                name: Cow::Borrowed(entry.name),
                value: entry.value.map(Cow::Owned),
                read_only: entry.read_only,
                config_source: match entry.source {
                    ConfigSource::Topic => 1,
                    other => other as i8,
                },
                is_sensitive: entry.is_sensitive,
                ..CreatableTopicConfigs::default()
            })
            .collect()
    }

    /// DeleteTopics, by name before version 6 and by name or id since.
    #[must_use]
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest<'_>,
        version: i16,
    ) -> Decision<DeleteTopicsResponse<'static>> {
        let named = request.topic_names.iter().map(|name| (Some(name.to_string()), Uuid::ZERO));
        let states = request.topics.iter().map(|t| (t.name.as_deref().map(str::to_owned), t.topic_id));
        let asked: Vec<_> = if version < 6 { named.collect() } else { states.collect() };
        // The same words twice, or a topic by its name and by its id: refused, and answered once.
        let (mut words, mut topics) = (BTreeMap::<_, usize>::new(), BTreeMap::<Uuid, usize>::new());
        for (name, id) in &asked {
            *words.entry((name, id)).or_default() += 1;
            if let Ok((_, topic_id)) = self.find_topic(name.as_deref(), *id) {
                *topics.entry(topic_id).or_default() += 1;
            }
        }
        let mut records = Vec::new();
        let mut responses = Vec::new();
        let mut answered = BTreeSet::new();
        for (name, id) in &asked {
            let found = self.find_topic(name.as_deref(), *id);
            let repeated = words[&(name, id)] > 1;
            let twofold = found.as_ref().is_ok_and(|(_, topic_id)| topics[topic_id] > 1);
            let key = match &found {
                Ok((_, topic_id)) if twofold && !repeated => (None, *topic_id),
                _ => (name.clone(), *id),
            };
            if !answered.insert(key) {
                continue;
            }
            let twice = |why: &'static str| Refusal::new(ErrorCode::InvalidRequest, why);
            responses.push(match found {
                _ if repeated => refused_deletion(name.clone(), *id, twice("The topic is named twice.")),
                Ok((topic, topic_id)) if twofold => {
                    refused_deletion(Some(topic), topic_id, twice("The topic is named by its name and by its id."))
                }
                Ok(_) if !self.settings.delete_topic_enable => {
                    let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
                    refused_deletion(name.clone(), *id, Refusal::new(code, "Topic deletion is disabled."))
                }
                Ok((topic, topic_id)) => {
                    records.push((RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() }.into(), 0));
                    DeletableTopicResult { name: Some(Cow::Owned(topic)), topic_id, ..DeletableTopicResult::default() }
                }
                Err(refusal) => refused_deletion(name.clone(), *id, refusal),
            });
        }
        Decision { records, reply: DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() } }
    }

    fn find_topic(&self, name: Option<&str>, id: Uuid) -> Result<(String, Uuid), Refusal> {
        let found = match name {
            Some(_) if id != Uuid::ZERO => {
                return Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "You may not specify both topic name and topic id.",
                ));
            }
            Some(name) => self.image.topics().by_name(name),
            None if id == Uuid::ZERO => {
                return Err(Refusal::new(ErrorCode::InvalidRequest, "Neither topic name nor id were specified."));
            }
            None => self.image.topics().by_id(id),
        };
        let missing = if name.is_some() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
        let topic = found.ok_or_else(|| Refusal::new(missing, "This server does not host this topic."))?;
        Ok((topic.name().to_string(), topic.id()))
    }

    /// CreatePartitions.
    pub fn create_partitions(
        &mut self,
        request: &CreatePartitionsRequest<'_>,
    ) -> Decision<CreatePartitionsResponse<'static>> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> =
            request.topics.iter().map(|t| &*t.name).filter(|name| !seen.insert(*name)).collect();
        let mut records = Vec::new();
        let mut budget = PARTITIONS_PER_REQUEST_MAX;
        let mut results = Vec::new();
        let mut answered = BTreeSet::new();
        for topic in request.topics.iter().filter(|topic| answered.insert(&*topic.name)) {
            let added = if twice.contains(&*topic.name) {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.add_partitions(topic, &mut budget)
            };
            let name = Cow::Owned(topic.name.to_string());
            results.push(match added {
                Ok(new) => {
                    if !request.validate_only {
                        records.extend(new);
                    }
                    CreatePartitionsTopicResult { name, ..CreatePartitionsTopicResult::default() }
                }
                Err(refusal) => CreatePartitionsTopicResult {
                    name,
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message),
                    ..CreatePartitionsTopicResult::default()
                },
            });
        }
        Decision { records, reply: CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() } }
    }

    fn add_partitions(
        &mut self,
        asked: &CreatePartitionsTopic<'_>,
        budget: &mut usize,
    ) -> Result<Vec<VersionedRecord>, Refusal> {
        let (_, id) = self.find_topic(Some(&asked.name), Uuid::ZERO)?;
        let topic = self.image.topics().by_id(id).expect("the topic was just found");
        let now = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidPartitions, why));
        if asked.count == now {
            return invalid(format!("Topic already has {now} partition(s)."));
        }
        if asked.count < now {
            return invalid(format!(
                "The topic {} currently has {now} partition(s); {} would not be an increase.",
                asked.name, asked.count
            ));
        }
        let factor = topic.partition(0).map_or(1, |first| first.replicas.len());
        let more = asked.count - now;
        take(budget, more)?;
        let assignments = match &asked.assignments {
            Some(given) if given.len() as i64 != i64::from(more) => {
                let why = format!(
                    "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                    given.len()
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
            }
            Some(given) => given.iter().map(|one| self.check_replicas(&one.broker_ids)).collect::<Result<_, _>>()?,
            None => self.spread(more as usize, factor)?,
        };
        Ok(assignments.iter().zip(now..).map(|(replicas, index)| self.new_partition(id, index, replicas)).collect())
    }
}

fn take(budget: &mut usize, partitions: i32) -> Result<(), Refusal> {
    match budget.checked_sub(usize::try_from(partitions).unwrap_or(usize::MAX)) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => {
            let why = format!(
                "Excessively large number of partitions per request: at most {PARTITIONS_PER_REQUEST_MAX} are made at once."
            );
            Err(Refusal::new(ErrorCode::PolicyViolation, why))
        }
    }
}

fn refused_deletion(name: Option<String>, topic_id: Uuid, refusal: Refusal) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: name.map(Cow::Owned),
        topic_id,
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..DeletableTopicResult::default()
    }
}

fn refused_topic(name: &str, refusal: Refusal) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: Cow::Owned(name.to_owned()),
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..CreatableTopicResult::default()
    }
}
