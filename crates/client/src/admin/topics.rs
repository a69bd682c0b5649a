//! Topics: create, delete, grow, and delete their records.

use super::Admin;
use crate::client::Lane;
use crate::error::Error;
use crate::metadata::TopicMetadata;
use base::Uuid;
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the broker's default (Kafka 2.4).
    pub partitions: Option<i32>,
    /// How many replicas; `None` for the broker's default.
    pub replication_factor: Option<i16>,
    /// Replicas of each partition, instead of the two numbers.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    /// Configs that differ from the default.
    pub configs: BTreeMap<String, String>,
}

/// A topic as it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero when the broker does not say.
    pub id: Uuid,
    /// How many partitions it has, -1 when the broker does not say.
    pub partitions: i32,
    /// How many replicas each has, -1 when the broker does not say.
    pub replication_factor: i16,
}

impl Admin {
    /// Creates a topic, or only checks whether it could be.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_topic(&self, topic: &NewTopic, validate_only: bool) -> Result<CreatedTopic, Error> {
        let assignment = |(partition, brokers): (&i32, &Vec<i32>)| CreatableReplicaAssignment {
            partition_index: *partition,
            broker_ids: brokers.clone(),
            ..CreatableReplicaAssignment::default()
        };
        let config = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: Cow::Owned(name.clone()),
            value: Some(Cow::Owned(value.clone())),
            ..CreatableTopicConfig::default()
        };
        let creatable = CreatableTopic {
            name: Cow::Borrowed(&topic.name),
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: topic.replication_factor.unwrap_or(-1),
            assignments: topic.assignments.iter().map(assignment).collect(),
            configs: topic.configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![creatable],
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let what = format!("cannot create topic {}", topic.name);
        let attempt = async || {
            let channel = self.client.controller_channel().await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result =
                response.topics.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())?;
            Ok(CreatedTopic {
                id: result.topic_id,
                partitions: result.num_partitions,
                replication_factor: result.replication_factor,
            })
        };
        self.client.with_retries(&what, attempt).await
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let what = format!("cannot delete topic {name}");
        let attempt = async || {
            let channel = self.client.controller_channel().await?;
            let version = channel.negotiate::<DeleteTopicsRequest<'_>>(0..=i16::MAX)?;
            let mut request = DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
            if version >= 6 {
                request
                    .topics
                    .push(DeleteTopicState { name: Some(Cow::Borrowed(name)), ..DeleteTopicState::default() });
            } else {
                request.topic_names.push(Cow::Borrowed(name));
            }
            let frame = channel.send(&request, version).await?;
            let response = frame.decode()?;
            let result =
                response.responses.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())
        };
        let unknown = |error: &Error| error.code() == Some(base::ErrorCode::UnknownTopicOrPartition);
        self.client.with_retries_unless(&what, attempt, unknown).await?;
        self.client.forget_topic(name);
        Ok(())
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>, Error> {
        Ok(self.client.refresh_all().await?.topics.values().cloned().collect())
    }

    /// One topic.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicMetadata, Error> {
        self.client.refresh_topic(name, false).await
    }

    /// Raises the number of partitions to `count`.
    ///
    /// # Errors
    /// When the broker refuses, as it does for fewer.
    pub async fn create_partitions(&self, name: &str, count: i32, validate_only: bool) -> Result<(), Error> {
        let topic = CreatePartitionsTopic { name: Cow::Borrowed(name), count, ..CreatePartitionsTopic::default() };
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { assignments: None, ..topic }],
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        let what = format!("cannot give topic {name} {count} partitions");
        let attempt = async || {
            let channel = self.client.controller_channel().await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result =
                response.results.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())
        };
        let unknown = |error: &Error| error.code() == Some(base::ErrorCode::UnknownTopicOrPartition);
        self.client.with_retries_unless(&what, attempt, unknown).await
    }

    /// Deletes the records of a partition before `offset` (-1: before the high watermark); returns where it begins then.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<i64, Error> {
        let partitions =
            vec![DeleteRecordsPartition { partition_index: partition, offset, ..DeleteRecordsPartition::default() }];
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Cow::Borrowed(topic),
                partitions,
                ..DeleteRecordsTopic::default()
            }],
            timeout_ms: self.timeout_ms(),
            ..DeleteRecordsRequest::default()
        };
        let what = format!("cannot delete records of {topic}-{partition}");
        let attempt = async || {
            let node = self.client.leader(topic, partition).await?;
            let channel = self.client.channel(Lane::COMMON, node).await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result = response.topics.first().and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            if let Err(error) = Error::check(&*what, result.error_code, None) {
                self.client.forget_topic(topic);
                return Err(error);
            }
            Ok(result.low_watermark)
        };
        self.client.with_retries(&what, attempt).await
    }
}
