//! Configs of topics, brokers, groups; changed one by one (KIP-339), also where a broker is too old for that.

use super::Admin;
use crate::error::Error;
use net::Channel;
use protocol::ApiKey;
use protocol::messages::alter_configs_request::{self as legacy, AlterConfigsRequest};
use protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, by id; `None` is the default of all brokers.
    Broker(Option<i32>),
    /// A group (KIP-848).
    Group(String),
    /// A client metrics subscription (KIP-714).
    ClientMetrics(String),
}

impl ConfigResource {
    fn type_and_name(&self) -> (i8, String) {
        match self {
            ConfigResource::Topic(name) => (2, name.clone()),
            ConfigResource::Broker(id) => (4, id.map(|id| id.to_string()).unwrap_or_default()),
            ConfigResource::ClientMetrics(name) => (16, name.clone()),
            ConfigResource::Group(name) => (32, name.clone()),
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigResource::Topic(name) => write!(f, "topic {name}"),
            ConfigResource::Broker(Some(id)) => write!(f, "broker {id}"),
            ConfigResource::Broker(None) => f.write_str("the brokers' default"),
            ConfigResource::Group(name) => write!(f, "group {name}"),
            ConfigResource::ClientMetrics(name) => write!(f, "client metrics subscription {name}"),
        }
    }
}

/// Where a config's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSource(pub i8);

impl ConfigSource {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
            7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => "UNKNOWN",
        }
    }

    /// Whether nobody has set it.
    #[must_use]
    pub fn is_default(self) -> bool {
        self.0 == 5
    }

    /// Whether it was set on a resource of this kind itself, rather than inherited.
    fn is_own(self, resource: &ConfigResource) -> bool {
        match resource {
            ConfigResource::Topic(_) => self.0 == 1,
            ConfigResource::Broker(Some(_)) => self.0 == 2,
            ConfigResource::Broker(None) => self.0 == 3,
            ConfigResource::ClientMetrics(_) => self.0 == 7,
            ConfigResource::Group(_) => self.0 == 8,
        }
    }
}

/// A value that a config would have if a nearer one were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Under which name it is set.
    pub name: String,
    /// To what.
    pub value: Option<String>,
    /// Where.
    pub source: ConfigSource,
}

/// A config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` when it is not set, or sensitive.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Cannot be changed while the node runs.
    pub read_only: bool,
    /// The broker does not tell its value.
    pub sensitive: bool,
    /// Where else it is set, the nearest first.
    pub synonyms: Vec<ConfigSynonym>,
}

impl Admin {
    /// The configs of a resource, by name.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, Error> {
        let (resource_type, name) = resource.type_and_name();
        let described = DescribeConfigsResource {
            resource_type,
            resource_name: Cow::Owned(name),
            configuration_keys: None,
            ..DescribeConfigsResource::default()
        };
        let request = DescribeConfigsRequest {
            resources: vec![described],
            include_synonyms: true,
            ..DescribeConfigsRequest::default()
        };
        let what = format!("cannot describe the configs of {resource}");
        let attempt = async || {
            let channel = self.config_channel(resource).await?;
            let frame = self.client.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result = response.results.into_iter().next();
            let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            Error::check(&*what, result.error_code, result.error_message.as_deref())?;
            let mut entries: Vec<_> = result.configs.into_iter().map(entry).collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        };
        let unknown = |error: &Error| error.code() == Some(base::ErrorCode::UnknownTopicOrPartition);
        self.client.with_retries_unless(&what, attempt, unknown).await
    }

    /// Sets configs of a resource; `None` takes one back to its default.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        let what = format!("cannot change the configs of {resource}");
        let attempt = async || {
            let channel = match resource {
                ConfigResource::Broker(Some(_)) => self.config_channel(resource).await?,
                _ => self.client.controller_channel().await?,
            };
            if channel.broker_versions(ApiKey::IncrementalAlterConfigs).is_some() {
                self.alter_incrementally(&channel, resource, changes, &what).await
            } else {
                self.alter_wholly(&channel, resource, changes, &what).await
            }
        };
        let unknown = |error: &Error| error.code() == Some(base::ErrorCode::UnknownTopicOrPartition);
        self.client.with_retries_unless(&what, attempt, unknown).await
    }

    async fn alter_incrementally(
        &self,
        channel: &Channel,
        resource: &ConfigResource,
        changes: &BTreeMap<String, Option<String>>,
        what: &str,
    ) -> Result<(), Error> {
        let change = |(name, value): (&String, &Option<String>)| AlterableConfig {
            name: Cow::Owned(name.clone()),
            config_operation: i8::from(value.is_none()),
            value: value.clone().map(Cow::Owned),
            ..AlterableConfig::default()
        };
        let (resource_type, name) = resource.type_and_name();
        let altered = AlterConfigsResource {
            resource_type,
            resource_name: Cow::Owned(name),
            configs: changes.iter().map(change).collect(),
            ..AlterConfigsResource::default()
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![altered], ..IncrementalAlterConfigsRequest::default() };
        let frame = self.client.send(channel, &request).await?;
        let response = frame.decode()?;
        let result =
            response.responses.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
        Error::check(what, result.error_code, result.error_message.as_deref())
    }

    /// Before Kafka 2.3 a change replaces everything that is set, so what is set is sent along.
    async fn alter_wholly(
        &self,
        channel: &Channel,
        resource: &ConfigResource,
        changes: &BTreeMap<String, Option<String>>,
        what: &str,
    ) -> Result<(), Error> {
        let mut configs = BTreeMap::new();
        for entry in self.describe_configs(resource).await? {
            if entry.source.is_own(resource) {
                if entry.sensitive && !changes.contains_key(&entry.name) {
                    let secret =
                        format!("{what}: this broker wants all of them at once and does not tell {}", entry.name);
                    return Err(Error::Invalid(secret));
                }
                configs.insert(entry.name, entry.value);
            }
        }
        for (name, value) in changes {
            match value {
                Some(value) => configs.insert(name.clone(), Some(value.clone())),
                None => configs.remove(name),
            };
        }
        let config = |(name, value): (String, Option<String>)| legacy::AlterableConfig {
            name: Cow::Owned(name),
            value: value.map(Cow::Owned),
            ..legacy::AlterableConfig::default()
        };
        let (resource_type, name) = resource.type_and_name();
        let altered = legacy::AlterConfigsResource {
            resource_type,
            resource_name: Cow::Owned(name),
            configs: configs.into_iter().map(config).collect(),
            ..legacy::AlterConfigsResource::default()
        };
        let request = AlterConfigsRequest { resources: vec![altered], ..AlterConfigsRequest::default() };
        let frame = self.client.send(channel, &request).await?;
        let response = frame.decode()?;
        let result =
            response.responses.first().ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
        Error::check(what, result.error_code, result.error_message.as_deref())
    }

    /// A broker's own configs are known to itself alone.
    async fn config_channel(&self, resource: &ConfigResource) -> Result<Channel, Error> {
        match resource {
            ConfigResource::Broker(Some(id)) => self.client.named_broker(*id).await,
            _ => self.client.any_channel().await,
        }
    }
}

fn entry(config: DescribeConfigsResourceResult<'_>) -> ConfigEntry {
    let synonyms = config.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name.into_owned(),
        value: synonym.value.map(Cow::into_owned),
        source: ConfigSource(synonym.source),
    });
    ConfigEntry {
        name: config.name.into_owned(),
        value: config.value.map(Cow::into_owned),
        source: ConfigSource(config.config_source),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Admin, ConfigResource};
    use crate::testing::with_broker;

    /// It was waited for until the time was up.
    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_not_there_is_told_at_once() {
        with_broker(
            1,
            |_| {},
            async |client, _| {
                let begun = tokio::time::Instant::now();
                let refused = Admin::new(client).describe_configs(&ConfigResource::Broker(Some(9))).await;
                let why = refused.expect_err("there is none").to_string();
                assert_eq!(why, "there is no broker 9: the cluster has 1");
                assert_eq!(begun.elapsed(), std::time::Duration::ZERO);
            },
        )
        .await;
    }
}
